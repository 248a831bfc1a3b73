"""GoogLeNet, the "InceptionNet" that the second paper turns to when a VGG does not suffice.

Source: Szegedy et al., Going deeper with convolutions, CVPR 2015, table 1, with
batch normalisation and, as in torchvision's published weights, 3x3 in place of
the 5x5 filters. Without the two auxiliary classifiers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cad_node.networks.papers.backbone import Backbone


class _Row(NamedTuple):
    """One row of table 1; `pool_after` names the pooling that follows."""

    name: str
    one: int
    reduce3: int
    three: int
    reduce5: int
    five: int
    pool: int
    pool_after: bool = False

    @property
    def channels(self) -> int:
        return self.one + self.three + self.five + self.pool


_ROWS = (
    _Row("3a", 64, 96, 128, 16, 32, 32),
    _Row("3b", 128, 128, 192, 32, 96, 64, pool_after=True),
    _Row("4a", 192, 96, 208, 16, 48, 64),
    _Row("4b", 160, 112, 224, 24, 64, 64),
    _Row("4c", 128, 128, 256, 24, 64, 64),
    _Row("4d", 112, 144, 288, 32, 64, 64),
    _Row("4e", 256, 160, 320, 32, 128, 128, pool_after=True),
    _Row("5a", 256, 160, 320, 32, 128, 128),
    _Row("5b", 384, 192, 384, 48, 128, 128),
)


class _Convolution(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


class _Inception(nn.Module):
    """Four branches side by side."""

    def __init__(self, width: int, row: _Row) -> None:
        super().__init__()
        self.branch1 = _Convolution(width, row.one, 1)
        self.branch2 = nn.Sequential(
            _Convolution(width, row.reduce3, 1), _Convolution(row.reduce3, row.three, 3)
        )
        self.branch3 = nn.Sequential(
            _Convolution(width, row.reduce5, 1), _Convolution(row.reduce5, row.five, 3)
        )
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), _Convolution(width, row.pool, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class GoogLeNet(Backbone):
    """Maps at strides 2, 4, 8, 16 and 32."""

    channels = (64, 192, 480, 832, 1024)
    # Its published weights were trained with all colours in [-1, 1].
    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)

    def __init__(self, classes: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = _Convolution(3, 64, 7, 2)
        self.conv2 = _Convolution(64, 64, 1)
        self.conv3 = _Convolution(64, 192, 3)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        width = 192
        for row in _ROWS:
            self.add_module(f"inception{row.name}", _Inception(width, row))
            width = row.channels
        self.dropout = nn.Dropout(dropout)
        self.fc: nn.Module = nn.Linear(width, classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, mean=0.0, std=0.01, a=-2, b=2)

    def _maps(self, x: Tensor) -> list[Tensor]:
        found = [self.conv1(x)]
        found.append(self.conv3(self.conv2(self.pool(found[-1]))))
        x = self.pool(found[-1])
        for row in _ROWS:
            x = getattr(self, f"inception{row.name}")(x)
            if row.pool_after:
                found.append(x)
                x = self.pool(x)
        return [*found, x]

    def _classify(self, coarsest: Tensor) -> Tensor:
        return self.fc(self.dropout(coarsest.mean(dim=(2, 3))))  # type: ignore[no-any-return]

    def _drop_head(self) -> None:
        self.fc = nn.Identity()
