"""EfficientNet-Lite0, 1 and 2 as encoders for MONAI's FlexibleUNet.

The Lite family is EfficientNet without squeeze-and-excitation and with ReLU6
in place of swish, made for processors without a fast sigmoid; it is the
quickest ImageNet encoder on the CPU of a small node. Parameter names follow the
published PyTorch weights (``_conv_stem``, ``_blocks.N._expand_conv`` ...), so
that those weights load without a translation table.

Source: https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html
and Tan and Le, EfficientNet, ICML 2019 (arXiv 1905.11946), table 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from monai.networks.blocks.encoder import BaseEncoder
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE
from torch import Tensor, nn
from torch.nn import functional

ENCODER_NAME = "efficientnet-lite0"

# TensorFlow's batch normalisation constants, with which the ImageNet weights were made.
_BATCH_NORM_EPSILON = 1e-3
_BATCH_NORM_MOMENTUM = 0.01


class _Stage(NamedTuple):
    """One row of table 1 of the EfficientNet paper."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


class Scaling(NamedTuple):
    """How much wider and deeper than Lite0; stem and head keep their size in the whole Lite family."""

    width: float
    depth: float


ENCODERS = {
    ENCODER_NAME: Scaling(1.0, 1.0),
    "efficientnet-lite1": Scaling(1.0, 1.1),
    "efficientnet-lite2": Scaling(1.1, 1.2),
}

_STEM_CHANNELS = 32
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
# Stages whose last block is the deepest map at strides 2, 4, 8, 16 and 32.
_OUTPUT_STAGES = (0, 1, 2, 4, 6)
OUTPUT_CHANNELS = (16, 24, 40, 112, 320)


def _scaled_channels(channels: int, width: float) -> int:
    """Channels times `width` to the nearest multiple of 8, never more than a tenth below."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def scaled_stages(scaling: Scaling) -> tuple[_Stage, ...]:
    """The stages of a member of the family; the first and the last are never repeated more often."""
    last = len(_STAGES) - 1
    return tuple(
        stage._replace(
            channels=_scaled_channels(stage.channels, scaling.width),
            repeats=stage.repeats if number in (0, last) else math.ceil(stage.repeats * scaling.depth),
        )
        for number, stage in enumerate(_STAGES)
    )


def output_channels(encoder: str) -> tuple[int, ...]:
    """Channels of an encoder's five maps, finest first."""
    stages = scaled_stages(ENCODERS[encoder])
    return tuple(stages[number].channels for number in _OUTPUT_STAGES)


class _SameConv2d(nn.Conv2d):
    """Convolution padded as TensorFlow's "SAME": the odd pixel goes right and below.

    Symmetric padding would shift every feature map by half a cell against the
    ImageNet weights at each stride of two.
    """

    def forward(self, input: Tensor) -> Tensor:
        rows, columns = input.shape[-2:]
        top, bottom = _same_padding(rows, self.kernel_size[0], self.stride[0])
        left, right = _same_padding(columns, self.kernel_size[1], self.stride[1])
        if top == bottom and left == right:
            return functional.conv2d(
                input, self.weight, self.bias, self.stride, (top, left), self.dilation, self.groups
            )
        padded = functional.pad(input, (left, right, top, bottom))
        return functional.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels to add before and after a side of `size` pixels."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_BATCH_NORM_EPSILON, momentum=_BATCH_NORM_MOMENTUM)


