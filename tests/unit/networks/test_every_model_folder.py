"""What must hold for each lesion model under models/, whoever trained it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from cad_node.networks import NETWORKS, load_bundle, load_model
from cad_node.networks.bundle import METADATA_FILE, WEIGHTS_FILE
from cad_node.resources import models_dir
from cad_node.train.of_all_folds import is_by_others

FOLDERS = sorted(
    path
    for path in models_dir().iterdir()
    if (path / METADATA_FILE).is_file()
    and json.loads((path / METADATA_FILE).read_text())["cad_node"]["architecture"] in NETWORKS
)


def _folds(described):
    """The folds of a part as a scorecard describes them."""
    return set(re.findall(r"\d", described.partition(" of ")[0]))


pytestmark = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)


def test_folder_is_the_model_that_its_hash_names(folder):
    bundle = load_bundle(folder)
    assert bundle.name == folder.name
    assert (folder / WEIGHTS_FILE).stat().st_size < 25_000_000


def test_card_and_scorecard_speak_of_this_model(folder):
    bundle = load_bundle(folder)
    scorecard = json.loads((folder / "scorecard.json").read_text(encoding="utf-8"))
    assert scorecard["model"]["sha256"] == bundle.sha256
    card = (folder / "docs" / "README.md").read_text(encoding="utf-8")
    for words in (
        bundle.sha256,
        bundle.version,
        "## Data",
        "## Training",
        "## Figures",
        "## Limits",
        "## Cit",
    ):
        assert words in card, words


def test_model_was_not_scored_on_what_it_learned_from(folder):
    train = json.loads((folder / "configs" / "train.json").read_text(encoding="utf-8"))
    scorecard = json.loads((folder / "scorecard.json").read_text(encoding="utf-8"))
    if not is_by_others(scorecard):
        assert not set(train["data"]["folds"]) & set(scorecard["test_folds"])
        return
    for part in scorecard["protocol"]["parts"]:
        learned, tested = (_folds(part[key]) for key in ("trained_on", "tested_on"))
        assert learned
        assert tested
        assert not learned & tested


def test_figures_are_given_with_annotations_and_without(folder):
    scorecard = json.loads((folder / "scorecard.json").read_text(encoding="utf-8"))
    for part in ("annotations_left_in", "annotations_removed"):
        for dataset in scorecard[part].values():
            low, high = dataset["lesion_dice"]["interval_95"]
            assert low <= dataset["lesion_dice"]["value"] <= high


def test_no_path_of_the_training_machine_is_shipped(folder):
    for path in folder.rglob("*"):
        if path.suffix in {".json", ".md"}:
            text = path.read_text(encoding="utf-8")
            assert str(Path.home()) not in text
            assert not re.search(r'"/[a-z]+/', text), "an absolute path"


def test_dark_oval_in_speckle_is_outlined(folder):
    """A drawn hypoechoic lesion: not a figure, but a model that fails here is broken."""
    rng = np.random.default_rng(0)
    row, column = np.ogrid[:300, :400]
    drawn = ((row - 130) / 45) ** 2 + ((column - 210) / 70) ** 2 < 1
    echo = np.where(drawn, 28, 120) * np.exp(-row / 500)
    pixels = np.clip(echo * rng.rayleigh(0.8, drawn.shape), 0, 255).astype(np.uint8)
    prediction = load_model(folder, threads=1).predict(pixels)
    found = prediction.probability >= 0.5
    assert 2 * (found & drawn).sum() / (found.sum() + drawn.sum()) > 0.8
    assert prediction.classify(drawn).normal < 0.5
