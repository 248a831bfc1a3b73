import math

import pytest
import torch
from monai.losses import BoundaryLoss

from cad_node.errors import SettingsError
from cad_node.train.losses import (
    BOUNDARY_WEIGHT,
    boundary_loss,
    class_loss,
    find_loss,
    focal_loss,
    segmentation_loss,
)


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


def test_focal_loss_of_half_sure_everywhere_has_the_hand_computed_cost():
    """(1 - 0.5)² of the cross-entropy log 2, and the Dice of above."""
    expected = math.log(2) / 4 + 1 - 24 / 56
    assert float(focal_loss(torch.zeros(1, 1, 8, 8), _mask(3))) == pytest.approx(expected, abs=1e-5)


def test_boundary_loss_of_half_sure_everywhere_has_the_hand_computed_cost():
    """Rows lie 2, 1, 0 inside and 1 to 5 outside the outline, in eighths of the side; all are half wrong."""
    expected = 0.5 * (2 + 1 + 0 + 1 + 2 + 3 + 4 + 5) / 8 / 8
    assert float(boundary_loss(torch.zeros(1, 1, 8, 8), _mask(3))) == pytest.approx(expected)


def test_boundary_loss_pulls_as_that_of_monai_and_is_nothing_for_a_perfect_mask():
    logits = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    masks = torch.cat([_mask(3), _mask(5)])
    (ours,) = torch.autograd.grad(boundary_loss(logits, masks), logits)
    (theirs,) = torch.autograd.grad(BoundaryLoss(sigmoid=True)(logits, masks) / 8, logits)
    torch.testing.assert_close(ours, theirs)
    assert float(boundary_loss((masks - 0.5) * 100, masks)) == pytest.approx(0, abs=1e-6)


def test_image_without_outline_has_no_boundary_loss():
    assert float(boundary_loss(torch.zeros(1, 1, 8, 8), _mask(0))) == 0


def test_boundary_counts_more_as_the_run_goes_on():
    loss, logits, mask = find_loss("dice-bce-boundary"), torch.zeros(1, 1, 8, 8), _mask(3)
    base, boundary = float(segmentation_loss(logits, mask)), float(boundary_loss(logits, mask))
    assert float(loss(logits, mask, 0.0)) == pytest.approx(base)
    assert float(loss(logits, mask, 0.5)) == pytest.approx(base + BOUNDARY_WEIGHT * boundary / 2)


def test_unknown_loss_is_refused_with_the_names_there_are():
    with pytest.raises(SettingsError, match="no segmentation loss 'dice'") as refused:
        find_loss("dice")
    assert "dice-bce, dice-focal, dice-bce-boundary" in str(refused.value)


def test_weight_zero_takes_an_image_out_of_the_class_loss():
    logits = torch.tensor([[9.0, 0.0, 0.0], [0.0, 0.0, 9.0]])
    target = torch.tensor([0, 0])
    only_first = class_loss(logits, target, torch.tensor([1.0, 0.0]))
    assert float(only_first) == pytest.approx(float(class_loss(logits[:1], target[:1])))
    assert float(class_loss(logits, target, torch.zeros(2))) == 0
