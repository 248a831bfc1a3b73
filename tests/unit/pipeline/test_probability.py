import numpy as np
import pytest
from numpy.typing import NDArray

from cad_node.domain import Box
from cad_node.pipeline.probability import probability_map
from cad_node.pipeline.segment import find_components, find_lesions
from tests.unit.pipeline.test_segment import _frame, _Threshold

REGION = Box(10, 110, 20, 180)
SIZE = REGION.shape


def hill(row: float, column: float, width: float) -> NDArray[np.float32]:
    r, c = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.exp(-((r - row) ** 2 + (c - column) ** 2) / (2 * width**2)).astype(np.float32)


@pytest.mark.parametrize("threshold", [0.001, 0.4, 0.45, 0.5, 0.50196, 0.999])
def test_the_mask_is_what_reaches_the_threshold_after_rounding(threshold: float) -> None:
    probability = np.clip(hill(50, 60, 12) + 0.003, 0, 1)
    mask = probability >= threshold

    kept = probability_map(probability, mask, [mask], threshold, Box(0, 100, 0, 160))

    whole = np.zeros(SIZE, np.uint8)
    whole[kept.box.slices] = kept.values
    np.testing.assert_array_equal(whole >= kept.least, mask)
    there = probability[kept.box.slices]
    assert np.abs(kept.values / 255 - there).max() <= 1 / 255


def test_the_box_lies_in_the_source_image_and_ends_with_the_region() -> None:
    probability = hill(3, 150, 10)
    mask = probability >= 0.5

    kept = probability_map(probability, mask, [mask], 0.5, REGION)

    assert kept.box.shape == kept.values.shape
    assert (kept.box.row_start, kept.box.column_stop) == (REGION.row_start, REGION.column_stop)
    rows = np.flatnonzero(mask.any(axis=1))
    assert kept.box.row_stop == REGION.row_start + rows[-1] + 1 + 8


def test_what_lies_nearer_to_another_finding_is_not_the_lesions() -> None:
    probability = np.maximum(hill(50, 50, 10), hill(50, 80, 8))
    one, other = find_components(probability >= 0.6, 10)

    maps = [
        probability_map(probability, mask, [one, other], 0.6, Box(0, 100, 0, 160)) for mask in (one, other)
    ]

    wholes = np.zeros((2, *SIZE), np.uint8)
    for whole, kept in zip(wholes, maps, strict=True):
        whole[kept.box.slices] = kept.values
    np.testing.assert_array_equal(wholes[0] >= maps[0].least, one)
    np.testing.assert_array_equal(wholes[1] >= maps[1].least, other)
    # Between the two the probability does not sink to 0, and each pixel there is said once.
    assert probability[50, 55:75].min() > 0.1
    assert np.minimum(wholes[0], wholes[1]).max() == 0
    assert (np.maximum(wholes[0], wholes[1])[50, 55:75] > 0).all()


def test_a_hole_is_the_lesions_and_a_speck_is_not() -> None:
    probability = hill(50, 60, 15)
    probability[48:52, 58:62] = 0.1
    probability[50, 85] = 0.9
    (mask,) = find_components(probability >= 0.5, 20)

    kept = probability_map(probability, mask, [mask], 0.5, Box(0, 100, 0, 160))

    assert kept.least == 128
    top, left = kept.box.row_start, kept.box.column_start
    assert kept.values[50 - top, 60 - left] == 128
    assert kept.values[50 - top, 85 - left] == 127


def test_a_finding_keeps_its_probability_only_where_it_is_asked_for() -> None:
    frame = _frame(np.s_[40:60, 100:130])

    (plain,), _ = find_lesions(frame, _Threshold(), 0)
    (kept,), _ = find_lesions(frame, _Threshold(), 0, keep_probability=True)

    assert plain.probability_map is None
    assert kept.probability_map is not None
    whole = np.zeros(frame.pixels.shape, np.uint8)
    whole[kept.probability_map.box.slices] = kept.probability_map.values
    np.testing.assert_array_equal(whole >= kept.probability_map.least, kept.mask)
