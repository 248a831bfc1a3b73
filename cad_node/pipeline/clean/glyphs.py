"""Which pixels of a text box are ink.

Blanking whole boxes would cut rectangles into the tissue. Screen text is thin,
brighter (seldom darker) than what lies beneath it, and often has a dark outline;
the strokes alone are taken, the outline goes with the margin that the inpainting
adds.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Box

# Ink stands out by at least this many grey levels, or nothing is marked.
SMALLEST_CONTRAST = 12
# Beyond the box the reader drew: cut-off characters and text cursors.
REACH_SHARE = 0.5


def stroke_mask(
    grey: NDArray[np.uint8], corners: NDArray[np.float64]
) -> tuple[Box, NDArray[np.bool_]] | None:
    """Box and ink of one line of text; None where nothing stands out.

    Parameters
    ----------
    grey
        uint8 `(rows, columns)`.
    corners
        `(4, 2)` as `(column, row)`: top left, top right, bottom right, bottom left.
    """
    rows, columns = grey.shape
    height = max(5.0, float(np.linalg.norm(corners[3] - corners[0])))
    margin = np.array([REACH_SHARE * height, 2.0])
    left, top = np.floor(corners.min(axis=0) - margin).astype(int)
    right, bottom = np.ceil(corners.max(axis=0) + margin).astype(int) + 1
    box = Box(max(0, top), min(rows, bottom), max(0, left), min(columns, right))
    if min(box.shape) < 3:
        return None
    crop = grey[box.slices]
    polygon = np.zeros(crop.shape, np.uint8)
    origin = (box.column_start, box.row_start)
    cv2.fillConvexPoly(polygon, np.round(corners - origin).astype(np.int32), 1)
    inside = cv2.dilate(polygon, np.ones((5, 5), np.uint8)) > 0

    size = max(5, round(0.4 * height)) | 1
    kernel = np.ones((size, size), np.uint8)
    bright = np.asarray(cv2.morphologyEx(crop, cv2.MORPH_TOPHAT, kernel), np.uint8)
    dark = np.asarray(cv2.morphologyEx(crop, cv2.MORPH_BLACKHAT, kernel), np.uint8)
    # White text with a dark outline shows in both: dark ink must win clearly.
    inverted = np.percentile(dark[inside], 97) > 1.5 * max(1.0, np.percentile(bright[inside], 97))
    relief = dark if inverted else bright
    level = _otsu(relief[inside])
    if level < SMALLEST_CONTRAST:
        return None
    strong = (relief > level) & inside
    weak = (relief > 0.5 * level) & inside
    ink = _connected_to(weak, strong)
    ink |= _beyond(crop, relief, strong, inside, level)
    if not ink.any():
        return None
    return box, ink


def _otsu(values: NDArray[np.uint8]) -> float:
    level, _ = cv2.threshold(values.reshape(1, -1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return float(level)


def _connected_to(weak: NDArray[np.bool_], strong: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The parts of `weak` that touch `strong`."""
    _, labels = cv2.connectedComponents(weak.astype(np.uint8), connectivity=8)
    kept = np.unique(labels[strong])
    return np.isin(labels, kept[kept > 0])


def _beyond(
    crop: NDArray[np.uint8],
    relief: NDArray[np.uint8],
    strong: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    level: float,
) -> NDArray[np.bool_]:
    """Ink of the same grey just outside the box."""
    if not strong.any():
        return np.zeros(crop.shape, dtype=bool)
    ink_grey = float(np.median(crop[strong]))
    alike = np.abs(crop.astype(np.int16) - ink_grey) <= 16
    return np.asarray((relief > max(level, 30)) & alike & ~inside)
