"""What a study's document says, line by line: the same in PDF, plain-text report and capture.

Every sentence is the report's own (`sr_words.py`), in the language of the
templates. It names no patient: the object's header does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from pydicom.dataset import Dataset

from cad_node.domain import ImageResult, Status, StudyResult
from cad_node.encode import uids
from cad_node.encode.provenance import Context, equipment
from cad_node.encode.seg import key_lesion, lesion_tracks
from cad_node.encode.source import Source
from cad_node.encode.sr_words import lesion_sentence, partly, side, summary_lines
from cad_node.encode.template_text import Series


class Style(Enum):
    """How prominent a line is."""

    TITLE = "title"
    HEADING = "heading"
    TEXT = "text"
    FAINT = "faint"


# Of the size of the plain text.
RELATIVE_SIZES = {Style.TITLE: 1.7, Style.HEADING: 1.25, Style.TEXT: 1.0, Style.FAINT: 0.8}


@dataclass(frozen=True)
class Line:
    """One paragraph; where it is about an image, `image` is its SOP Instance UID."""

    text: str
    style: Style = Style.TEXT
    image: str | None = None


def document_head(
    kind: str, sop_class_uid: str, series: Series, result: StudyResult, context: Context
) -> Dataset:
    """What PDF and plain-text report begin with: class, UIDs, series and equipment."""
    study, made = result.study_instance_uid, context.provenance
    dataset = Dataset()
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = document_uid(kind, result, context)
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = uids.object_series_uid(kind, study, made, context.wording)
    dataset.SeriesDescription = series.description
    dataset.InstanceNumber = 1
    named = equipment(context)
    dataset.Manufacturer = named["manufacturer"]
    dataset.ManufacturerModelName = named["manufacturer_model_name"]
    dataset.DeviceSerialNumber = named["device_serial_number"]
    dataset.SoftwareVersions = named["software_versions"]
    return dataset


def document_uid(kind: str, result: StudyResult, context: Context) -> str:
    """The SOP Instance UID of a study's document of one kind."""
    return uids.object_uid(kind, result.spoken_of, context.provenance, context.wording)


def document_lines(result: StudyResult, sources: Mapping[str, Source], context: Context) -> list[Line]:
    """Title, summary, each image with its lesions, what was not analysed, and by what it was made."""
    head = context.templates.pdf.document
    lines = [Line(head.title, Style.TITLE), Line(context.templates.sr.document.disclaimer, Style.FAINT)]
    lines += [Line(text) for text in summary_lines(result, sources, context)]
    if any(image.lesions for image in result.images):
        lines.append(Line(head.findings, Style.HEADING))
        for image in result.images:
            lines += _lesion_lines(image, sources[image.reference.sop_instance_uid], context)
    limited = [image for image in result.images if image.is_partial or image.status is not Status.ANALYSED]
    if limited:
        lines.append(Line(head.not_analysed, Style.HEADING))
        for image in limited:
            source = sources[image.reference.sop_instance_uid]
            reason = context.templates.wording.reasons[image.reason] if image.reason else ""
            reason = partly(image, context.templates) or reason
            text = f"{head.image.format(image=source.name)}: {reason}"
            lines.append(Line(text, image=image.reference.sop_instance_uid))
    study = head.study.format(study_instance_uid=result.study_instance_uid)
    return [*lines, Line(made_by(head.made_by, context), Style.FAINT), Line(study, Style.FAINT)]


def _lesion_lines(image: ImageResult, source: Source, context: Context) -> list[Line]:
    conflict = f" {context.templates.sr.position.conflict}" if side(image.notes, source)[1] else ""
    return [
        Line(
            lesion_sentence(image, key_lesion(track), source, context) + conflict,
            image=image.reference.sop_instance_uid,
        )
        for track in lesion_tracks(image).values()
    ]


def made_by(text: str, context: Context) -> str:
    """The line that names software and model."""
    provenance = context.provenance
    return text.format(
        software=context.templates.wording.product.name,
        version=provenance.software_version,
        model_name=provenance.model_name,
        model_version=provenance.model_version,
        sha256=provenance.model_sha256,
    )
