"""Chooses from which probability on a mark is believed, on validation pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.networks.annotation_model import predict
from cad_node.networks.annotation_network import AnnotationNetwork
from cad_node.pipeline.clean.drawn import believable
from cad_node.pipeline.clean.inpaint import widen
from cad_node.train.annotations.data import Background
from cad_node.train.annotations.export import Cut
from cad_node.train.annotations.fonts import Faces
from cad_node.train.annotations.scenes import scene

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
SPREADS = (0.2, 0.3, 0.4, 0.5)
COVERED = 0.95
# Share of the tissue that may be touched beyond what the strictest cut touches: that is marks the
# copies still hold.
TISSUE_SHARE = 1e-4
# Beyond this, what is touched is not the rim of a mark.
NEAR_PX = 6


def choose_cut(network: AnnotationNetwork, grounds: Sequence[Background], faces: Faces, seed: int) -> Cut:
    """The cut that covers most marks while it leaves the tissue alone."""
    covered: dict[Cut, list[bool]] = defaultdict(list)
    touched: dict[Cut, int] = defaultdict(int)
    tissue = 0
    cuts = [Cut(threshold, spread) for threshold in THRESHOLDS for spread in SPREADS if spread <= threshold]
    for number, ground in enumerate(grounds):
        made = scene(ground.pixels, np.random.default_rng((seed, 7, number)), faces, faces)
        drawn = 1 - predict(network, made.pixels)[0]
        near = _grown(made.changed)
        tissue += int((~near).sum())
        for cut in cuts:
            ink = believable(drawn, cut.threshold, cut.spread)
            removed = widen(ink)
            covered[cut] += [float(removed[mark.ink].mean()) >= COVERED for mark in made.marks]
            touched[cut] += int((ink & ~near).sum())
    least = touched[Cut(THRESHOLDS[-1], SPREADS[-1])]
    kind = [cut for cut in cuts if touched[cut] - least <= TISSUE_SHARE * tissue]
    return max(kind, key=lambda cut: (float(np.mean(covered[cut])), cut.threshold))


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    kernel = np.ones((2 * NEAR_PX + 1, 2 * NEAR_PX + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0
