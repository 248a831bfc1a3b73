"""Finds the colour that a header keeps silent about.

Colour Doppler and elastograms are burnt into RGB pictures, and most headers do
not tell: Ultrasound Color Data Present is set for a blue banner as well.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Box, NotAnalysed, Refusal

# What gate_pixels calls coloured: this far, in 8-bit levels, from the usual tint at the same
# brightness. Chroma maps tint the whole picture and are no reason; JPEG noise stays below 25.
_COLOUR_DISTANCE = 45.0
# Where more than half of what can be seen is this far from grey, the picture as a whole is tinted.
_TINTED = 20.0
# Mean length of the unit vectors from grey to the colours: 1 for one hue, near 0 for a rainbow.
_ONE_DIRECTION = 0.9
# Looked at in at most so many rows and columns; flow is large.
_LONGEST_SIDE = 512
# Thinner strokes, at that size, are text, callipers and the frames of colour boxes.
_STROKE_PX = 6
# The five colour Doppler images that hide in BUSI show 0.19 % or more in areas, a single vessel; its and
# the sample files' B-mode images with coloured callipers, texts and cursors at most 0.06 %.
_COLOUR_SHARE = 0.0012


def gate_pixels(pixels: NDArray[np.uint8], tissue: Box | None = None) -> Refusal | None:
    """Why a picture forbids its analysis: colour Doppler or an elastogram that the header hid.

    Looks for areas, not strokes, whose hue differs from the picture's own tint.
    Coloured callipers, texts and a tinted grey scale are no reason. A colour
    picture in greys (a strain map shown in grey) is not recognised.

    Parameters
    ----------
    pixels
        uint8 `(rows, columns)` or `(rows, columns, 3)`; grey always passes.
    tissue
        Where to look. None: everywhere except for evenly coloured areas at the
        edges, which are the scanner's own banners.
    """
    if pixels.ndim == 2:
        return None
    part = pixels if tissue is None else pixels[tissue.slices]
    step = -(-max(part.shape[:2]) // _LONGEST_SIDE)
    part = np.ascontiguousarray(part[::step, ::step])
    coloured = _off_tint(part)
    if tissue is None:
        coloured &= ~_banners(part)
    stroke = np.ones((_STROKE_PX, _STROKE_PX), np.uint8)
    areas = cv2.morphologyEx(coloured.astype(np.uint8), cv2.MORPH_OPEN, stroke) > 0
    share = float(areas.mean()) if areas.size else 0.0
    if share < _COLOUR_SHARE:
        return None
    reason = NotAnalysed.ELASTOGRAPHY if _is_elastogram(part, areas) else NotAnalysed.COLOUR_DOPPLER
    return Refusal(reason, f"{share:.1%} of the picture is coloured")


def _off_tint(part: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels far from grey, or in a tinted picture from the usual tint at their brightness."""
    rgb = part.astype(np.float32)
    luminance = rgb @ np.array((0.299, 0.587, 0.114), np.float32)  # ITU-R BT.601
    red, blue = rgb[..., 0] - luminance, rgb[..., 2] - luminance
    off = np.hypot(red, blue) > _COLOUR_DISTANCE
    if not _is_tinted(red[luminance > 30], blue[luminance > 30]):
        return np.asarray(off)
    level = (luminance / 16).astype(np.uint8)
    for value in np.unique(level):
        here = level == value
        distance = np.hypot(red[here] - np.median(red[here]), blue[here] - np.median(blue[here]))
        off[here] = distance > _COLOUR_DISTANCE
    return np.asarray(off)


def _is_tinted(red: NDArray[np.float32], blue: NDArray[np.float32]) -> bool:
    """Whether most pixels are off grey, and all in about the same direction."""
    length = np.hypot(red, blue)
    far = length > _TINTED
    if not far.size or float(far.mean()) < 0.5:
        return False
    towards = float(np.hypot((red[far] / length[far]).mean(), (blue[far] / length[far]).mean()))
    return towards > _ONE_DIRECTION


def _banners(part: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Areas of nearly one colour, neither black nor white, that touch the edge of the picture."""
    window = np.ones((5, 5), np.uint8)
    spread = (cv2.dilate(part, window).astype(np.int16) - cv2.erode(part, window)).max(axis=-1)
    even = (spread <= 12).astype(np.uint8)
    labels = cv2.connectedComponents(even * (np.ptp(part, axis=-1) > 12).astype(np.uint8))[1]
    edge = np.unique(np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1])))
    banner = np.isin(labels, edge[edge > 0]).astype(np.uint8)
    # Texts on the banner and the rim that the window left belong to it.
    return np.asarray(cv2.morphologyEx(banner, cv2.MORPH_CLOSE, np.ones((21, 21), np.uint8)) > 0)


def _is_elastogram(part: NDArray[np.uint8], areas: NDArray[np.bool_]) -> bool:
    """Whether the colours are a rainbow over a wide area; flow is red and blue, or fire."""
    hue = cv2.cvtColor(part, cv2.COLOR_RGB2HSV)[..., 0][areas]  # degrees halved: 0 to 179
    green = float(((hue > 38) & (hue < 98)).mean())
    return bool(areas.mean() > 0.05 and green > 0.25)
