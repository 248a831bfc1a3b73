"""The things the node talks about, free of DICOM, torch and files.

Arrays are `(row, column)`; boxes are half-open; `frame_number` counts from 1 as
DICOM does. Every array that enters a domain object is made read-only, so that a
result cannot be changed after it was computed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray


class Status(StrEnum):
    """What became of an image or frame, as written in `report.csv`."""

    ANALYSED = "analysed"
    NOT_ANALYSED = "not_analysed"
    FAILED = "failed"


class NotAnalysed(StrEnum):
    """Why an image was refused; the wording shown to readers is in the templates."""

    NOT_ULTRASOUND = "not_ultrasound"
    NO_PIXEL_DATA = "no_pixel_data"
    UNDECODABLE = "undecodable"
    VIDEO = "video"
    COLOUR_DOPPLER = "colour_doppler"
    SPECTRAL_DOPPLER = "spectral_doppler"
    M_MODE = "m_mode"
    ELASTOGRAPHY = "elastography"
    NOT_TWO_DIMENSIONAL = "not_two_dimensional"
    NO_TISSUE_REGION = "no_tissue_region"
    OTHER_BODY_PART = "other_body_part"
    CLEANING_FAILED = "cleaning_failed"


class LesionClass(StrEnum):
    """The three classes of BUSI (Al-Dhabyani et al. 2020)."""

    NORMAL = "normal"
    BENIGN = "benign"
    MALIGNANT = "malignant"


class LengthUnit(StrEnum):
    """Unit of a measurement: millimetres where the image is calibrated, else pixels."""

    MILLIMETRE = "mm"
    PIXEL = "px"


def _freeze(*arrays: NDArray[np.generic] | None) -> None:
    for array in arrays:
        if array is not None:
            array.flags.writeable = False


@dataclass(frozen=True)
class PixelSpacing:
    """Distance between the centres of neighbouring pixels, in millimetres, both > 0."""

    row_mm: float
    column_mm: float


@dataclass(frozen=True)
class Box:
    """A half-open rectangle of pixels: `row_start <= row < row_stop`."""

    row_start: int
    row_stop: int
    column_start: int
    column_stop: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The box as an index for `(row, column)` arrays."""
        return (
            slice(self.row_start, self.row_stop),
            slice(self.column_start, self.column_stop),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.row_stop - self.row_start, self.column_stop - self.column_start

    @property
    def area(self) -> int:
        """Number of pixels in the box."""
        return self.shape[0] * self.shape[1]


@dataclass(frozen=True)
class ImageReference:
    """Names one SOP Instance, and the little of it that results must repeat."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    rows: int
    columns: int
    number_of_frames: int


@dataclass(frozen=True)
class Frame:
    """One decoded frame, before anything was removed from it.

    `pixels` is uint8, `(rows, columns)` or `(rows, columns, 3)` in RGB order.
    `tissue` is the B-mode region by Sequence of Ultrasound Regions (PS3.3
    C.8.5.5), or None where the image names none; `spacing` is that region's
    calibration, None where there is none.
    """

    reference: ImageReference
    frame_number: int
    pixels: NDArray[np.uint8] = field(compare=False, repr=False)
    tissue: Box | None = None
    spacing: PixelSpacing | None = None

    def __post_init__(self) -> None:
        """Make the pixels read-only."""
        _freeze(self.pixels)


@dataclass(frozen=True)
class Refusal:
    """Why an image is not analysed; `detail` holds no patient data."""

    reason: NotAnalysed
    detail: str = ""


@dataclass(frozen=True)
class UltrasoundImage:
    """One received SOP Instance: its frames, or why they are not looked at.

    `frames` may decode on access and then raise `PixelDecodeError`.
    """

    reference: ImageReference
    frames: Sequence[Frame] = field(compare=False, repr=False)
    refusal: Refusal | None = None


@dataclass(frozen=True)
class UltrasoundStudy:
    """All instances of one study that the node holds, in a repeatable order."""

    study_instance_uid: str
    images: tuple[UltrasoundImage, ...]


@dataclass(frozen=True)
class Annotation:
    """A burnt-in mark that was found. What it says never leaves the cleaning stage."""

    box: Box
    kind: str
    confidence: float


class Laterality(StrEnum):
    """Which breast."""

    LEFT = "left"
    RIGHT = "right"


class Quadrant(StrEnum):
    """Quarter of the breast, or its centre, as a sonographer types it."""

    UPPER_OUTER = "upper_outer"
    UPPER_INNER = "upper_inner"
    LOWER_OUTER = "lower_outer"
    LOWER_INNER = "lower_inner"
    CENTRAL = "central"


class ScanPlane(StrEnum):
    """How the probe lay on the breast."""

    RADIAL = "radial"
    ANTIRADIAL = "antiradial"
    SAGITTAL = "sagittal"
    TRANSVERSE = "transverse"


@dataclass(frozen=True)
class TypedDistance:
    """A caliper distance as the scanner printed it. `confidence` in [0, 1]."""

    millimetres: float
    box: Box
    confidence: float


@dataclass(frozen=True)
class SonographerNotes:
    """What the sonographer typed on an image, as far as it is coded data and no one's name.

    `clock_face` is 1 to 12.5 in halves (12.5 is half past twelve); None everywhere: not said. `confidence`
    is the least of the readings kept, `boxes` are where they stood. `marked` says that
    calipers or a trace lie on the image, which biases a reader.
    """

    laterality: Laterality | None = None
    clock_face: float | None = None
    quadrant: Quadrant | None = None
    nipple_distance_mm: float | None = None
    plane: ScanPlane | None = None
    distances: tuple[TypedDistance, ...] = ()
    marked: bool = False
    boxes: tuple[Box, ...] = ()
    confidence: float = 0.0


@dataclass(frozen=True)
class CleanFrame:
    """A frame that the networks may see.

    `pixels` is uint8 grey `(rows, columns)` at source resolution: annotations
    inpainted, everything outside `region` zero. `removed` marks the pixels that
    were inpainted inside `region`. `notes` is what was typed there.
    """

    frame_number: int
    pixels: NDArray[np.uint8] = field(compare=False, repr=False)
    region: Box
    spacing: PixelSpacing | None
    annotations: tuple[Annotation, ...]
    removed: NDArray[np.bool_] = field(compare=False, repr=False)
    notes: SonographerNotes = SonographerNotes()

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        _freeze(self.pixels, self.removed)


@dataclass(frozen=True)
class Probabilities:
    """Calibrated probabilities in [0, 1] that sum to 1.

    `uncertain`: the likeliest class is too often wrong at this height, so the
    node names none and shows the probabilities alone.
    """

    normal: float
    benign: float
    malignant: float
    uncertain: bool = False

    @property
    def likeliest(self) -> LesionClass:
        """The class of the highest probability; the graver one where they are equal."""
        ranked = (
            (self.malignant, LesionClass.MALIGNANT),
            (self.benign, LesionClass.BENIGN),
            (self.normal, LesionClass.NORMAL),
        )
        return max(ranked, key=lambda pair: pair[0])[1]


@dataclass(frozen=True)
class Axis:
    """A straight line across a lesion; ends are `(row, column)` in source pixels."""

    start: tuple[float, float]
    end: tuple[float, float]
    length: float


@dataclass(frozen=True)
class Measurements:
    """Size of a lesion in one frame.

    `unit` holds for the axes; `area` is in its square. `orientation_deg` is the
    angle of the long axis to the skin (image rows), 0 parallel, 90 upright.
    `contour` is the closed outer outline, float `(points, 2)` as `(row, column)`.
    """

    unit: LengthUnit
    long_axis: Axis
    short_axis: Axis
    area: float
    orientation_deg: float
    contour: NDArray[np.float64] = field(compare=False, repr=False)

    def __post_init__(self) -> None:
        """Make the contour read-only."""
        _freeze(self.contour)


class LesionOrientation(StrEnum):
    """How the long axis lies to the skin (DICOM CID 6152)."""

    PARALLEL = "parallel"
    NOT_PARALLEL = "not_parallel"


class LesionShape(StrEnum):
    """Shape of the outline, of those in DICOM CID 6004 that geometry can tell."""

    OVAL = "oval"
    ROUND = "round"
    IRREGULAR = "irregular"


@dataclass(frozen=True)
class Description:
    """What the outline says of a lesion; None where no figure decides.

    `depth_mm` runs from the top of the tissue shown to the lesion's upper edge.
    """

    orientation: LesionOrientation | None = None
    shape: LesionShape | None = None
    depth_mm: float | None = None


@dataclass(frozen=True)
class Lesion:
    """One lesion in one frame.

    `number` counts from 1 within the image; in a cine the same number in
    several frames is the same lesion. `mask` is bool `(rows, columns)` at
    source resolution.
    """

    number: int
    frame_number: int
    mask: NDArray[np.bool_] = field(compare=False, repr=False)
    probabilities: Probabilities
    measurements: Measurements
    description: Description = Description()

    def __post_init__(self) -> None:
        """Make the mask read-only."""
        _freeze(self.mask)


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
    notes: SonographerNotes = SonographerNotes()
    size_comparison: SizeComparison | None = None


@dataclass(frozen=True)
class ImageResult:
    """What was found in one image, or why it was not analysed.

    `key_frame` is the cleaned frame that best shows the result, kept for the
    preview: the one with the most suspicious lesion.
    """

    reference: ImageReference
    status: Status
    refusal: Refusal | None = None
    frames: tuple[FrameResult, ...] = ()
    key_frame: CleanFrame | None = None
    seconds: float = field(default=0.0, compare=False)

    @property
    def lesions(self) -> tuple[Lesion, ...]:
        """The lesions of all frames, in frame order."""
        return tuple(lesion for frame in self.frames for lesion in frame.lesions)

    @property
    def notes(self) -> SonographerNotes:
        """What was typed on the first frame that says anything; a loop's text stands still."""
        silent = SonographerNotes()
        return next((frame.notes for frame in self.frames if frame.notes != silent), silent)

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
class LesionKey:
    """Names one lesion of a study: the image, and its number there."""

    sop_instance_uid: str
    number: int


@dataclass(frozen=True)
class StudyResult:
    """Everything the node found in one study.

    Each group of `same_lesions` is one lesion, seen on several images.
    """

    study_instance_uid: str
    images: tuple[ImageResult, ...]
    provenance: Provenance
    seconds: float = field(default=0.0, compare=False)
    same_lesions: tuple[tuple[LesionKey, ...], ...] = ()


class Verdict(StrEnum):
    """What a radiologist says of a result, or of a lesion in it.

    `UNCLEAR`: the answer speaks of a result and says neither yes nor no.
    """

    ACCEPT = "accept"
    REJECT = "reject"
    CORRECT = "correct"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Answer:
    """What an object that came back says of results; no word of its text is kept.

    `references` are SOP Instance UIDs, `study_instance_uids` the studies that
    they are said to lie in. `title` is the code of the document title. A report
    repeats the lesions it keeps: `lesions` holds, by Tracking UID, the class it
    gives to each, None where it gives none; for other objects it is None.
    """

    verdict: Verdict
    references: frozenset[str] = frozenset()
    study_instance_uids: tuple[str, ...] = ()
    title: str = ""
    lesions: Mapping[str, LesionClass | None] | None = None


# PS3.5 section 9.1: digits and single dots, no leading zeros.
_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+", re.ASCII)


def is_valid_uid(value: str) -> bool:
    """Whether `value` is a UID by PS3.5 section 9.1, and so safe as the name of a file."""
    return len(value) <= 64 and _UID.fullmatch(value) is not None


@dataclass(frozen=True)
class ReceivedInstance:
    """One instance as a sender delivered it, checked but not yet stored.

    The UIDs are valid by PS3.5 section 9.1 and so safe as names of files.
    `part10` is the whole file: preamble, File Meta Information, and the data
    set's bytes exactly as they came; or, for a large one, the path where it was
    put while it came in, for the taker to move away.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    part10: bytes | Path = field(compare=False, repr=False)


@dataclass(frozen=True)
class StoredInstance:
    """One instance that lies in the inbox, safe from a power cut.

    `path` is relative to the inbox's folder; `sha256` is that of the whole file.
    `received_at` is in UTC.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: PurePosixPath
    sha256: str
    size_bytes: int
    calling_ae_title: str
    received_at: datetime
