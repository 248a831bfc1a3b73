"""Networks and the folders that hold their weights; the only room that runs torch for the node.

An architecture is one file with `build(config, encoder) -> LesionNetwork` and one line in
`NETWORKS`. A trained model is a folder that `load_bundle` verifies and
`load_model` makes ready to run. What says what a model is (`bundle`,
`annotation_bundle`, `registry`) needs no torch: a node's main process asks that alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from cad_node.networks.bundle import Bundle, load_bundle
from cad_node.networks.registry import NETWORKS, build_network

if TYPE_CHECKING:
    from cad_node.networks.lesion_network import LesionNetwork
    from cad_node.networks.runtime import LesionModel, Prediction, load_model, save_probability_maps

_WITH_TORCH = {
    "LesionModel": "runtime",
    "LesionNetwork": "lesion_network",
    "Prediction": "runtime",
    "load_model": "runtime",
    "save_probability_maps": "runtime",
}

__all__ = [
    "NETWORKS",
    "Bundle",
    "LesionModel",
    "LesionNetwork",
    "Prediction",
    "build_network",
    "load_bundle",
    "load_model",
    "save_probability_maps",
]


def __getattr__(name: str) -> object:
    """Import torch and MONAI with the first name that needs them."""
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)
