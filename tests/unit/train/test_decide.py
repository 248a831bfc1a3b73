from dataclasses import replace

import numpy as np
import pytest
import torch

from cad_node.networks.lesion_network import build
from cad_node.train.data import read_manifest
from cad_node.train.decide import LEAST_NAMED, choose_height, choose_veto, decide, fit_temperature
from cad_node.train.evidence import Component, Evidence, Found
from cad_node.train.export import Decisions
from cad_node.train.loop import TrainSettings
from tests.unit.train.published import write_data

SMALL = {"decoder_channels": [16, 12, 8, 8, 4]}
PLAIN = Decisions(threshold=0.5, normal_veto=1.1)
NORMAL, BENIGN = 0, 1


def _logits(normal):
    """Logits of a finding that is normal with this probability, else benign."""
    return np.log([normal, 1 - normal - 1e-6, 1e-6])


def _evidence(target, finding, image, *, dataset="BUSI"):
    """One finding of 100 pixels, in the place of the drawn lesion where there is one."""
    drawn = 0 if target == NORMAL else 100
    component = Component(_logits(finding), 100, drawn)
    found = Found((component,), (_logits(image), _logits(finding)))
    return Evidence(dataset, "g", target, drawn, {0.5: found})


def test_overconfident_network_is_cooled():
    """Right in three of four cases at logit 6: the likelihood asks for about 75 %."""
    logits = np.array([[0.0, 6.0, -20.0]] * 4)
    temperature = fit_temperature(logits, np.array([1, 1, 1, 0]))
    assert 1 / (1 + np.exp(-6 / min(temperature, 4.0))) < 0.85
    assert temperature > 2


def test_timid_network_is_warmed():
    assert fit_temperature(np.array([[0.0, 1.0, -1.0]] * 5), np.array([1] * 5)) < 1


def test_small_data_set_has_the_say_of_a_large_one_in_the_temperature():
    """Nine in ten are right in the large one, half in the small: alone they ask for other temperatures."""
    sure = np.array([[0.0, 4.0, -20.0]] * 110)
    target = np.array([1] * 90 + [0] * 10 + [1] * 5 + [0] * 5)
    names = ["BUS-BRA"] * 100 + ["BUSI"] * 10
    pooled, alike = fit_temperature(sure, target), fit_temperature(sure, target, names)
    assert fit_temperature(sure[:100], target[:100]) < pooled < alike


@pytest.mark.parametrize("target", [0, 1, 2])
def test_temperature_stays_within_bounds(target):
    assert 0.4 <= fit_temperature(np.array([[0.0, 0.0, 9.0]]), np.array([target])) <= 4.0


def test_veto_drops_what_no_lesion_looks_like():
    seen = [_evidence(BENIGN, 0.02, 0.02)] * 20 + [_evidence(NORMAL, 0.7, 0.9)] * 3
    chosen = choose_veto(seen, PLAIN)
    assert 0.02 < chosen.normal_veto < 0.4
    assert chosen.veto_image_share == 0


def _lesions(looking_normal, others=0.02, count=100, dataset="BUSI"):
    """Lesions, of which so many look like normal tissue."""
    odd = [_evidence(BENIGN, 0.5, 0.5, dataset=dataset)] * looking_normal
    return odd + [_evidence(BENIGN, others, 0.02, dataset=dataset)] * (count - looking_normal)


def test_veto_may_take_three_lesions_in_a_hundred_and_no_more():
    normals = [_evidence(NORMAL, 0.5, 0.5)] * 60
    assert choose_veto(_lesions(3) + normals, PLAIN).normal_veto < 0.3
    assert choose_veto(_lesions(4) + normals, PLAIN).normal_veto > 0.4


def test_share_of_lesions_that_the_veto_may_take_is_free():
    seen = [*_lesions(10), _evidence(NORMAL, 0.5, 0.5)]
    assert choose_veto(seen, PLAIN, 0.1).normal_veto < 0.3 < choose_veto(seen, PLAIN).normal_veto


def test_number_of_normals_does_not_move_the_veto():
    """Nine drew it low enough to lose one lesion in seven elsewhere."""
    few, many = (choose_veto(_lesions(5) + [_evidence(NORMAL, 0.5, 0.5)] * n, PLAIN) for n in (2, 90))
    assert few == many


