"""Deep supervision: the decoder's coarser maps are asked for the lesion, too, while training.

The heads that answer belong to the run, not to the network: what is exported has none.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from cad_node.networks.lesion_network import Features
from cad_node.train.losses import SegmentationLoss

# Cells a side are this much fewer than pixels, and their loss weighs so much beside the full size's 1.
_STEPS = ((4, 0.5), (8, 0.25))


class CoarseHeads(nn.Module):
    """A lesion logit for each cell of the decoder's maps at a quarter and an eighth of the size.

    Parameters
    ----------
    channels
        Of these two maps, the finer first.
    """

    def __init__(self, channels: tuple[int, int]) -> None:
        super().__init__()
        self.heads = nn.ModuleList([nn.Conv2d(each, 1, 1) for each in channels])

    def loss(self, features: Features, mask: Tensor, loss: SegmentationLoss, done: float) -> Tensor:
        """What the coarse answers cost together; the mask is cut to their cells by area."""
        maps = (features.decoder_4, features.decoder_8)
        costs = [
            weight * loss(head(values), functional.avg_pool2d(mask, step), done)
            for head, values, (step, weight) in zip(self.heads, maps, _STEPS, strict=True)
        ]
        return costs[0] + costs[1]
