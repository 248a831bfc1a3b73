"""What every network of the papers is made of: maps from fine to coarse, and a head or a decoder on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from monai.networks.nets.basic_unet import TwoConv
from torch import Tensor, nn
from torch.nn import functional

# Colour statistics that the published ImageNet weights expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_DECODER_CHANNELS = 256  # of the coarsest step; each finer one has half
_LEAST_CHANNELS = 32


class Backbone(nn.Module, ABC):
    """A network that gives feature maps and, from the coarsest of them, class logits.

    Attributes
    ----------
    channels
        Of each map that `maps` returns, finest first.
    mean, std
        Of the three input channels in [0, 1].
    """

    channels: Sequence[int]
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD

    def maps(self, x: Tensor) -> list[Tensor]:
        """Feature maps, finest first; `x` is (batch, 3, rows, columns), normalised."""
        return self._maps(x)

    def classify(self, coarsest: Tensor) -> Tensor:
        """Class logits (batch, classes) from the last of the maps."""
        return self._classify(coarsest)

    def drop_head(self) -> None:
        """Forget the classifier, which a segmentation network does not use."""
        self._drop_head()

    @abstractmethod
    def _maps(self, x: Tensor) -> list[Tensor]: ...

    @abstractmethod
    def _classify(self, coarsest: Tensor) -> Tensor: ...

    @abstractmethod
    def _drop_head(self) -> None: ...


def _as_colours(grey: Tensor, backbone: Backbone) -> Tensor:
    """Grey levels (batch, 1, rows, columns) in [0, 1] as three normalised channels."""
    mean = torch.tensor(backbone.mean, dtype=grey.dtype, device=grey.device).reshape(1, 3, 1, 1)
    std = torch.tensor(backbone.std, dtype=grey.dtype, device=grey.device).reshape(1, 3, 1, 1)
    return (grey - mean) / std  # broadcast over the three channels


class Classifier(nn.Module):
    """Class logits (batch, classes) of grey images (batch, 1, rows, columns) in [0, 1]."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, grey: Tensor) -> Tensor:
        """Look at the whole image; nothing is known of a mask."""
        return self.backbone.classify(self.backbone.maps(_as_colours(grey, self.backbone))[-1])


class Segmenter(nn.Module):
    """A U-shaped decoder over a backbone's maps: one lesion logit a pixel.

    Maps are brought to the size of the next finer one and joined with it, whatever
    their strides: AlexNet's are not powers of two.

    Parameters
    ----------
    backbone
        Its classifier is taken away.
    dropout
        Share of the channels of the finest step that are left out while training.
    """

    def __init__(self, backbone: Backbone, dropout: float = 0.0) -> None:
        super().__init__()
        backbone.drop_head()
        self.backbone = backbone
        *finer, width = backbone.channels
        steps = []
        wanted = _DECODER_CHANNELS
        for skip in reversed(finer):
            steps.append(TwoConv(2, width + skip, wanted, ("relu", {"inplace": True}), "batch", bias=False))
            width, wanted = wanted, max(wanted // 2, _LEAST_CHANNELS)
        self.steps = nn.ModuleList(steps)
        self.dropout = nn.Dropout2d(dropout)
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, grey: Tensor) -> Tensor:
        """Lesion logits (batch, 1, rows, columns) of grey images of that size in [0, 1]."""
        *finer, x = self.backbone.maps(_as_colours(grey, self.backbone))
        for step, skip in zip(self.steps, reversed(finer), strict=True):
            x = functional.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = step(torch.cat([x, skip], dim=1))
        logits = self.last(self.dropout(x))
        return functional.interpolate(logits, size=grey.shape[-2:], mode="bilinear", align_corners=False)
