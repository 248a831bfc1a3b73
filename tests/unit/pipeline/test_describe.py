from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from cad_node.domain import Box, CleanFrame, LesionOrientation, LesionShape, PixelSpacing
from cad_node.pipeline.describe import describe
from cad_node.pipeline.measure import measure

ROWS, COLUMNS = 200, 300
SPACING = PixelSpacing(row_mm=0.1, column_mm=0.1)


def ellipse(rows: float, columns: float, degrees: float = 0.0) -> NDArray[np.bool_]:
    """Half-axes along rows and columns, turned about the middle of the frame."""
    row, column = np.mgrid[:ROWS, :COLUMNS] - np.array([100.0, 150.0])[:, None, None]
    angle = np.radians(degrees)
    along = column * np.cos(angle) + row * np.sin(angle)
    across = row * np.cos(angle) - column * np.sin(angle)
    inside: NDArray[np.bool_] = (across / rows) ** 2 + (along / columns) ** 2 <= 1
    return inside


def star() -> NDArray[np.bool_]:
    row, column = np.mgrid[:ROWS, :COLUMNS] - np.array([100.0, 150.0])[:, None, None]
    away = np.hypot(row, column)
    inside: NDArray[np.bool_] = away <= 45 + 20 * np.cos(6 * np.arctan2(row, column))
    return inside


def frame(spacing: PixelSpacing | None = SPACING, skin_row: int = 0) -> CleanFrame:
    pixels = np.full((ROWS, COLUMNS), 80, np.uint8)
    pixels[:skin_row] = 0
    region = Box(10, ROWS, 0, COLUMNS)
    return CleanFrame(1, pixels, region, spacing, (), np.zeros((ROWS, COLUMNS), bool))


@pytest.mark.parametrize(
    ("mask", "orientation"),
    [
        (ellipse(20, 50), LesionOrientation.PARALLEL),
        (ellipse(20, 50, 20), LesionOrientation.PARALLEL),
        (ellipse(20, 50, 38), None),
        (ellipse(20, 50, 60), LesionOrientation.NOT_PARALLEL),
        (ellipse(50, 20), LesionOrientation.NOT_PARALLEL),
        (ellipse(40, 42), None),
    ],
)
def test_orientation_is_said_where_the_angle_decides(
    mask: NDArray[np.bool_], orientation: LesionOrientation | None
) -> None:
    assert describe(measure(mask, SPACING), frame()).orientation is orientation


@pytest.mark.parametrize(
    ("mask", "shape"),
    [
        (ellipse(20, 50), LesionShape.OVAL),
        (ellipse(30, 45, 30), LesionShape.OVAL),
        (ellipse(40, 41), LesionShape.ROUND),
        (ellipse(40, 46), None),  # between round and oval
        (star(), LesionShape.IRREGULAR),
        (ellipse(20, 30) | np.roll(ellipse(20, 30), (14, 36), axis=(0, 1)), None),  # lobulated
        (ellipse(5, 8), None),  # too few pixels to tell
    ],
)
def test_shape_is_said_where_the_outline_decides(mask: NDArray[np.bool_], shape: LesionShape | None) -> None:
    assert describe(measure(mask, None), frame(None)).shape is shape


def test_shape_is_that_in_the_body_where_pixels_are_not_square() -> None:
    spacing = PixelSpacing(row_mm=0.2, column_mm=0.1)
    assert describe(measure(ellipse(20, 40), spacing), frame(spacing)).shape is LesionShape.ROUND


@pytest.mark.parametrize(("skin_row", "top"), [(0, 10), (10, 10), (25, 25)])
def test_depth_runs_from_the_top_of_the_tissue_to_the_top_of_the_lesion(skin_row: int, top: int) -> None:
    mask = np.zeros((ROWS, COLUMNS), bool)
    mask[60:100, 100:200] = True
    described = describe(measure(mask, SPACING), frame(skin_row=skin_row))
    assert described.depth_mm == pytest.approx((60 - top) * 0.1)


def test_without_a_scale_there_is_no_depth() -> None:
    assert describe(measure(ellipse(20, 50), None), frame(None)).depth_mm is None


def test_a_lesion_at_the_top_of_the_tissue_has_no_depth_below_it() -> None:
    mask = np.zeros((ROWS, COLUMNS), bool)
    mask[10:50, 100:200] = True
    assert describe(measure(mask, SPACING), frame()).depth_mm == pytest.approx(0)


@pytest.mark.parametrize(
    ("rows", "columns", "cut"),
    [
        ((60, 100), (100, 200), False),
        ((60, 100), (0, 60), True),
        ((60, 100), (240, COLUMNS), True),
        ((160, ROWS), (100, 200), True),
        ((10, 50), (100, 200), True),
        ((13, 50), (3, 60), False),
        ((12, 50), (3, 60), True),
        ((160, 197), (240, 297), False),
        ((160, 198), (240, 297), True),
    ],
)
def test_of_a_lesion_at_the_edge_of_the_picture_neither_shape_nor_direction_is_said(
    rows: tuple[int, int], columns: tuple[int, int], cut: bool
) -> None:
    row, column = np.mgrid[:ROWS, :COLUMNS]
    middle, half = (np.array([rows, columns]).mean(axis=1), np.ptp(np.array([rows, columns]), axis=1) / 2)
    mask = ((row + 0.5 - middle[0]) / half[0]) ** 2 + ((column + 0.5 - middle[1]) / half[1]) ** 2 <= 1
    assert [int(one) for one in (np.nonzero(mask)[0].min(), np.nonzero(mask)[1].max())] == [
        rows[0], columns[1] - 1,
    ]  # fmt: skip
    described = describe(measure(mask, SPACING), frame())
    assert described.cut is cut
    assert (described.shape is None) is cut
    assert cut is False or described.orientation is None


def test_on_a_split_screen_a_lesion_is_cut_where_its_own_picture_ends() -> None:
    split = replace(frame(), pictures=(Box(10, ROWS, 0, 148), Box(40, ROWS, 150, COLUMNS)))
    mask = np.zeros((ROWS, COLUMNS), bool)
    mask[60:100, 152:200] = True

    described = describe(measure(mask, SPACING), split)

    assert described.cut
    assert not describe(measure(mask, SPACING), frame()).cut
    assert described.depth_mm == pytest.approx(2.0)  # 20 rows below the top of that picture


@pytest.mark.parametrize(("column", "cut"), [(115, True), (130, True), (145, False), (200, False)])
def test_a_lesion_at_the_slanted_side_of_a_trapezoid_is_cut(column: int, cut: bool) -> None:
    """Its left side runs from column 160 at the top to 60 at the bottom, by 130 in the row of the lesion's middle."""
    pixels = np.full((ROWS, COLUMNS), 80, np.uint8)
    row, place = np.mgrid[:ROWS, :COLUMNS]
    pixels[place < 160 - row / 2] = 0
    mask = (((row - 60) / 18.0) ** 2 + ((place - column - 25) / 25.0) ** 2 <= 1) & (pixels > 0)
    pixels[mask] = 0  # a cyst is as black as what lies beside the picture

    described = describe(measure(mask, SPACING), replace(frame(), pixels=pixels))

    assert described.cut is cut
    assert cut is False or (described.shape, described.orientation) == (None, None)


def test_in_a_black_picture_the_edge_is_that_of_the_region() -> None:
    black = replace(frame(), pixels=np.zeros((ROWS, COLUMNS), np.uint8))
    assert not describe(measure(ellipse(20, 50), SPACING), black).cut
