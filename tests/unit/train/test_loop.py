import csv

import numpy as np
import pytest
import torch

from cad_node.errors import SettingsError
from cad_node.networks.lesion_network import build
from cad_node.train.augment import Augmentation
from cad_node.train.data import PreparedImages, Sample, read_manifest
from cad_node.train.loop import TrainSettings, epoch_order, learning_rate, quick_scores, train
from tests.unit.train.published import write_data

SMALL = {"decoder_channels": [16, 12, 8, 8, 4], "dropout": 0.0}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    samples = read_manifest(write_data(folder, per_fold=1, folds=(1,))).samples
    return PreparedImages(folder, samples, 64, folder / "cache")


def _settings(**changes):
    return TrainSettings(**{"network": SMALL, "size_px": 64, "batch": 4, "threads": 1} | changes)


def test_rate_rises_to_its_peak_and_falls_to_a_thousandth():
    rates = [learning_rate(step / 100, 1e-3, 0.2) for step in range(101)]
    assert rates[0] == pytest.approx(1e-3 / 25)
    assert max(rates) == rates[20] == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(1e-6)
    assert rates[20:] == sorted(rates[20:], reverse=True)


def test_rare_images_are_seen_more_often():
    samples = tuple(
        Sample("BUSI" if n < 10 else "BUS-BRA", str(n), "normal" if n < 10 else "benign", str(n), 1)
        for n in range(40)
    )
    order = epoch_order(samples, seed=0, epoch=0)
    assert np.bincount(order, minlength=40).tolist() == [3] * 10 + [1] * 30
    assert order.tolist() != epoch_order(samples, seed=0, epoch=1).tolist()
    assert order.tolist() == epoch_order(samples, seed=0, epoch=0).tolist()
    assert np.bincount(epoch_order(samples, 0, 0, normal_views=5), minlength=40)[:10].tolist() == [5] * 10


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"segmentation_loss": "dice-focal"},
        {"segmentation_loss": "dice-bce-boundary"},
        {"deep_supervision": True},
    ],
    ids=["default", "focal", "boundary", "deep"],
)
def test_a_small_network_overfits_a_few_images(tmp_path, how):
    folder = write_data(tmp_path / "data", per_fold=1, folds=(1,))
    samples = read_manifest(folder).samples * 8
    repeated = PreparedImages(folder, samples, 64, tmp_path / "cache")
    calm = Augmentation(
        shift=0.02, rotation_deg=2, scale=(0.95, 1.05), gain=0, speckle=0, blur=0, jpeg=0, other_marks=0
    )
    train(repeated, repeated, _settings(epochs=6, peak_rate=4e-3, augmentation=calm, **how), tmp_path / "run")
    with (tmp_path / "run" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["segmentation"]) < 0.6 * float(rows[0]["segmentation"])
    assert float(rows[-1]["class"]) < 0.5 * float(rows[0]["class"])


def test_curve_of_a_blind_network_is_counted_right(prepared):
    """All logits below zero: nothing is found, so Dice is 0; one class is always named."""
    network = build(SMALL).eval()
    with torch.no_grad():
        network.unet.segmentation_head[0].weight.zero_()
        network.unet.segmentation_head[0].bias.fill_(-5)
        network.class_head[-1].weight.zero_()
        network.class_head[-1].bias.copy_(torch.tensor([0.0, 9.0, 0.0]))
    assert quick_scores(network, prepared, 64) == {"dice": 0.0, "accuracy": pytest.approx(1 / 3)}


def test_validation_images_without_a_lesion_have_no_dice(prepared, tmp_path):
    normal = PreparedImages(
        tmp_path / "data",
        read_manifest(write_data(tmp_path / "data", per_fold=1, folds=(1,))).samples,
        64,
        tmp_path / "cache",
    )
    normal.masks[:] = 0

    assert set(quick_scores(build(SMALL), normal, 64)) == {"accuracy"}
    train(prepared, normal, _settings(epochs=1), tmp_path / "run")
    assert (tmp_path / "run" / "curves.png").is_file()


def test_fewer_images_than_a_batch_are_one_batch(prepared, tmp_path):
    train(prepared, prepared, _settings(epochs=2, batch=64), tmp_path)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["state"]["step"] == 2
    assert saved["state"]["progress"] == 1
    with (tmp_path / "log.csv").open() as file:
        assert all(float(row["segmentation"]) > 0 for row in csv.DictReader(file))


def test_single_image_is_refused(prepared, tmp_path):
    folder = write_data(tmp_path / "data", per_fold=1, folds=(1,))
    one = PreparedImages(folder, read_manifest(folder).samples[:1], 64, tmp_path / "cache")
    with pytest.raises(SettingsError, match="single image"):
        train(one, prepared, _settings(epochs=1), tmp_path / "run")


