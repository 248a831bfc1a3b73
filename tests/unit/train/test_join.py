"""`cad-node join`: a pair is made of models that learned from the same images, and of no others."""

import json

import pytest
import torch

from cad_node.cli.join import join as join_command
from cad_node.errors import SettingsError
from cad_node.networks import build_network, load_bundle
from cad_node.networks.bundle import write_sums
from cad_node.networks.runtime import LesionModel
from cad_node.train.data import read_grey
from cad_node.train.export import Decisions, Origin, export_bundle
from cad_node.train.join import join, repeat
from cad_node.train.learned import read_learned
from cad_node.train.loop import TrainSettings
from cad_node.train.run import settings_from_json
from cad_node.train.training_data import training_data
from tests.unit.train.published import write_data

SMALL = {"decoder_channels": [16, 12, 8, 8, 4]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("published"), per_fold=2)


def export(folder, data, seed, settings=TrainSettings(network=SMALL, size_px=64), **described):  # noqa: B008
    torch.manual_seed(seed)
    network = build_network(settings.architecture, settings.network).eval()
    found = training_data(data, (1, 2), settings.seed).describe()
    origin = Origin({**found, "epochs": seed, **described}, f"cad-node train --seed {seed}")
    export_bundle(network, settings, Decisions(), origin, folder, "1.0.0")
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("models")
    return export(folder / "outlining", data, 3), export(folder / "naming", data, 4)


@pytest.fixture(scope="module")
def pair(tmp_path_factory, data, models):
    masks, classes = models
    output = tmp_path_factory.mktemp("joined")
    join_command(
        masks=str(masks), classes=str(classes), data=data, export="pair", output=output, threads=1,
        version="2.0.0",
    )  # fmt: skip
    return output / "pair"


def test_the_written_pair_answers_as_its_parts(pair, models, data):
    pixels = read_grey(next(data.rglob("*.png")))
    bundle = load_bundle(pair)
    assert (bundle.name, bundle.version, bundle.architecture) == ("pair", "2.0.0", "lesion-pair-lite0")
    joined = LesionModel(bundle, bundle.load_network()).predict(pixels)
    mask = pixels > 60
    both = []
    for folder in models:
        part = load_bundle(folder)
        both.append(LesionModel(part, part.load_network()).predict(pixels))

    if not bundle.flips:  # otherwise the map is a mean of two views
        assert joined.probability == pytest.approx(both[0].probability, abs=1e-4)
    assert joined.class_logits(mask) == pytest.approx(both[1].class_logits(mask), abs=2e-2)
    assert joined.class_logits(mask) != pytest.approx(both[0].class_logits(mask), abs=2e-2)


def test_train_json_and_card_say_how_both_parts_were_made(pair, models):
    train = json.loads((pair / "configs/train.json").read_text())
    for role, folder, seed in zip(("outlines", "classes"), models, (3, 4), strict=True):
        part = train["parts"][role]
        assert part["sha256"] == load_bundle(folder).sha256
        assert (part["epochs"], part["command"]) == (seed, f"cad-node train --seed {seed}")
        card = (pair / "docs/README.md").read_text()
        assert f"For {role} `{part['name']}` 1.0.0: {seed} epochs at 64 px" in card
        assert part["command"] in card
    assert train["command"].startswith("cad-node join --masks outlining --classes naming --data DIR")
    assert settings_from_json(train["settings"]).architecture == "lesion-pair-lite0"
    assert read_learned(pair) == read_learned(models[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (TrainSettings(network=SMALL, size_px=96), "differ in their input size: 64 and 96"),
        (TrainSettings(network=SMALL, size_px=64, seed=7), "other patients validated"),
        (TrainSettings(architecture="flexible-unet-lite1", network=SMALL, size_px=64), "encoder"),
        (TrainSettings(size_px=64), "not of one width"),
    ],
)
def test_models_that_do_not_fit_are_not_joined(tmp_path, data, models, settings, message):
    with pytest.raises(SettingsError, match=message):
        join(models[0], export(tmp_path / "other", data, 5, settings), data)


def test_models_of_other_folds_are_not_joined(tmp_path, data, models):
    with pytest.raises(SettingsError, match="differ in their data"):
        join(models[0], export(tmp_path / "other", data, 5, folds=[1, 2, 3]), data)


def test_thresholds_are_not_chosen_on_other_images(tmp_path, models):
    other = write_data(tmp_path / "published", per_fold=3)
    with pytest.raises(SettingsError, match="other images than outlining learned from"):
        join(*models, other)


def test_an_encoder_without_a_pair_is_refused(tmp_path, data):
    settings = TrainSettings(architecture="flexible-unet-lite2", network=SMALL, size_px=64)
    folder = export(tmp_path / "large", data, 5, settings)
    with pytest.raises(SettingsError, match="no architecture lesion-pair-lite2"):
        join(folder, folder, data)


def test_a_changed_part_is_refused_by_its_hash(tmp_path, data, models):
    folder = export(tmp_path / "changed", data, 5)
    (folder / "configs/train.json").write_text("{}")
    with pytest.raises(Exception, match=r"train\.json was changed"):
        join(models[0], folder, data)
    write_sums(folder)
    with pytest.raises(SettingsError, match="does not say what the model has learned from"):
        join(models[0], folder, data)


def test_the_train_json_of_a_pair_can_be_repeated(tmp_path, data, pair, monkeypatch):
    train = json.loads((pair / "configs/train.json").read_text())
    seen = []

    def trained(folder, run, settings, described):
        seen.append(run.name)
        torch.manual_seed(len(seen))
        return build_network(settings["architecture"], settings["network"]).eval()

    monkeypatch.setattr("cad_node.train.join.train_from_settings", trained)
    network = repeat(data, tmp_path, train["parts"], train["data"])

    assert seen == ["outlines", "classes"]
    assert network.segmenter is network.masks