def test_lesions_of_every_data_set_are_kept():
    """A data set without normals has its lesions protected as well."""
    seen = [*_lesions(0), _evidence(NORMAL, 0.6, 0.6)]
    others = _lesions(10, dataset="BUS-BRA")
    assert choose_veto(seen, PLAIN).normal_veto < 0.3
    assert choose_veto(seen + others, PLAIN).normal_veto > 0.5


def test_dropping_a_false_finding_beside_a_lesion_loses_nothing():
    beside = Component(_logits(0.6), 100, 0)
    lesion = _evidence(BENIGN, 0.02, 0.02)
    found = Found((*lesion.found[0.5].components, beside), (_logits(0.02),) * 3)
    seen = [replace(lesion, found={0.5: found})] * 20 + [_evidence(NORMAL, 0.6, 0.6)]
    assert choose_veto(seen, PLAIN).normal_veto < 0.3


def test_lesions_that_all_look_normal_are_all_shown():
    seen = [*_lesions(100), _evidence(NORMAL, 0.5, 0.5)]
    sure = [
        replace(one, found={0.5: Found((Component(_logits(0.99), 100, 100),), (_logits(0.9),) * 2)})
        for one in seen
    ]
    assert choose_veto(sure, PLAIN).normal_veto == 1.0


def test_the_image_is_asked_where_findings_alone_do_not_tell():
    lesions = [_evidence(BENIGN, 0.3, 0.05) for _ in range(20)]
    normals = [_evidence(NORMAL, 0.3, 0.95) for _ in range(5)]
    assert choose_veto(lesions + normals, PLAIN).veto_image_share > 0


def test_without_normals_the_veto_is_the_usual_one():
    seen = [_evidence(BENIGN, 0.02, 0.02)] * 3
    assert choose_veto(seen, PLAIN) == replace(PLAIN, normal_veto=Decisions.normal_veto)


def _named(*pairs):
    """Probabilities whose likeliest class has a height and is right or wrong."""
    heights = np.array([height for height, _ in pairs])
    probabilities = np.stack([1 - heights, heights, np.zeros_like(heights)], axis=1)
    return probabilities, np.array([1 if right else 2 for _, right in pairs])


def test_class_is_named_from_the_height_at_which_it_is_right_often_enough():
    pairs = [(0.6, False)] * 4 + [(0.7, True)] * 2 + [(0.9, True)] * 10
    assert choose_height(*_named(*pairs), aim=0.95) == pytest.approx(0.61)


def test_no_abstention_where_the_aim_is_reached_without():
    assert choose_height(*_named(*[(0.6, True)] * 20), aim=0.95) == 0


def test_lucky_dip_below_a_bad_stretch_is_not_taken():
    pairs = [(0.5, False)] * 3 + [(0.6, True)] * 30 + [(0.7, False)] * 2 + [(0.9, True)] * 40
    # From 0.51 on 70 of 72 are right, from 0.61 on 40 of 42: less than 0.97.
    assert choose_height(*_named(*pairs), aim=0.97) == pytest.approx(0.71, abs=0.011)


def test_aim_out_of_reach_still_names_half_of_the_images():
    rng = np.random.default_rng(0)
    probabilities, target = _named(*[(height, rng.random() < 0.7) for height in rng.uniform(0.5, 1, 300)])
    height = choose_height(probabilities, target, aim=0.99)
    assert (probabilities.max(axis=1) >= height).mean() >= LEAST_NAMED


def test_decisions_come_from_the_offered_values(tmp_path):
    folder = write_data(tmp_path, per_fold=1, folds=(1,))
    torch.manual_seed(0)
    network = build(SMALL).eval()
    settings = TrainSettings(network=SMALL, size_px=64)
    samples = read_manifest(folder).samples
    decisions = decide(network, settings, folder, samples)
    assert 0.3 <= decisions.threshold <= 0.6
    assert decisions.normal_veto <= 0.95
    assert 0 <= decisions.abstain_below < 1
    assert decisions == decide(network, settings, folder, samples)
