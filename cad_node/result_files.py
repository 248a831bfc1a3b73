"""The files of a study's results: their names, and what stands in them.

Objects, pictures, pages and `result.json` go into one folder, which `store/results.py`
keeps. What was found is decided elsewhere; here it is only written down.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cad_node.domain import StudyResult
from cad_node.encode import EncodedObject, PageObject, Templates, render_page, report_rows
from cad_node.encode.report import lesion_rows
from cad_node.encode.sr_words import Side
from cad_node.settings import FolderDestinationSettings, NodeSettings, ObjectKind
from cad_node.variants import Variant, all_variants, destination_variants, names_of

RESULT_FILE = "result.json"
PAGE_FILE = "index.html"
FILE_PREFIXES: Mapping[ObjectKind, str] = {
    "seg": "seg",
    "presentation_state": "pr",
    "secondary_capture": "sc",
    "pdf": "pdf",
    "text_sr": "text",
    "sr": "sr",
}


@dataclass(frozen=True)
class StudySummary:
    """What became of a study, as written to `result.json`: no patient data."""

    study_instance_uid: str
    rows: tuple[Mapping[str, str], ...]
    objects: tuple[Mapping[str, str], ...]
    seconds: Mapping[str, float] = field(compare=False)
    variants: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        """Number of rows that failed."""
        return sum(row["status"] == "failed" for row in self.rows)


def file_names(objects: Sequence[EncodedObject]) -> list[str]:
    """File name of each object: `seg-001.dcm` …, `sr.dcm`; a second form of a kind has it in its name."""
    names = []
    first: dict[str, Variant] = {}
    counts: dict[Variant, int] = {}
    for item in objects:
        prefix = FILE_PREFIXES[item.kind]
        if first.setdefault(item.kind, item.variant) != item.variant:
            prefix = "-".join((prefix, *item.variant.name.split()[1:]))
        counts[item.variant] = count = counts.get(item.variant, 0) + 1
        names.append(f"{prefix}-{count:03d}.dcm" if item.sources else f"{prefix}.dcm")
    return names


def read_summary(folder: Path) -> dict[str, Any]:
    """The `result.json` of a result folder."""
    content: dict[str, Any] = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    return content


def write_pages(
    result: StudyResult,
    objects: Sequence[EncodedObject],
    previews: Mapping[str, str],
    templates: Templates,
    settings: NodeSettings,
    output: Path,
    sides: Mapping[str, Side] | None = None,
    names: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Write the page of a study, and one for each set of objects that a folder gets instead of all.

    Their file names by the set. A page names only what lies beside it; `sides` and
    `names` are as for `render_page`.
    """
    everything = all_variants(settings)
    sets = {names_of(everything): everything}
    for destination in settings.destinations:
        if isinstance(destination, FolderDestinationSettings):
            wanted = destination_variants(destination, settings.results)
            sets.setdefault(names_of(wanted), wanted)
    named = list(zip(objects, file_names(objects), strict=True))
    pages: dict[str, str] = {}
    for number, (key, wanted) in enumerate(sets.items(), start=1):
        beside = [
            PageObject(item.variant, name, item.sources) for item, name in named if item.variant in wanted
        ]
        pages[key] = PAGE_FILE if number == 1 else f"index-{number}.html"
        page = render_page(result, previews, templates, beside, sides, names)
        (output / pages[key]).write_text(page, encoding="utf-8")
    return pages


def write_objects(objects: Sequence[EncodedObject], output: Path) -> None:
    """Write each object under its name, as a Part 10 file."""
    for item, name in zip(objects, file_names(objects), strict=True):
        item.dataset.save_as(output / name, enforce_file_format=True)


def write_pictures(result: StudyResult, pictures: Mapping[str, bytes], output: Path) -> dict[str, str]:
    """Write the previews; their file names by SOP Instance UID."""
    names: dict[str, str] = {}
    for position, image in enumerate(result.images, start=1):
        uid = image.reference.sop_instance_uid
        if uid in pictures:
            names[uid] = name = f"preview-{position:03d}.png"
            (output / name).write_bytes(pictures[uid])
    return names


def _segs(objects: Sequence[EncodedObject]) -> dict[str, str]:
    """File name of the SEG of each image that has one, in the form that `[results]` asks for."""
    names: dict[str, str] = {}
    for item, name in zip(objects, file_names(objects), strict=True):
        if item.kind == "seg":
            for uid in item.sources:
                names.setdefault(uid, name)
    return names


def _report(objects: Sequence[EncodedObject]) -> str:
    pairs = zip(objects, file_names(objects), strict=True)
    return next((name for item, name in pairs if item.kind == "sr"), "")


def write_summary(
    result: StudyResult,
    objects: Sequence[EncodedObject],
    output: Path,
    *,
    variants: Sequence[Variant],
    previews: Mapping[str, str],
    pages: Mapping[str, str],
    seconds: Mapping[str, float],
    made_by: str,
) -> StudySummary:
    """Write `result.json`: what was found, which files say it, and by what they were made.

    `previews` and `pages` are what `write_pictures` and `write_pages` gave; `variants`
    all that was asked for, whether or not the study gave cause for it.
    """
    summary = StudySummary(
        result.study_instance_uid,
        tuple(report_rows(result, segs=_segs(objects), sr=_report(objects), previews=previews)),
        tuple(
            {
                "file": name,
                "kind": item.kind,
                "variant": item.variant.name,
                "sop_class_uid": str(item.dataset.SOPClassUID),
                "sop_instance_uid": str(item.dataset.SOPInstanceUID),
            }
            for item, name in zip(objects, file_names(objects), strict=True)
        ),
        {stage: round(spent, 3) for stage, spent in seconds.items()},
        tuple(variant.name for variant in variants),
    )
    content = {
        **asdict(summary),
        "lesions": lesion_rows(result),
        # Of which images each object speaks: what an answer that names it is about.
        "images": {str(item.dataset.SOPInstanceUID): list(item.sources) for item in objects},
        # Files of which not even the header can be read; they have no row.
        "unreadable": result.unreadable,
        "provenance": asdict(result.provenance),
        "made_by": made_by,
        "pages": dict(pages),
    }
    (output / RESULT_FILE).write_text(json.dumps(content, indent=1), encoding="utf-8")
    return summary
