"""Find burnt-in text by reading it, and mark its strokes.

Text detection alone fires on half of all breast images; what cannot be read is
therefore not taken for text. What was read stays with its mark until it is coded
(see `notes`), and is never logged: it is what the node removes.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Annotation
from cad_node.pipeline.clean.glyphs import stroke_mask
from cad_node.pipeline.clean.marks import Mark, Picture
from cad_node.pipeline.clean.ocr import LARGEST_SIDE_PX, ReadLine, read_first

# The detector wants glyphs of 12-24 px. Screens have them; small crops are enlarged to get there.
SMALLEST_SIDE_PX = 704
LARGEST_SCALE = 1.5
# Widths (sigma) of the neighbourhoods that contrast is evened over, and the least spread in grey
# levels: below it there is only noise, which must not be blown up.
LOCAL_MEAN_PX = 12
LOCAL_SPREAD_PX = 20
SMALLEST_SPREAD = 4
# A line of screen text is never taller; larger "text" is tissue.
LARGEST_HEIGHT_PX = 40
LARGEST_HEIGHT_SHARE = 0.1
SMALLEST_HEIGHT_PX = 5
# A lone character carries little evidence, so it must be read better than a word.
LONE_CHARACTER_CONFIDENCE = 0.8


class TextReader:
    """Detector of burnt-in text, on RapidOCR's bundled PP-OCR models.

    Parameters
    ----------
    confidence
        Least recognition confidence, in [0, 1].
    threads
        CPU threads of the engine.
    """

    def __init__(self, confidence: float, threads: int = 1) -> None:
        self._confidence = confidence
        self._threads = max(1, threads)

    def describe(self) -> str:
        """One line for `cad-node explain` and for provenance."""
        return (
            "text: RapidOCR detection and recognition on even contrast, "
            f"confidence >= {self._confidence:g}, strokes only"
        )

    def find(self, picture: Picture) -> list[Mark]:
        """The strokes of every line that could be read."""
        grey = picture.grey
        marks = []
        for line in self.read(grey):
            if not self._believable(line, grey.shape[0]):
                continue
            found = stroke_mask(grey, line.corners)
            if found is not None:
                box, mask = found
                marks.append(Mark(Annotation(box, "text", round(line.confidence, 3)), mask, line.text))
        return marks

    def read(self, grey: NDArray[np.uint8]) -> list[ReadLine]:
        """Lines that the engine read in a picture, however unsure; corners in its pixels.

        Raises
        ------
        CleaningError
            The engine is missing, incomplete or failed.
        """
        if min(grey.shape) < SMALLEST_HEIGHT_PX:
            return []
        scale = _scale(grey.shape)
        scaled = even_contrast(grey)
        if scale != 1.0:
            method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
            scaled = np.asarray(cv2.resize(scaled, None, fx=scale, fy=scale, interpolation=method), np.uint8)
        lines = read_first(scaled, self._threads)
        return [replace(line, corners=line.corners / scale) for line in lines]

    def _believable(self, line: ReadLine, rows: int) -> bool:
        if line.confidence < self._confidence:
            return False
        if line.characters < 2 and line.confidence < LONE_CHARACTER_CONFIDENCE:
            return False
        return SMALLEST_HEIGHT_PX <= line.height_px <= max(LARGEST_HEIGHT_PX, LARGEST_HEIGHT_SHARE * rows)


def even_contrast(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with the same local mean and contrast everywhere.

    Text 25 grey levels above bright tissue is lost on the engine; where all
    contrast is alike it reads half as many again, at no cost.
    """
    values = grey.astype(np.float32)
    detail = values - cv2.GaussianBlur(values, (0, 0), LOCAL_MEAN_PX)
    spread = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), LOCAL_SPREAD_PX)) + SMALLEST_SPREAD
    even: NDArray[np.uint8] = np.clip(110 + 45 * detail / spread, 0, 255).astype(np.uint8)
    return even


def _scale(shape: tuple[int, ...]) -> float:
    longest = max(shape[:2])
    if longest < SMALLEST_SIDE_PX:
        return min(LARGEST_SCALE, SMALLEST_SIDE_PX / longest)
    return min(1.0, LARGEST_SIDE_PX / longest)
