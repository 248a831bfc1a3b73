"""What the networks may see: a frame without its burnt-in marks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cad_node.domain.geometry import Box, PixelSpacing, freeze, unit_pixel
from cad_node.domain.notes import SILENT, SonographerNotes


@dataclass(frozen=True)
class Annotation:
    """A burnt-in mark that was found. What it says never leaves the cleaning stage."""

    box: Box
    kind: str
    confidence: float


@dataclass(frozen=True)
class CleanFrame:
    """A frame that the networks may see.

    `pixels` is uint8 grey `(rows, columns)` at source resolution: annotations
    inpainted, everything outside `region` zero. `removed` marks the pixels that
    were inpainted inside `region`. `notes` is what was typed there. `aspect` and `pictures` are
    those of `Frame`.
    """

    frame_number: int
    pixels: NDArray[np.uint8] = field(compare=False, repr=False)
    region: Box
    spacing: PixelSpacing | None
    annotations: tuple[Annotation, ...]
    removed: NDArray[np.bool_] = field(compare=False, repr=False)
    notes: SonographerNotes = SILENT
    aspect: float = 1.0
    pictures: tuple[Box, ...] = ()

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        freeze(self.pixels, self.removed)

    @property
    def looked_at(self) -> tuple[Box, ...]:
        """The parts of the region that are looked at one by one: networks learned single pictures."""
        return self.pictures or (self.region,)

    @property
    def pixel_size(self) -> PixelSpacing:
        """Its calibration, or a pixel of area one with the right proportions."""
        return self.spacing or unit_pixel(self.aspect)

    @property
    def pixel_height(self) -> float:
        """Height of a pixel as a multiple of its width; 1 where nothing is known."""
        return self.pixel_size.row_mm / self.pixel_size.column_mm
