"""Differences of paired images, against cases counted by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cad_node.train.cases import Case
from cad_node.train.marks.paired import compare

BENIGN, MALIGNANT, NORMAL = (0.1, 0.6, 0.3), (0.1, 0.2, 0.7), (0.8, 0.1, 0.1)


def _case(image, label, dice, probabilities=BENIGN, found=1):
    lesion = label != "normal"
    value = dice if lesion else math.nan
    return Case("BUSI", label, f"group {image}", image, value, value, int(lesion), int(lesion and found > 0),
                found, 0, probabilities)  # fmt: skip


def _differences(before, after):
    found = compare({"before": before, "after": after}, [("before", "after")])
    return found.differences["before", "after"]


def test_difference_of_two_images_is_the_one_counted_by_hand():
    before = [_case("a", "benign", 0.8), _case("b", "malignant", 0.4, MALIGNANT)]
    after = [_case("a", "benign", 0.7), _case("b", "malignant", 0.7, BENIGN)]

    found = _differences(before, after)

    # -0.1 and 0.3: drawing two groups gives -0.1 or 0.3 in one sample of four each, else their mean.
    assert found["lesion_dice"]["value"] == pytest.approx(0.1)
    assert found["lesion_dice"]["interval_95"] == pytest.approx([-0.1, 0.3])
    assert found["accuracy"]["value"] == pytest.approx(-0.5)
    assert found["other_class"]["value"] == pytest.approx(0.5)


def test_equal_loss_on_hard_and_easy_images_is_sure():
    before = [_case(str(number), "benign", dice) for number, dice in enumerate((0.2, 0.5, 0.9, 1.0))]
    after = [replace(case, dice=case.dice - 0.02) for case in before]

    low, high = _differences(before, after)["lesion_dice"]["interval_95"]
    wide = compare({"after": after}, []).treatments["after"]["lesion_dice"]["interval_95"]

    assert (low, high) == pytest.approx((-0.02, -0.02))
    assert wide[1] - wide[0] > 0.3


def test_images_of_one_patient_are_drawn_together():
    before = [replace(_case(str(number), "benign", 0.5), group=f"p{number // 2}") for number in range(4)]
    after = [replace(case, dice=0.5 + (0.1 if number % 2 else -0.1)) for number, case in enumerate(before)]

    found = _differences(before, after)["lesion_dice"]

    # Within each patient the two cancel out: no sample of patients can tell anything else.
    assert found["interval_95"] == pytest.approx([0.0, 0.0])
    assert (found["images"], found["groups"]) == (4, 2)


def test_outlines_that_fell_are_counted_among_images_with_a_lesion():
    before = [_case("a", "benign", 0.9), _case("b", "benign", 0.9), _case("n", "normal", 0, NORMAL, 0)]
    after = [_case("a", "benign", 0.75), _case("b", "benign", 0.85), _case("n", "normal", 0, NORMAL, 1)]

    found = _differences(before, after)

    assert found["dice_fell"]["value"] == pytest.approx(0.5)
    assert found["dice_fell"]["images"] == 2
    assert found["normals_with_false_lesion"]["value"] == 1.0


def test_figure_that_cannot_be_computed_is_left_out():
    only_benign = [_case("a", "benign", 0.5)]
    found = _differences(only_benign, only_benign)
    assert "auc_benign_malignant" not in found
    assert "normals_with_false_lesion" not in found
    assert all(np.isfinite(entry["value"]) for entry in found.values())


def test_other_images_are_no_pairs():
    with pytest.raises(ValueError, match="same images"):
        _differences([_case("a", "benign", 0.5)], [_case("b", "benign", 0.5)])
