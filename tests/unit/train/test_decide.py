import numpy as np
import pytest
import torch

from cad_node.networks.lesion_network import build
from cad_node.networks.runtime import Prediction
from cad_node.train.data import read_manifest
from cad_node.train.decide import _fit_temperature, _Seen, decide
from cad_node.train.export import Decisions
from cad_node.train.loop import TrainSettings
from tests.unit.train.published import write_data

SMALL = {"decoder_channels": [16, 12, 8, 8, 4]}


def _seen(logits, target):
    empty = np.zeros((8, 8), np.float32)
    prediction = Prediction(empty, 1.0, lambda _mask: np.array(logits, dtype=np.float64))
    return _Seen(np.zeros((8, 8), np.uint8), empty > 1, target, prediction)


def test_overconfident_network_is_cooled():
    """Right in three of four cases at logit 6: the likelihood asks for about 75 %."""
    seen = [_seen([0.0, 6.0, -20.0], target) for target in (1, 1, 1, 0)]
    temperature = _fit_temperature(seen, Decisions())
    assert 1 / (1 + np.exp(-6 / min(temperature, 4.0))) < 0.85
    assert temperature > 2


def test_timid_network_is_warmed():
    seen = [_seen([0.0, 1.0, -1.0], 1) for _ in range(5)]
    assert _fit_temperature(seen, Decisions()) < 1


def test_decisions_come_from_the_offered_values(tmp_path):
    folder = write_data(tmp_path, per_fold=1, folds=(1,))
    torch.manual_seed(0)
    network = build(SMALL).eval()
    settings = TrainSettings(network=SMALL, size_px=64)
    samples = read_manifest(folder).samples
    decisions = decide(network, settings, folder, samples)
    assert 0.3 <= decisions.threshold <= 0.6
    assert decisions.normal_veto <= 0.95
    assert decisions == decide(network, settings, folder, samples)


@pytest.mark.parametrize("target", [0, 1, 2])
def test_temperature_stays_within_bounds(target):
    assert 0.4 <= _fit_temperature([_seen([0.0, 0.0, 9.0], target)], Decisions()) <= 4.0
