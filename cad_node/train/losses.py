"""What training minimises: overlap and cross-entropy of masks, cross-entropy of classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def segmentation_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of all images plus soft Dice loss of those with a lesion.

    Both arguments are (batch, 1, rows, columns); `mask` is in [0, 1]. An image
    without a lesion has no overlap to speak of: only the cross-entropy judges it.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, mask)
    probability = logits.sigmoid()
    shared = (probability * mask).sum(dim=(1, 2, 3))
    total = probability.sum(dim=(1, 2, 3)) + mask.sum(dim=(1, 2, 3))
    dice = 1 - 2 * shared / total.clamp_min(1e-6)
    has_lesion = (mask.amax(dim=(1, 2, 3)) > 0.5).float()
    return entropy + (dice * has_lesion).sum() / has_lesion.sum().clamp_min(1)


def class_loss(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy with slightly softened targets, averaged by `weight` an image.

    Neighbouring readers disagree on some of these labels; a softened target keeps
    the network from certainty that validation then has to undo.
    """
    each = functional.cross_entropy(logits, target, reduction="none", label_smoothing=0.03)
    if weight is None:
        return each.mean()
    return (each * weight).sum() / torch.clamp(weight.sum(), min=1.0)
