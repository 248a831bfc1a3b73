"""`cad-node train --architecture` with one of the papers' networks."""

import json

import pytest
import torch

from cad_node.cli.train import train
from cad_node.errors import SettingsError
from cad_node.networks.papers import build_segmenter
from tests.unit.train.published import write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"), per_fold=2)


def _train(data, run, **changes):
    settings = {
        "task": "segmentation", "architecture": "resnet18", "folds": "1,2", "epochs": 1, "size_px": 64,
        "batch": 4, "threads": 1, "peak_rate": 1e-3,
    }  # fmt: skip
    train(data=data, run=run, **{**settings, **changes})


def test_network_is_tested_on_the_folds_left_out_and_can_be_loaded(data, tmp_path):
    _train(data, tmp_path)
    content = json.loads((tmp_path / "resnet18-segmentation.json").read_text())
    assert content["test_images"] == 6
    assert content["data"]["folds"] == [1, 2]
    assert {case["label"] for case in content["cases"]} == {"normal", "benign", "malignant"}
    network = build_segmenter("resnet18")
    network.load_state_dict(torch.load(tmp_path / "resnet18-segmentation.pt", weights_only=True))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"architecture": "vgg99"}, "no network 'vgg99'"),
        ({"architecture": "vgg16", "task": "lesions"}, "does not outline and class lesions"),
        ({"export": "mine"}, "cannot be exported"),
        ({"size_px": 32}, "no multiple of 32 from 64 on"),
        ({"folds": "1,2,5"}, "nothing is left to test on"),
        ({"task": "cooking"}, "no task 'cooking'"),
    ],
)
def test_what_cannot_be_trained_is_said(data, tmp_path, changes, problem):
    with pytest.raises(SettingsError, match=problem):
        _train(data, tmp_path, **changes)
