from __future__ import annotations

import math

import pytest
from pydicom.dataset import Dataset

from cad_node.domain import Box, PixelSpacing
from cad_node.errors import UncalibratedImageError
from cad_node.read import tissue_region, tissue_spacing
from cad_node.read.calibration import tissue_picture
from tests.factories import (
    COLOUR_FLOW,
    ECG_TRACE,
    SECONDS,
    WAVEFORM,
    region,
    us_cine,
    us_image,
)

LEFT, RIGHT = (20, 220, 0, 156), (20, 220, 160, 320)


def test_region_bounds_are_inclusive() -> None:
    image = us_image(tissue_box=(28, 236, 20, 300))
    item = image.SequenceOfUltrasoundRegions[0]
    assert (item.RegionLocationMaxX1, item.RegionLocationMaxY1) == (299, 235)
    assert tissue_region(image)[0] == Box(28, 236, 20, 300)


def test_a_whole_image_region_covers_every_pixel() -> None:
    assert tissue_region(us_image(regions=[region((0, 240, 0, 320))]))[0] == Box(0, 240, 0, 320)


def test_rows_are_scaled_by_delta_y_and_columns_by_delta_x() -> None:
    assert tissue_spacing(us_image(delta_x_cm=0.01, delta_y_cm=0.02)) == PixelSpacing(0.2, 0.1)


def test_the_sign_of_a_delta_is_dropped() -> None:
    assert tissue_spacing(us_image(delta_x_cm=-0.01, delta_y_cm=-0.02)) == PixelSpacing(0.2, 0.1)


def test_a_dummy_first_region_is_ignored() -> None:
    image = us_image(dummy_first_region=True, tissue_box=(28, 236, 20, 300))
    assert tissue_region(image) == (Box(28, 236, 20, 300), PixelSpacing(0.1, 0.1))


def test_traces_and_flow_are_not_tissue() -> None:
    image = us_image(
        regions=[
            region((0, 240, 0, 320), data_type=COLOUR_FLOW, delta_x_cm=0.5),
            region((0, 240, 0, 320), spatial_format=WAVEFORM, data_type=ECG_TRACE, units_x=SECONDS),
            region((50, 150, 50, 250)),
        ]
    )
    assert tissue_region(image) == (Box(50, 150, 50, 250), PixelSpacing(0.1, 0.1))


def test_two_pictures_of_one_scale_side_by_side_are_both_taken() -> None:
    picture = tissue_picture(us_image(regions=[region(RIGHT), region(LEFT)]))
    assert picture.box == Box(20, 220, 0, 320)
    assert picture.pictures == (Box(20, 220, 0, 156), Box(20, 220, 160, 320))


@pytest.mark.parametrize(
    "other", [LEFT, (22, 222, 0, 158), (40, 90, 100, 150)], ids=["the same", "with roundings", "inset"]
)
def test_regions_that_lie_on_each_other_are_one_picture(other: tuple[int, int, int, int]) -> None:
    assert tissue_picture(us_image(regions=[region(LEFT), region(other)])).pictures == ()


def test_pictures_may_share_an_edge() -> None:
    image = us_image(regions=[region((20, 220, 0, 161)), region(RIGHT)])
    assert len(tissue_picture(image).pictures) == 2


def test_of_two_pictures_of_different_scale_the_larger_is_taken_and_it_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    image = us_image(regions=[region(LEFT), region(RIGHT, delta_x_cm=0.02, delta_y_cm=0.02)])
    assert tissue_region(image) == (Box(20, 220, 160, 320), PixelSpacing(0.2, 0.2))
    assert tissue_picture(image).left_out == (Box(20, 220, 0, 156),)
    assert "several pictures" in caplog.text


def test_pictures_far_apart_are_not_taken_together() -> None:
    image = us_image(regions=[region((0, 100, 0, 150)), region((200, 236, 280, 320))])
    assert tissue_region(image)[0] == Box(0, 100, 0, 150)
    assert tissue_picture(image).left_out == (Box(200, 236, 280, 320),)


def test_a_picture_without_scale_beside_one_with_a_scale_is_left_out_and_named() -> None:
    image = us_image(regions=[region(LEFT), region(RIGHT, units_x=0, units_y=0)])
    assert tissue_region(image) == (Box(20, 220, 0, 156), PixelSpacing(0.1, 0.1))
    assert tissue_picture(image).left_out == (Box(20, 220, 160, 320),)


@pytest.mark.parametrize(
    "other",
    [RIGHT, (22, 222, 0, 158), (40, 90, 100, 150), (20, 40, 160, 180)],
    ids=["beside it", "the same with roundings", "inset", "legend"],
)
def test_nothing_is_left_out_where_all_tissue_is_looked_at(other: tuple[int, int, int, int]) -> None:
    assert tissue_picture(us_image(regions=[region(LEFT), region(other)])).left_out == ()


def test_two_scales_for_the_same_tissue_are_no_calibration() -> None:
    image = us_image(regions=[region(LEFT), region(LEFT, delta_x_cm=0.02)])
    assert tissue_region(image) == (Box(20, 220, 0, 156), None)


def test_a_calibrated_region_is_preferred_to_a_larger_one_without_scale() -> None:
    image = us_image(regions=[region((0, 240, 0, 320), units_x=0, units_y=0), region(LEFT)])
    assert tissue_region(image)[1] == PixelSpacing(0.1, 0.1)


