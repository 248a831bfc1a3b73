"""What is kept of the network's probability map: one lesion's part, in 8 bits.

A float map of every frame would be four bytes a pixel, and only a FRACTIONAL
segmentation has a use for it. So a lesion keeps its own surroundings, in the 255
steps that such a segmentation has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Box, ProbabilityMap

# A probability of one.
WHOLE = 255
# Around the lesion's box is kept this share of its longer side, at least so many pixels.
SURROUNDINGS_SHARE, LEAST_SURROUNDINGS_PX = 0.25, 8


def probability_map(
    probability: NDArray[np.float32],
    mask: NDArray[np.bool_],
    findings: Sequence[NDArray[np.bool_]],
    threshold: float,
    region: Box,
) -> ProbabilityMap:
    """The probability in and around one lesion, such that the threshold gives its mask.

    Pixels of the mask have at least the value of the threshold, and all others less.
    By rounding alone that moves a value by one step; more are moved only in
    holes of the mask, which the lesion fills, and in specks too small for a
    finding. Pixels that lie nearer to another finding are 0: they are that one's.

    Parameters
    ----------
    probability
        Float `(rows, columns)` of the region, in [0, 1].
    mask
        The lesion, bool, of the same size.
    findings
        All masks that were found in the region; the lesion's own is the same array.
    threshold
        Probability from which a pixel is lesion.
    region
        Where the region lies in the source image.
    """
    box = _surroundings(mask)
    inside = mask[box.slices]
    least = min(max(math.ceil(threshold * WHOLE - 1e-9), 1), WHOLE)
    values = np.rint(probability[box.slices] * WHOLE).astype(np.uint8)
    values = np.where(inside, np.maximum(values, least), np.minimum(values, least - 1)).astype(np.uint8)
    if len(findings) > 1:
        values[~inside & _nearer_to_another(mask, findings)[box.slices]] = 0
    return ProbabilityMap(
        Box(
            region.row_start + box.row_start,
            region.row_start + box.row_stop,
            region.column_start + box.column_start,
            region.column_start + box.column_stop,
        ),
        values,
        least,
    )


def _surroundings(mask: NDArray[np.bool_]) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    longer = max(np.ptp(rows), np.ptp(columns)) + 1
    more = max(round(SURROUNDINGS_SHARE * float(longer)), LEAST_SURROUNDINGS_PX)
    return Box(
        max(int(rows[0]) - more, 0),
        min(int(rows[-1]) + 1 + more, mask.shape[0]),
        max(int(columns[0]) - more, 0),
        min(int(columns[-1]) + 1 + more, mask.shape[1]),
    )


def _nearer_to_another(mask: NDArray[np.bool_], findings: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Where another finding is nearer; half-way between two, the one that comes first has the pixel."""
    own = _distance(mask)
    nearer = np.zeros(mask.shape, np.bool_)
    before = True
    for one in findings:
        if one is mask:
            before = False
        else:
            nearer |= _distance(one) <= own if before else _distance(one) < own
    return nearer


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How far each pixel is from a mask."""
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5), dtype=np.float32)
