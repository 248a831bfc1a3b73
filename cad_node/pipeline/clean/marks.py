"""What the detectors look at and what they hand back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Annotation, Box


@dataclass(frozen=True)
class Picture:
    """The part of a frame in which marks are looked for.

    `grey` is uint8 `(rows, columns)`; `colour` the same pixels as RGB
    `(rows, columns, 3)`, None where the source is grey.
    """

    grey: NDArray[np.uint8] = field(repr=False)
    colour: NDArray[np.uint8] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Mark:
    """One burnt-in mark and exactly which pixels of `annotation.box` it covers.

    `mask` is bool and has the shape of the box. `text` is what was read there; it
    must not leave the cleaning.
    """

    annotation: Annotation
    mask: NDArray[np.bool_] = field(compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)

    def moved(self, rows: int, columns: int) -> Mark:
        """The same mark in a picture whose origin lies `rows`, `columns` further up and left."""
        box = self.annotation.box
        shifted = Box(
            box.row_start + rows,
            box.row_stop + rows,
            box.column_start + columns,
            box.column_stop + columns,
        )
        return replace(self, annotation=replace(self.annotation, box=shifted))


class Detector(Protocol):
    """Finds one kind of burnt-in mark."""

    def find(self, picture: Picture) -> list[Mark]:
        """The marks in a picture, in its own coordinates, each inside its bounds."""

    def describe(self) -> str:
        """One line for `cad-node explain` and for provenance."""


def paint(marks: Sequence[Mark], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """All pixels of `marks`, as a bool mask of `shape`."""
    mask = np.zeros(shape, dtype=bool)
    for mark in marks:
        mask[mark.annotation.box.slices] |= mark.mask
    return mask


def mark_from_mask(mask: NDArray[np.bool_], kind: str, confidence: float) -> Mark | None:
    """Cut a mark out of a full-size mask; None where the mask is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    box = Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
    return Mark(Annotation(box, kind, float(confidence)), mask[box.slices].copy())
