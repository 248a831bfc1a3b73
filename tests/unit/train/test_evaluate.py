import math
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from cad_node.domain import Probabilities
from cad_node.train.cases import Case, read_drawn, score, score_image
from cad_node.train.data import Sample, clean_path, read_manifest
from cad_node.train.evaluate import scorecard
from cad_node.train.figures import summarise
from tests.unit.train.published import write_data


@dataclass(frozen=True)
class _Says:
    probability: np.ndarray
    answer: Probabilities

    def classify(self, mask):
        return self.answer if mask.any() else Probabilities(0.8, 0.1, 0.1)


@dataclass(frozen=True)
class DarkIsLesion:
    """Ten lines in place of a network: what is dark is a lesion, large ones are malignant."""

    threshold: float = 0.5
    normal_veto: float = 0.9
    veto_image_share: float = 0.0

    def predict(self, pixels):
        dark = cv2.blur(pixels, (5, 5)) < 80
        malignant = 0.9 if dark.mean() > 0.12 else 0.2
        return _Says(dark.astype(np.float32), Probabilities(0.05, 0.95 - malignant, malignant))


SAMPLE = Sample("BUSI", "x.png", "benign", "g", 5)


def _squares(*corners):
    masks = []
    for row, column in corners:
        mask = np.zeros((100, 120), bool)
        mask[row : row + 20, column : column + 20] = True
        masks.append(mask)
    return masks


def _image(masks):
    pixels = np.full((100, 120), 200, np.uint8)
    for mask in masks:
        pixels[mask] = 10
    return pixels


def test_each_drawn_lesion_is_counted_by_itself():
    drawn = _squares((10, 10), (60, 80))
    case = score_image(DarkIsLesion(), _image(drawn), drawn, SAMPLE)
    assert (case.drawn, case.detected, case.found, case.false_lesions) == (2, 2, 2, 0)
    assert case.dice > 0.85


def test_missed_and_false_lesions_are_told_apart():
    drawn, shown = _squares((10, 10), (60, 80)), _squares((10, 10), (60, 20))
    case = score_image(DarkIsLesion(), _image(shown), drawn, SAMPLE)
    assert (case.drawn, case.detected, case.found, case.false_lesions) == (2, 1, 2, 1)
    assert case.dice == pytest.approx(0.5, abs=0.06)


def test_candidates_are_what_the_veto_saw_and_what_it_dropped():
    drawn, shown = _squares((10, 10), (60, 80)), _squares((10, 10), (60, 20))
    vetoing = DarkIsLesion(normal_veto=0.04)
    case = score_image(vetoing, _image(shown), drawn, SAMPLE)
    assert (case.found, case.detected, case.false_lesions) == (0, 0, 0)
    assert sorted(case.candidates) == [(0.95, (), True), (0.95, (0,), False)]
    # The whole image is normal with 0.8; the veto weighs that by half.
    half = score_image(DarkIsLesion(veto_image_share=0.5), _image(shown), drawn, SAMPLE)
    assert {one.belief for one in half.candidates} == {0.575}
    assert half.found == 2


def test_network_runs_once_for_an_image():
    class Counting(DarkIsLesion):
        runs = 0

        def predict(self, pixels):
            Counting.runs += 1
            return super().predict(pixels)

    drawn = _squares((10, 10))
    score_image(Counting(), _image(drawn), drawn, SAMPLE)
    assert Counting.runs == 1


def test_normal_image_has_no_dice():
    normal = Sample("BUSI", "n.png", "normal", "g", 5)
    quiet = score_image(DarkIsLesion(), _image([]), [], normal)
    assert math.isnan(quiet.dice)
    assert (quiet.found, quiet.false_lesions) == (0, 0)
    alarmed = score_image(DarkIsLesion(), _image(_squares((40, 40))), [], normal)
    assert (alarmed.found, alarmed.false_lesions) == (1, 1)


def _case(label, group="g", dice=0.5, probabilities=(0.1, 0.6, 0.3), found=1):
    lesion = label != "normal"
    return Case(
        "BUSI", label, group, "x", dice if lesion else math.nan, 0.4 if lesion else math.nan,
        int(lesion), int(lesion), found, 0, probabilities,
    )  # fmt: skip


def test_figures_of_a_card_counted_by_hand():
    cases = [
        _case("benign", "a", 0.8),
        _case("malignant", "b", 0.6, (0.1, 0.2, 0.7)),
        _case("malignant", "c", 0.4),
        _case("normal", "d", found=1),
        _case("normal", "e", found=0, probabilities=(0.9, 0.05, 0.05)),
    ]
    part = summarise(cases)["all"]
    assert part["lesion_dice"]["value"] == pytest.approx(0.6)
    assert part["benign_dice"]["value"] == pytest.approx(0.8)
    assert part["malignant_dice"]["value"] == pytest.approx(0.5)
    assert part["accuracy"]["value"] == pytest.approx(3 / 5)
    assert part["malignant_recall"]["value"] == pytest.approx(1 / 2)
    assert part["benign_precision"]["value"] == pytest.approx(1 / 3, abs=1e-3)
    assert part["normals_with_false_lesion"]["value"] == pytest.approx(1 / 2)
    assert part["auc_benign_malignant"]["value"] == pytest.approx(0.75)


def test_data_set_without_normals_gives_no_figure_about_them():
    assert "normals_with_false_lesion" not in summarise([_case("benign")])["all"]


def test_published_folder_is_scored_with_and_without_annotations(tmp_path):
    folder = write_data(tmp_path / "data")
    samples = [sample for sample in read_manifest(folder).samples if sample.fold == 5]
    for sample in samples[:2]:
        target = clean_path(tmp_path / "clean", sample)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((folder / sample.image).read_bytes())
    told = []
    left_in = score(DarkIsLesion(), folder, samples, advance=lambda *done: told.append(done))
    removed = score(DarkIsLesion(), folder, samples, tmp_path / "clean")
    assert (len(left_in), len(removed)) == (6, 2)
    assert told[-1] == (6, 6)
    card = scorecard(left_in, removed, {"name": "dark"}, [5], 3)
    assert card["annotations_left_in"]["BUS-BRA"]["lesion_dice"]["value"] > 0.85
    assert card["annotations_removed"]["all"]["accuracy"]["images"] == 2
    assert card["left_out_for_contradictory_labels"] == 3


def test_mask_published_at_another_size_is_fitted(tmp_path):
    folder = write_data(tmp_path)
    sample = next(s for s in read_manifest(folder).samples if s.label == "malignant")
    assert [mask.shape for mask in read_drawn(folder, sample, (160, 128))] == [(160, 128)]
