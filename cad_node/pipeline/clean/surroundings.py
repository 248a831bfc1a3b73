"""Read the screen around the picture before it goes to background.

Scanners write what the sonographer types, and the results of the calipers, beside
the picture as often as on it. Nothing here is marked or removed, since all of it goes;
what is read becomes `SonographerNotes` (see `notes`) or is forgotten.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Annotation, Box
from cad_node.pipeline.clean import ocr
from cad_node.pipeline.clean.marks import Mark
from cad_node.pipeline.clean.notes import may_be_note
from cad_node.pipeline.clean.screen_lines import find_screen_lines, ink_of, with_left_column

# A screen has some twenty lines around the picture. Of a page of text no more than these are read.
MOST_LINES = 48
# Width in heights of what may be a note: LEFT, or sixty characters.
LINE_WIDTH = (2.0, 40.0)
# Crops reach so far beyond the letters, in heights, and are read narrower than drawn: a fifth less
# work, and of 143 lines of 8 screens as many were read to the letter.
MARGIN = 0.25
CROP_WIDTH = 0.8
# A number with its unit; what it is stands further left, in a column of its own.
_VALUE = re.compile(r"\s*\d{1,3}[.,]\d{1,2}\s?[cm]m\s*", re.IGNORECASE)
# How many crops that are no notes are remembered.
REMEMBERED = 1024

Grey = NDArray[np.uint8]
ReadCrops = Callable[[Sequence[Grey]], Sequence[tuple[str, float]]]


class Surroundings:
    """Reads lines of text beside the picture, those that may be notes.

    Parameters
    ----------
    confidence
        Least recognition confidence, in [0, 1].
    threads
        CPU threads of the engine.
    read
        Another recogniser than the finding engine's.
    """

    def __init__(self, confidence: float, threads: int = 1, *, read: ReadCrops | None = None) -> None:
        self._confidence = confidence
        self._read = read or (lambda crops: ocr.read_crops(crops, max(1, threads)))
        # Most of a screen is the same on every image of a scanner. What was read there and is no note
        # is known again by a keyed hash of its pixels; what it said is not kept.
        self._key = os.urandom(16)
        self._no_notes: OrderedDict[bytes, None] = OrderedDict()

    def describe(self) -> str:
        """One line for `cad-node explain` and for provenance."""
        return f"beside the picture: lines of text read for notes, confidence >= {self._confidence:g}, all erased"

    def read(self, grey: Grey, region: Box) -> tuple[Mark, ...]:
        """The lines outside a region that may be notes; `grey` is uint8 `(rows, columns)`.

        Raises
        ------
        CleaningError
            The engine is missing, incomplete or failed.
        """
        rows, columns = grey.shape
        if region.area >= rows * columns:
            return ()
        boxes = find_screen_lines(grey, region)
        long = [box for box in boxes if LINE_WIDTH[0] <= box.shape[1] / box.shape[0] <= LINE_WIDTH[1]]
        lines = self._notes(grey, _nearest(long, region))
        values = [mark.annotation.box for mark in lines if _VALUE.fullmatch(mark.text)]
        labelled = [with_left_column(box, boxes) for box in values]
        found = self._notes(grey, [box for box in labelled if box is not None])
        return (*lines, *found)

    def _notes(self, grey: Grey, boxes: Sequence[Box]) -> list[Mark]:
        """What may be a note, of lines that are not known to be none."""
        crops = [_crop(grey, box) for box in boxes]
        digests = [self._digest(crop) for crop in crops]
        unread = [index for index, digest in enumerate(digests) if digest not in self._no_notes]
        if not unread:
            return []
        found = []
        for index, (text, confidence) in zip(
            unread, self._read([crops[index] for index in unread]), strict=True
        ):
            box = boxes[index]
            if confidence >= self._confidence and (may_be_note(text) or _VALUE.fullmatch(text)):
                annotation = Annotation(box, "text", round(float(confidence), 3))
                found.append(Mark(annotation, ink_of(grey, box), text))
            else:
                self._forget(digests[index])
        return found

    def _digest(self, crop: Grey) -> bytes:
        shape = np.array(crop.shape, np.int32).tobytes()
        return hashlib.blake2b(shape + crop.tobytes(), key=self._key, digest_size=16).digest()

    def _forget(self, digest: bytes) -> None:
        self._no_notes[digest] = None
        while len(self._no_notes) > REMEMBERED:
            self._no_notes.popitem(last=False)


def _nearest(boxes: Sequence[Box], region: Box) -> list[Box]:
    """The boxes nearest to the picture, at most so many as are read, in their order."""

    def distance(box: Box) -> int:
        down = max(region.row_start - box.row_stop, box.row_start - region.row_stop, 0)
        across = max(region.column_start - box.column_stop, box.column_start - region.column_stop, 0)
        return down + across

    nearest = sorted(range(len(boxes)), key=lambda index: distance(boxes[index]))[:MOST_LINES]
    return [boxes[index] for index in sorted(nearest)]


def _crop(grey: Grey, box: Box) -> Grey:
    margin = max(2, round(MARGIN * box.shape[0]))
    crop = grey[
        max(0, box.row_start - margin) : box.row_stop + margin,
        max(0, box.column_start - margin) : box.column_stop + margin,
    ]
    return np.asarray(cv2.resize(crop, None, fx=CROP_WIDTH, fy=1, interpolation=cv2.INTER_AREA), np.uint8)
