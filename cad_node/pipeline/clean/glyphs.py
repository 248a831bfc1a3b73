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
# Widest stroke, as a share of the line's height.
STROKE_SHARE = 0.33
# From the ground (0) to the ink (1): the greys of a stroke. Ink is of one grey, so what is
# brighter yet is tissue.
INK_SHARE = (0.45, 1.4)
# The reader's boxes are taller than the letters: what touches the upper or lower rim of one, and
# does not reach its middle, is tissue from beyond.
RIM = 0.08
MIDDLE = (0.28, 0.72)
# The same for pixels that touch the ink, and how far they reach.
FAINT_SHARE = 0.3
FAINT_REACH_PX = 2
# Smaller specks are speckle; the dot of an i is larger.
SMALLEST_SPECK_PX = 4
# Beyond the box the reader drew, in heights: cut-off characters and text cursors.
REACH_SHARE = 0.5
# A piece beyond the box is ink if it is nearly as grey, and about as tall as a character.
BEYOND_GREY = 16
BEYOND_RELIEF = 30
BEYOND_HEIGHT = (0.3, 1.1)


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
    left, top = (int(value) for value in np.floor(corners.min(axis=0) - margin))
    right, bottom = (int(value) + 1 for value in np.ceil(corners.max(axis=0) + margin))
    box = Box(max(0, top), min(rows, bottom), max(0, left), min(columns, right))
    if min(box.shape) < 3:
        return None
    crop = grey[box.slices]
    polygon = np.zeros(crop.shape, np.uint8)
    origin = np.array([box.column_start, box.row_start])
    cv2.fillConvexPoly(polygon, np.round(corners - origin).astype(np.int32), 1)
    inside = cv2.dilate(polygon, np.ones((5, 5), np.uint8)) > 0

    relief = _relief(crop, inside, max(5, round(STROKE_SHARE * height)) | 1)
    level = _otsu(relief[inside])
    if level < SMALLEST_CONTRAST:
        return None
    ink = _ink(crop, relief, inside, level, height)
    line = _across(crop.shape, corners - origin)
    at_rim = ink & inside & ((line < RIM) | (line > 1 - RIM))
    in_middle = ink & (line >= MIDDLE[0]) & (line <= MIDDLE[1])
    ink &= ~_connected_to(ink, at_rim) | _connected_to(ink, in_middle)
    return (box, ink) if ink.any() else None


def _relief(crop: NDArray[np.uint8], inside: NDArray[np.bool_], width: int) -> NDArray[np.uint8]:
    """How far each pixel stands out from what is around it, as thin as a stroke."""
    kernel = np.ones((width, width), np.uint8)
    bright = np.asarray(cv2.morphologyEx(crop, cv2.MORPH_TOPHAT, kernel), np.uint8)
    dark = np.asarray(cv2.morphologyEx(crop, cv2.MORPH_BLACKHAT, kernel), np.uint8)
    # White text with a dark outline, and the gaps between dark strokes, show in both: dark ink must
    # lie clearly further from the ground than bright ink would.
    inverted = _distance(crop, dark, inside) > 1.5 * _distance(crop, bright, inside)
    return dark if inverted else bright


def _distance(crop: NDArray[np.uint8], relief: NDArray[np.uint8], inside: NDArray[np.bool_]) -> float:
    """Grey levels between the box as a whole and what stands out in it."""
    out = (relief > _otsu(relief[inside])) & inside
    return abs(float(np.median(crop[out])) - float(np.median(crop[inside]))) if out.any() else 0.0


def _ink(
    crop: NDArray[np.uint8],
    relief: NDArray[np.uint8],
    inside: NDArray[np.bool_],
    level: float,
    height: float,
) -> NDArray[np.bool_]:
    """Pixels that stand out and are of the ink's grey, without specks."""
    strong = (relief > level) & inside
    ground_mask = inside & (cv2.dilate(strong.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    ground = float(np.median(crop[ground_mask])) if ground_mask.any() else float(np.median(crop))
    # Thin strokes are mostly anti-aliased: the grey they were drawn in is near their extreme.
    bright = float(np.median(crop[strong])) >= ground
    ink_grey = float(np.percentile(crop[strong], 80 if bright else 20))
    share = (crop.astype(np.float32) - ground) / ((ink_grey - ground) or 1.0)
    alike = (share > INK_SHARE[0]) & (share < INK_SHARE[1])
    ink = _connected_to((relief > 0.5 * level) & inside & alike, strong & alike)
    # Anti-aliased ends are fainter, but hang on to the ink.
    faint = (relief > FAINT_SHARE * level) & inside & (share > FAINT_SHARE) & (share < INK_SHARE[1])
    for _ in range(FAINT_REACH_PX):
        ink |= (cv2.dilate(ink.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & faint
    near_grey = np.abs(crop.astype(np.float32) - ink_grey) <= BEYOND_GREY
    beyond = (relief > max(level, BEYOND_RELIEF)) & near_grey & ~inside
    tallest = (BEYOND_HEIGHT[0] * height, BEYOND_HEIGHT[1] * height)
    ink |= _pieces(beyond, cv2.CC_STAT_HEIGHT, *tallest)
    return _pieces(ink, cv2.CC_STAT_AREA, SMALLEST_SPECK_PX, np.inf)


def _across(shape: tuple[int, ...], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each pixel how far across the line it lies: 0 at the upper rim of the box, 1 at the lower."""
    down = corners[3] - corners[0]
    rows, columns = np.indices(shape, dtype=np.float64)
    share = (columns - corners[0][0]) * down[0] + (rows - corners[0][1]) * down[1]
    return np.asarray(share / (float(down @ down) or 1.0))


def _otsu(values: NDArray[np.uint8]) -> float:
    level, _ = cv2.threshold(values.reshape(1, -1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return float(level)


def _connected_to(weak: NDArray[np.bool_], strong: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The parts of `weak` that touch `strong`."""
    _, labels = cv2.connectedComponents(weak.astype(np.uint8), connectivity=8)
    kept = np.unique(labels[strong])
    return np.isin(labels, kept[kept > 0])


def _pieces(mask: NDArray[np.bool_], statistic: int, least: float, most: float) -> NDArray[np.bool_]:
    """The connected pieces of a mask of which a statistic lies between two bounds."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    kept = (stats[:, statistic] >= least) & (stats[:, statistic] <= most)
    kept[0] = False
    return np.asarray(kept[labels], dtype=bool)
