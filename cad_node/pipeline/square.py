"""Pictures whose pixels are not square, as a network must see them: with the proportions of the body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

_Array = TypeVar("_Array", NDArray[np.uint8], NDArray[np.float32])

# Networks learn pictures that are stretched by more than this, and scanners round their calibration.
NEARLY_SQUARE = 0.03


@dataclass(frozen=True)
class SquarePixels:
    """Stretches `rows` x `columns` pixels, each `pixel_height` times as high as wide, to square ones.

    The side that has too few pixels gets more, so that no detail is lost. Nearly square
    ones stay as they are.
    """

    rows: int
    columns: int
    pixel_height: float = 1.0

    @classmethod
    def of(cls, picture: NDArray[np.uint8], pixel_height: float) -> SquarePixels:
        """What squares the pixels of a grey picture."""
        rows, columns = picture.shape
        return cls(rows, columns, pixel_height)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the stretched picture."""
        if abs(self.pixel_height - 1) <= NEARLY_SQUARE:
            return self.rows, self.columns
        if self.pixel_height > 1:
            return round(self.rows * self.pixel_height), self.columns
        return self.rows, round(self.columns / self.pixel_height)

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture with square pixels."""
        return self._resized(picture, self.shape, cv2.INTER_LINEAR)

    def apply_mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask of the picture, for the stretched one."""
        return self._resized(mask.view(np.uint8), self.shape, cv2.INTER_NEAREST).astype(np.bool_, copy=False)

    def undo(self, probability: NDArray[np.float32]) -> NDArray[np.float32]:
        """A map of the stretched picture, at the places of the pixels as they were."""
        return self._resized(probability, (self.rows, self.columns), cv2.INTER_LINEAR)

    def _resized(self, array: _Array, shape: tuple[int, int], interpolation: int) -> _Array:
        if array.shape == shape:
            return array
        return cast("_Array", cv2.resize(array, shape[::-1], interpolation=interpolation))
