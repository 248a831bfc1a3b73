"""Rectangles and distances of pixels, and arrays that nobody may write to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def freeze(*arrays: NDArray[np.generic] | None) -> None:
    """Make arrays read-only, so that a result cannot be changed after it was computed."""
    for array in arrays:
        if array is not None:
            array.flags.writeable = False


@dataclass(frozen=True)
class PixelSpacing:
    """Distance between the centres of neighbouring pixels, in millimetres, both > 0."""

    row_mm: float
    column_mm: float


def unit_pixel(aspect: float) -> PixelSpacing:
    """The pixel of an image without a scale: of area one, `aspect` times as high as wide.

    Lengths are then in pixels, areas are counts of them, and both have the right proportions.

    Examples
    --------
    >>> unit_pixel(4.0)
    PixelSpacing(row_mm=2.0, column_mm=0.5)
    """
    return PixelSpacing(aspect**0.5, aspect**-0.5)


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
