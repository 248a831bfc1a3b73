"""What a sonographer typed on an image, as coded data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cad_node.domain.geometry import Box


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
    calipers or a trace lie on the image, which biases a reader. `both_sides`: left and right are both
    typed, as on a split screen that compares the breasts; `laterality` is None then.
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
    both_sides: bool = False


SILENT = SonographerNotes()
