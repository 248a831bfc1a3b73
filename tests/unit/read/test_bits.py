from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from cad_node.read.bits import SampleBits, sample_bits


def header(allocated: int, stored: int, high: int | None, signed: int = 0) -> Dataset:
    dataset = Dataset()
    dataset.BitsAllocated, dataset.BitsStored, dataset.PixelRepresentation = allocated, stored, signed
    if high is not None:
        dataset.HighBit = high
    return dataset


@pytest.mark.parametrize(
    ("allocated", "stored", "high", "shift"),
    [
        (16, 12, 11, 0),
        (16, 12, 15, 4),
        (16, 12, 13, 2),
        (8, 4, 7, 4),
        (16, 12, None, 0),
        (16, 12, 7, 0),
        (16, 12, 16, 0),
        (8, 8, 15, 0),
    ],
)
def test_high_bit_says_how_far_up_samples_lie_where_it_is_possible(
    allocated: int, stored: int, high: int | None, shift: int
) -> None:
    assert sample_bits(header(allocated, stored, high)).shift == shift


@pytest.mark.parametrize(("precision", "shift"), [(12, 0), (8, 0), (16, 4)])
def test_a_stream_of_no_more_bits_than_are_stored_is_not_shifted(precision: int, shift: int) -> None:
    assert sample_bits(header(16, 12, 15), precision).shift == shift


def test_signed_samples_get_their_sign_back() -> None:
    samples = np.array([-2048, -1, 0, 1, 2047], np.int16)
    bits = SampleBits(16, 12, 1, 4)
    cells = (samples.astype(np.uint16) << 4) | 0b1001
    assert bits.aligned(cells).dtype == np.int16
    assert np.array_equal(bits.aligned(cells), samples)
