"""The one way an image gets to the network's square input and a map comes back.

Training, scoring and the running node all use it: a network that saw stretched
images in training and letterboxed ones in service would be another network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

_Grey = TypeVar("_Grey", np.uint8, np.float32)


@dataclass(frozen=True)
class Letterbox:
    """Fits `rows` x `columns` into a square of `size`, aspect kept, black around it."""

    rows: int
    columns: int
    size: int

    @property
    def inner_shape(self) -> tuple[int, int]:
        """Rows and columns that the image takes inside the square."""
        longer = max(self.rows, self.columns)
        return (
            max(1, round(self.rows * self.size / longer)),
            max(1, round(self.columns * self.size / longer)),
        )

    @property
    def inner(self) -> tuple[slice, slice]:
        """Where the image lies inside the square, as an index."""
        rows, columns = self.inner_shape
        top, left = (self.size - rows) // 2, (self.size - columns) // 2
        return slice(top, top + rows), slice(left, left + columns)

    def apply(self, image: NDArray[_Grey]) -> NDArray[_Grey]:
        """Image or mask `(rows, columns)` as a square `(size, size)` of the same dtype."""
        rows, columns = self.inner_shape
        shrinks = rows < self.rows
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        square = np.zeros((self.size, self.size), image.dtype)
        square[self.inner] = cv2.resize(image, (columns, rows), interpolation=how)
        return square

    def undo(self, square: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map `(size, size)` back at source resolution, float32 `(rows, columns)`."""
        inner = np.ascontiguousarray(square[self.inner], dtype=np.float32)
        back = cv2.resize(inner, (self.columns, self.rows), interpolation=cv2.INTER_LINEAR)
        return np.asarray(back, dtype=np.float32)


def fit(image: NDArray[np.uint8], size: int) -> Letterbox:
    """Letterbox that fits `image`, `(rows, columns)`."""
    rows, columns = image.shape
    return Letterbox(rows, columns, size)
