"""When typed and measured sizes are said to differ."""

import numpy as np
import pytest

from cad_node.domain import (
    Box,
    LengthUnit,
    Lesion,
    PixelSpacing,
    Probabilities,
    SonographerNotes,
    TypedDistance,
)
from cad_node.pipeline.compare import compare_sizes
from cad_node.pipeline.measure import measure

TENTH_MM = PixelSpacing(0.1, 0.1)


def lesion(pixels: int, number: int = 1, spacing: PixelSpacing | None = TENTH_MM) -> Lesion:
    """A bar of so many pixels, a tenth of a millimetre each."""
    mask = np.zeros((20, pixels + 20), dtype=bool)
    mask[8, 10 : 10 + pixels] = True
    return Lesion(number, 1, mask, Probabilities(0.1, 0.8, 0.1), measure(mask, spacing))


def typed(*millimetres: float) -> SonographerNotes:
    box = Box(0, 10, 0, 40)
    return SonographerNotes(distances=tuple(TypedDistance(value, box, 0.9) for value in millimetres))


@pytest.mark.parametrize(
    ("typed_mm", "measured_px", "differs"),
    [
        (10.0, 100, False),
        (10.0, 128, False),  # 28 %, but less than 3 mm
        (10.0, 135, True),
        (40.0, 465, False),  # 6.5 mm, but less than 20 %
        (40.0, 490, True),
        (40.0, 310, True),
    ],
)
def test_a_difference_counts_beyond_a_fifth_and_three_millimetres(
    typed_mm: float, measured_px: int, differs: bool
) -> None:
    compared = compare_sizes(typed(typed_mm), [lesion(measured_px)])

    assert compared is not None
    assert compared.typed_mm == typed_mm
    assert compared.measured_mm == pytest.approx(measured_px / 10, abs=0.02)
    assert compared.differs is differs


def test_the_longest_typed_distance_and_the_nearest_lesion_are_compared() -> None:
    compared = compare_sizes(typed(5.0, 12.0), [lesion(300, 1), lesion(118, 2)])

    assert compared is not None
    assert (compared.typed_mm, compared.lesion_number, compared.differs) == (12.0, 2, False)


def test_without_scale_or_distance_or_lesion_there_is_nothing_to_compare() -> None:
    in_pixels = lesion(100, spacing=None)

    assert in_pixels.measurements.unit is LengthUnit.PIXEL
    assert compare_sizes(typed(10.0), [in_pixels]) is None
    assert compare_sizes(typed(), [lesion(100)]) is None
    assert compare_sizes(typed(10.0), []) is None
