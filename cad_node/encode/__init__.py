"""From findings to DICOM: the result objects, and the picture, page and rows beside them.

Sees domain objects and source headers, never pixels of the source or a tensor.
Decides how a finding is written down, never what was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset

from cad_node.domain import StudyResult
from cad_node.encode.encoders import ENCODERS, Work
from cad_node.encode.page import PageObject, claimed_sides, image_names, render_page
from cad_node.encode.preview import render_preview
from cad_node.encode.provenance import Context
from cad_node.encode.read_back import LesionReading, read_back
from cad_node.encode.report import REPORT_COLUMNS, report_rows
from cad_node.encode.source import named_apart, read_source
from cad_node.encode.template import Templates
from cad_node.encode.template_reader import languages, load_templates
from cad_node.encode.transfer_syntax import put_transfer_syntax
from cad_node.encode.uids import derive_uid
from cad_node.encode.validate import keep_invalid, validate
from cad_node.errors import EncodeError
from cad_node.settings import ObjectKind, ResultSettings
from cad_node.variants import Variant, default_variants

__all__ = [
    "REPORT_COLUMNS",
    "EncodedObject",
    "LesionReading",
    "PageObject",
    "Templates",
    "claimed_sides",
    "derive_uid",
    "encode_study",
    "image_names",
    "languages",
    "load_templates",
    "read_back",
    "render_page",
    "render_preview",
    "report_rows",
    "validate",
]


@dataclass(frozen=True)
class EncodedObject:
    """A result object, with the images that it alone speaks of; none where it speaks of the study."""

    variant: Variant
    sources: tuple[str, ...]
    dataset: Dataset

    @property
    def kind(self) -> ObjectKind:
        """What it is."""
        return self.variant.kind


def encode_study(
    result: StudyResult,
    headers: Mapping[str, Dataset],
    *,
    templates: Templates,
    settings: ResultSettings,
    made_at: datetime,
    variants: Sequence[Variant] | None = None,
    predecessors: Sequence[Dataset] = (),
    previews: Mapping[str, bytes] | None = None,
    reuse: Callable[[str], Dataset | None] | None = None,
    invalid_dir: Path | None = None,
) -> tuple[EncodedObject, ...]:
    """Write down a study: each variant's objects, in the order of the variants.

    The same result, headers, wording, settings, predecessors and time give the
    same bytes; the UIDs do not depend on predecessors and time.

    Parameters
    ----------
    headers
        Source headers by SOP Instance UID, as read. They may be broken or
        missing; results then have empty attributes where the standard wants them.
    variants
        Which objects; by default a SEG for each image with lesions, and the SR.
    predecessors
        The SRs made for this study before, oldest first. The newest of the same
        class is named as the predecessor unless it is the very report that
        would be made now. Where that report is among the older ones, it is made
        once more under another UID.
    previews
        Pictures (PNG) by SOP Instance UID, where they were drawn before.
    reuse
        Gives the object that was stored under a UID before; it is returned as
        it is instead of being made anew.
    made_at
        Content time of the new objects.
    invalid_dir
        Keeps an object that our own check refuses, for whoever looks for the fault.

    Raises
    ------
    EncodeError
        An object could not be made or would not be valid: the node's fault.
    """
    if not result.images:
        raise EncodeError(
            "A study without images has no results.", study_instance_uid=result.study_instance_uid
        )
    context = Context(result.provenance, templates, settings, made_at)
    stored = reuse if reuse is not None else _nothing_stored
    objects = []
    with _own_fault(result.study_instance_uid):
        sources = named_apart(
            read_source(image.reference, headers.get(image.reference.sop_instance_uid))
            for image in result.images
        )
        work = Work(result, sources, predecessors, previews or {})
        for variant in default_variants(settings) if variants is None else variants:
            for draft in ENCODERS[variant.kind](work, context.of(variant)):
                dataset = stored(draft.sop_instance_uid)
                if dataset is None:
                    dataset = draft.make()
                    _check(dataset, invalid_dir)
                    put_transfer_syntax(dataset, variant.transfer_syntax)
                objects.append(EncodedObject(variant, draft.sources, dataset))
    return tuple(objects)


def _check(dataset: Dataset, invalid_dir: Path | None) -> None:
    try:
        validate(dataset)
    except EncodeError:
        if invalid_dir is not None:
            keep_invalid(dataset, invalid_dir)
        raise


def _nothing_stored(_: str) -> None:
    return None


@contextmanager
def _own_fault(study_instance_uid: str) -> Iterator[None]:
    """Name what the libraries raise; their words stay out, since they may quote a header."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        raise EncodeError(
            f"Results could not be written down ({type(error).__name__}).",
            "Nothing was sent. Report this with the log.",
            study_instance_uid=study_instance_uid,
        ) from error
