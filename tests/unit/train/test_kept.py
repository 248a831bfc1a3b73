"""Kept cases are read back as they were, and only where nothing that made them has changed."""

import math
import os
from dataclasses import replace

import numpy as np
import pytest

from cad_node.train import kept
from cad_node.train.cases import Candidate, Case, case_from_json, case_to_json
from cad_node.train.data import read_manifest
from cad_node.train.kept import Kept, made_by
from tests.unit.train.published import write_data

CASE = Case(
    dataset="BUSI",
    label="normal",
    group="g",
    image="a.png",
    dice=math.nan,
    iou=math.nan,
    drawn=0,
    detected=0,
    found=1,
    false_lesions=1,
    probabilities=(0.2, 0.5, 0.3),
    uncertain=True,
    candidates=(Candidate(0.7, (), false=True),),
)
ORIGIN = {"model": "one"}


def _cases(folder):
    return Kept(folder, case_to_json, case_from_json)


def test_cases_come_back_as_they_were(tmp_path):
    cases = _cases(tmp_path / "cases")
    assert cases.find("folds-1", ORIGIN) is None
    cases.keep("folds-1", ORIGIN, [CASE, replace(CASE, dice=0.5, hd95_px=3.0)])
    first, second = _cases(tmp_path / "cases").find("folds-1", ORIGIN)
    assert math.isnan(first.dice)
    assert replace(first, dice=0, iou=0, hd95_px=0, hd95_ratio=0) == replace(
        CASE, dice=0, iou=0, hd95_px=0, hd95_ratio=0
    )
    assert (second.dice, second.hd95_px) == (0.5, 3.0)


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"made_by": {"model": "one"}, "kept": [{}]}'])
def test_a_damaged_file_is_scored_again(tmp_path, damage):
    cases = _cases(tmp_path)
    cases.keep("folds-1", ORIGIN, [CASE])
    (tmp_path / "folds-1.json").write_bytes(damage)
    assert cases.find("folds-1", ORIGIN) is None


def test_cases_depend_on_model_images_labels_copies_and_program(tmp_path, monkeypatch):
    folder = write_data(tmp_path / "data", per_fold=1, folds=(1,))
    samples = read_manifest(folder).samples
    plain = made_by("sha", folder, samples, None)
    assert plain == made_by("sha", folder, samples, None)
    changed = [
        made_by("other", folder, samples, None),
        made_by("sha", folder, samples[1:], None),
        made_by("sha", folder, [replace(samples[0], group="somebody else"), *samples[1:]], None),
        made_by("sha", folder, samples, tmp_path / "copies"),
    ]
    os.utime(folder / samples[0].image, (0, 0))
    changed.append(made_by("sha", folder, samples, None))
    monkeypatch.setattr(kept, "_program", lambda: "another")
    changed.append(made_by("sha", folder, samples, None))
    assert all(one != plain for one in changed)
    assert np.unique([str(one) for one in changed]).size == len(changed)
