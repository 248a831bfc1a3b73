import json

import pytest
import torch

from cad_node.networks.bundle import load_bundle
from cad_node.networks.lesion_network import build
from cad_node.train.cases import Case
from cad_node.train.evaluate import scorecard
from cad_node.train.export import Decisions, Origin, attach_scorecard, export_bundle
from cad_node.train.loop import TrainSettings
from cad_node.train.run import settings_from_json

SMALL = {"decoder_channels": [16, 12, 8, 8, 4]}
SETTINGS = TrainSettings(network=SMALL, size_px=64, epochs=9)
ORIGIN = Origin({"folds": [1, 2, 3, 4], "epochs": 7, "clean_copies": 12}, "cad-node train --data DIR")


def _export(folder):
    torch.manual_seed(1)
    return export_bundle(
        build(SMALL).eval(), SETTINGS, Decisions(1.2, 0.45, 0.6, True), ORIGIN, folder, "2.0.0"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "breast"
    _export(folder)
    return folder


def _card():
    case = Case("BUSI", "benign", "g", "x", 0.8123, 0.7, 1, 1, 1, 0, (0.1, 0.8, 0.1))
    return scorecard([case], [], {"name": "breast"}, [5], 19)


def test_folder_holds_what_a_monai_bundle_must(folder):
    for name in ("configs/metadata.json", "configs/inference.json", "configs/train.json",
                 "models/model.pt", "docs/README.md", "LICENSE", "SHA256SUMS"):  # fmt: skip
        assert (folder / name).is_file(), name
    metadata = json.loads((folder / "configs/metadata.json").read_text())
    for key in ("version", "monai_version", "pytorch_version", "numpy_version", "task", "description",
                "authorship", "copyright", "network_data_format"):  # fmt: skip
        assert metadata[key], key


def test_hash_is_that_of_the_loaded_bundle(folder, tmp_path):
    assert _export(tmp_path / "breast") == load_bundle(folder).sha256


def test_training_settings_can_be_read_back(folder):
    saved = json.loads((folder / "configs/train.json").read_text())
    assert settings_from_json(saved["settings"]) == SETTINGS
    assert saved["command"] == "cad-node train --data DIR"


def test_training_settings_from_before_there_was_a_choice_of_losses_are_the_default(folder):
    settings = json.loads((folder / "configs/train.json").read_text())["settings"]
    del settings["segmentation_loss"], settings["deep_supervision"]
    assert settings_from_json(settings) == SETTINGS


def test_exporting_again_replaces_the_folder(tmp_path):
    _export(tmp_path / "breast")
    (tmp_path / "breast" / "stray.txt").touch()
    _export(tmp_path / "breast")
    assert not (tmp_path / "breast" / "stray.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["breast"]


def test_unscored_model_says_so_in_its_card(folder):
    assert "Not scored: do not use." in (folder / "docs/README.md").read_text()


def test_scorecard_reaches_the_card_and_leaves_the_hash(tmp_path):
    folder = tmp_path / "breast"
    before = _export(folder)
    attach_scorecard(folder, _card())
    card = (folder / "docs/README.md").read_text()
    assert "0.812 (0.812-0.812)" in card
    assert "Test fold 5" in card
    assert load_bundle(folder).sha256 == before


def test_card_repeats_how_the_model_is_run_and_its_limits(folder):
    card = (folder / "docs/README.md").read_text()
    for words in ("0.45", "0.6", "temperature 1.2", "7 epochs", "10.1016/j.dib.2019.104863",
                  "10.1002/mp.16812", "Not a certified medical device"):  # fmt: skip
        assert words in card, words


def test_card_says_when_no_class_is_named(tmp_path):
    decisions = Decisions(abstain_below=0.84, veto_image_share=0.3)
    origin = Origin({"folds": [1], "datasets": ["BUSI"]}, "cad-node train")
    export_bundle(build(SMALL).eval(), SETTINGS, decisions, origin, tmp_path / "m", "1.0.0")
    card = (tmp_path / "m" / "docs" / "README.md").read_text()
    assert 'Below 0.84 the likeliest class is not named: "uncertain"' in card
    assert "30% of that is how the image looks without the finding" in card
    assert "Folds 1 of the manifest, BUSI only." in card


def test_licence_tells_about_the_data(folder):
    licence = (folder / "LICENSE").read_text()
    assert "Apache License" in licence
    assert "BUSI" in licence
