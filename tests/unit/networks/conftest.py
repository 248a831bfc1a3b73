import shutil

import pytest
import torch

from cad_node.networks.lesion_network import build
from cad_node.train.export import Decisions, Origin, export_bundle
from cad_node.train.loop import TrainSettings

SMALL = {"decoder_channels": [16, 12, 8, 8, 4]}
SETTINGS = TrainSettings(network=SMALL, size_px=64)


@pytest.fixture(scope="session")
def small_network():
    torch.manual_seed(7)
    return build(SMALL).eval()


@pytest.fixture(scope="session")
def exported(tmp_path_factory, small_network):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    decisions = Decisions(temperature=1.5, threshold=0.4, normal_veto=0.7, flips=True)
    origin = Origin({"folds": [1, 2], "training": {"images": 3, "groups": 2}}, "cad-node train")
    export_bundle(small_network, SETTINGS, decisions, origin, folder, "1.2.3")
    return folder


@pytest.fixture
def bundle_folder(tmp_path, exported):
    """A complete model folder with an untrained network, free to be broken."""
    return shutil.copytree(exported, tmp_path / "tiny")
