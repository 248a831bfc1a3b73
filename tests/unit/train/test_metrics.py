import math

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric, MeanIoU

from cad_node.train.metrics import auc, calibration_error, dice, figure, iou, sensitivity_at


@pytest.fixture
def masks():
    rng = np.random.default_rng(2)
    return rng.random((40, 50)) > 0.4, rng.random((40, 50)) > 0.6


def test_dice_and_iou_of_a_case_counted_by_hand():
    found, drawn = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    found[0, :3], drawn[0, 1:] = True, True
    assert dice(found, drawn) == pytest.approx(2 * 2 / 6)
    assert iou(found, drawn) == pytest.approx(2 / 4)


def test_dice_and_iou_are_those_of_monai(masks):
    tensors = [torch.from_numpy(mask)[None, None].float() for mask in masks]
    assert dice(*masks) == pytest.approx(float(DiceMetric()(*tensors)))
    assert iou(*masks) == pytest.approx(float(MeanIoU()(*tensors)))


def test_two_empty_masks_agree():
    assert dice(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 1


def test_auc_of_a_case_counted_by_hand():
    scores = np.array([0.1, 0.4, 0.4, 0.8])
    positive = np.array([False, False, True, True])
    assert auc(scores, positive) == pytest.approx((1 + 0.5 + 1 + 1) / 4)


def test_auc_counts_every_pair():
    rng = np.random.default_rng(0)
    scores, positive = np.round(rng.random(60), 1), rng.random(60) > 0.6
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    assert auc(scores, positive) == pytest.approx(float(np.mean(pairs)))


def test_auc_without_one_of_the_groups_is_no_number():
    assert math.isnan(auc(np.array([0.2, 0.3]), np.array([True, True])))


def test_sensitivity_at_a_specificity_counted_by_hand():
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.92, 0.5])
    positive = np.array([False] * 10 + [True] * 2)
    # one of ten negatives may lie above: the threshold is 0.9
    assert sensitivity_at(scores, positive, 0.9) == pytest.approx(0.5)


def test_calibration_error_of_a_case_counted_by_hand():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.9, 0.0, 0.1], [0.0, 0.6, 0.4], [0.1, 0.6, 0.3]])
    target = np.array([0, 1, 1, 1])
    # confidence 0.9 is right half of the time, 0.6 always
    assert calibration_error(probabilities, target) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


def test_interval_draws_patients_not_images():
    """One patient with many images: whole-patient draws swing more than image draws would."""
    values = np.array([1.0] * 50 + [0.0] * 50)

    def mean(index):
        return float(values[index].mean())

    by_patient = figure(mean, ["a"] * 50 + [f"p{n}" for n in range(50)], 400, 0)
    by_image = figure(mean, [str(n) for n in range(100)], 400, 0)
    assert by_patient["value"] == by_image["value"] == 0.5
    width = [entry["interval_95"][1] - entry["interval_95"][0] for entry in (by_patient, by_image)]
    assert width[0] > 2 * width[1]
    assert (by_patient["groups"], by_patient["images"]) == (51, 100)


def test_interval_is_repeatable_and_holds_the_value():
    values = np.random.default_rng(1).random(80)
    groups = [str(n // 2) for n in range(80)]
    first = figure(lambda index: float(values[index].mean()), groups, 200, 3)
    assert first == figure(lambda index: float(values[index].mean()), groups, 200, 3)
    assert first["interval_95"][0] < first["value"] < first["interval_95"][1]
