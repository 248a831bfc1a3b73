"""Chooses from where a mark is believed, and how far it reaches, on validation pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from cad_node.networks.annotation_model import predict
from cad_node.networks.annotation_network import AnnotationNetwork
from cad_node.pipeline.clean.drawn import marks_in
from cad_node.pipeline.clean.inpaint import widen
from cad_node.train.annotations.data import Background
from cad_node.train.annotations.export import Cut
from cad_node.train.annotations.fonts import Faces
from cad_node.train.annotations.scenes import scene

THRESHOLDS = (0.8, 0.85, 0.9, 0.92, 0.94, 0.96, 0.97, 0.98, 0.99)
SPREADS = (0.2, 0.3, 0.4, 0.5)
COVERED = 0.95
# Share of undoubted tissue that may be taken for a mark. The copies still hold real marks, which count here as
# mistakes: looked at, three quarters were grey bars and calipers, and most of the rest lay in one patient's
# pictures. Tissue comes first.
MOST_TOUCHED = 6e-4


def choose_cut(network: AnnotationNetwork, grounds: Sequence[Background], faces: Faces, seed: int) -> Cut:
    """The cut that covers most marks drawn on the validation pictures and spares their tissue.

    Where none spares it, the one that touches least.
    """
    cuts = [Cut(threshold, spread) for threshold in THRESHOLDS for spread in SPREADS]
    covered: dict[Cut, list[bool]] = defaultdict(list)
    touched = dict.fromkeys(cuts, 0)
    tissue = 0
    for number, ground in enumerate(grounds):
        made = scene(ground.pixels, np.random.default_rng((seed, 7, number)), faces, faces)
        bare, drawn = (1 - predict(network, pixels)[0] for pixels in (ground.pixels, made.pixels))
        sure = ~ground.doubtful & (ground.pixels > 0)
        tissue += int(sure.sum())
        for cut in cuts:
            touched[cut] += int((marks_in(bare, ground.pixels, cut.threshold, cut.spread) & sure).sum())
            removed = widen(marks_in(drawn, made.pixels, cut.threshold, cut.spread))
            covered[cut] += [float(removed[mark.ink].mean()) >= COVERED for mark in made.marks]
    sparing = [cut for cut in cuts if touched[cut] <= MOST_TOUCHED * tissue]
    if not sparing:
        return min(cuts, key=lambda cut: (touched[cut], -float(np.mean(covered[cut]))))
    return max(sparing, key=lambda cut: (float(np.mean(covered[cut])), cut.threshold, cut.spread))
