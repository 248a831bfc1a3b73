"""Protocols find their models by what these have learned from, and score each on what it has not seen."""

import json

import pytest
import torch

from cad_node.cli.evaluate import evaluate
from cad_node.errors import SettingsError
from cad_node.networks.lesion_network import build
from cad_node.train import scoring
from cad_node.train.export import Decisions, Origin, export_bundle
from cad_node.train.learned import Learned
from cad_node.train.loop import TrainSettings
from cad_node.train.protocols import PROTOCOLS, find_protocol, match, model_folders, samples_of
from cad_node.train.splits import SplitKind
from tests.unit.train.published import write_data

SMALL = {"decoder_channels": [16, 12, 8, 8, 4]}
BOTH = ["BUS-BRA", "BUSI"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"), per_fold=1, folds=(1, 2, 3, 4, 5))


def _model(folder, name, folds, datasets=BOTH, split="grouped", threshold=0.5):
    torch.manual_seed(0)
    origin = Origin({"folds": folds, "datasets": datasets, "split": split}, "cad-node train")
    settings = TrainSettings(network=SMALL, size_px=64)
    export_bundle(
        build(SMALL).eval(), settings, Decisions(threshold=threshold), origin, folder / name, "1.0.0"
    )
    return folder / name


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    _model(folder, "folds-2", [1, 3, 4, 5])
    _model(folder, "somebody", [1, 2, 3, 4])
    _model(folder, "elsewhere", [1, 2, 3, 4, 5], ["BUS-BRA"])
    return folder


@pytest.mark.parametrize("name", PROTOCOLS)
def test_no_part_is_tested_on_what_it_learns_from(name, data):
    protocol = PROTOCOLS[name]
    for part in protocol.parts:
        samples, _ = samples_of(part, protocol, data)
        assert samples
        assert not any(part.learns.knows(sample) for sample in samples)


def test_folds_test_every_image_once(data):
    protocol = PROTOCOLS["folds"]
    images = [sample.image for part in protocol.parts for sample in samples_of(part, protocol, data)[0]]
    assert len(images) == len(set(images)) == 15


def test_unknown_protocol_is_told_the_known_ones():
    with pytest.raises(SettingsError, match=r"no protocol 'fold'.*busbra-to-busi"):
        find_protocol("fold")


def test_models_are_found_by_what_they_learned_not_by_name(models):
    folders = model_folders([models])
    assert {name: path.name for name, path in match(PROTOCOLS["folds"], folders).items()} == {
        "folds-2": "folds-2",
        "folds-5": "somebody",
    }
    assert match(PROTOCOLS["busbra-to-busi"], folders)["busbra-to-busi"].name == "elsewhere"
    assert match(PROTOCOLS["busi-to-busbra"], folders) == {}


def test_command_of_a_part_names_all_that_the_model_must_learn_from(tmp_path):
    part = PROTOCOLS["busi-to-busbra"].parts[0]
    words = part.command(tmp_path / "d", tmp_path / "m", ["--epochs", "3"])
    text = " ".join(words)
    assert "--folds 1,2,3,4,5 --dataset BUSI --run" in text
    assert text.endswith("--export busi-to-busbra --epochs 3")
    papers = PROTOCOLS["paper-split"].parts[0]
    assert papers.learns == Learned(frozenset({2, 3, 4, 5}), frozenset({"BUSI"}), SplitKind.PAPERS)
    assert "--folds 2,3,4,5 --dataset BUSI --split papers" in " ".join(papers.command(tmp_path, tmp_path))


def test_missing_models_are_answered_with_the_commands_that_train_them(data, models):
    with pytest.raises(SettingsError) as raised:
        evaluate(data=data, protocol="folds", models=models, threads=1)
    message = str(raised.value)
    assert "folds lacks 3 of 5 models" in message
    assert "--folds 2,3,4,5 " in message
    assert "--export folds-4" in message
    assert "--folds 1,2,3,4 " not in message


def test_part_of_a_protocol_is_scored_and_says_what_is_missing(data, models, tmp_path):
    report = tmp_path / "report"
    evaluate(data=data, protocol="folds", models=models, threads=1, partial=True, report=report)
    card = json.loads((report / "scorecard.json").read_text())
    assert card["test_folds"] == [2, 5]
    assert card["protocol"]["missing"] == ["folds-1", "folds-3", "folds-4"]
    assert [part["name"] for part in card["protocol"]["parts"]] == ["folds-2", "folds-5"]
    assert card["annotations_left_in"]["all"]["accuracy"]["images"] == 6
    page = (report / "index.html").read_text()
    assert "folds-1, folds-3, folds-4 are not scored here" in page
    assert sorted(path.name for path in (report / "worst").iterdir()) == [f"{n:02d}.png" for n in range(1, 5)]


def test_scored_parts_are_kept_until_the_model_changes(data, tmp_path, monkeypatch):
    models, report = tmp_path / "models", tmp_path / "report"
    _model(models, "folds-2", [1, 3, 4, 5])
    looked = []
    score = scoring.score
    monkeypatch.setattr(scoring, "score", lambda *args: looked.append(len(args[2])) or score(*args))

    def run():
        evaluate(data=data, protocol="folds", models=models, threads=1, partial=True, report=report)
        return json.loads((report / "scorecard.json").read_text())

    first = run()
    _model(models, "folds-5", [1, 2, 3, 4])  # as if the first run had been interrupted before it
    both = run()
    assert looked == [3, 3]
    assert first["annotations_left_in"]["all"]["accuracy"]["images"] == 3
    assert both["annotations_left_in"]["all"]["accuracy"]["images"] == 6
    assert run() == both
    _model(models, "folds-2", [1, 3, 4, 5], threshold=0.3)
    run()
    assert looked == [3, 3, 3]


def test_random_split_is_named_as_what_it_is(data, tmp_path):
    model = _model(tmp_path, "p", [2, 3, 4, 5], ["BUSI"], "papers")
    report = tmp_path / "report"
    evaluate(
        data=data, protocol="paper-split", models=tmp_path / "none", model=[str(model)], threads=1, report=report
    )  # fmt: skip
    assert "Not a figure to rely on" in (report / "index.html").read_text()
    assert match(PROTOCOLS["folds"], [model]) == {}


def test_failed_training_is_told(data, tmp_path):
    with pytest.raises(SettingsError, match="Training busi-to-busbra for the protocol"):
        evaluate(
            data=data, protocol="busi-to-busbra", models=tmp_path, threads=1, train=True, train_options="--size 33"
        )  # fmt: skip
