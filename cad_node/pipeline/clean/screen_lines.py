"""Where lines of text stand on the screen around the picture, without a network.

Outside the picture a screen is flat: a line of text is a row of small pieces of one
height that stand out from an even ground. What is found so is handed to the
recogniser, which says what is no text; nothing here is marked or removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Box

# The ground is the median of a neighbourhood larger than a letter, so light panels are as good as dark ones.
GROUND_PX = 31
# Screen text is drawn to be seen; a grey bar, a rim of the picture or coding noise is fainter or wider.
SMALLEST_CONTRAST = 40
# Where more of a neighbourhood than this is neither ground nor ink, there is a picture and no screen.
GROUND_WITHIN = 12
LARGEST_UNEVEN_SHARE = 0.3
# A letter, in pixels; runs of letters that touch are wider than one.
LETTER_HEIGHT_PX = (6, 40)
LETTER_AREA_PX = 6
LARGEST_LETTER_WIDTH = 6.0
# A line that the rim of the picture cuts is read whole: letters count from so far inside.
OVERLAP_PX = 24
# In heights of the line: a gap between words, and one between the columns of a table.
LARGEST_GAP = 1.3
LARGEST_COLUMN_GAP = 10.0
# The tall and the small letters of one line.
HEIGHT_RATIO = 0.4
ROW_OVERLAP = 0.5
# More pieces than any screen has letters: dots of a film, a second picture.
MOST_LETTERS = 2500

Grey = NDArray[np.uint8]


@dataclass
class _Line:
    """A line of letters that is being put together."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top


def find_screen_lines(grey: Grey, region: Box) -> list[Box]:
    """Boxes of what may be lines of text outside a region, lone letters too, top to bottom.

    Parameters
    ----------
    grey
        uint8 `(rows, columns)`.
    region
        The picture; of a line that reaches into it, most lies outside.
    """
    letters = _letters(grey, region)
    if len(letters) > MOST_LETTERS:
        return []
    boxes = [Box(line.top, line.bottom, line.left, line.right) for line in _lines(letters)]
    outside = [box for box in boxes if 2 * _shared(box, region) < box.area]
    return sorted(outside, key=lambda box: (box.row_start, box.column_start))


def ink_of(grey: Grey, box: Box) -> NDArray[np.bool_]:
    """Which pixels of a box stand out from its ground."""
    part = grey[box.slices]
    ground = np.full_like(part, int(np.median(part)))
    return np.asarray(cv2.absdiff(part, ground) >= SMALLEST_CONTRAST, dtype=bool)


def with_left_column(box: Box, boxes: Sequence[Box]) -> Box | None:
    """A box that begins with the nearest one on its left, in the column before; None: there is none."""
    reach = LARGEST_COLUMN_GAP * box.shape[0]
    beside = [
        other
        for other in boxes
        if 0 <= box.column_start - other.column_stop <= reach
        and min(box.row_stop, other.row_stop) - max(box.row_start, other.row_start)
        >= ROW_OVERLAP * min(box.shape[0], other.shape[0])
    ]
    if not beside:
        return None
    left = max(beside, key=lambda other: other.column_stop)
    return Box(
        min(box.row_start, left.row_start),
        max(box.row_stop, left.row_stop),
        left.column_start,
        box.column_stop,
    )


def _letters(grey: Grey, region: Box) -> NDArray[np.int32]:
    """Left, top, right and bottom of each piece that may be a letter, `(pieces, 4)`, from left to right."""
    relief = cv2.absdiff(grey, np.asarray(cv2.medianBlur(grey, GROUND_PX), np.uint8))
    ink = relief >= SMALLEST_CONTRAST
    ink[_inner(region)] = False
    if not ink.any():
        return np.empty((0, 4), np.int32)
    uneven = ((relief >= GROUND_WITHIN) & (relief < SMALLEST_CONTRAST)).astype(np.float32)
    inside = np.zeros(grey.shape, dtype=bool)
    inside[region.slices] = True
    # Beside the picture its own grain does not count, or text that touches it would be lost.
    on_screen = _share(np.where(inside, 0, uneven)) <= LARGEST_UNEVEN_SHARE
    ink &= np.where(inside, _share(uneven) <= LARGEST_UNEVEN_SHARE, on_screen)
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    left, top, width, height, area = stats[1:].T
    kept = (
        (height >= LETTER_HEIGHT_PX[0])
        & (height <= LETTER_HEIGHT_PX[1])
        & (area >= LETTER_AREA_PX)
        & (width <= LARGEST_LETTER_WIDTH * height)
    )
    found = np.stack([left, top, left + width, top + height], axis=1)[kept]
    return np.asarray(found[np.argsort(found[:, 0], kind="stable")], np.int32)


def _inner(region: Box) -> tuple[slice, slice]:
    """The region without the band at its rim that lines may reach into."""
    rows, columns = region.slices
    return (
        slice(rows.start + OVERLAP_PX, max(rows.start + OVERLAP_PX, rows.stop - OVERLAP_PX)),
        slice(columns.start + OVERLAP_PX, max(columns.start + OVERLAP_PX, columns.stop - OVERLAP_PX)),
    )


def _share(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of each pixel's neighbourhood."""
    return np.asarray(cv2.blur(values, (GROUND_PX, GROUND_PX)), np.float32)


def _lines(letters: NDArray[np.int32]) -> list[_Line]:
    """Letters joined to lines, from left to right."""
    lines: list[_Line] = []
    for left, top, right, bottom in letters.tolist():
        line = next((one for one in reversed(lines) if _continues(one, left, top, bottom)), None)
        if line is None:
            lines.append(_Line(top, bottom, left, right))
            continue
        line.top, line.bottom = min(line.top, top), max(line.bottom, bottom)
        line.right = max(line.right, right)
    return lines


def _continues(line: _Line, left: int, top: int, bottom: int) -> bool:
    height = bottom - top
    low, high = sorted((height, line.height))
    if low < HEIGHT_RATIO * high or left - line.right > LARGEST_GAP * max(height, line.height):
        return False
    return min(bottom, line.bottom) - max(top, line.top) >= ROW_OVERLAP * low


def _shared(box: Box, region: Box) -> int:
    """Pixels of a box that lie in a region."""
    rows = min(box.row_stop, region.row_stop) - max(box.row_start, region.row_start)
    columns = min(box.column_stop, region.column_stop) - max(box.column_start, region.column_start)
    return max(0, rows) * max(0, columns)
