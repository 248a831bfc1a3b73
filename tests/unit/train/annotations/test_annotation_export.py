"""A trained network as a folder: it comes back as it went, and nothing else does."""

import json

import numpy as np
import pytest
import torch

from cad_node.errors import ModelChecksumError, ModelError
from cad_node.networks import load_bundle
from cad_node.networks.annotation_bundle import load_annotation_bundle
from cad_node.networks.annotation_model import load_annotation_model, predict
from cad_node.networks.annotation_network import build
from cad_node.networks.bundle import METADATA_FILE, write_sums
from cad_node.train.annotations.export import Cut, attach_annotation_scores, export_annotations
from cad_node.train.annotations.loop import AnnotationTraining
from cad_node.train.export import Origin

from .grounds import STROKES_ONLY, tissue

WIDTHS = {"widths": [4, 8, 8, 8]}
ORIGIN = Origin(
    {"folds": [1, 2], "training": {"images": 3, "groups": 2, "BUSI": 3}, "held_out_devices": ["Toshiba"]},
    "cad-node train --task annotations --data DIR",
)


@pytest.fixture
def exported(tmp_path):
    torch.manual_seed(3)
    network = build(WIDTHS).eval()
    settings = AnnotationTraining(network=WIDTHS)
    folder = tmp_path / "marks"
    sha256 = export_annotations(network, settings, Cut(0.8, 0.4), ORIGIN, STROKES_ONLY, folder, "1.2.3")
    return folder, network, sha256


def test_reloaded_network_answers_as_the_exported_one(exported):
    folder, network, sha256 = exported
    grey = tissue(1, 101, 133)

    model = load_annotation_model(folder)

    assert model.bundle.sha256 == sha256
    assert (model.threshold, model.spread) == (0.8, 0.4)
    # Filters are kept in half precision.
    assert np.abs(model.predict(grey) - predict(network, grey)).max() < 5e-3


def test_changed_threshold_is_refused(exported):
    folder, _, _ = exported
    path = folder / METADATA_FILE
    path.write_text(path.read_text().replace('"threshold": 0.8', '"threshold": 0.9'))

    with pytest.raises(ModelChecksumError, match="metadata"):
        load_annotation_bundle(folder)


@pytest.mark.parametrize(
    "change", [{"kinds": ["tissue", "text"]}, {"spread": 0.9}, {"architecture": "other"}]
)
def test_folder_that_describes_something_else_is_refused(exported, change):
    folder, _, _ = exported
    path = folder / METADATA_FILE
    content = json.loads(path.read_text())
    content["cad_node"].update(change)
    path.write_text(json.dumps(content))
    write_sums(folder)

    with pytest.raises(ModelError, match="does not describe an annotation network"):
        load_annotation_bundle(folder)


def test_lesion_model_and_annotation_model_are_not_taken_for_each_other(exported):
    folder, _, _ = exported

    with pytest.raises(ModelError):
        load_bundle(folder)


def test_card_takes_its_figures_from_the_scorecard(exported):
    folder, _, sha256 = exported
    card = folder / "docs" / "README.md"
    assert "Not scored" in card.read_text()

    scores = {"node": {"strings, covered %": {"value": 98.5, "of": 40}}, "blanking alone": {}}
    attach_annotation_scores(folder, {"rows": ["strings, covered %"], "methods": scores})

    assert "| strings, covered % | 98.5 of 40 |  |" in card.read_text()
    assert sha256 in card.read_text()
    assert load_annotation_bundle(folder).sha256 == sha256
