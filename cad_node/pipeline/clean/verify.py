"""Prove that it is gone: another OCR engine reads the cleaned picture.

What it can still read enlarges the mask, once. What it can read even then makes the
cleaning fail, and no copy leaves. The engine reads the cleaned pixels alone: where the
search looked, and what it took for a mark, it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.errors import CleaningError
from cad_node.pipeline.clean import ocr
from cad_node.pipeline.clean.glyphs import stroke_mask
from cad_node.pipeline.clean.inpaint import widen
from cad_node.pipeline.clean.marks import Mark, mark_from_mask
from cad_node.pipeline.clean.ocr import ReadLine
from cad_node.pipeline.clean.read_text import (
    LARGEST_HEIGHT_PX,
    LARGEST_HEIGHT_SHARE,
    LONE_CHARACTER_CONFIDENCE,
    SMALLEST_HEIGHT_PX,
)

# So many letters or digits that are legible after the second cleaning make it fail. A lone one names
# nobody, and is what bright speckle is most often taken for.
LEGIBLE_CHARACTERS = 2
# What survived the first mask had a rim that was missed: its strokes are taken with more around them.
STROKE_MARGIN_PX = 2

Grey = NDArray[np.uint8]


class Reader(Protocol):
    """Says what can be read in a cleaned picture."""

    def legible(self, grey: Grey) -> list[ReadLine]:
        """The lines that count as legible; raises `CleaningError` where it cannot tell."""

    def describe(self) -> str:
        """One line for `cad-node explain` and for provenance."""


class SecondReader:
    """The checking OCR engine, on PP-OCRv5 at source resolution.

    Parameters
    ----------
    confidence
        Least recognition confidence, in [0, 1], with which text counts as legible.
    threads
        CPU threads of the engine.
    """

    def __init__(self, confidence: float, threads: int = 1) -> None:
        self._confidence = confidence
        self._threads = max(1, threads)

    def describe(self) -> str:
        """One line for `cad-node explain` and for provenance."""
        return (
            f"check: a second OCR (PP-OCRv5) reads the cleaned picture, confidence >= {self._confidence:g}; "
            "the mask grows once, then the image is refused"
        )

    def legible(self, grey: Grey) -> list[ReadLine]:
        """The lines that can be read, no taller than screen text."""
        if min(grey.shape) < SMALLEST_HEIGHT_PX:
            return []
        tallest = max(LARGEST_HEIGHT_PX, LARGEST_HEIGHT_SHARE * grey.shape[0])
        return [
            line
            for line in ocr.read_second(np.ascontiguousarray(grey), self._threads)
            if line.confidence >= (self._confidence if letters(line) > 1 else LONE_CHARACTER_CONFIDENCE)
            and letters(line) > 0
            and SMALLEST_HEIGHT_PX <= line.height_px <= tallest
        ]


def letters(line: ReadLine) -> int:
    """Number of letters and digits of a line."""
    return sum(character.isalnum() for character in line.text)


def left_over(
    grey: Grey, marks: Sequence[Mark], fill: Callable[[Sequence[Mark]], Grey], reader: Reader
) -> list[Mark]:
    """What must be removed beside `marks` for nothing legible to stay.

    Parameters
    ----------
    grey
        The picture before cleaning, uint8 `(rows, columns)`.
    fill
        Gives the picture with some marks removed.

    Raises
    ------
    CleaningError
        Text can be read whatever is done, or the reader failed.
    """
    cleaned = fill(marks)
    found = [_mark_of(line, grey, cleaned) for line in reader.legible(cleaned)]
    more = [mark for mark in found if mark is not None]
    if not more:
        return []
    still = sum(letters(line) >= LEGIBLE_CHARACTERS for line in reader.legible(fill([*marks, *more])))
    if still:
        raise CleaningError(
            f"Text can still be read in {still} place{'s' if still > 1 else ''} after cleaning.",
            "The image is left out: annotations could not be removed.",
        )
    return more


def _mark_of(line: ReadLine, grey: Grey, cleaned: Grey) -> Mark | None:
    """The strokes of a surviving line, as they stood before and as they stand now; else its whole box."""
    mask = np.zeros(grey.shape, dtype=bool)
    for picture in (grey, cleaned):
        strokes = stroke_mask(picture, line.corners)
        if strokes is not None:
            box, ink = strokes
            mask[box.slices] |= ink
    if mask.any():
        mask = widen(mask, STROKE_MARGIN_PX)
    else:
        whole = np.zeros(grey.shape, np.uint8)
        mask = cv2.fillConvexPoly(whole, np.round(line.corners).astype(np.int32), 1) > 0
    # What it says stays unread: half of a text that was erased may say something else.
    return mark_from_mask(mask, "text", round(line.confidence, 3))
