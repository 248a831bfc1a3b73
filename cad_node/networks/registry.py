"""The architectures by name: one file and one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from cad_node.networks import lesion_network
from cad_node.networks.lesion_network import LesionNetwork

NETWORKS: dict[str, Callable[[Mapping[str, object]], LesionNetwork]] = {
    "flexible-unet-lite0": lesion_network.build,
    "flexible-unet-lite1": partial(lesion_network.build, encoder="efficientnet-lite1"),
    "flexible-unet-lite2": partial(lesion_network.build, encoder="efficientnet-lite2"),
}


def encoder_of(architecture: str) -> str:
    """Name of a lesion network's encoder, such as efficientnet-lite0."""
    return architecture.replace("flexible-unet-lite", "efficientnet-lite")


def encoder_title(architecture: str) -> str:
    """The same as it is written in text: EfficientNet-Lite0."""
    return encoder_of(architecture).replace("efficientnet-lite", "EfficientNet-Lite")
