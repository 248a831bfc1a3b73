"""AlexNet and the VGG family: plain stacks of convolutions, each one line of a table.

Sources: Krizhevsky, One weird trick for parallelizing convolutional neural
networks, arXiv 1404.5997 (the one-column AlexNet that torchvision publishes);
Simonyan and Zisserman, Very deep convolutional networks, arXiv 1409.1556, table 1.
"""

from __future__ import annotations

from torch import Tensor, nn

from cad_node.networks.papers.backbone import Backbone

# Channels of the 3x3 convolutions between two pools. VGG-16 is configuration D, VGG-19 is E.
# The second paper names a VGG-12 and prints no table: this is configuration A (VGG-11) with the second
# convolution of configuration B at full size, nine convolutions and three full connections.
VGG_BLOCKS = {
    "vgg12": ((64, 64), (128,), (256, 256), (512, 512), (512, 512)),
    "vgg16": ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
    "vgg19": ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
}


class _Stack(Backbone):
    """Layers one after the other, a pool to a fixed size, a classifier; maps are taken before `ends`."""

    ends: tuple[int, ...]
    features: nn.Sequential
    avgpool: nn.Module
    classifier: nn.Module

    def _maps(self, x: Tensor) -> list[Tensor]:
        found = []
        for number, layer in enumerate(self.features):
            if number in self.ends:
                found.append(x)
            x = layer(x)
        return [*found, x]

    def _classify(self, coarsest: Tensor) -> Tensor:
        return self.classifier(self.avgpool(coarsest).flatten(1))  # type: ignore[no-any-return]

    def _drop_head(self) -> None:
        self.classifier = nn.Identity()


class Vgg(_Stack):
    """A member of the family; maps are taken before each pool and after the last one."""

    def __init__(self, name: str, classes: int, dropout: float) -> None:
        super().__init__()
        blocks = VGG_BLOCKS[name]
        layers: list[nn.Module] = []
        ends: list[int] = []
        width = 3
        for block in blocks:
            for channels in block:
                layers += [nn.Conv2d(width, channels, 3, padding=1), nn.ReLU(inplace=True)]
                width = channels
            ends.append(len(layers))
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.ends = tuple(ends)
        self.channels = (*(block[-1] for block in blocks), width)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(width * 49, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, classes),
        )
        _initialise(self)


class AlexNet(_Stack):
    """Five convolutions and three full connections; maps before each pool and after the last one."""

    channels = (64, 192, 256, 256)
    ends = (2, 5, 12)

    def __init__(self, classes: int, dropout: float) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 36, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, classes),
        )
        _initialise(self)


def _initialise(network: nn.Module) -> None:
    """He et al., arXiv 1502.01852: without it a stack this deep and without batch norm does not start."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            nn.init.zeros_(module.bias)
