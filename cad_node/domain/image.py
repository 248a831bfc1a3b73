"""What was received: images, their frames, and why one is not looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from cad_node.domain.geometry import Box, PixelSpacing, freeze


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
    # Of a part of an image only; the image itself is analysed.
    OTHER_PICTURE = "other_picture"


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
    calibration, None where there is none. `left_out` are regions of other pictures of
    tissue on the same screen. `aspect` is the height of a pixel by its width, as far as
    an image without a calibration says it. `pictures` are those that stand side by side in
    `tissue`, as on a split screen; empty where there is one.
    """

    reference: ImageReference
    frame_number: int
    pixels: NDArray[np.uint8] = field(compare=False, repr=False)
    tissue: Box | None = None
    spacing: PixelSpacing | None = None
    left_out: tuple[Box, ...] = ()
    aspect: float = 1.0
    pictures: tuple[Box, ...] = ()

    def __post_init__(self) -> None:
        """Make the pixels read-only."""
        freeze(self.pixels)


@dataclass(frozen=True)
class Refusal:
    """Why an image is not analysed; `detail` holds no patient data."""

    reason: NotAnalysed
    detail: str = ""


@dataclass(frozen=True)
class UltrasoundImage:
    """One received SOP Instance: its frames, or why they are not looked at.

    `frames` may decode on access and then raise `PixelDecodeError`. `left_out` are the
    pictures of tissue, on any frame, that are not looked at although the image is.
    """

    reference: ImageReference
    frames: Sequence[Frame] = field(compare=False, repr=False)
    refusal: Refusal | None = None
    left_out: tuple[Box, ...] = ()


@dataclass(frozen=True)
class UltrasoundStudy:
    """All instances of one study that the node holds, in a repeatable order.

    `unreadable` counts files of it of which not even the header can be read.
    """

    study_instance_uid: str
    images: tuple[UltrasoundImage, ...]
    unreadable: int = 0
