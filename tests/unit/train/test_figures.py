import math
from dataclasses import replace

import pytest

from cad_node.train.cases import Candidate, Case
from cad_node.train.evaluate import scorecard, worst
from cad_node.train.figures import curves, froc, summarise


def _case(label="benign", probabilities=(0.1, 0.6, 0.3), **changes):
    lesion = label != "normal"
    values = {
        "dataset": "BUSI",
        "label": label,
        "group": "g",
        "image": "x",
        "dice": 0.5 if lesion else math.nan,
        "iou": 0.4 if lesion else math.nan,
        "drawn": int(lesion),
        "detected": int(lesion),
        "found": 1,
        "false_lesions": 0,
        "probabilities": probabilities,
    }
    return Case(**{**values, **changes})


def _values(cases):
    return {key: entry["value"] for key, entry in summarise(cases)["all"].items()}


def test_mean_over_classes_counts_a_normal_image_without_a_finding_as_whole():
    cases = [
        _case("benign", iou=0.8),
        _case("benign", iou=0.6),
        _case("malignant", iou=0.5),
        _case("normal", found=0),
        _case("normal", found=1),
    ]
    found = _values(cases)
    assert found["class_mean_iou"] == pytest.approx((0.7 + 0.5) / 2)
    assert found["class_mean_iou_normals_counted"] == pytest.approx((0.7 + 0.5 + 0.5) / 3, abs=1e-4)


def test_distance_of_images_where_nothing_was_found_is_left_out():
    found = _values([_case(hd95_px=10.0, hd95_ratio=0.2), _case(found=0, dice=0.0)])
    assert (found["hd95_px"], found["hd95_ratio"], found["lesion_dice"]) == (10.0, 0.2, 0.25)


def test_images_with_several_lesions_and_cut_ones_are_counted_apart():
    cases = [
        _case(drawn=3, detected=2, dice=0.6),
        _case(cut_by_edge=True, dice=0.3, detected=0),
        _case(dice=0.9),
    ]
    found = _values(cases)
    assert found["dice_several_lesions"] == 0.6
    assert found["detected_several_lesions"] == pytest.approx(2 / 3, abs=1e-4)
    assert (found["dice_cut_by_edge"], found["detected_cut_by_edge"]) == (0.3, 0.0)
    assert found["lesions_detected"] == pytest.approx(3 / 5)
    card = scorecard(cases, [], {"name": "x"}, [5], 0)
    assert (card["several_lesions"], card["cut_by_edge"]) == (1, 1)


def test_abstention_is_scored_on_what_is_named():
    cases = [
        _case("benign"),
        _case("malignant", uncertain=True),
        _case("malignant", (0.1, 0.2, 0.7)),
        _case("malignant"),
    ]
    found = _values(cases)
    assert found["share_named"] == 0.75
    assert found["accuracy_named"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["accuracy"] == 0.5


def test_figure_that_cannot_be_computed_is_left_out():
    assert "hd95_px" not in _values([_case(found=0)])
    assert "auc_benign_malignant" not in _values([_case("benign")])


def test_curves_counted_by_hand():
    cases = [
        _case("benign", (0.0, 0.9, 0.1), dice=0.97),
        _case("benign", (0.0, 0.45, 0.55), dice=0.93),
        _case("malignant", (0.0, 0.2, 0.8), dice=0.51),
        _case("malignant", (0.0, 0.55, 0.45), dice=1.0),
    ]
    drawn = curves(cases)
    assert drawn["roc"]["false_positive"] == [0.0, 0.0, 0.5, 0.5, 1.0]
    assert drawn["roc"]["sensitivity"] == [0.0, 0.5, 0.5, 1.0, 1.0]
    assert drawn["dice"]["benign"][-2:] == [1, 1]
    assert (drawn["dice"]["malignant"][10], drawn["dice"]["malignant"][-1]) == (1, 1)
    assert drawn["coverage"] == {"share_named": [1.0], "accuracy": [0.5]}
    assert [one["images"] for one in drawn["reliability"]] == [2, 1, 1]
    assert drawn["reliability"][0] == {"from": 0.5, "images": 2, "confidence": 0.55, "accuracy": 0.0}


def test_free_response_curve_counted_by_hand():
    both = Candidate(0.6, (0, 1), false=False)
    cases = [
        replace(_case("benign"), drawn=2, candidates=(Candidate(0.9, (0,), false=False), both)),
        replace(_case("malignant"), drawn=1, candidates=(Candidate(0.7, (), false=True),)),
        replace(_case("normal"), drawn=0, candidates=(Candidate(0.8, (), false=True),)),
        replace(_case("normal"), drawn=0),
    ]
    assert froc(cases) == {
        "belief": [0.9, 0.8, 0.7, 0.6],
        "detected": [0.3333, 0.3333, 0.3333, 0.6667],
        "false_per_image": [0.0, 0.25, 0.5, 0.5],
        "normals": [0.0, 0.5, 0.5, 0.5],
    }
    assert froc(cases[:1])["normals"] == []
    assert froc(cases[3:])["detected"] == []


def test_worst_cases_are_the_worst_outlines_and_no_normals():
    cases = [_case(dice=0.1 * n, image=str(n)) for n in range(1, 9)] + [_case("normal")]
    assert [case.image for case in worst(cases, 3)] == ["1", "2", "3"]
