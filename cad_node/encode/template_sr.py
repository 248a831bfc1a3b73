"""The format of `sr_tid1500.toml`: what the report says, and by which codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cad_node.codes import Concept
from cad_node.domain import LesionClass
from cad_node.encode.template_text import Series, Text

_Plain = Annotated[str, Text()]


@dataclass(frozen=True)
class SrDocument:
    """The head of the report."""

    title: Concept
    procedure: Concept
    language: Concept
    disclaimer: _Plain


@dataclass(frozen=True)
class SrSummary:
    """The study in a few sentences, the most suspicious lesion first."""

    found: Annotated[str, Text("lesions", "images", "refused")]
    most_suspicious: Annotated[str, Text("tracking_id", "class_name", "percent", "band")]
    further: Annotated[str, Text("rank", "tracking_id", "class_name", "percent", "band")]
    same_lesion: Annotated[str, Text("tracking_ids")]
    nothing_found: Annotated[str, Text("images", "refused")]
    nothing_analysed: Annotated[str, Text("refused")]
    unreadable: Annotated[str, Text("files")]
    partly: Annotated[str, Text("images")]
    marked: Annotated[str, Text("images")]
    calibration: Annotated[str, Text("temperature", "error", "images")]
    calibration_unmeasured: Annotated[str, Text("temperature")]
    bands: _Plain


@dataclass(frozen=True)
class SrLesion:
    """What is said about every lesion."""

    category: Concept
    finding: Concept
    site: Concept
    uncalibrated: _Plain
    key_frame: Annotated[str, Text("frame", "count")]
    sentence: Annotated[str, Text("tracking_id", "parts")]


@dataclass(frozen=True)
class SrPhrases:
    """The parts of a lesion's sentence; those of orientation and shape have the names of the values."""

    class_: Annotated[str, Text("class_name", "percent", "band")]
    size: Annotated[str, Text("long_axis", "short_axis", "area", "unit")]
    depth: Annotated[str, Text("depth")]
    parallel: _Plain
    not_parallel: _Plain
    oval: _Plain
    round: _Plain
    irregular: _Plain
    cut: _Plain


@dataclass(frozen=True)
class SrPosition:
    """Where a lesion is; sides, quadrants and planes have the names of the values."""

    left: _Plain
    right: _Plain
    upper_outer: _Plain
    upper_inner: _Plain
    lower_outer: _Plain
    lower_inner: _Plain
    central: _Plain
    clock_face: Annotated[str, Text("hour")]
    nipple_distance: Annotated[str, Text("distance")]
    radial: _Plain
    antiradial: _Plain
    sagittal: _Plain
    transverse: _Plain
    typed: Annotated[str, Text("parts")]
    conflict: _Plain


@dataclass(frozen=True)
class SrBand:
    """A likelihood band, from `from_percent` upwards."""

    from_percent: float
    label: Annotated[str, Text(longest=16)]
    code: Concept


@dataclass(frozen=True)
class SrAssessment:
    """The likelihood bands, the least first."""

    name: Concept
    method: Concept
    bands: tuple[SrBand, ...]

    def __post_init__(self) -> None:
        """Refuse bands out of order."""
        starts = [band.from_percent for band in self.bands]
        if starts != sorted(set(starts)):
            raise ValueError("from_percent must rise from band to band")

    def band(self, percent: float) -> SrBand | None:
        """The band of a probability; None below all of them."""
        return next((band for band in reversed(self.bands) if percent >= band.from_percent), None)


@dataclass(frozen=True)
class SrTyped:
    """What the scanner printed of the sonographer's own measurements."""

    tracking_id: Annotated[str, Text("image")]
    differs: Annotated[str, Text("typed", "measured", "tracking_id")]
    distance: Concept
    method: Concept


@dataclass(frozen=True)
class SrImage:
    """What is said about an image that shows no lesion or was not analysed, or not all of it."""

    tracking_id: Annotated[str, Text("image")]
    no_finding: _Plain
    no_finding_partly: _Plain
    not_analysed: Annotated[str, Text("reason")]
    partly: Annotated[str, Text("reason")]
    failed: Annotated[str, Text("reason")]
    reason: Concept
    frames_analysed: Concept


@dataclass(frozen=True)
class SrMeasurements:
    """Names of the measurements."""

    long_axis: Concept
    short_axis: Concept
    area: Concept
    depth: Concept
    nipple_distance: Concept
    typed: Concept


@dataclass(frozen=True)
class SrDescriptors:
    """Names of what is said in codes."""

    orientation: Concept
    shape: Concept
    clock_face: Concept


@dataclass(frozen=True)
class SrProbabilities:
    """Names of the probabilities, and the method by which all are made."""

    method: Concept
    malignant: Concept
    benign: Concept
    normal: Concept

    def name(self, lesion_class: LesionClass) -> Concept:
        """Name of the probability of a class."""
        concept: Concept = getattr(self, lesion_class.value)
        return concept


@dataclass(frozen=True)
class SrTemplate:
    """`sr_tid1500.toml`."""

    series: Series
    document: SrDocument
    summary: SrSummary
    lesion: SrLesion
    phrases: SrPhrases
    position: SrPosition
    assessment: SrAssessment
    typed: SrTyped
    image: SrImage
    measurements: SrMeasurements
    descriptors: SrDescriptors
    probabilities: SrProbabilities
