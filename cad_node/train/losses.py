"""What training minimises: overlap and cross-entropy of masks, cross-entropy of classes.

`SEGMENTATION_LOSSES` has what can be chosen for masks. Each takes logits, masks and the share
of the run that is done, since a boundary says little until there is something to have one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.losses.boundary_loss import BoundaryLoss
from monai.losses.focal_loss import FocalLoss
from torch import Tensor
from torch.nn import functional

from cad_node.errors import SettingsError

SegmentationLoss = Callable[[Tensor, Tensor, float], Tensor]

DEFAULT_LOSS = "dice-bce"
# What the boundary weighs at the end of a run, distances as shares of the image's side. Kervadec and others
# count pixels: at 128 px this is their 0.5 for each.
BOUNDARY_WEIGHT = 64.0

_FOCAL = FocalLoss(gamma=2.0)
_BOUNDARY = BoundaryLoss()


def segmentation_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of all images plus soft Dice loss of those with a lesion.

    Both arguments are (batch, 1, rows, columns); `mask` is in [0, 1]. An image
    without a lesion has no overlap to speak of: only the cross-entropy judges it.
    """
    return functional.binary_cross_entropy_with_logits(logits, mask) + _dice_loss(logits, mask)


def focal_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """The same with focal loss (Lin and others, arXiv 1708.02002) in place of the cross-entropy.

    Pixels that are already right hardly count. MONAI's DiceFocalLoss would ask images without a
    lesion for overlap, too.
    """
    focal: Tensor = _FOCAL(logits, mask)
    return focal + _dice_loss(logits, mask)


def boundary_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """How far from the drawn outline wrong pixels lie (Kervadec and others, arXiv 1812.07032).

    The mean over all pixels of error times distance, in shares of the image's side: the
    paper's sum less what the drawn mask itself would have, so that a perfect mask costs 0.
    Images without an outline cost nothing.
    """
    distance: Tensor = _BOUNDARY.compute_distance_map(mask)
    error = logits.sigmoid() - (mask > 0.5).float()
    return (error * distance).mean() / mask.shape[-1]


def _dice_loss(logits: Tensor, mask: Tensor) -> Tensor:
    probability = logits.sigmoid()
    shared = (probability * mask).sum(dim=(1, 2, 3))
    total = probability.sum(dim=(1, 2, 3)) + mask.sum(dim=(1, 2, 3))
    dice = 1 - 2 * shared / total.clamp_min(1e-6)
    has_lesion = (mask.amax(dim=(1, 2, 3)) > 0.5).float()
    return (dice * has_lesion).sum() / has_lesion.sum().clamp_min(1)


SEGMENTATION_LOSSES: dict[str, SegmentationLoss] = {
    DEFAULT_LOSS: lambda logits, mask, _: segmentation_loss(logits, mask),
    "dice-focal": lambda logits, mask, _: focal_loss(logits, mask),
    "dice-bce-boundary": lambda logits, mask, done: (
        segmentation_loss(logits, mask) + BOUNDARY_WEIGHT * done * boundary_loss(logits, mask)
    ),
}


def find_loss(name: str) -> SegmentationLoss:
    """The loss of masks that is called so.

    Raises
    ------
    SettingsError
        There is none.
    """
    if name not in SEGMENTATION_LOSSES:
        raise SettingsError(
            f"There is no segmentation loss '{name}'.", f"There are {', '.join(SEGMENTATION_LOSSES)}."
        )
    return SEGMENTATION_LOSSES[name]


def class_loss(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy with slightly softened targets, averaged by `weight` an image.

    Neighbouring readers disagree on some of these labels; a softened target keeps
    the network from certainty that validation then has to undo.
    """
    each = functional.cross_entropy(logits, target, reduction="none", label_smoothing=0.03)
    if weight is None:
        return each.mean()
    return (each * weight).sum() / torch.clamp(weight.sum(), min=1.0)
