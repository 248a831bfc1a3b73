"""A model fitted to other pictures without labels: what is measured, what is written, what is scored."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from cad_node.errors import SettingsError
from cad_node.networks import LesionModel, build_network, load_bundle
from cad_node.networks.runtime import to_input
from cad_node.train import scoring
from cad_node.train.adapt import Change, adapt, change, halves, measure_statistics, write_adapted
from cad_node.train.cases import read_shown
from cad_node.train.data import Sample
from cad_node.train.export import Decisions, Origin, export_bundle
from cad_node.train.loop import TrainSettings
from cad_node.train.splits import SplitKind, read_split
from cad_node.train.training_data import training_data
from tests.unit.train.published import ellipse_image, write_data

SMALL = {"decoder_channels": [16, 12, 8, 8, 4]}
SIZE = 64


def pictures(count=64, gain=1.0, offset=0.0):
    """The same pictures as another scanner would show them: brighter or darker, and offset."""
    drawn = []
    for number in range(count):
        image, _ = ellipse_image(np.random.default_rng(number), shape=(SIZE, SIZE), bright=110)
        drawn.append(np.clip(gain * image.astype(float) + offset, 0, 255).astype(np.uint8))
    return drawn


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "small"
    data = write_data(tmp_path_factory.mktemp("published"), per_fold=2)
    torch.manual_seed(0)
    network = build_network("flexible-unet-lite0", SMALL).eval()
    described = training_data(data, (1, 2), 0).describe()
    settings = TrainSettings(network=SMALL, size_px=SIZE)
    decisions = Decisions(temperature=1.3, threshold=0.45)
    export_bundle(network, settings, decisions, Origin(described, "cad-node train"), folder, "1.0.0")
    return load_bundle(folder)


class OneLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def forward(self, image):
        return self.norm(image)


def test_means_and_variances_are_those_of_the_pictures():
    network = OneLayer().eval()
    network.norm.running_mean.fill_(9.0)
    shown = pictures(32)
    values = torch.from_numpy(np.stack(shown)).float().sub(127).div(128)

    assert measure_statistics(network, shown, SIZE) == 32

    assert float(network.norm.running_mean) == pytest.approx(float(values.mean()), abs=1e-5)
    batches = values.reshape(2, -1)
    assert float(network.norm.running_var) == pytest.approx(float(batches.var(dim=1).mean()), rel=1e-4)
    assert network.norm.momentum == pytest.approx(0.1)
    assert not network.norm.training


def test_what_does_not_fill_a_batch_is_left_out_unless_there_is_no_other():
    plain, more, few = OneLayer(), OneLayer(), OneLayer()
    bright = [np.full((SIZE, SIZE), 255, np.uint8)] * 5
    measure_statistics(plain, pictures(16), SIZE)
    measure_statistics(more, pictures(16) + bright, SIZE)
    measure_statistics(few, bright, SIZE)

    assert float(more.norm.running_mean) == float(plain.norm.running_mean)
    assert float(few.norm.running_mean) == pytest.approx(1.0)


def test_features_of_a_scanner_with_another_gain_are_where_they_were():
    here, there = pictures(16), pictures(16, gain=0.5, offset=12)
    at_home, abroad = OneLayer(), OneLayer()
    measure_statistics(at_home, here, SIZE)
    measure_statistics(abroad, there, SIZE)

    def seen(network, shown):
        with torch.inference_mode():
            return network(to_input(np.stack(shown)))

    assert float((seen(at_home, here) - seen(at_home, there)).abs().mean()) > 0.3
    torch.testing.assert_close(
        seen(at_home, here), seen(abroad, there), atol=0.05, rtol=0
    )  # rounding of pixels


def test_too_few_pictures_are_refused(bundle):
    with pytest.raises(SettingsError, match="47 pictures are too few"):
        adapt(bundle, pictures(47))


def test_the_change_is_counted_on_the_pictures():
    class Finds:
        threshold = 0.5

        def __init__(self, from_mean):
            self.from_mean = from_mean

        def predict(self, picture):
            class Map:
                probability = np.full(picture.shape, float(picture.mean() > self.from_mean))

            return Map

    shown = [np.full((4, 4), level, np.uint8) for level in (10, 20, 30, 40)]
    assert change(Finds(25), Finds(15), shown) == Change(4, 2, 3)


def test_an_adapted_model_is_another_one_without_figures(bundle, tmp_path):
    model = adapt(bundle, pictures())
    sha256 = write_adapted(bundle, model.network, Change(64, 10, 20), tmp_path / "here")
    written = load_bundle(tmp_path / "here")

    assert (written.name, written.sha256) == ("here", sha256)
    assert written.version.startswith("1.0.0+")
    assert (written.threshold, written.temperature) == (bundle.threshold, bundle.temperature)
    card = (tmp_path / "here" / "docs" / "README.md").read_text()
    assert "Adapted from `small 1.0.0`" in card
    assert "10 before, 20 after" in card
    assert "do not use" not in card
    picture = pictures(1)[0]
    again = LesionModel(written, written.load_network()).predict(picture).probability
    assert again == pytest.approx(model.predict(picture).probability, abs=0.02)  # stored in half precision
    train = json.loads((tmp_path / "here" / "configs/train.json").read_text())
    assert train["data"]["adapted"]["sha256"] == bundle.sha256


def test_halves_are_of_groups_and_depend_on_nothing_else():
    groups = [f"p{number}" for number in range(100)]
    first, second = halves(groups)
    assert not first & second
    assert first | second == set(groups)
    assert 30 < len(first) < 70
    assert halves(reversed(groups)) == (first, second)


def test_no_image_is_scored_by_a_model_that_was_adapted_to_its_group(tmp_path, bundle, monkeypatch):
    data = write_data(tmp_path / "published", per_fold=4)
    samples = list(read_split(data, SplitKind.GROUPED).samples)
    by_pixels = {read_shown(data, sample, None).tobytes(): sample for sample in samples}
    shown: list[set[Sample]] = []

    def noted(_bundle, given):
        shown.append({by_pixels[picture.tobytes()] for picture in given})
        return LesionModel(bundle, bundle.load_network())

    monkeypatch.setattr(scoring, "adapt", noted)
    pooled = scoring.Pooled()
    pooled.score("part", bundle.folder, data, samples, None, 1, lambda *_: None, adapted=True)

    assert sorted(case.image for case in pooled.left_in) == sorted(sample.image for sample in samples)
    assert pooled.removed == []
    first, second = ({sample.group for sample in one} for one in shown)
    assert first
    assert second
    assert not first & second
    half = [case.group for case in pooled.left_in][: sum(s.group in second for s in samples)]
    assert set(half) == second
