"""One epoch at 64 px, the decisions, a model folder and its scorecard, from each layout."""

import json

import pytest

from cad_node.errors import SettingsError
from cad_node.networks import load_bundle
from cad_node.train.data import clean_path, read_image, read_manifest
from cad_node.train.decide import Decisions
from cad_node.train.export import Origin, export_bundle
from cad_node.train.learned import read_learned
from cad_node.train.loop import TrainSettings
from cad_node.train.run import run_training
from cad_node.train.scoring import score_model
from cad_node.train.start import load_start
from cad_node.train.training_data import training_data
from tests.unit.train.sources.layouts import (
    busi_names,
    write_busbra,
    write_busi,
    write_dicom,
    write_picture,
    write_plain,
)

SETTINGS = TrainSettings(
    network={"decoder_channels": [16, 12, 8, 8, 4], "dropout": 0.0},
    size_px=64,
    cache_px=64,
    batch=2,
    epochs=1,
    threads=1,
)


def _plain(folder):
    rows = [
        {"image": f"images/{n}.png", "label": label, "patient": n, "fold": n // 4 + 1}
        for n, label in enumerate(("benign", "malignant", "normal") * 4)
    ]
    return write_plain(folder, rows)


LAYOUTS = {
    "BUSI": (lambda folder: write_busi(folder, busi_names(2, folds=(1, 3))), 3),
    "BUS-BRA": (lambda folder: write_busbra(folder, patients=6), 3),
    "own": (_plain, 3),
    "DICOM": (lambda folder: write_dicom(folder, patients=6), 3),
}


@pytest.fixture(scope="module", params=LAYOUTS)
def trained(request, tmp_path_factory):
    """Name of the data set, its folder, the fold left out, and a model that has seen the others."""
    place = tmp_path_factory.mktemp("layout")
    write, left_out = LAYOUTS[request.param]
    data = write(place / "data")
    found = training_data(data, (1, 2), seed=0)
    network = run_training(data, found, SETTINGS, place / "runs" / "one", None, report=lambda _: None)
    origin = Origin({**found.describe(), "epochs": 1, "clean_copies": 0}, "cad-node train")
    export_bundle(network, SETTINGS, Decisions(), origin, place / "model", "0.0.1")
    return request.param, data, left_out, place / "model"


def test_a_model_is_trained_and_scored_with_and_without_annotations(trained, tmp_path):
    dataset, data, fold, model = trained
    samples = [sample for sample in read_manifest(data).samples if sample.fold == fold]
    for sample in samples:
        copy = clean_path(tmp_path / "clean", sample)
        write_picture(copy, read_image(data, sample))
    pooled, card = score_model(model, data, [fold], tmp_path / "clean", 1, lambda *_: None)
    assert len(pooled.removed) == len(samples)
    left_in = card["annotations_left_in"][dataset]
    assert left_in["accuracy"]["images"] == len(pooled.left_in) >= 2
    assert "lesion_dice" in left_in
    pooled.draw_worst(data, tmp_path / "clean", tmp_path / "report")
    assert list((tmp_path / "report").rglob("*.png"))
    assert "4711" not in json.dumps(card)


def test_the_card_says_what_was_learned_from(trained):
    dataset, _, _, model = trained
    assert read_learned(model).datasets == {dataset}
    card = (model / "docs" / "README.md").read_text()
    metadata = json.loads((model / "configs" / "metadata.json").read_text())
    assert dataset in metadata["data_source"]
    assert ("doi 10.1016/j.dib.2019.104863" in card) == (dataset in ("BUSI", "BUS-BRA"))


def test_a_fold_that_was_learned_from_is_refused(trained):
    _, data, _, model = trained
    with pytest.raises(SettingsError, match="was trained on fold 1"):
        score_model(model, data, [1], None, 1, lambda *_: None)


def test_folds_made_in_another_way_are_other_images(tmp_path):
    data = write_busbra(tmp_path / "data", patients=12)
    found = training_data(data, (1, 2), seed=0)
    network = run_training(data, found, SETTINGS, tmp_path / "runs" / "one", None, report=lambda _: None)
    origin = Origin({**found.describe(), "epochs": 1, "clean_copies": 0}, "cad-node train")
    export_bundle(network, SETTINGS, Decisions(), origin, tmp_path / "model", "0.0.1")
    (data / "5-fold-cv.csv").unlink()
    with pytest.raises(SettingsError, match="folds of BUS-BRA are made by hash here or when"):
        score_model(tmp_path / "model", data, [5], None, 1, lambda *_: None)
    with pytest.raises(SettingsError, match="was trained on fold 1, 2 of BUS-BRA"):
        load_start(tmp_path / "model", training_data(data, (1, 2, 3, 4, 5), seed=0), 0)
    assert load_bundle(tmp_path / "model").name == "model"


def test_too_few_patients_to_validate_are_told(tmp_path):
    data = write_dicom(tmp_path, patients=1)
    with pytest.raises(SettingsError, match="2 images of 1 groups: none can be spared"):
        training_data(data, (1,), seed=0)