class _InvertedResidual(nn.Module):
    """Expand, depth-wise convolution, project; with a shortcut where shapes agree."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = in_channels * expansion
        self._expands = expansion != 1
        self._has_shortcut = stride == 1 and in_channels == channels
        if self._expands:
            self._expand_conv = nn.Conv2d(in_channels, wide, 1, bias=False)
            self._bn0 = _batch_norm(wide)
        self._depthwise_conv = _SameConv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = _batch_norm(wide)
        self._project_conv = nn.Conv2d(wide, channels, 1, bias=False)
        self._bn2 = _batch_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        if self._expands:
            x = functional.relu6(self._bn0(self._expand_conv(x)))
        x = functional.relu6(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(x))
        return x + shortcut if self._has_shortcut else x


class EfficientNetLiteEncoder(nn.Module, BaseEncoder):
    """Feature maps of an EfficientNet-Lite at strides 2, 4, 8, 16 and 32.

    Parameters
    ----------
    spatial_dims
        Only 2; MONAI's encoder contract passes it.
    in_channels
        1 for grey images, 3 for ImageNet's colours.
    pretrained
        Only False: this node fetches nothing. Training loads a weight file that
        the user names, see `load_imagenet_weights`.
    scaling
        Member of the family; see `ENCODERS`.
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 1,
        pretrained: bool = False,
        scaling: Scaling = ENCODERS[ENCODER_NAME],
    ) -> None:
        super().__init__()
        if spatial_dims != 2:
            raise ValueError(f"EfficientNet-Lite is two-dimensional, not {spatial_dims}")
        if pretrained:
            raise ValueError("weights come from a file: see load_imagenet_weights")
        self._conv_stem = _SameConv2d(in_channels, _STEM_CHANNELS, 3, 2, bias=False)
        self._bn0 = _batch_norm(_STEM_CHANNELS)
        blocks: list[nn.Module] = []
        width = _STEM_CHANNELS
        self._outputs: list[int] = []
        for number, stage in enumerate(scaled_stages(scaling)):
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                blocks.append(_InvertedResidual(width, stage.channels, stage.kernel, stride, stage.expansion))
                width = stage.channels
            if number in _OUTPUT_STAGES:
                self._outputs.append(len(blocks) - 1)
        self._blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Five maps, finest first; `x` is (batch, channels, rows, columns)."""
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        maps = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in self._outputs:
                maps.append(x)
        return maps

    @classmethod
    def get_encoder_parameters(cls) -> list[dict[str, object]]:
        """Arguments that FlexibleUNet fills in, one dictionary an encoder name."""
        return [
            {"spatial_dims": 2, "in_channels": 1, "pretrained": False, "scaling": scaling}
            for scaling in ENCODERS.values()
        ]

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        """Channels of each feature map, finest first."""
        return [output_channels(name) for name in ENCODERS]

    @classmethod
    def num_outputs(cls) -> list[int]:
        """Count of feature maps."""
        return [len(_OUTPUT_STAGES)] * len(ENCODERS)

    @classmethod
    def get_encoder_names(cls) -> list[str]:
        """Names under which FlexibleUNet finds these encoders."""
        return list(ENCODERS)


def load_imagenet_weights(encoder: EfficientNetLiteEncoder, weights: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Copy published ImageNet weights into an encoder and name the keys left over.

    A grey image repeated over three colours gives the same stem response as the
    sum of the stem's three filters on one channel, so the sum is what a
    one-channel encoder gets.

    Raises
    ------
    KeyError
        A weight that the encoder needs is not in `weights`, or is another member's.
    """
    own = encoder.state_dict()
    missing = sorted(key for key in own if key not in weights and not key.endswith("num_batches_tracked"))
    if missing:
        raise KeyError(f"no ImageNet weight for {missing[0]} and {len(missing) - 1} more")
    chosen = {key: weights[key] for key in own if key in weights}
    for key, value in chosen.items():
        if key != "_conv_stem.weight" and value.shape != own[key].shape:
            raise KeyError(f"the ImageNet weight {key} is {tuple(value.shape)}, not {tuple(own[key].shape)}")
    stem = chosen["_conv_stem.weight"]
    if own["_conv_stem.weight"].shape[1] == 1 and stem.shape[1] == 3:
        chosen["_conv_stem.weight"] = stem.sum(dim=1, keepdim=True)
    with torch.no_grad():
        encoder.load_state_dict(chosen, strict=False)
    return tuple(sorted(set(weights) - set(own)))


FLEXUNET_BACKBONE.register_class(EfficientNetLiteEncoder)
