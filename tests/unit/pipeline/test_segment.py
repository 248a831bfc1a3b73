from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from cad_node.domain import Box, CleanFrame, PixelSpacing, Probabilities
from cad_node.pipeline.segment import find_lesions

SHAPE = (120, 160)


@dataclass
class _Threshold:
    """A network that calls bright pixels lesion, and the left half of the image normal."""

    threshold: float = 0.5
    normal_veto: float = 0.8
    veto_image_share: float = 0.0

    def predict(self, pixels: NDArray[np.uint8]) -> "_Said":
        return _Said(pixels.astype(np.float32) / 255)


@dataclass
class _Said:
    probability: NDArray[np.float32]

    def classify(self, mask: NDArray[np.bool_]) -> Probabilities:
        if not mask.any():
            return Probabilities(1.0, 0.0, 0.0)
        left = np.nonzero(mask)[1].mean() < mask.shape[1] / 2
        return Probabilities(0.9, 0.1, 0.0) if left else Probabilities(0.1, 0.2, 0.7)


def _frame(*boxes: tuple[slice, slice], spacing: PixelSpacing | None = None) -> CleanFrame:
    pixels = np.zeros(SHAPE, dtype=np.uint8)
    for box in boxes:
        pixels[box] = 255
    region = Box(10, 110, 20, 150)
    return CleanFrame(1, pixels, region, spacing, (), np.zeros(SHAPE, dtype=np.bool_))


def test_a_finding_comes_back_where_it_is_in_the_source_image() -> None:
    findings, overall = find_lesions(_frame(np.s_[40:60, 100:130]), _Threshold(), 0)

    assert len(findings) == 1
    expected = np.zeros(SHAPE, dtype=np.bool_)
    expected[40:60, 100:130] = True
    np.testing.assert_array_equal(findings[0].mask, expected)
    assert overall.malignant == pytest.approx(0.7)


@pytest.mark.parametrize(("share", "found"), [(0.0, 1), (0.7, 1), (0.8, 0)])
def test_an_image_that_looks_normal_without_the_finding_weighs_in_the_veto(share: float, found: int) -> None:
    """The finding is normal with 0.1, the image with 1: their mean reaches the veto of 0.8 at a share of 7/9."""
    model = _Threshold(veto_image_share=share)

    assert len(find_lesions(_frame(np.s_[40:60, 100:130]), model, 0)[0]) == found


def test_each_picture_of_a_split_screen_is_looked_at_by_itself() -> None:
    """In each, the network has what lies in the left half for normal: once more than in the whole region."""
    whole = _frame(np.s_[40:50, 30:40], np.s_[40:50, 70:80], np.s_[60:80, 92:102], np.s_[60:90, 130:140])
    split = replace(whole, pictures=(Box(10, 110, 20, 85), Box(10, 110, 85, 150)))

    findings, overall = find_lesions(split, _Threshold(), 0, keep_probability=True)

    assert [tuple(int(axis[0]) for axis in np.nonzero(one.mask)) for one in findings] == [(40, 70), (60, 130)]
    maps = [one.probability_map for one in findings]
    assert all(one is not None and (one.values[one.values > 0] == 255).all() for one in maps)
    assert [one.box.column_start for one in maps if one] == [62, 122]
    assert overall.malignant == pytest.approx(0.7)


def test_a_split_screen_is_as_suspicious_as_the_more_suspicious_of_its_pictures() -> None:
    frame = _frame(np.s_[40:60, 70:80])
    for pictures in (
        (Box(10, 110, 20, 85), Box(10, 110, 85, 150)),
        (Box(10, 110, 85, 150), Box(10, 110, 20, 85)),
    ):
        _, overall = find_lesions(replace(frame, pictures=pictures), _Threshold(), 0)
        assert overall.malignant == pytest.approx(0.7)


def test_a_picture_without_a_finding_does_not_name_the_class_of_one_with_a_finding() -> None:
    class _Cyst(_Said):
        def classify(self, mask: NDArray[np.bool_]) -> Probabilities:
            return Probabilities(0.01, 0.97, 0.02) if mask.any() else Probabilities(0.9, 0.05, 0.05)

    class _Network(_Threshold):
        def predict(self, pixels: NDArray[np.uint8]) -> _Said:
            return _Cyst(pixels.astype(np.float32) / 255)

    split = replace(_frame(np.s_[40:60, 70:80]), pictures=(Box(10, 110, 20, 85), Box(10, 110, 85, 150)))

    findings, overall = find_lesions(split, _Network(), 0)

    assert len(findings) == 1
    assert overall.benign == pytest.approx(0.97)


def test_what_lies_outside_the_tissue_region_is_not_found() -> None:
    findings, overall = find_lesions(_frame(np.s_[0:9, 100:130]), _Threshold(), 0)

    assert findings == ()
    assert overall.normal == 1.0


def test_holes_are_filled() -> None:
    frame = _frame(np.s_[40:60, 100:130])
    pixels = frame.pixels.copy()
    pixels[48:52, 110:114] = 0
    holed = CleanFrame(1, pixels, frame.region, None, (), frame.removed)

    findings, _ = find_lesions(holed, _Threshold(), 0)

    assert findings[0].mask[50, 112]


def test_the_largest_finding_comes_first() -> None:
    findings, _ = find_lesions(_frame(np.s_[20:30, 100:110], np.s_[60:90, 100:130]), _Threshold(), 0)

    assert [int(finding.mask.sum()) for finding in findings] == [900, 100]


def test_findings_that_are_normal_tissue_are_dropped() -> None:
    findings, overall = find_lesions(_frame(np.s_[40:60, 30:60]), _Threshold(), 0)

    assert findings == ()
    assert overall.normal == 1.0


def test_findings_smaller_than_the_setting_are_dropped_where_calibrated() -> None:
    box = np.s_[40:50, 100:110]  # 100 px of 0.04 mm² are 4 mm²
    fine = PixelSpacing(0.2, 0.2)

    assert len(find_lesions(_frame(box, spacing=fine), _Threshold(), 3.9)[0]) == 1
    assert find_lesions(_frame(box, spacing=fine), _Threshold(), 4.1)[0] == ()


def test_specks_are_dropped_without_calibration() -> None:
    assert find_lesions(_frame(np.s_[40:42, 100:102]), _Threshold(), 0)[0] == ()
