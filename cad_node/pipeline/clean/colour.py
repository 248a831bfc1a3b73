"""Coloured graphics in a grey image: calipers, cursors and logos drawn in colour.

Tissue is grey. Where colour covers much of the picture (a tinted map, flow) it is
not a mark, and nothing is taken.
"""

from __future__ import annotations

import cv2
import numpy as np

from cad_node.pipeline.clean.marks import Mark, Picture, mark_from_mask

# Largest minus smallest of R, G, B; JPEG chroma noise and faint tints stay below.
SMALLEST_SATURATION = 40
# More colour than this is the picture itself.
LARGEST_SHARE = 0.05
SMALLEST_AREA_PX = 4


class ColouredGraphics:
    """Detector of saturated pixels in an otherwise grey picture."""

    def describe(self) -> str:
        """One line for `cad-node explain` and for provenance."""
        return f"coloured graphics: max - min of RGB > {SMALLEST_SATURATION} in an otherwise grey image"

    def find(self, picture: Picture) -> list[Mark]:
        """One mark for each patch of colour."""
        if picture.colour is None:
            return []
        high = picture.colour.max(axis=2)
        low = picture.colour.min(axis=2)
        coloured = (high - low) > SMALLEST_SATURATION
        if not coloured.any() or coloured.mean() > LARGEST_SHARE:
            return []
        # Anti-aliased strokes fall apart: one mark for what lies together.
        joined = cv2.dilate(coloured.astype(np.uint8), np.ones((5, 5), np.uint8))
        count, labels = cv2.connectedComponents(joined)
        marks = []
        for label in range(1, count):
            part = (labels == label) & coloured
            if int(part.sum()) >= SMALLEST_AREA_PX:
                mark = mark_from_mask(part, "coloured", 1.0)
                if mark is not None:
                    marks.append(mark)
        return marks
