"""Networks and the folders that hold their weights; the only room that runs torch for the node.

An architecture is one file with `build(config, encoder) -> LesionNetwork` and one line in
`NETWORKS`. A trained model is a folder that `load_bundle` verifies and
`load_model` makes ready to run.
"""

from cad_node.networks.bundle import Bundle, load_bundle
from cad_node.networks.lesion_network import LesionNetwork
from cad_node.networks.registry import NETWORKS, build_network
from cad_node.networks.runtime import LesionModel, Prediction, load_model, save_probability_maps

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
