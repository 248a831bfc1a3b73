"""Which pixels are burnt in: a small U-Net over the grey picture.

Works at half resolution: the picture's 2 x 2 blocks are its input channels, and
each output cell carries the logits of its four pixels. That costs a quarter of a
U-Net at full resolution and keeps strokes of one pixel apart. Fully
convolutional: any size that is a multiple of `STRIDE`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from cad_node.networks.annotation_bundle import KINDS

STRIDE = 16


class AnnotationNetwork(nn.Module):
    """U-Net with four scales.

    Parameters
    ----------
    widths
        Channels at 1/2, 1/4, 1/8 and 1/16 of the picture.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (16, 32, 48, 64)) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = widths
        self.enter = nn.Sequential(_layer(4, half), _layer(half, half))
        self.down = nn.ModuleList(
            nn.Sequential(_layer(above, width, stride=2), _layer(width, width))
            for above, width in ((half, quarter), (quarter, eighth), (eighth, sixteenth))
        )
        self.up = nn.ModuleList(
            _layer(below + width, width)
            for below, width in ((sixteenth, eighth), (eighth, quarter), (quarter, half))
        )
        self.leave = nn.Conv2d(half, 4 * len(KINDS), 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (batch, kinds, rows, columns) in the order of `KINDS`.

        `image` is (batch, 1, rows, columns), (grey level - 127) / 128.
        """
        x = self.enter(functional.pixel_unshuffle(image, 2))
        skips = []
        for block in self.down:
            skips.append(x)
            x = block(x)
        for block in self.up:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, skips.pop()], dim=1))
        return functional.pixel_shuffle(self.leave(x), 2)


def _layer(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def build(config: Mapping[str, object]) -> AnnotationNetwork:
    """Build the network that `config` describes; unknown keys are an error.

    Raises
    ------
    ValueError
        A key or a value is not one that this architecture has.
    """
    unknown = set(config) - {"widths"}
    if unknown:
        raise ValueError(f"annotation-unet has no setting {sorted(unknown)}")
    widths = config.get("widths", (16, 32, 48, 64))
    if not isinstance(widths, (list, tuple)) or len(widths) != 4:
        raise ValueError("widths must be four numbers")
    half, quarter, eighth, sixteenth = (int(width) for width in widths)
    return AnnotationNetwork((half, quarter, eighth, sixteenth))
