"""A model of all folds is shown with the figures of models made alike, and of no others."""

import json

import pytest

from cad_node.cli.evaluate import evaluate
from cad_node.errors import SettingsError
from cad_node.networks import load_bundle
from tests.unit.train.published import write_data, write_model

FOLDS = (1, 2, 3, 4, 5)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"), per_fold=1, folds=FOLDS)


@pytest.fixture
def models(tmp_path):
    for fold in FOLDS:
        write_model(tmp_path / "models", f"folds-{fold}", sorted({*FOLDS} - {fold}))
    return tmp_path / "models"


def _evaluate(data, models, model, **options):
    protocol = {"protocol": "folds", "models": models, "report": models.parent / "report"}
    evaluate(data=data, threads=1, evidence_for=str(model), **{**protocol, **options})


def test_scorecard_of_the_folds_stands_in_the_folder_and_on_the_card(data, models, tmp_path):
    shipped = write_model(tmp_path / "shipped", "breast", list(FOLDS))
    _evaluate(data, models, shipped)
    card = json.loads((shipped / "scorecard.json").read_text())
    assert card["model"]["sha256"] == load_bundle(shipped).sha256
    assert card["annotations_left_in"]["all"]["accuracy"]["images"] == 15
    text = (shipped / "docs" / "README.md").read_text()
    assert "have learned from every fold" in text
    assert "The figures are those of 5 models" in text
    assert f"`folds-2 1.0.0`, sha256 `{load_bundle(models / 'folds-2').sha256[:12]}" in text


def test_model_that_can_be_tested_itself_gets_no_figures_of_others(data, models, tmp_path):
    shipped = write_model(tmp_path / "shipped", "breast", [1, 2, 3, 4])
    with pytest.raises(SettingsError, match="has not learned from all of fold 5") as refused:
        _evaluate(data, models, shipped)
    assert "--fold 5" in refused.value.hint
    assert not (shipped / "scorecard.json").exists()


def test_figures_of_another_network_are_refused(data, models, tmp_path):
    shipped = write_model(tmp_path / "shipped", "breast", list(FOLDS), size_px=96)
    with pytest.raises(SettingsError, match="differ in their input size: 64 and 96"):
        _evaluate(data, models, shipped)


def test_some_of_the_folds_are_no_evidence(data, tmp_path):
    models = write_model(tmp_path / "models", "folds-2", [1, 3, 4, 5]).parent
    shipped = write_model(tmp_path / "shipped", "breast", list(FOLDS))
    with pytest.raises(
        SettingsError, match="folds-1 and folds-3 and folds-4 and folds-5 of folds would be missing"
    ):
        _evaluate(data, models, shipped, partial=True)


def test_evidence_needs_a_protocol(data, models):
    with pytest.raises(SettingsError, match="belongs to a protocol"):
        _evaluate(data, models, models / "folds-1", protocol=None)