@pytest.mark.parametrize("how", [{}, {"segmentation_loss": "dice-bce-boundary", "deep_supervision": True}])
def test_interrupted_run_ends_as_the_uninterrupted_one(prepared, tmp_path, how):
    whole = train(prepared, prepared, _settings(epochs=3, **how), tmp_path / "whole")

    class InterruptedRunError(Exception):
        pass

    def stop_after_first(line: str) -> None:
        if line.startswith("epoch 1/3"):
            raise InterruptedRunError

    with pytest.raises(InterruptedRunError):
        train(prepared, prepared, _settings(epochs=3, **how), tmp_path / "parts", report=stop_after_first)
    parts = train(prepared, prepared, _settings(epochs=3, **how), tmp_path / "parts")
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[key], value, rtol=1e-4, atol=1e-5)
    with (tmp_path / "parts" / "log.csv").open() as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == [1, 2, 3]


def test_mixed_precision_learns_the_same_and_ships_full_precision(prepared, tmp_path):
    network = train(prepared, prepared, _settings(epochs=1, mixed_precision=True), tmp_path / "mixed")
    train(prepared, prepared, _settings(epochs=1), tmp_path / "full")

    rows = []
    for name in ("mixed", "full"):
        with (tmp_path / name / "log.csv").open() as file:
            rows.append(next(csv.DictReader(file)))
    assert float(rows[0]["segmentation"]) == pytest.approx(float(rows[1]["segmentation"]), rel=0.05)
    assert rows[0]["segmentation"] != rows[1]["segmentation"]
    assert {value.dtype for value in network.parameters()} == {torch.float32}


@pytest.mark.parametrize("device", ["cuda:7", "no such thing"])
def test_a_device_that_is_not_there_is_refused(prepared, tmp_path, device):
    with pytest.raises(SettingsError, match="no device"):
        train(prepared, prepared, _settings(epochs=1), tmp_path, device=device)


def test_schedule_is_cut_to_the_time_there_is(prepared, tmp_path):
    train(prepared, prepared, _settings(epochs=500, minutes=1e-6), tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]
    assert state["epoch"] == state["epochs"] == 1
    assert (tmp_path / "curves.png").is_file()


def test_checkpoint_of_another_network_is_refused(prepared, tmp_path):
    train(prepared, prepared, _settings(epochs=1), tmp_path)
    wider = SMALL | {"decoder_channels": [24, 12, 8, 8, 4]}
    with pytest.raises(SettingsError, match="another network"):
        train(prepared, prepared, _settings(epochs=2, network=wider), tmp_path)


def test_exported_network_of_a_deeply_supervised_run_has_no_more_weights(prepared, tmp_path):
    plain = train(prepared, prepared, _settings(epochs=1), tmp_path / "plain")
    deep = train(prepared, prepared, _settings(epochs=1, deep_supervision=True), tmp_path / "deep")
    assert deep.state_dict().keys() == plain.state_dict().keys()
    heads = torch.load(tmp_path / "deep" / "checkpoint.pt", weights_only=True)["heads"]
    assert {key: tuple(value.shape) for key, value in heads.items() if value.ndim > 1} == {
        "heads.0.weight": (1, 8, 1, 1),
        "heads.1.weight": (1, 12, 1, 1),
    }


def test_pair_is_not_deeply_supervised(prepared, tmp_path):
    settings = _settings(architecture="lesion-pair-lite0", epochs=1, deep_supervision=True)
    with pytest.raises(SettingsError, match="another decoder"):
        train(prepared, prepared, settings, tmp_path)


def test_run_goes_on_only_with_the_loss_it_was_begun_with(prepared, tmp_path):
    train(prepared, prepared, _settings(epochs=1, segmentation_loss="dice-focal"), tmp_path)
    with pytest.raises(SettingsError, match="begun with segmentation loss dice-focal, not dice-bce"):
        train(prepared, prepared, _settings(epochs=2), tmp_path)


def test_checkpoint_from_before_there_was_a_choice_is_of_the_default(prepared, tmp_path):
    train(prepared, prepared, _settings(epochs=1), tmp_path)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    del saved["heads"], saved["settings"]["segmentation_loss"], saved["settings"]["deep_supervision"]
    torch.save(saved, tmp_path / "checkpoint.pt")
    train(prepared, prepared, _settings(epochs=2), tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]["epoch"] == 2
    with pytest.raises(SettingsError, match="begun with deep supervision False, not True"):
        train(prepared, prepared, _settings(epochs=3, deep_supervision=True), tmp_path)
