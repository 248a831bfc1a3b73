"""One network, two answers: where a lesion is, and what it is.

- MONAI FlexibleUNet on an EfficientNet-Lite encoder gives a lesion logit a pixel.
- The class head pools the same feature maps over the whole image, over a given
  lesion mask and over a rim around it, and adds the mask's own shape: each
  lesion of an image gets its own probabilities from one pass of the encoder.
- An empty mask is a valid question: the answer then rests on the whole image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from monai.networks.nets.flexible_unet import FlexibleUNet
from torch import Tensor, nn
from torch.nn import functional

from cad_node.networks.efficientnet_lite import (
    ENCODER_NAME,
    load_imagenet_weights,
    output_channels,
)

CLASS_NAMES = ("normal", "benign", "malignant")

_WIDE = 1280  # EfficientNet-Lite's last 1x1 convolution, pretrained on ImageNet; the same in Lite0, 1 and 2
_SHAPE_FEATURES = 4
_RIM_CELLS = 5  # side of the dilation at stride 8 that makes the rim


class Features(NamedTuple):
    """Maps that the class head pools: (batch, channels, rows / stride, columns / stride)."""

    encoder_8: Tensor
    encoder_16: Tensor
    wide_32: Tensor
    decoder_8: Tensor
    decoder_4: Tensor


class LesionNetwork(nn.Module):
    """Lesion segmentation with a class for each mask.

    Parameters
    ----------
    decoder_channels
        Channels of the five decoder steps, coarsest first.
    dropout
        Share of pooled features left out while training.
    encoder
        One of `efficientnet_lite.ENCODERS`.
    """

    def __init__(
        self,
        decoder_channels: tuple[int, int, int, int, int] = (128, 64, 48, 24, 8),
        dropout: float = 0.3,
        encoder: str = ENCODER_NAME,
    ) -> None:
        super().__init__()
        widths = output_channels(encoder)
        self.encoder_name = encoder
        self.unet = FlexibleUNet(
            in_channels=1,
            out_channels=1,
            backbone=encoder,
            decoder_channels=decoder_channels,
        )
        self._conv_head = nn.Conv2d(widths[-1], _WIDE, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(_WIDE, eps=1e-3, momentum=0.01)
        local = (widths[2], widths[3], decoder_channels[1], decoder_channels[2])
        # whole image + lesion, then lesion and rim of the finer maps, then the shape
        pooled = 2 * _WIDE + 2 * sum(local) + _SHAPE_FEATURES
        self.class_head = nn.Sequential(
            nn.LayerNorm(pooled),
            nn.Dropout(dropout),
            nn.Linear(pooled, 192),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(192, len(CLASS_NAMES)),
        )

    @property
    def segmenter(self) -> FlexibleUNet:
        """The U-Net that outlines."""
        return self.unet

    def load_imagenet(self, weights: Mapping[str, Tensor]) -> None:
        """Start from ImageNet: the encoder and its last 1x1 convolution.

        Raises
        ------
        KeyError
            `weights` are not those of this encoder.
        """
        load_imagenet_weights(self.unet.encoder, weights)
        self._conv_head.weight.data.copy_(weights["_conv_head.weight"])
        norm = {key.removeprefix("_bn1."): value for key, value in weights.items() if key.startswith("_bn1.")}
        self._bn1.load_state_dict(norm)

    def forward(self, image: Tensor) -> tuple[Tensor, Features]:
        """Lesion logits (batch, 1, rows, columns) and the maps for `classify`.

        `image` is (batch, 1, rows, columns), (grey level - 127) / 128, sides
        multiples of 32.
        """
        encoded = self.unet.encoder(image)
        decoded = self._decode(encoded, steps=len(self.unet.decoder.blocks))
        return self.unet.segmentation_head(decoded[-1]), self._features(encoded, decoded)

    def _decode(self, encoded: Sequence[Tensor], steps: int) -> list[Tensor]:
        """Maps after each of the first `steps` of the decoder, coarsest first."""
        skips: list[Tensor | None] = [*encoded[:-1][::-1], None]
        x = encoded[-1]
        decoded = []
        for block, skip in list(zip(self.unet.decoder.blocks, skips, strict=True))[:steps]:
            x = block(x, skip)
            decoded.append(x)
        return decoded

    def _features(self, encoded: Sequence[Tensor], decoded: Sequence[Tensor]) -> Features:
        return Features(
            encoder_8=encoded[2],
            encoder_16=encoded[3],
            wide_32=functional.relu6(self._bn1(self._conv_head(encoded[4]))),
            decoder_8=decoded[1],
            decoder_4=decoded[2],
        )

    def classify(self, features: Features, mask: Tensor) -> Tensor:
        """Class logits (batch, 3) in the order of `CLASS_NAMES` for one mask an image.

        `mask` is (batch, 1, rows, columns) at the size of the network's input, in
        [0, 1], hard or soft.
        """
        mask = mask.float()
        # Masks are cut to the grid of each map by area: (batch, 1, rows / 8, columns / 8) ...
        mask_4 = functional.avg_pool2d(mask, 4)
        mask_8 = functional.avg_pool2d(mask_4, 2)
        mask_16 = functional.avg_pool2d(mask_8, 2)
        mask_32 = functional.avg_pool2d(mask_16, 2)
        grown_8 = functional.max_pool2d(mask_8, _RIM_CELLS, 1, _RIM_CELLS // 2)
        rim_8 = grown_8 * (1 - mask_8)
        rim_16 = functional.avg_pool2d(rim_8, 2)
        rim_4 = functional.interpolate(rim_8, scale_factor=2.0, mode="nearest")
        pooled = [
            features.wide_32.float().mean(dim=(2, 3)),
            _masked_mean(features.wide_32, mask_32),
            _masked_mean(features.encoder_16, mask_16),
            _masked_mean(features.encoder_16, rim_16),
            _masked_mean(features.encoder_8, mask_8),
            _masked_mean(features.encoder_8, rim_8),
            _masked_mean(features.decoder_8, mask_8),
            _masked_mean(features.decoder_8, rim_8),
            _masked_mean(features.decoder_4, mask_4),
            _masked_mean(features.decoder_4, rim_4),
            _shape(mask_4),
        ]
        return self.class_head(torch.cat(pooled, dim=1))  # type: ignore[no-any-return]


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over a mask, (batch, channels); zero where the mask is empty."""
    total = (values.float() * mask).sum(dim=(2, 3))
    return total / mask.sum(dim=(2, 3)).clamp_min(1e-3)


