"""A lesion in one frame: its outline, size, description and probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from cad_node.domain.geometry import Box, freeze


class LesionClass(StrEnum):
    """The three classes of BUSI (Al-Dhabyani et al. 2020)."""

    NORMAL = "normal"
    BENIGN = "benign"
    MALIGNANT = "malignant"


class LengthUnit(StrEnum):
    """Unit of a measurement: millimetres where the image is calibrated, else pixels."""

    MILLIMETRE = "mm"
    PIXEL = "px"


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

    `unit` holds for the axes; `area` is in its square. A pixel that is not square counts as
    long as a square one of its area. `orientation_deg` is the
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
        freeze(self.contour)


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

    `depth_mm` runs from the top of the tissue shown to the lesion's upper edge. `cut`: the
    outline reaches the edge of the picture, so that the lesion may be larger than measured.
    """

    orientation: LesionOrientation | None = None
    shape: LesionShape | None = None
    depth_mm: float | None = None
    cut: bool = False


@dataclass(frozen=True)
class ProbabilityMap:
    """How likely each pixel in and around one lesion is lesion, in 255ths.

    `values` is uint8 `(rows, columns)` of `box`, which lies in the source image;
    nothing is said of pixels outside it. Those of at least `least` are the
    lesion's mask, and no others.
    """

    box: Box
    values: NDArray[np.uint8] = field(compare=False, repr=False)
    least: int

    def __post_init__(self) -> None:
        """Make the values read-only."""
        freeze(self.values)


@dataclass(frozen=True)
class Lesion:
    """One lesion in one frame.

    `number` counts from 1 within the image; in a cine the same number in
    several frames is the same lesion. `mask` is bool `(rows, columns)` at
    source resolution. `probability_map` is kept only where somebody asks for it.
    """

    number: int
    frame_number: int
    mask: NDArray[np.bool_] = field(compare=False, repr=False)
    probabilities: Probabilities
    measurements: Measurements
    description: Description = Description()
    probability_map: ProbabilityMap | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Make the mask read-only."""
        freeze(self.mask)
