"""How the models of the folds are run is chosen on each other's tests, and never on their own."""

import json
import shutil

import numpy as np
import pytest

from cad_node.cli.decide import decide as decide_command
from cad_node.cli.evaluate import evaluate
from cad_node.errors import SettingsError
from cad_node.networks import load_bundle
from cad_node.networks.bundle import WEIGHTS_FILE
from cad_node.train import decide_across as across
from cad_node.train.decide import THRESHOLDS
from cad_node.train.decide_across import Looked, decide_across
from cad_node.train.evidence import Component, Evidence, Found
from cad_node.train.protocols import find_protocol
from tests.unit.train.published import write_data, write_model

FOLDS = (1, 2, 3, 4, 5)
PROTOCOL = find_protocol("folds")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"), per_fold=1, folds=FOLDS)


@pytest.fixture(scope="module")
def models(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("models")
    for fold in FOLDS:
        write_model(folder, f"folds-{fold}", sorted({*FOLDS} - {fold}), data=data)
    return folder


@pytest.fixture(scope="module")
def shipped(tmp_path_factory, data):
    return write_model(tmp_path_factory.mktemp("shipped"), "breast", FOLDS, data=data)


def _seen(looks_normal, *, sure, lesion):
    """A finding that is normal tissue with one probability, and an image of a class that is sure by so much."""
    logits = np.log([looks_normal, 1 - looks_normal - 1e-6, 1e-6])
    whole = np.array([0.0, sure, -20.0])
    found = Found((Component(logits, 100, 100 * lesion),), (whole, whole if lesion else logits))
    return Evidence("BUSI", "g", int(lesion), 100 * lesion, dict.fromkeys(THRESHOLDS, found))


PLAIN = [_seen(0.02, sure=4.0, lesion=True)] * 30 + [_seen(0.6, sure=4.0, lesion=False)] * 5
STRANGE = [_seen(0.7, sure=9.0, lesion=True)] * 30 + [_seen(0.9, sure=9.0, lesion=False)] * 30


def _looked(models, odd=None):
    """Five parts that saw the same, but for the `odd` one, whose lesions look normal and are named too surely."""
    return [
        Looked(part, models / part.name, tuple(STRANGE if part.name == odd else PLAIN), tuple(PLAIN), 35)
        for part in PROTOCOL.parts
    ]


def _decided(models, shipped, odd=None, own=PLAIN):
    return {one.model.name: one for one in decide_across(PROTOCOL, _looked(models, odd), shipped, own)}


def test_a_fold_has_no_say_in_how_its_own_model_is_run(models, shipped):
    before, after = _decided(models, shipped), _decided(models, shipped, "folds-3")
    same = [name for name, one in after.items() if one.decisions == before[name].decisions]
    assert same == ["folds-3"]
    assert after["folds-3"].chosen_on["folds"] == [1, 2, 4, 5]
    assert after["folds-3"].chosen_on["images"] == 4 * 35
    assert after["breast"].chosen_on["folds"] == [1, 2, 3, 4, 5]
    assert [one["name"] for one in after["breast"].chosen_on["models"]] == [f"folds-{n}" for n in FOLDS]


def test_the_veto_is_chosen_by_each_model_on_its_own_validation_images(models, shipped):
    """Lesions look normal to one model and not to the next."""
    before, after = _decided(models, shipped), _decided(models, shipped, own=STRANGE)
    moved = [
        name for name, one in after.items() if one.decisions.normal_veto > before[name].decisions.normal_veto
    ]
    assert moved == ["breast"]


def test_without_one_of_the_folds_nothing_is_decided(models, shipped):
    with pytest.raises(SettingsError, match="folds-5 of folds would be missing"):
        decide_across(PROTOCOL, _looked(models)[:-1], shipped, PLAIN)


def _decide(data, models, shipped, output, **options):
    decide_command(
        data=data, model_for=str(shipped), output=output, models=models, report=output / "kept", threads=1,
        **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory, data, models, shipped):
    output = tmp_path_factory.mktemp("decided")
    _decide(data, models, shipped, output, version="1.1.0")
    return output


def test_models_are_written_anew_with_the_weights_that_they_had(written, models, shipped):
    for folder in (*(models / part.name for part in PROTOCOL.parts), shipped):
        now, before = load_bundle(written / folder.name), load_bundle(folder)
        assert (now.version, now.flips) == ("1.1.0", before.flips)
        assert (now.folder / WEIGHTS_FILE).read_bytes() == (before.folder / WEIGHTS_FILE).read_bytes()
        train = json.loads((written / folder.name / "configs" / "train.json").read_text())
        assert set(train["data"]["decided"]["folds"]) <= set(train["data"]["folds"])
    card = (written / "breast" / "docs" / "README.md").read_text()
    assert "on 15 images of the folds 1, 2, 3, 4, 5, each looked at by one of 5 models made alike" in card
    assert "Not scored: do not use." in card


def test_figures_say_on_what_the_thresholds_were_chosen(written, data, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(written, models)
    evaluate(
        data=data, protocol="folds", models=models, report=tmp_path / "report", threads=1,
        evidence_for=str(models / "breast"),
    )  # fmt: skip
    card = (models / "breast" / "docs" / "README.md").read_text()
    assert (
        "thresholds from what the others were tested with, and a veto from\nits own validation groups" in card
    )
    parts = json.loads((models / "breast" / "scorecard.json").read_text())["protocol"]["parts"]
    assert [part["decided_on"] for part in parts][:2] == ["fold 2, 3, 4, 5", "fold 1, 3, 4, 5"]


def test_what_was_seen_is_kept(written, data, models, shipped, monkeypatch):
    def never(*_):
        raise AssertionError("seen before")

    monkeypatch.setattr(across, "gather", never)
    before = {
        folder.name: load_bundle(folder).sha256 for folder in written.iterdir() if folder.name != "kept"
    }
    _decide(data, models, shipped, written, version="1.1.0")
    assert {name: load_bundle(written / name).sha256 for name in before} == before


def test_other_images_than_those_of_the_training_are_refused(models, shipped, tmp_path):
    other = write_data(tmp_path / "data", per_fold=2, folds=FOLDS)
    with pytest.raises(SettingsError, match="holds other images than folds-1 learned from"):
        _decide(other, models, shipped, tmp_path / "out")


def test_missing_models_are_named_with_their_commands(data, models, shipped, tmp_path):
    with pytest.raises(SettingsError, match=r"cad-node train .* --folds 1,2,3,4 .*--export folds-5"):
        _decide(data, tmp_path, shipped, tmp_path, model=[str(models / f"folds-{n}") for n in (1, 2, 3, 4)])


def test_a_place_that_cannot_be_written_to_is_refused_before_half_an_hour_of_looking(
    data, models, shipped, tmp_path
):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SettingsError, match="could not be written when it is decided"):
        decide_command(data=data, model_for=str(shipped), output=tmp_path / "file" / "below", models=models)


def test_two_models_of_one_name_are_refused(data, models, tmp_path):
    shipped = write_model(tmp_path, "folds-1", FOLDS)
    with pytest.raises(SettingsError, match="have one name"):
        _decide(data, models, shipped, tmp_path / "out")
