"""The papers' networks by name: one line each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from cad_node.networks.lesion_network import CLASS_NAMES
from cad_node.networks.papers.backbone import Backbone, Classifier, Segmenter
from cad_node.networks.papers.from_monai import (
    DenseNetBackbone,
    ResNetBackbone,
    UNetBackbone,
    UNetSegmenter,
)
from cad_node.networks.papers.googlenet import GoogLeNet
from cad_node.networks.papers.plain import AlexNet, Vgg

# Each takes the number of classes and the share of dropout before the last layers.
BACKBONES: dict[str, Callable[[int, float], Backbone]] = {
    "alexnet": AlexNet,
    "vgg12": partial(Vgg, "vgg12"),
    "vgg16": partial(Vgg, "vgg16"),
    "vgg19": partial(Vgg, "vgg19"),
    "resnet18": partial(ResNetBackbone, "resnet18"),
    "resnet50": partial(ResNetBackbone, "resnet50"),
    "densenet161": DenseNetBackbone,
    "inception": GoogLeNet,
    "unet": UNetBackbone,
}


def build_classifier(name: str, dropout: float = 0.33, classes: int = len(CLASS_NAMES)) -> Classifier:
    """A classifier of whole images, from scratch.

    Raises
    ------
    KeyError
        There is no such network.
    """
    return Classifier(BACKBONES[name](classes, dropout))


def build_segmenter(name: str, dropout: float = 0.33) -> nn.Module:
    """The network as the encoder of a segmentation network, from scratch; `unet` is the U-Net itself.

    Raises
    ------
    KeyError
        There is no such network.
    """
    if name == "unet":
        return UNetSegmenter(dropout)
    return Segmenter(BACKBONES[name](1, 0.0), dropout)