@pytest.mark.parametrize(
    ("delta", "why"),
    [(0.0, "zero"), (math.nan, "not a number"), (math.inf, "infinite"), (0.51, "over 5 mm"), (5e-5, "tiny")],
)
def test_an_absurd_delta_is_no_calibration(delta: float, why: str) -> None:
    image = us_image(delta_x_cm=delta)
    box, spacing = tissue_region(image)
    assert box is not None
    assert spacing is None, why
    with pytest.raises(UncalibratedImageError) as caught:
        tissue_spacing(image)
    assert caught.value.study_instance_uid == image.StudyInstanceUID


def test_a_missing_delta_is_no_calibration() -> None:
    assert tissue_region(us_image(delta_y_cm=None))[1] is None


@pytest.mark.parametrize(("units_x", "units_y"), [(0, 3), (3, 4), (0, 0)])
def test_other_units_than_cm_are_no_calibration(units_x: int, units_y: int) -> None:
    image = us_image(regions=[region(LEFT, units_x=units_x, units_y=units_y)])
    assert tissue_region(image) == (Box(20, 220, 0, 156), None)


def test_a_region_one_pixel_too_wide_is_clipped() -> None:
    assert tissue_region(us_image(regions=[region((20, 241, 0, 321))]))[0] == Box(20, 240, 0, 320)


def test_regions_of_a_picture_that_was_scaled_down_are_not_believed() -> None:
    image = us_image(regions=[region((31, 415, 84, 596))])  # 480 x 640 coordinates in 240 x 320
    assert tissue_region(image) == (None, None)


def test_an_inset_too_small_to_be_a_picture_is_ignored() -> None:
    assert tissue_region(us_image(regions=[region((10, 20, 10, 20))])) == (None, None)


def test_reversed_bounds_are_ignored() -> None:
    broken = region(LEFT)
    broken.RegionLocationMaxX1 = 0
    broken.RegionLocationMinX0 = 150
    assert tissue_region(us_image(regions=[broken])) == (None, None)


def test_pixel_spacing_serves_where_no_region_is_calibrated() -> None:
    image = us_image(regions=(), attributes={"PixelSpacing": [0.2, 0.1]})
    assert tissue_region(image) == (None, PixelSpacing(0.2, 0.1))


def test_a_region_wins_over_pixel_spacing() -> None:
    image = us_image(attributes={"PixelSpacing": [0.5, 0.5]})
    assert tissue_spacing(image) == PixelSpacing(0.1, 0.1)


@pytest.mark.parametrize("value", [[1, 1], [0, 0.1], [0.1], [-0.1, 0.1]])
def test_pixel_spacing_that_says_nothing_is_no_calibration(value: list[float]) -> None:
    image = us_image(regions=(), attributes={"PixelSpacing": value})
    assert tissue_region(image)[1] is None


@pytest.mark.parametrize(
    ("value", "aspect"),
    [
        ([54, 59], 54 / 59),
        ([2, 1], 2),
        ([1, 1], 1),
        ([0, 1], 1),
        ([1], 1),
        ([-2, 1], 1),
        ([100, 1], 1),
        (None, 1),
    ],
)
def test_the_aspect_of_pixels_is_height_by_width(value: list[int] | None, aspect: float) -> None:
    for regions in ((), (region(LEFT, delta_x_cm=None, delta_y_cm=None),)):
        image = us_image(regions=regions, attributes={"PixelAspectRatio": value})
        assert tissue_picture(image).spacing is None
        assert tissue_picture(image).aspect == pytest.approx(aspect)


@pytest.mark.parametrize(("row_cm", "column_cm"), [(0.01, 0.0001), (0.0001, 0.01), (0.3, 0.002)])
def test_pixels_many_times_as_high_as_wide_are_no_calibration(row_cm: float, column_cm: float) -> None:
    image = us_image(delta_x_cm=column_cm, delta_y_cm=row_cm)
    assert tissue_region(image)[1] is None
    spaced = us_image(regions=(), attributes={"PixelSpacing": [10 * row_cm, 10 * column_cm]})
    assert tissue_region(spaced)[1] is None


def test_imager_pixel_spacing_is_no_calibration() -> None:
    image = us_image(regions=(), attributes={"ImagerPixelSpacing": [0.2, 0.2]})
    assert tissue_region(image)[1] is None


def test_functional_groups_calibrate_frames_one_by_one() -> None:
    image = us_cine(frames=2, regions=())
    groups = []
    for spacing in (0.1, 0.3):
        measures, group = Dataset(), Dataset()
        measures.PixelSpacing = [spacing, spacing]
        group.PixelMeasuresSequence = [measures]
        groups.append(group)
    image.PerFrameFunctionalGroupsSequence = groups
    assert [tissue_region(image, number)[1] for number in (1, 2)] == [
        PixelSpacing(0.1, 0.1),
        PixelSpacing(0.3, 0.3),
    ]


def test_regions_of_a_frame_win_over_those_of_the_image() -> None:
    image = us_cine(frames=2)
    group = Dataset()
    group.SequenceOfUltrasoundRegions = [region(LEFT, delta_x_cm=0.02, delta_y_cm=0.02)]
    image.PerFrameFunctionalGroupsSequence = [Dataset(), group]
    assert tissue_region(image, 1)[1] == PixelSpacing(0.1, 0.1)
    assert tissue_region(image, 2) == (Box(20, 220, 0, 156), PixelSpacing(0.2, 0.2))
