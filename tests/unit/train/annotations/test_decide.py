"""The cut that covers marks must spare tissue."""

import numpy as np
import pytest
import torch

from cad_node.networks.annotation_bundle import KINDS
from cad_node.train.annotations import decide
from cad_node.train.annotations.data import Background
from cad_node.train.annotations.decide import SPREADS, THRESHOLDS, choose_cut

from .grounds import STROKES_ONLY, background


class Levels(torch.nn.Module):
    """Says "text" with a chance that grows with the grey level: white is sure, bright tissue nearly so."""

    def __init__(self, white: float, bright: float) -> None:
        super().__init__()
        self.white, self.bright = white, bright

    def forward(self, image):
        text = torch.where(image > 0.95, self.white, torch.where(image > 0.5, self.bright, 0.001))
        chances = torch.full((image.shape[0], len(KINDS), *image.shape[2:]), 1e-6)
        chances[:, 1] = text[:, 0]
        chances[:, 0] = 1 - text[:, 0]
        return chances.log()


def _with_stripe(doubtful: bool) -> Background:
    """Tissue with one bright line, which is a left mark or is not."""
    ground = background(4)
    pixels = np.minimum(ground.pixels, 150)
    pixels[98:102, 40:240] = 200
    doubt = np.zeros(pixels.shape, dtype=bool)
    doubt[90:110] = doubtful
    return Background(ground.sample, pixels, doubt)


def test_threshold_rises_above_what_tissue_reaches() -> None:
    network = Levels(white=0.99, bright=0.95)

    assert choose_cut(network, [_with_stripe(doubtful=False)], STROKES_ONLY, 0).threshold == max(THRESHOLDS)


def test_left_marks_in_doubtful_places_do_not_raise_the_threshold() -> None:
    network = Levels(white=0.93, bright=0.87)

    assert choose_cut(network, [_with_stripe(doubtful=True)], STROKES_ONLY, 0).threshold <= 0.85
    assert choose_cut(network, [_with_stripe(doubtful=False)], STROKES_ONLY, 0).threshold >= 0.9


def test_where_nothing_spares_tissue_the_cut_touches_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "MOST_TOUCHED", -1.0)

    cut = choose_cut(Levels(white=0.99, bright=0.95), [_with_stripe(doubtful=False)], STROKES_ONLY, 0)

    assert cut.threshold > 0.95
    assert cut.spread in SPREADS
