"""Find everything drawn on the picture, pixel by pixel, with a network that was trained for it.

What OCR cannot read and no template fits: faint and lone characters, calipers in
speckle, dotted lines, body marks, arrows, rulers, logos cut by the rim. What is
drawn is thin or a filled box; anything else that the network marks is believed to
be tissue and stays, so that no lesion is painted over.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Annotation, Box
from cad_node.pipeline.clean.marks import Mark, Picture

# Of marks that are drawn: the widest stroke, outline included, and the smaller side of a filled box,
# a bar, or a line of bold letters that run together.
LARGEST_STROKE_PX = 30
LARGEST_BOX_PX = 44
# A box fills its own bounds; a line of text does so less, but is long. A cyst does neither.
BOX_FILL = 0.85
# The plate that a body mark stands on is larger, and fills its bounds so well that no ellipse (0.79)
# comes near.
LARGEST_PLATE_PX = 120
PLATE_FILL = 0.88
LINE_FILL = 0.5
LINE_LENGTH = 1.9
# Crosses and digits that dotted lines join are one piece: strokes for the most part, with knots no wider.
LARGEST_KNOT_PX = 32
LARGEST_KNOT_SHARE = 0.7
# A body mark or a logo may look filled: wider than a stroke and no box. Where this share of it is sure, its
# strokes are taken, if they are this much of it: bright, and thinner than what is even. What lies between stays.
SURE_SHARE = 0.3
STROKE_SHARE = 0.03
STROKE_CONTRAST = 30
STROKE_SIDE_PX = 11
LARGEST_SIGN_PX = 130
SMALLEST_SIGN_PX = 300
# What lies in so narrow a strip at the rim cannot be read; the skin's bright line, cut, lies there.
RIM_PX = 4
# Where it runs along most of a side, it is that line also if it is thicker.
LINE_RIM_PX = 8
LINE_RIM_SHARE = 0.6
# Fewer pixels than this are grain.
SMALLEST_AREA_PX = 6
# Near a sure mark this share of the threshold is enough: letters of one line, dots of one line.
FELLOW_SHARE = 0.55
FELLOW_PX = 17
# Letters of a line, and dots of one, are joined over gaps of so much.
JOIN_PX = 9


class PixelModel(Protocol):
    """A network that says of each pixel what it is."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """What a pixel may be; the first is tissue."""

    @property
    def threshold(self) -> float:
        """Probability that a mark's surest pixel has at least."""

    @property
    def spread(self) -> float:
        """Probability that all pixels of a mark have at least."""

    def describe(self) -> str:
        """Name, version and hash, for provenance."""

    def predict(self, grey: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities of a grey picture `(rows, columns)`, float32 `(kinds, rows, columns)`."""


class DrawnMarks:
    """Detector of all that is drawn, by a pixel network."""

    def __init__(self, model: PixelModel) -> None:
        self._model = model

    def describe(self) -> str:
        """One line for `cad-node explain` and for provenance."""
        return (
            f"drawn marks: network {self._model.describe()}, probability >= {self._model.threshold:g}, "
            "thin strokes and filled boxes only"
        )

    def find(self, picture: Picture) -> list[Mark]:
        """One mark for what lies together, of the kind that most of it is."""
        chances = self._model.predict(picture.grey)
        drawn = 1 - chances[0]
        ink = marks_in(drawn, picture.grey, self._model.threshold, self._model.spread)
        if not ink.any():
            return []
        joined = cv2.dilate(ink.astype(np.uint8), np.ones((JOIN_PX, JOIN_PX), np.uint8))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
        marks = []
        for label in range(1, count):
            left, top, width, height = (int(value) for value in stats[label, :4])
            around = Box(top, top + height, left, left + width)
            mask = ink[around.slices] & (labels[around.slices] == label)
            if int(mask.sum()) < SMALLEST_AREA_PX:
                continue
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            tight = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            box = Box(
                top + int(rows[0]),
                top + int(rows[-1]) + 1,
                left + int(columns[0]),
                left + int(columns[-1]) + 1,
            )
            inside = chances[:, box.row_start : box.row_stop, box.column_start : box.column_stop][:, tight]
            kind = self._model.kinds[1 + int(inside[1:].sum(axis=1).argmax())]
            sureness = float(drawn[box.slices][tight].mean())
            marks.append(Mark(Annotation(box, kind, round(min(1.0, sureness), 3)), tight.copy()))
        return marks


def marks_in(
    drawn: NDArray[np.float32], grey: NDArray[np.uint8], threshold: float, spread: float
) -> NDArray[np.bool_]:
    """The pixels of all that is drawn on a picture, bool `(rows, columns)`.

    Parameters
    ----------
    drawn
        Probability of each pixel to be of a mark, float32 `(rows, columns)`.
    grey
        The picture, uint8 of the same shape.
    """
    whole = believable(drawn, threshold, spread)
    return whole | _strokes_of_signs(drawn, grey, threshold, spread, whole)


def believable(drawn: NDArray[np.float32], threshold: float, spread: float) -> NDArray[np.bool_]:
    """The pixels of what is drawn, bool `(rows, columns)`.

    A piece of `spread` or more counts if some of it has `threshold`, or nearly so
    beside one that has, if it is as thin as a stroke, or a box, and if it reaches
    further in than the rim.

    Parameters
    ----------
    drawn
        Probability of each pixel to be of a mark, float32 `(rows, columns)`.
    """
    weak = (drawn >= spread).astype(np.uint8)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(weak, connectivity=8)
    labels = np.asarray(pieces, np.int32)
    kept = np.zeros(count, dtype=bool)
    kept[np.unique(labels[drawn >= max(spread, FELLOW_SHARE * threshold)])] = True
    kept[0] = False
    if not kept.any():
        return np.zeros(drawn.shape, dtype=bool)
    # The rim of the picture cuts a mark, it does not make it thinner.
    depth = cv2.distanceTransform(cv2.copyMakeBorder(weak, 1, 1, 1, 1, cv2.BORDER_REPLICATE), cv2.DIST_L2, 3)
    rows, columns = np.nonzero(kept[labels])
    widest = np.zeros(count, np.float32)
    np.maximum.at(widest, labels[rows, columns], depth[rows + 1, columns + 1])
    width, height = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    shorter, longer = np.minimum(width, height), np.maximum(width, height)
    fill = stats[:, cv2.CC_STAT_AREA] / (width * height)
    boxes = (fill >= BOX_FILL) | ((fill >= LINE_FILL) & (longer >= LINE_LENGTH * shorter))
    kept &= ~_at_rim(np.asarray(stats, np.int32), drawn.shape)
    kept &= (
        (boxes & (shorter <= LARGEST_BOX_PX))
        | ((fill >= PLATE_FILL) & (shorter <= LARGEST_PLATE_PX))
        | (2 * widest <= LARGEST_STROKE_PX)
        | _knotted(weak, labels, np.asarray(stats[:, cv2.CC_STAT_AREA], np.int32))
    )
    found = np.asarray(kept[labels], dtype=bool)
    # Each piece needs a sure one, itself or nearby.
    near = cv2.dilate(found.astype(np.uint8), np.ones((FELLOW_PX, FELLOW_PX), np.uint8))
    _, groups = cv2.connectedComponents(near, connectivity=8)
    sure = np.unique(groups[found & (drawn >= threshold)])
    return found & np.isin(groups, sure)


def _at_rim(stats: NDArray[np.int32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which pieces reach no further in than the rim."""
    width, height = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    deep = np.where(width >= LINE_RIM_SHARE * shape[1], LINE_RIM_PX, RIM_PX)
    lying = (top + height <= deep) | (top >= shape[0] - deep)
    deep = np.where(height >= LINE_RIM_SHARE * shape[0], LINE_RIM_PX, RIM_PX)
    return np.asarray(lying | (left + width <= deep) | (left >= shape[1] - deep))


def _strokes_of_signs(
    drawn: NDArray[np.float32],
    grey: NDArray[np.uint8],
    threshold: float,
    spread: float,
    taken: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """The bright strokes of sure pieces that are too wide to be `taken` whole."""
    strokes = np.zeros(drawn.shape, dtype=bool)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(
        (drawn >= spread).astype(np.uint8), connectivity=8
    )
    labels = np.asarray(pieces, np.int32)
    shorter = np.minimum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    area = stats[:, cv2.CC_STAT_AREA]
    signs = (
        (area >= SMALLEST_SIGN_PX)
        & (shorter <= LARGEST_SIGN_PX)
        & ~_at_rim(np.asarray(stats, np.int32), drawn.shape)
    )
    signs &= np.bincount(labels[drawn >= threshold], minlength=count) >= SURE_SHARE * area
    signs[0] = False
    signs[np.unique(labels[taken])] = False
    if signs.any():
        side = np.ones((STROKE_SIDE_PX, STROKE_SIDE_PX), np.uint8)
        strokes = (cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, side) >= STROKE_CONTRAST) & signs[labels]
        signs &= np.bincount(labels[strokes], minlength=count) >= STROKE_SHARE * area
        strokes &= signs[labels]
    return strokes


def _knotted(
    weak: NDArray[np.uint8], labels: NDArray[np.int32], areas: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Whether each piece is of strokes for the most part, its thick places no larger than a knot."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (LARGEST_STROKE_PX, LARGEST_STROKE_PX))
    thick = cv2.morphologyEx(weak, cv2.MORPH_OPEN, disc)
    share = np.bincount(labels.ravel(), weights=thick.ravel(), minlength=areas.size) / np.maximum(1, areas)
    allowed = np.asarray(share <= LARGEST_KNOT_SHARE)
    _, knots, sizes, _ = cv2.connectedComponentsWithStats(thick, connectivity=8)
    longest = np.maximum(sizes[:, cv2.CC_STAT_WIDTH], sizes[:, cv2.CC_STAT_HEIGHT])
    large = np.flatnonzero(longest > LARGEST_KNOT_PX)
    allowed[np.unique(labels[np.isin(knots, large[large > 0])])] = False
    return allowed
