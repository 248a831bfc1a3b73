"""Where the picture is: the B-mode region, or the papers' background removal.

Scanners draw the ultrasound image on a screen of one constant grey, with text
and bars beside it. Where the header names the tissue region nothing needs to be
guessed; where it does not, the background is taken off as the published recipes
do (non-zero or modal background, erosion and dilation, largest component). Of
several pictures on one screen all are kept, with what lies between them. A
result that looks implausible is dropped for the whole image: too much is
harmless, a cut-off lesion is not.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Box, Frame

# A screen background is drawn, hence constant; JPEG and video capture add a little.
BACKGROUND_TOLERANCE = 3
# The modal grey is taken for a background where it fills this share of the image's rim.
SMALLEST_RIM_SHARE = 0.25
# Less than this of the image is not believed to be the tissue.
SMALLEST_AREA_SHARE = 0.12
SMALLEST_SIDE_PX = 48
# A part of the screen of which more than this is of one grey is a banner or a menu, no second picture.
LARGEST_FLAT_SHARE = 0.5


def tissue_region(frame: Frame, grey: NDArray[np.uint8]) -> Box:
    """The part of a frame that is looked at; `grey` are its pixels `(rows, columns)`."""
    rows, columns = grey.shape
    whole = Box(0, rows, 0, columns)
    if frame.tissue is not None:
        box = frame.tissue
        clipped = Box(
            max(0, box.row_start),
            min(rows, box.row_stop),
            max(0, box.column_start),
            min(columns, box.column_stop),
        )
        if min(clipped.shape) > 0:
            return clipped
    return without_background(grey) or whole


def without_background(grey: NDArray[np.uint8]) -> Box | None:
    """Bounding box of the pictures on a constant background, None where there is no such background."""
    level = background_level(grey)
    if level is None:
        return None
    foreground = cv2.absdiff(grey, np.full_like(grey, level)) > BACKGROUND_TOLERANCE
    # Speckle leaves holes; text beside the picture is thin. Close the first, erode the second.
    size = max(3, round(min(grey.shape) * 0.012)) | 1
    kernel = np.ones((size, size), np.uint8)
    solid = cv2.morphologyEx(foreground.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    solid = cv2.morphologyEx(solid, cv2.MORPH_OPEN, np.ones((2 * size + 1, 2 * size + 1), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=4)
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    found = _picture(stats[largest], grey.size)
    if found is None:
        return None
    others = (_picture(stats[label], grey.size) for label in range(1, count) if label != largest)
    boxes = [found, *(box for box in others if box is not None and not _is_flat(grey[box.slices]))]
    return Box(
        min(box.row_start for box in boxes),
        max(box.row_stop for box in boxes),
        min(box.column_start for box in boxes),
        max(box.column_stop for box in boxes),
    )


def _picture(stats: NDArray[np.int32], pixels: int) -> Box | None:
    """Bounding box of a component that is large enough for a picture."""
    column, row, width, height, area = (int(value) for value in stats)
    if min(width, height) < SMALLEST_SIDE_PX or area < SMALLEST_AREA_SHARE * pixels:
        return None
    return Box(row, row + height, column, column + width)


def _is_flat(part: NDArray[np.uint8]) -> bool:
    """Whether one grey fills most of a part of the screen."""
    counts = np.bincount(part.ravel(), minlength=256)
    level = int(counts.argmax())
    near = counts[max(0, level - BACKGROUND_TOLERANCE) : level + BACKGROUND_TOLERANCE + 1].sum()
    return bool(near > LARGEST_FLAT_SHARE * part.size)


def background_level(grey: NDArray[np.uint8]) -> int | None:
    """Grey level of the screen around the picture: zero or the modal one of the rim."""
    rim = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    counts = np.bincount(rim, minlength=256)
    level = int(counts.argmax())
    near = counts[max(0, level - BACKGROUND_TOLERANCE) : level + BACKGROUND_TOLERANCE + 1].sum()
    return level if near >= SMALLEST_RIM_SHARE * rim.size else None
