"""Cleaned pictures in the colours of the source, for copies that people and others' networks see.

The networks of the node take grey; a `CleanFrame` says which pixels were taken
off, and here they are taken off each colour channel.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Box, CleanFrame, Frame
from cad_node.errors import CleaningError
from cad_node.pipeline.clean.inpaint import widen

# JPEG keeps colour at half the resolution or less: what is left of a coloured letter is wider than in grey.
COLOUR_MARGIN_PX = 3
# Where removed pixels were no further from grey than this, they left no colour behind either.
SMALLEST_CHROMA = 12

Fill = Callable[[NDArray[np.uint8], NDArray[np.bool_]], NDArray[np.uint8]]


def colour_copy(frame: Frame, clean: CleanFrame, fill: Fill) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The cleaned picture as it was shown, and which pixels inside the region were filled.

    Parameters
    ----------
    frame
        The source, grey or RGB.
    clean
        What the cleaner made of it.
    fill
        Inpainting of one channel.

    Returns
    -------
    tuple of array
        uint8 `(rows, columns)` or `(rows, columns, 3)`, zero outside the region, equal to the
        source where it was not filled; and bool `(rows, columns)`.

    Raises
    ------
    CleaningError
        The clean frame is of another picture.
    """
    if clean.removed.shape != frame.pixels.shape[:2] or clean.frame_number != frame.frame_number:
        raise CleaningError("A cleaned frame does not belong to its source.", "Report this.")
    if frame.pixels.ndim == 2:
        return clean.pixels.copy(), clean.removed.copy()
    region = clean.region
    part = np.ascontiguousarray(frame.pixels[region.slices])
    mask = _with_colour_fringe(part, clean.removed[region.slices])
    filled = np.stack([fill(np.ascontiguousarray(part[..., channel]), mask) for channel in range(3)], axis=-1)
    pixels = np.zeros_like(frame.pixels)
    removed = np.zeros_like(clean.removed)
    pixels[region.slices], removed[region.slices] = filled, mask
    return pixels, removed


def chroma(pixels: NDArray[np.uint8], region: Box) -> NDArray[np.uint8] | None:
    """How far from grey each pixel of a region is, stretched to 8 bits; None where nothing is.

    A letter of the tissue's brightness and another colour is seen here and not in grey.
    """
    if pixels.ndim == 2:
        return None
    part = pixels[region.slices]
    distance = part.max(axis=2) - part.min(axis=2)
    highest = int(distance.max(initial=0))
    if highest < SMALLEST_CHROMA:
        return None
    return np.asarray(distance.astype(np.uint16) * 255 // highest, np.uint8)


def _with_colour_fringe(part: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask, wider around those marks that are coloured."""
    distance = part.max(axis=2) - part.min(axis=2)
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    coloured = np.unique(labels[mask & (distance >= SMALLEST_CHROMA)])
    if count < 2 or not coloured.size:
        return mask.copy()
    return mask | widen(np.isin(labels, coloured), COLOUR_MARGIN_PX)


def check_copy(
    pixels: NDArray[np.uint8], region: Box, is_readable: Callable[[NDArray[np.uint8]], bool]
) -> None:
    """Refuse a cleaned picture in which text can still be read, by brightness or by colour.

    Parameters
    ----------
    pixels
        The copy, grey or RGB.
    region
        Outside it there is nothing.
    is_readable
        Whether text can be read in a grey picture.

    Raises
    ------
    CleaningError
        Text can still be read.
    """
    part = pixels[region.slices]
    grey = part if part.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)
    views = [np.ascontiguousarray(grey, np.uint8)]
    colour = chroma(pixels, region)
    if colour is not None:
        views.append(colour)
    if any(is_readable(view) for view in views):
        raise CleaningError(
            "Text can still be read in the cleaned picture.", "No copy is written. Look at the image by hand."
        )
