"""The architectures by name: one file and one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cad_node.networks.lesion_network import LesionNetwork


class Architecture(NamedTuple):
    """How a network is built, on which encoder, and what it is in a few words."""

    build: Callable[[Mapping[str, object], str], LesionNetwork]
    encoder: str
    title: str


def _unet(config: Mapping[str, object], encoder: str) -> LesionNetwork:
    from cad_node.networks import lesion_network

    return lesion_network.build(config, encoder)


def _pair(config: Mapping[str, object], encoder: str) -> LesionNetwork:
    from cad_node.networks import lesion_pair

    return lesion_pair.build(config, encoder)


_ONE = "a MONAI FlexibleUNet on an {} encoder"
_TWO = "two MONAI FlexibleUNets, each on an {} encoder, one for outlines and one for classes"

NETWORKS: dict[str, Architecture] = {
    "flexible-unet-lite0": Architecture(_unet, "efficientnet-lite0", _ONE),
    "flexible-unet-lite1": Architecture(_unet, "efficientnet-lite1", _ONE),
    "flexible-unet-lite2": Architecture(_unet, "efficientnet-lite2", _ONE),
    "lesion-pair-lite0": Architecture(_pair, "efficientnet-lite0", _TWO),
}


def build_network(architecture: str, config: Mapping[str, object]) -> LesionNetwork:
    """Build a network by name.

    Raises
    ------
    KeyError
        There is no such architecture.
    ValueError
        It has no such setting; see `lesion_network.read_config`.
    """
    chosen = NETWORKS[architecture]
    return chosen.build(config, chosen.encoder)


def encoder_of(architecture: str) -> str:
    """Name of a lesion network's encoder, such as efficientnet-lite0."""
    return NETWORKS[architecture].encoder


def describe_architecture(architecture: str) -> str:
    """What a network is, for cards: a MONAI FlexibleUNet on an EfficientNet-Lite0 encoder."""
    encoder = encoder_of(architecture).replace("efficientnet-lite", "EfficientNet-Lite")
    return NETWORKS[architecture].title.format(encoder)
