"""ResNet, DenseNet-161 and U-Net as MONAI has them, opened up into maps and a head.

Sources: He et al., arXiv 1512.03385; Huang et al., arXiv 1608.06993, with growth
48; Ronneberger et al., arXiv 1505.04597, in MONAI's form (padded convolutions,
so that the map has the size of the image, and normalisation).
"""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.densenet import DenseNet
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn

from cad_node.networks.papers.backbone import Backbone

_STAGE_CHANNELS = [64, 128, 256, 512]
_RESNETS = {"resnet18": ("basic", [2, 2, 2, 2], 1), "resnet50": ("bottleneck", [3, 4, 6, 3], 4)}
_UNET_CHANNELS = (64, 128, 256, 512, 1024)


class ResNetBackbone(Backbone):
    """Maps at strides 2, 4, 8, 16 and 32."""

    def __init__(self, name: str, classes: int, dropout: float) -> None:
        super().__init__()
        block, layers, expansion = _RESNETS[name]
        self.channels = (64, *(expansion * channels for channels in _STAGE_CHANNELS))
        self.net: Any = ResNet(
            block,
            layers,
            _STAGE_CHANNELS,
            spatial_dims=2,
            n_input_channels=3,
            conv1_t_size=7,
            conv1_t_stride=2,
            num_classes=classes,
            bias_downsample=False,
        )
        self.dropout = nn.Dropout(dropout)

    def _maps(self, x: Tensor) -> list[Tensor]:
        net = self.net
        found = [net.act(net.bn1(net.conv1(x)))]
        x = net.maxpool(found[0])
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            x = stage(x)
            found.append(x)
        return found

    def _classify(self, coarsest: Tensor) -> Tensor:
        return self.net.fc(self.dropout(coarsest.mean(dim=(2, 3))))  # type: ignore[no-any-return]

    def _drop_head(self) -> None:
        self.net.fc = nn.Identity()


class DenseNetBackbone(Backbone):
    """DenseNet-161: maps at strides 2, 4, 8, 16 and 32."""

    channels = (96, 384, 768, 2112, 2208)

    def __init__(self, classes: int, dropout: float) -> None:
        super().__init__()
        self.net: Any = DenseNet(
            2, 3, classes, init_features=96, growth_rate=48, block_config=(6, 12, 36, 24)
        )
        self.dropout = nn.Dropout(dropout)

    def _maps(self, x: Tensor) -> list[Tensor]:
        found = []
        for name, layer in self.net.features.named_children():
            x = layer(x)
            if name == "relu0" or name.startswith("denseblock"):
                found.append(x)
        found[-1] = torch.relu(x)  # after norm5
        return found

    def _classify(self, coarsest: Tensor) -> Tensor:
        return self.net.class_layers.out(self.dropout(coarsest.mean(dim=(2, 3))))  # type: ignore[no-any-return]

    def _drop_head(self) -> None:
        self.net.class_layers = nn.Identity()


class UNetBackbone(Backbone):
    """The contracting path of the U-Net with a linear head, for the first paper's classification by U-Net.

    The paper does not say how its U-Net classifies; this is the plainest way.
    """

    channels = _UNET_CHANNELS
    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)

    def __init__(self, classes: int, dropout: float) -> None:
        super().__init__()
        self.net = _unet()
        for name in ("upcat_4", "upcat_3", "upcat_2", "upcat_1", "final_conv"):
            delattr(self.net, name)
        self.dropout = nn.Dropout(dropout)
        self.fc: nn.Module = nn.Linear(_UNET_CHANNELS[-1], classes)

    def _maps(self, x: Tensor) -> list[Tensor]:
        found = [self.net.conv_0(x)]
        for step in (self.net.down_1, self.net.down_2, self.net.down_3, self.net.down_4):
            found.append(step(found[-1]))
        return found

    def _classify(self, coarsest: Tensor) -> Tensor:
        return self.fc(self.dropout(coarsest.mean(dim=(2, 3))))  # type: ignore[no-any-return]

    def _drop_head(self) -> None:
        self.fc = nn.Identity()


class UNetSegmenter(nn.Module):
    """The whole U-Net: lesion logits (batch, 1, rows, columns) of grey images in [0, 1]."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.net = _unet()
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, grey: Tensor) -> Tensor:
        """Sides must be multiples of 16."""
        x0 = self.net.conv_0(((grey - 0.5) / 0.5).expand(-1, 3, -1, -1))
        x1 = self.net.down_1(x0)
        x2 = self.net.down_2(x1)
        x3 = self.net.down_3(x2)
        x = self.dropout(self.net.down_4(x3))
        for step, skip in (
            (self.net.upcat_4, x3),
            (self.net.upcat_3, x2),
            (self.net.upcat_2, x1),
            (self.net.upcat_1, x0),
        ):
            x = step(x, skip)
        return self.net.final_conv(x)  # type: ignore[no-any-return]


def _unet() -> BasicUNet:
    return BasicUNet(
        spatial_dims=2,
        in_channels=3,
        out_channels=1,
        features=(*_UNET_CHANNELS, 64),
        act=("relu", {"inplace": True}),
        norm="batch",
        bias=False,
    )
