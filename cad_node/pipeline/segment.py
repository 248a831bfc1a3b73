"""Lesion masks out of the network's probability map, and their classes.

The network is handed the tissue region alone, with square pixels, of a split screen one picture
after the other; masks come back at the size of the whole source image, since that is what SEG,
SR and measurement speak of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Box, CleanFrame, PixelSpacing, Probabilities, ProbabilityMap
from cad_node.pipeline.probability import probability_map
from cad_node.pipeline.square import SquarePixels

# A finding smaller than this share of the tissue region is noise of the network:
# the smallest lesion of BUSI and BUS-BRA covers 0.1 % of its image.
SMALLEST_SHARE = 0.0008


class Prediction(Protocol):
    """What the network says of one image."""

    @property
    def probability(self) -> NDArray[np.float32]:
        """Probability of lesion, `(rows, columns)` of the image it was given."""
        ...

    def classify(self, mask: NDArray[np.bool_]) -> Probabilities:
        """Class probabilities of what lies under `mask`; an empty mask asks for the image."""
        ...


class Model(Protocol):
    """A lesion network, ready to run."""

    @property
    def threshold(self) -> float:
        """Probability from which a pixel is lesion, chosen on validation data."""
        ...

    @property
    def normal_veto(self) -> float:
        """A finding that is normal tissue with at least this probability is dropped."""
        ...

    @property
    def veto_image_share(self) -> float:
        """Weight, in that probability, of what the whole image looks like without any finding."""
        ...

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        """Run the network once over a grey `(rows, columns)` image."""
        ...


@dataclass(frozen=True)
class Finding:
    """A mask at source resolution, not yet numbered or measured."""

    mask: NDArray[np.bool_]
    probabilities: Probabilities
    probability_map: ProbabilityMap | None = None


def find_lesions(
    frame: CleanFrame, model: Model, smallest_lesion_mm2: float, *, keep_probability: bool = False
) -> tuple[tuple[Finding, ...], Probabilities]:
    """Lesions of one cleaned frame, and the class of the frame as a whole.

    Parameters
    ----------
    frame
        Only its tissue region is looked at.
    model
        Run once a picture; its class head then once a finding, and once or twice for the picture.
    smallest_lesion_mm2
        Smaller findings are dropped where the frame is calibrated; findings
        below 0.08 % of their picture are dropped always.
    keep_probability
        Hand each finding its part of the probability map, for a FRACTIONAL segmentation.

    Returns
    -------
    tuple
        Findings with masks `(rows, columns)` of the whole image, picture by picture, the largest
        first; and the probabilities of the frame, judged with all its lesions at once, which are
        those of its most suspicious picture, of those with findings if there are any.
    """
    looked_at = [
        _in_picture(frame, picture, model, smallest_lesion_mm2, keep_probability)
        for picture in frame.looked_at
    ]
    findings = tuple(finding for found, _ in looked_at for finding in found)
    # An empty picture has no say beside one with a finding: a cyst may be less malignant than nothing.
    _, overall = max(looked_at, key=lambda one: (bool(one[0]), one[1].malignant))
    return findings, overall


def _in_picture(
    frame: CleanFrame, picture: Box, model: Model, smallest_lesion_mm2: float, keep_probability: bool
) -> tuple[list[Finding], Probabilities]:
    """Lesions of one picture of a frame, largest first, and the class of that picture."""
    tissue = np.ascontiguousarray(frame.pixels[picture.slices])
    square = SquarePixels.of(tissue, frame.pixel_height)
    prediction = model.predict(square.apply(tissue))
    probability = square.undo(prediction.probability)
    least_px = max(_least_pixels(frame.spacing, smallest_lesion_mm2), SMALLEST_SHARE * picture.area)
    kept: list[tuple[NDArray[np.bool_], Probabilities]] = []
    components = find_components(probability >= model.threshold, least_px)
    together = np.zeros(tissue.shape, dtype=np.bool_)
    share = model.veto_image_share
    whole = prediction.classify(square.apply_mask(together)).normal if share and components else 0.0
    for component in components:
        probabilities = prediction.classify(square.apply_mask(component))
        if (1 - share) * probabilities.normal + share * whole < model.normal_veto:
            kept.append((component, probabilities))
    for component, _ in kept:
        together |= component
    findings = [
        Finding(
            _to_source(mask, frame, picture),
            probabilities,
            # Dropped findings, too, are asked for their surroundings, which are no other's.
            probability_map(probability, mask, components, model.threshold, picture)
            if keep_probability
            else None,
        )
        for mask, probabilities in kept
    ]
    return findings, prediction.classify(square.apply_mask(together))


def _least_pixels(spacing: PixelSpacing | None, smallest_mm2: float) -> float:
    return 0.0 if spacing is None else smallest_mm2 / (spacing.row_mm * spacing.column_mm)


def find_components(mask: NDArray[np.bool_], least_px: float) -> list[NDArray[np.bool_]]:
    """Connected parts of at least `least_px` pixels, holes filled, largest first."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    sizes = [(int(stats[label, cv2.CC_STAT_AREA]), label) for label in range(1, count)]
    parts = []
    for size, label in sorted(sizes, key=lambda pair: (-pair[0], pair[1])):
        if size >= least_px:
            parts.append(_fill_holes(labels == label))
    return parts


def _fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, dtype=np.uint8)
    cv2.drawContours(filled, outlines, -1, 1, thickness=cv2.FILLED)
    return filled.astype(np.bool_)


def _to_source(mask: NDArray[np.bool_], frame: CleanFrame, picture: Box) -> NDArray[np.bool_]:
    whole = np.zeros(frame.pixels.shape, dtype=np.bool_)
    whole[picture.slices] = mask
    return whole


FindLesions = Callable[[CleanFrame], tuple[tuple[Finding, ...], Probabilities]]
