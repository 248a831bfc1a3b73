"""Chooses how far a mark reaches around its surest pixel, on validation pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from cad_node.networks.annotation_model import predict
from cad_node.networks.annotation_network import AnnotationNetwork
from cad_node.pipeline.clean.drawn import believable
from cad_node.pipeline.clean.inpaint import widen
from cad_node.train.annotations.data import Background
from cad_node.train.annotations.export import Cut
from cad_node.train.annotations.fonts import Faces
from cad_node.train.annotations.scenes import scene

# Not chosen but set: the copies still hold real marks, so they cannot tell how often tissue is
# mistaken. Tissue comes first.
THRESHOLD = 0.95
SPREADS = (0.2, 0.3, 0.4, 0.5)
COVERED = 0.95


def choose_cut(network: AnnotationNetwork, grounds: Sequence[Background], faces: Faces, seed: int) -> Cut:
    """The cut that covers most marks drawn on the validation pictures."""
    covered: dict[Cut, list[bool]] = defaultdict(list)
    for number, ground in enumerate(grounds):
        made = scene(ground.pixels, np.random.default_rng((seed, 7, number)), faces, faces)
        drawn = 1 - predict(network, made.pixels)[0]
        for spread in SPREADS:
            removed = widen(believable(drawn, THRESHOLD, spread))
            covered[Cut(THRESHOLD, spread)] += [
                float(removed[mark.ink].mean()) >= COVERED for mark in made.marks
            ]
    return max(covered, key=lambda cut: (float(np.mean(covered[cut])), cut.spread))
