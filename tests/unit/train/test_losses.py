import math

import pytest
import torch

from cad_node.train.losses import class_loss, segmentation_loss


def _mask(rows):
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :rows, :] = 1
    return mask


def test_perfect_mask_costs_nothing():
    assert float(segmentation_loss((_mask(3) - 0.5) * 100, _mask(3))) == pytest.approx(0, abs=1e-4)


def test_opposite_mask_costs_the_whole_dice():
    logits = (_mask(3) - 0.5) * -8
    expected = math.log1p(math.exp(4)) + 1
    assert float(segmentation_loss(logits, _mask(3))) == pytest.approx(expected, abs=0.06)


def test_half_sure_everywhere_has_the_hand_computed_cost():
    """Cross-entropy log 2; Dice 2 * 0.5 * 24 / (0.5 * 64 + 24) for three of eight rows."""
    expected = math.log(2) + 1 - 24 / 56
    assert float(segmentation_loss(torch.zeros(1, 1, 8, 8), _mask(3))) == pytest.approx(expected, abs=1e-5)


def test_normal_image_is_judged_by_cross_entropy_alone():
    assert float(segmentation_loss(torch.zeros(1, 1, 8, 8), _mask(0))) == pytest.approx(math.log(2))


def test_weight_zero_takes_an_image_out_of_the_class_loss():
    logits = torch.tensor([[9.0, 0.0, 0.0], [0.0, 0.0, 9.0]])
    target = torch.tensor([0, 0])
    only_first = class_loss(logits, target, torch.tensor([1.0, 0.0]))
    assert float(only_first) == pytest.approx(float(class_loss(logits[:1], target[:1])))
    assert float(class_loss(logits, target, torch.zeros(2))) == 0
