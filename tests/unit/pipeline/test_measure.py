import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cad_node.domain import LengthUnit, PixelSpacing
from cad_node.errors import StudyError
from cad_node.pipeline.measure import measure, outline


def ellipse(
    long_mm: float,
    short_mm: float,
    angle_deg: float,
    spacing: PixelSpacing,
    centre: tuple[float, float] = (150.3, 201.7),
    shape: tuple[int, int] = (300, 400),
) -> np.ndarray:
    """Mask of an ellipse with the given full axes; the long one `angle_deg` below the image row."""
    rows, columns = np.indices(shape)
    y = (rows - centre[0]) * spacing.row_mm
    x = (columns - centre[1]) * spacing.column_mm
    angle = math.radians(angle_deg)
    along = x * math.cos(angle) + y * math.sin(angle)
    across = -x * math.sin(angle) + y * math.cos(angle)
    return (along / (long_mm / 2)) ** 2 + (across / (short_mm / 2)) ** 2 <= 1


@pytest.mark.parametrize("angle", [0, 13, 30, 45, 62, 90, 117, 150])
@pytest.mark.parametrize(
    "spacing",
    [
        PixelSpacing(0.1, 0.1),
        PixelSpacing(0.0731, 0.0731),
        PixelSpacing(0.12, 0.08),
        PixelSpacing(0.07, 0.11),
    ],
)
def test_ellipses_are_measured_to_one_percent(angle: float, spacing: PixelSpacing) -> None:
    size = measure(ellipse(14.2, 8.6, angle, spacing), spacing)

    assert size.unit is LengthUnit.MILLIMETRE
    assert size.long_axis.length == pytest.approx(14.2, rel=0.01)
    assert size.short_axis.length == pytest.approx(8.6, rel=0.01)
    assert size.area == pytest.approx(math.pi * 14.2 * 8.6 / 4, rel=0.01)
    expected = angle if angle <= 90 else 180 - angle
    # The farthest pair of a pixel outline lies a little beside the axis of a smooth ellipse.
    assert size.orientation_deg == pytest.approx(expected, abs=5)


def test_lengths_are_those_between_the_axis_ends() -> None:
    spacing = PixelSpacing(0.13, 0.07)

    size = measure(ellipse(12, 7, 35, spacing), spacing)

    ends = []
    for axis in (size.long_axis, size.short_axis):
        rise = (axis.end[0] - axis.start[0]) * spacing.row_mm
        run = (axis.end[1] - axis.start[1]) * spacing.column_mm
        assert math.hypot(rise, run) == pytest.approx(axis.length)
        ends.append((rise, run))
    (rise, run), (other_rise, other_run) = ends
    assert rise * other_rise + run * other_run == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("aspect", [0.5, 0.8, 1.25, 3.0])
def test_without_a_scale_the_proportions_are_right(aspect: float) -> None:
    """An ellipse lies askew on pixels that are not square; only in right proportions its axes are its own."""
    pixel = PixelSpacing(aspect**0.5, aspect**-0.5)
    mask = ellipse(90, 50, 40, pixel)

    size = measure(mask, None, aspect)

    assert size.unit is LengthUnit.PIXEL
    assert size.long_axis.length == pytest.approx(90, rel=0.02)
    assert size.short_axis.length == pytest.approx(50, rel=0.03)
    assert size.area == np.count_nonzero(mask)
    assert size.orientation_deg == pytest.approx(40, abs=5)


def test_without_calibration_everything_is_in_pixels() -> None:
    size = measure(ellipse(120, 80, 20, PixelSpacing(1, 1)), None)

    assert size.unit is LengthUnit.PIXEL
    assert size.long_axis.length == pytest.approx(120, rel=0.01)
    assert size.area == pytest.approx(math.pi * 120 * 80 / 4, rel=0.01)


def test_one_pixel_is_one_pixel_wide_and_high() -> None:
    mask = np.zeros((5, 5), dtype=bool)
    mask[2, 3] = True

    size = measure(mask, None)

    assert size.long_axis.length == pytest.approx(1)
    assert size.short_axis.length == pytest.approx(1)
    assert size.area == 1
    np.testing.assert_allclose(size.contour, [[1.5, 3], [2, 3.5], [2.5, 3], [2, 2.5], [1.5, 3]])


def test_a_line_of_pixels_at_the_image_rim_is_as_long_as_its_pixels() -> None:
    mask = np.zeros((7, 9), dtype=bool)
    mask[:, 0] = True

    size = measure(mask, PixelSpacing(0.5, 0.2))

    assert size.long_axis.length == pytest.approx(3.5)
    assert size.short_axis.length == pytest.approx(0.2)
    assert size.orientation_deg == pytest.approx(90)


def test_only_the_largest_part_of_a_mask_is_measured() -> None:
    mask = np.zeros((40, 40), dtype=bool)
    mask[2:4, 2:4] = True
    mask[20:30, 10:35] = True

    size = measure(mask, None)

    assert size.area == 250
    assert size.contour.min() > 9


def test_the_short_axis_spans_the_outline_where_it_is_widest() -> None:
    # A bar with a bump near one end: the widest place is not the middle.
    mask = np.zeros((40, 60), dtype=bool)
    mask[20:24, 5:55] = True
    mask[12:32, 44:47] = True

    size = measure(mask, None)

    assert size.short_axis.length == pytest.approx(20, abs=1)
    assert 43 < size.short_axis.start[1] < 48


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(StudyError, match="without pixels"):
        measure(np.zeros((4, 4), dtype=bool), None)


def test_the_outline_is_closed_and_ignores_holes() -> None:
    mask = np.zeros((12, 12), dtype=bool)
    mask[2:10, 2:10] = True
    mask[4:8, 4:8] = False

    line = outline(mask)

    assert (line[0] == line[-1]).all()
    assert line.min() == pytest.approx(1.5)
    assert line.max() == pytest.approx(9.5)
    assert len(line) == 4 * 8 + 1


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_any_mask_is_measured_consistently(rows: int, columns: int, data: st.DataObject) -> None:
    bits = data.draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns))
    mask = np.array(bits, dtype=bool).reshape(rows, columns)
    mask[rows // 2, columns // 2] = True

    size = measure(mask, PixelSpacing(0.3, 0.2))

    assert 0 < size.short_axis.length <= size.long_axis.length + 1e-9
    assert 0 <= size.orientation_deg <= 90
    assert size.area <= mask.sum() * 0.06 + 1e-9
    assert (size.contour[0] == size.contour[-1]).all()