def _shape(mask: Tensor) -> Tensor:
    """Presence, size, height to width, and likeness to an ellipse: (batch, 4).

    From the second moments: a filled ellipse covers 4 pi sqrt(det(covariance));
    a ragged or many-part mask covers less of it.
    """
    batch, _, rows, columns = mask.shape
    weight = mask[:, 0]
    area = weight.sum(dim=(1, 2))
    safe = area.clamp_min(1e-3)
    row = torch.arange(rows, dtype=weight.dtype, device=weight.device)[None, :, None]
    column = torch.arange(columns, dtype=weight.dtype, device=weight.device)[None, None, :]
    mean_row = (weight * row).sum(dim=(1, 2)) / safe
    mean_column = (weight * column).sum(dim=(1, 2)) / safe
    away_row = row - mean_row[:, None, None]
    away_column = column - mean_column[:, None, None]
    # one twelfth: the spread of a single cell, so that tiny masks stay finite
    var_row = (weight * away_row**2).sum(dim=(1, 2)) / safe + 1 / 12
    var_column = (weight * away_column**2).sum(dim=(1, 2)) / safe + 1 / 12
    covariance = (weight * away_row * away_column).sum(dim=(1, 2)) / safe
    determinant = (var_row * var_column - covariance**2).clamp_min(1e-3)
    presence = weight.reshape(batch, -1).amax(dim=1)
    size = torch.log1p(area) / 8
    aspect = 0.5 * torch.log(var_row / var_column) * presence
    filled = area / (4 * torch.pi * determinant.sqrt())
    return torch.stack([presence, size, aspect, filled.clamp_max(2)], dim=1)


class NetworkConfig(NamedTuple):
    """What may be set of a lesion network; each value has a default."""

    decoder_channels: tuple[int, int, int, int, int] = (128, 64, 48, 24, 8)
    dropout: float = 0.3


def read_config(config: Mapping[str, object]) -> NetworkConfig:
    """Check the settings of a network as a model folder or a run gives them.

    Raises
    ------
    ValueError
        A key or a value is not one that a lesion network has.
    """
    unknown = set(config) - set(NetworkConfig._fields)
    if unknown:
        raise ValueError(f"the lesion network has no setting {sorted(unknown)}")
    channels = config.get("decoder_channels", NetworkConfig().decoder_channels)
    dropout = config.get("dropout", NetworkConfig().dropout)
    if not isinstance(channels, (list, tuple)) or len(channels) != 5:
        raise ValueError("decoder_channels must be five numbers")
    if not isinstance(dropout, (int, float)):
        raise ValueError("dropout must be a number")
    first, second, third, fourth, fifth = (int(channel) for channel in channels)
    return NetworkConfig((first, second, third, fourth, fifth), float(dropout))


def build(config: Mapping[str, object], encoder: str = ENCODER_NAME) -> LesionNetwork:
    """Build the network that `config` describes.

    Raises
    ------
    ValueError
        See `read_config`.
    """
    return LesionNetwork(*read_config(config), encoder=encoder)
