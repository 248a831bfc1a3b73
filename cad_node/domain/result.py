"""What was found in a study, image by image, and by what."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from cad_node.domain.clean import CleanFrame
from cad_node.domain.geometry import Box
from cad_node.domain.image import ImageReference, NotAnalysed, Refusal
from cad_node.domain.lesion import Lesion, Probabilities
from cad_node.domain.notes import SILENT, SonographerNotes


class Status(StrEnum):
    """What became of an image or frame, as written in `report.csv`."""

    ANALYSED = "analysed"
    NOT_ANALYSED = "not_analysed"
    FAILED = "failed"


@dataclass(frozen=True)
class SizeComparison:
    """The longest typed distance of a frame beside the node's own long axis, both in mm.

    Of several lesions, `lesion_number` is the one whose long axis comes nearest.
    `differs`: by more than the tolerance that `pipeline.compare` states.
    """

    lesion_number: int
    typed_mm: float
    measured_mm: float
    differs: bool


@dataclass(frozen=True)
class FrameResult:
    """What was found in one frame; `probabilities` speak of the frame as a whole."""

    frame_number: int
    probabilities: Probabilities
    lesions: tuple[Lesion, ...]
    annotations_removed: int
    seconds: float = field(default=0.0, compare=False)
    notes: SonographerNotes = SILENT
    size_comparison: SizeComparison | None = None


@dataclass(frozen=True)
class ImageResult:
    """What was found in one image, or why it was not analysed.

    `key_frame` is the cleaned frame that best shows the result, kept for the
    preview: the one with the most suspicious lesion. `left_out` are pictures of tissue in
    an analysed image that were not looked at.
    """

    reference: ImageReference
    status: Status
    refusal: Refusal | None = None
    frames: tuple[FrameResult, ...] = ()
    key_frame: CleanFrame | None = None
    left_out: tuple[Box, ...] = ()
    seconds: float = field(default=0.0, compare=False)

    @property
    def is_partial(self) -> bool:
        """Whether only part of the image was analysed."""
        return self.status is Status.ANALYSED and bool(self.left_out)

    @property
    def reason(self) -> NotAnalysed | None:
        """Why the image, or part of it, was not analysed; None where all of it was."""
        if self.refusal is not None:
            return self.refusal.reason
        return NotAnalysed.OTHER_PICTURE if self.is_partial else None

    @property
    def lesions(self) -> tuple[Lesion, ...]:
        """The lesions of all frames, in frame order."""
        return tuple(lesion for frame in self.frames for lesion in frame.lesions)

    @property
    def notes(self) -> SonographerNotes:
        """What was typed on the first frame that says anything; a loop's text stands still."""
        return next((frame.notes for frame in self.frames if frame.notes != SILENT), SILENT)

    @property
    def size_comparison(self) -> SizeComparison | None:
        """Of the first frame on which a distance is typed and a lesion is measured in mm."""
        return next((frame.size_comparison for frame in self.frames if frame.size_comparison), None)

    @property
    def key_result(self) -> FrameResult | None:
        """The result that belongs to `key_frame`."""
        if self.key_frame is None:
            return None
        number = self.key_frame.frame_number
        return next((frame for frame in self.frames if frame.frame_number == number), None)


@dataclass(frozen=True)
class Calibration:
    """How far the probabilities of a model can be taken at their word.

    `temperature` divided the class logits; `error` is the expected calibration
    error in [0, 1] over `images` that the model had never seen, None where that
    was not measured.
    """

    temperature: float
    error: float | None = None
    images: int | None = None


@dataclass(frozen=True)
class Provenance:
    """By what a result was made; printed in SEG and SR, and part of derived UIDs.

    `settings_digest` covers every setting that can change a result.
    """

    software_version: str
    model_name: str
    model_version: str
    model_sha256: str
    settings_digest: str
    steps: tuple[str, ...] = ()
    calibration: Calibration | None = None


@dataclass(frozen=True)
class MadeBy:
    """By what a result was made, in the few words that a journal keeps.

    `digest` covers all that changes a result object: software, networks, settings and
    wording. `model` is name and version of the lesion network. Empty where it was not noted.
    """

    digest: str = ""
    model: str = ""
    model_sha256: str = ""


@dataclass(frozen=True)
class LesionKey:
    """Names one lesion of a study: the image, and its number there."""

    sop_instance_uid: str
    number: int


@dataclass(frozen=True)
class StudyResult:
    """Everything the node found in one study.

    Each group of `same_lesions` is one lesion, seen on several images. `unreadable` counts
    files of the study that could not be read, and so have no image here.
    """

    study_instance_uid: str
    images: tuple[ImageResult, ...]
    provenance: Provenance
    seconds: float = field(default=0.0, compare=False)
    same_lesions: tuple[tuple[LesionKey, ...], ...] = ()
    unreadable: int = 0

    @property
    def spoken_of(self) -> tuple[str, ...]:
        """What objects over the whole study speak of, for their derived UIDs."""
        uids = tuple(image.reference.sop_instance_uid for image in self.images)
        return (*uids, f"unreadable {self.unreadable}") if self.unreadable else uids
