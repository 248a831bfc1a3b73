"""One study from files to result objects: what every door runs.

Read, analyse, encode, write into a folder. Knows neither queues nor networks;
runs in a worker process (`workers.py`), so that a decoder that crashes costs
one study and never the node.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from cad_node import __version__
from cad_node.domain import Calibration, MadeBy, Provenance, StudyResult
from cad_node.encode import (
    EncodedObject,
    PageObject,
    Templates,
    encode_study,
    load_templates,
    render_page,
    render_preview,
    report_rows,
)
from cad_node.encode.report import lesion_rows
from cad_node.giving_way import GivingWay
from cad_node.logs import study_context
from cad_node.networks import load_model
from cad_node.networks.annotation_model import load_annotation_bundle, load_annotation_model
from cad_node.networks.bundle import Bundle, load_bundle
from cad_node.pipeline.clean import Cleaner, Surroundings
from cad_node.pipeline.run import Steps, analyse
from cad_node.pipeline.segment import find_lesions
from cad_node.read import gate_image, read_headers, read_study
from cad_node.read.headers import read_with_pixels
from cad_node.resources import models_dir, templates_dir
from cad_node.settings import FolderDestinationSettings, NodeSettings, ObjectKind
from cad_node.variants import Variant, all_variants, destination_variants, names_of

logger = logging.getLogger(__name__)

RESULT_FILE = "result.json"
SCORECARD_FILE = "scorecard.json"
FILE_PREFIXES: Mapping[ObjectKind, str] = {
    "seg": "seg",
    "presentation_state": "pr",
    "secondary_capture": "sc",
    "pdf": "pdf",
    "text_sr": "text",
    "sr": "sr",
}
PAGE_FILE = "index.html"

_T = TypeVar("_T")


@dataclass(frozen=True)
class StudyTask:
    """What a worker needs to know to process a study.

    `earlier` are result objects made for this study before, the oldest first: the
    ones whose derived UID comes up again are reused as they are, and the newest
    report among them is named as the predecessor. `made_at` is the content time of new objects.
    """

    files: tuple[Path, ...]
    output: Path
    made_at: datetime
    earlier: tuple[Path, ...] = ()


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


# Below `data_dir`: objects of ours that our own check refused.
INVALID_DIR = "invalid"


@dataclass(frozen=True)
class Processor:
    """The loaded parts, made once a worker; `made_by` is the digest of `making`."""

    settings: NodeSettings
    templates: Templates
    steps: Steps
    made_by: str = ""

    def process(self, task: StudyTask) -> StudySummary:
        """Analyse the study and write every result into `task.output`, an empty folder.

        Raises
        ------
        NoUsableFramesError
            None of the files could be read as a DICOM instance.
        EncodeError
            A result object would not have been valid.
        """
        clock = _Stopwatch()
        breast_only = self.settings.pipeline.breast_only
        study = clock.time("read", lambda: read_study(task.files, breast_only=breast_only))
        with study_context(study.study_instance_uid):
            result = clock.time("analyse", lambda: analyse(study, self.steps))
            pictures = clock.time("preview", lambda: self._pictures(result))
            objects = clock.time("encode", lambda: self._encode(result, task, pictures))
            clock.time("write", lambda: _write_objects(objects, task.output))
            previews = _write_pictures(result, pictures, task.output)
            made = tuple(variant.name for variant in all_variants(self.settings))
            pages = write_pages(result, objects, previews, self.templates, self.settings, task.output)
            summary = _write_summary(
                result, objects, made, previews, pages, clock.seconds, self.made_by, task.output
            )
            logger.info(
                "processed %d images, %d with lesions, in %.1f s",
                len(result.images),
                sum(bool(image.lesions) for image in result.images),
                sum(clock.seconds.values()),
            )
        return summary

    def _encode(
        self, result: StudyResult, task: StudyTask, pictures: Mapping[str, bytes]
    ) -> tuple[EncodedObject, ...]:
        earlier = [read_with_pixels(path) for path in task.earlier]
        by_uid = {str(dataset.SOPInstanceUID): dataset for dataset in earlier}
        return encode_study(
            result,
            read_headers(task.files),
            templates=self.templates,
            settings=self.settings.results,
            variants=all_variants(self.settings),
            predecessors=[dataset for dataset in earlier if dataset.Modality == "SR"],
            previews=pictures,
            made_at=task.made_at,
            reuse=by_uid.get,
            invalid_dir=self.settings.data_dir / INVALID_DIR,
        )

    def _pictures(self, result: StudyResult) -> dict[str, bytes]:
        """The preview of each image that was analysed, by SOP Instance UID."""
        drawn = {
            image.reference.sop_instance_uid: render_preview(image, self.templates) for image in result.images
        }
        return {uid: picture for uid, picture in drawn.items() if picture is not None}


def load_processor(settings: NodeSettings) -> Processor:
    """Load model, templates and OCR once.

    Raises
    ------
    ModelError, TemplateError
        What was named in the settings is absent or not what it claims to be.
    """
    threads = network_threads(settings)
    model = load_model(find_model(settings), device=settings.runtime.device, threads=threads)
    cleaner = load_cleaner(settings)
    pipeline = settings.pipeline
    fractional = any(variant.seg_type == "fractional" for variant in all_variants(settings))
    steps = Steps(
        gate=gate_image,
        clean=lambda frames: cleaner.clean_image(GivingWay(frames)),
        find_lesions=lambda frame: find_lesions(
            frame, model, pipeline.smallest_lesion_mm2, keep_probability=fractional
        ),
        provenance=provenance(settings, model.bundle, cleaner.describe()),
    )
    templates = load_templates(settings.runtime.templates_dir or templates_dir(), settings.results.language)
    return Processor(settings, templates, steps, _digest(settings, steps.provenance))


def load_cleaner(settings: NodeSettings, *, with_notes: bool = True) -> Cleaner:
    """The cleaner with its detector network, as these settings ask for it.

    `with_notes`: what stands beside the picture is read before it goes.

    Raises
    ------
    ModelError
        The annotation model is absent or not what it claims to be.
    """
    threads = network_threads(settings)
    folder = find_model(settings, settings.pipeline.annotation_model)
    network = load_annotation_model(folder, threads=threads)
    around = Surroundings(settings.pipeline.ocr_confidence, threads) if with_notes else None
    return Cleaner(settings.pipeline, threads=threads, network=network, surroundings=around)


def network_threads(settings: NodeSettings) -> int:
    """CPU threads for the networks of one worker, at least 1.

    By default only half of the cores are shared out: threads of one network wait for each other,
    and where receiving, decoding or another worker takes a core away they wait long. Two threads
    on two busy cores took 0.3 to 1.5 s an image where one thread took 0.1 s.
    """
    chosen = settings.runtime.threads
    return chosen or max(1, (os.cpu_count() or 1) // (2 * settings.jobs.workers))


def find_model(settings: NodeSettings, name: str | None = None) -> Path:
    """Folder of a model, by default of the lesion model: the user's own before the shipped."""
    name = name or settings.pipeline.model
    own = settings.runtime.models_dir
    if own is not None and (own / name).is_dir():
        return own / name
    return models_dir() / name


