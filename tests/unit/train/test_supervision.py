import math

import pytest
import torch

from cad_node.networks.lesion_network import Features
from cad_node.train.losses import find_loss
from cad_node.train.supervision import CoarseHeads


def _features(decoder_4, decoder_8):
    nothing = torch.zeros(0)
    return Features(nothing, nothing, nothing, decoder_8=decoder_8, decoder_4=decoder_4)


def test_coarse_answers_cost_what_is_computed_by_hand():
    """Half sure everywhere, upper half a lesion. Of four cells two are lesion: log 2, and Dice 2 * 1 / (2 + 2).
    The one cell at an eighth of the size is half lesion: log 2, and no overlap is asked for."""
    heads = CoarseHeads((3, 5))
    for parameter in heads.parameters():
        torch.nn.init.zeros_(parameter)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4, :] = 1
    features = _features(torch.ones(1, 3, 2, 2), torch.ones(1, 5, 1, 1))
    expected = 0.5 * (math.log(2) + 0.5) + 0.25 * math.log(2)
    assert float(heads.loss(features, mask, find_loss("dice-bce"), 0.0).detach()) == pytest.approx(expected)


def test_both_maps_are_taught():
    heads = CoarseHeads((3, 5))
    fine, coarse = torch.ones(1, 3, 2, 2, requires_grad=True), torch.ones(1, 5, 1, 1, requires_grad=True)
    heads.loss(_features(fine, coarse), torch.ones(1, 1, 8, 8), find_loss("dice-bce"), 0.0).backward()
    assert fine.grad.abs().min() > 0
    assert coarse.grad.abs().min() > 0
