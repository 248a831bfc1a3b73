import math

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric, HausdorffDistanceMetric, MeanIoU, ROCAUCMetric

from cad_node.train.metrics import (
    auc,
    calibration_error,
    dice,
    figure,
    hausdorff_95,
    iou,
    macro_auc,
    macro_f1,
    macro_precision,
    macro_recall,
    sensitivity_at,
    specificity_at,
)


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


def test_distance_of_two_pixels_is_that_of_pythagoras():
    found, drawn = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    found[1, 1], drawn[4, 5] = True, True
    assert hausdorff_95(found, drawn) == pytest.approx(5)


def test_distance_from_a_square_to_one_inside_it():
    """Outer outline 4 px from the inner one, corners at 4 * sqrt 2: those are 4 of 68 pixels, the 95th is less."""
    outer, inner = np.zeros((30, 30), bool), np.zeros((30, 30), bool)
    outer[5:23, 5:23], inner[9:19, 9:19] = True, True
    assert 4 < hausdorff_95(outer, inner) < 4 * math.sqrt(2)
    assert hausdorff_95(outer, outer) == 0


@pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges:FutureWarning")
@pytest.mark.parametrize("edge", [False, True])
def test_distance_is_that_of_monai(edge):
    row, column = np.ogrid[:90, :120]
    found = ((row - 30) / 18) ** 2 + ((column - 50) / 30) ** 2 < 1
    drawn = ((row - 38) / 22) ** 2 + ((column - (110 if edge else 60)) / 25) ** 2 < 1
    drawn[70:75, 10:15] = True
    tensors = [torch.from_numpy(mask)[None, None].float() for mask in (found, drawn)]
    expected = float(HausdorffDistanceMetric(percentile=95)(*tensors))
    assert hausdorff_95(found, drawn) == pytest.approx(expected, rel=1e-4)


def test_there_is_no_distance_to_nothing(masks):
    assert math.isnan(hausdorff_95(masks[0], np.zeros_like(masks[0])))


def test_macro_auc_is_that_of_monai():
    rng = np.random.default_rng(4)
    target = rng.integers(0, 3, 80)
    probabilities = rng.dirichlet([1, 1, 1], 80) * 0.7 + np.eye(3)[target] * 0.3
    metric = ROCAUCMetric(average="macro")
    metric(torch.from_numpy(probabilities), torch.from_numpy(np.eye(3)[target]))
    assert macro_auc(probabilities, target) == pytest.approx(float(metric.aggregate()))


def test_macro_auc_counts_the_classes_that_occur():
    probabilities = np.array([[0.0, 0.9, 0.1], [0.0, 0.2, 0.8]])
    assert macro_auc(probabilities, np.array([1, 2])) == 1


def test_macro_figures_counted_by_hand():
    target = np.array([0, 0, 1, 1, 1, 1, 2, 2])
    said = np.array([0, 1, 1, 1, 1, 2, 2, 1])
    precision = (1 / 1 + 3 / 5 + 1 / 2) / 3
    recall = (1 / 2 + 3 / 4 + 1 / 2) / 3
    assert macro_precision(said, target) == pytest.approx(precision)
    assert macro_recall(said, target) == pytest.approx(recall)
    assert macro_f1(said, target) == pytest.approx(2 * precision * recall / (precision + recall))


def test_class_that_is_never_said_has_no_precision():
    assert macro_precision(np.array([1, 1]), np.array([1, 2])) == pytest.approx(0.25)


def test_specificity_at_a_sensitivity_counted_by_hand():
    scores = np.array([0.5] + [0.6] * 9 + [0.1, 0.2, 0.55, 0.7])
    positive = np.array([True] * 10 + [False] * 4)
    # one of ten positives may lie below: three of four negatives are under 0.6
    assert specificity_at(scores, positive, 0.9) == pytest.approx(0.75)


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