def provenance(settings: NodeSettings, bundle: Bundle, steps: Sequence[str]) -> Provenance:
    """By what results are made; equal provenance and equal sources give equal UIDs.

    The digest of the settings covers the network that cleans, too: its name alone
    does not say which weights they are.

    Raises
    ------
    ModelError
        The annotation model is absent or not what it claims to be.
    """
    annotations = load_annotation_bundle(find_model(settings, settings.pipeline.annotation_model))
    made_with = {**settings.pipeline.model_dump(mode="json"), "annotation_model_sha256": annotations.sha256}
    text = json.dumps(made_with, sort_keys=True)
    return Provenance(
        software_version=__version__,
        model_name=bundle.name,
        model_version=bundle.version,
        model_sha256=bundle.sha256,
        settings_digest=hashlib.sha256(text.encode()).hexdigest(),
        steps=tuple(steps),
        calibration=calibration(bundle),
    )


def making(settings: NodeSettings) -> MadeBy:
    """By what a node with these settings makes its results.

    Raises
    ------
    ModelError
        A model is absent or not what it claims to be.
    """
    made_by = provenance(settings, load_bundle(find_model(settings)), ())
    model = f"{made_by.model_name} {made_by.model_version}"[:160]
    return MadeBy(_digest(settings, made_by), model, made_by.model_sha256)


def _digest(settings: NodeSettings, made_by: Provenance) -> str:
    """Covers all that changes a result object: provenance, what is made and in which form, and the words."""
    templates = settings.runtime.templates_dir or templates_dir()
    words = (path for path in sorted(templates.rglob("*")) if path.suffix in {".toml", ".j2"})
    made_how = [
        # What is done follows from the rest, and is listed only where everything is loaded.
        asdict(replace(made_by, steps=())),
        settings.results.model_dump(mode="json"),
        [variant.name for variant in all_variants(settings)],
        [path.read_text(encoding="utf-8") for path in words],
    ]
    return hashlib.sha256(json.dumps(made_how, sort_keys=True).encode()).hexdigest()


def calibration(bundle: Bundle) -> Calibration:
    """How well the model's probabilities are calibrated, as far as its scorecard tells."""
    try:
        card = json.loads((bundle.folder / SCORECARD_FILE).read_text(encoding="utf-8"))
        measured = card["annotations_removed"]["all"]["calibration_error"]
        return Calibration(bundle.temperature, float(measured["value"]), int(measured["images"]))
    except (OSError, ValueError, LookupError, TypeError):
        return Calibration(bundle.temperature)  # a model of one's own may have no scorecard


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
) -> dict[str, str]:
    """Write the page of a study, and one for each set of objects that a folder gets instead of all.

    Their file names by the set. A page names only what lies beside it.
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
        beside = [PageObject(item.kind, name, item.sources) for item, name in named if item.variant in wanted]
        pages[key] = PAGE_FILE if number == 1 else f"index-{number}.html"
        (output / pages[key]).write_text(render_page(result, previews, templates, beside), encoding="utf-8")
    return pages


def _write_objects(objects: Sequence[EncodedObject], output: Path) -> None:
    for item, name in zip(objects, file_names(objects), strict=True):
        item.dataset.save_as(output / name, enforce_file_format=True)


def _write_pictures(result: StudyResult, pictures: Mapping[str, bytes], output: Path) -> dict[str, str]:
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


def _write_summary(
    result: StudyResult,
    objects: Sequence[EncodedObject],
    variants: tuple[str, ...],
    previews: Mapping[str, str],
    pages: Mapping[str, str],
    seconds: Mapping[str, float],
    made_by: str,
    output: Path,
) -> StudySummary:
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
        variants,
    )
    content = {
        **asdict(summary),
        "lesions": lesion_rows(result),
        # Of which images each object speaks: what an answer that names it is about.
        "images": {str(item.dataset.SOPInstanceUID): list(item.sources) for item in objects},
        "provenance": asdict(result.provenance),
        "made_by": made_by,
        "pages": dict(pages),
    }
    (output / RESULT_FILE).write_text(json.dumps(content, indent=1), encoding="utf-8")
    return summary


class _Stopwatch:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, stage: str, work: Callable[[], _T]) -> _T:
        started = time.monotonic()
        try:
            return work()
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - started
