"""Where the B-mode picture is, and how large a pixel is there.

Ultrasound carries its scale per region and in centimetres (PS3.3 C.8.5.5),
not in Pixel Spacing. Everything downstream works in millimetres, so the
conversion happens here and nowhere else. A calibration that cannot be trusted
is none: an image without one is measured in pixels and said to be.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from pydicom.dataset import Dataset

from cad_node.domain import Box, PixelSpacing
from cad_node.errors import UncalibratedImageError
from cad_node.read.headers import integer, items, number, numbers, text

logger = logging.getLogger(__name__)

# PS3.3 C.8.5.5.1.1 Region Spatial Format, C.8.5.5.1.2 Region Data Type, C.8.5.5.1.15 Physical Units.
FORMAT_2D, FORMAT_M_MODE, FORMAT_SPECTRAL = 1, 2, 3
TYPE_TISSUE, TYPE_COLOUR_FLOW, TYPE_PW, TYPE_CW = 1, 2, 3, 4
UNIT_CM = 3

# Nothing that images a breast has pixels outside 1 micrometre to 5 millimetres.
SMALLEST_MM, LARGEST_MM = 0.001, 5.0

# Nor has anything pixels that are so many times as high as wide, or the reverse.
LARGEST_ASPECT = 5.0

# Some systems write exclusive maxima or round up. A region that reaches further out of the
# picture than this belongs to another picture: the image was scaled down or cropped after
# the regions were written (seen in SonoSite cines of half size), and so is its scale wrong.
OVERHANG_PX = 4

# Smaller regions are legends and insets, not pictures.
SMALLEST_SIDE_PX = 32

# Two regions are one calibration when their scales differ by less than this.
SAME_SCALE = 0.001

# Pictures side by side are all analysed when they fill this share of their common box.
TILING = 0.9


@dataclass(frozen=True)
class UltrasoundRegion:
    """One item of Sequence of Ultrasound Regions, as far as it makes sense.

    `box` is None where the bounds are absent, reversed or outside the image,
    `spacing` where the item is not calibrated in centimetres on both axes.
    """

    spatial_format: int
    data_type: int
    box: Box | None
    spacing: PixelSpacing | None

    @property
    def is_dummy(self) -> bool:
        """Whether it says nothing: ACUSON writes such a region first, spanning the image."""
        return self.spatial_format == 0 and self.data_type == 0

    @property
    def is_tissue(self) -> bool:
        """Whether it is a two-dimensional picture of tissue."""
        return self.spatial_format == FORMAT_2D and self.data_type == TYPE_TISSUE


class TissuePicture(NamedTuple):
    """What is analysed of a frame: its region, the size of its pixels, and the pictures beside it that are not.

    `aspect` is height by width of a pixel, of an image that has no better calibration.
    `pictures` are those in `box`, where it holds several.
    """

    box: Box | None
    spacing: PixelSpacing | None
    left_out: tuple[Box, ...] = ()
    aspect: float = 1.0
    pictures: tuple[Box, ...] = ()


def ultrasound_regions(dataset: Dataset, frame_number: int = 1) -> tuple[UltrasoundRegion, ...]:
    """The regions that hold for a frame, in file order, broken ones included as far as known."""
    rows, columns = integer(dataset, "Rows") or 0, integer(dataset, "Columns") or 0
    return tuple(
        UltrasoundRegion(
            integer(item, "RegionSpatialFormat") or 0,
            integer(item, "RegionDataType") or 0,
            _box(item, rows, columns),
            _region_spacing(item),
        )
        for item in _frame_items(dataset, frame_number, "SequenceOfUltrasoundRegions")
    )


def tissue_region(dataset: Dataset, frame_number: int = 1) -> tuple[Box | None, PixelSpacing | None]:
    """Tissue region of a frame, and the size of its pixels: `tissue_picture` without what is left out."""
    picture = tissue_picture(dataset, frame_number)
    return picture.box, picture.spacing


def tissue_picture(dataset: Dataset, frame_number: int = 1) -> TissuePicture:
    """What is analysed of a frame, and which pictures of tissue are not.

    The largest calibrated 2-D tissue region; with it, others of the same scale
    that stand beside it (a split screen shows two pictures, and a lesion in
    the second must not be lost); each is looked at by itself. Without a calibrated one, the largest
    uncalibrated one. Any other 2-D tissue region that reaches out of that is left
    out: a picture of another scale cannot be measured together with it.

    Pixel Spacing (0028,0030) is used only where no region is calibrated. In an
    ultrasound image it says no more than what the sender put there, but it is
    in millimetres by definition; Imager Pixel Spacing is a projection's scale
    at the detector and is never used.

    Parameters
    ----------
    dataset
        Pixel Data is not read.
    frame_number
        From 1. Per-frame functional groups, where an object has them, win over
        shared ones, and these over the image's own attributes.
    """
    tissue = [region for region in ultrasound_regions(dataset, frame_number) if region.is_tissue]
    placed = [region for region in tissue if region.box is not None]
    calibrated = [region for region in placed if region.spacing is not None]
    candidates = calibrated or placed
    aspect = _pixel_aspect(dataset)
    if not candidates:
        return TissuePicture(None, _pixel_spacing(dataset, frame_number), aspect=aspect)
    largest = max(candidates, key=_area)
    box, pictures = _with_neighbours(largest, candidates)
    left_out = tuple(dict.fromkeys(one.box for one in placed if one.box and not _inside(one.box, box)))
    if left_out:
        logger.warning("The image shows several pictures of tissue: %d of them not analysed", len(left_out))
    if any(_contradicts(largest, other) for other in calibrated):
        logger.warning("Two regions give the same tissue different scales: treated as uncalibrated")
        return TissuePicture(box, None, left_out, aspect, pictures)
    spacing = largest.spacing or _pixel_spacing(dataset, frame_number)
    return TissuePicture(box, spacing, left_out, aspect, pictures)


def tissue_spacing(dataset: Dataset) -> PixelSpacing:
    """Pixel spacing of the largest B-mode tissue region of an ultrasound image.

    Parameters
    ----------
    dataset
        An Ultrasound or Ultrasound Multi-frame Image. Pixel Data is not read.

    Returns
    -------
    PixelSpacing
        Distance between rows, then between columns, in mm per pixel, both > 0.

    Raises
    ------
    UncalibratedImageError
        No region is 2-D tissue measured in cm, and there is no Pixel Spacing;
        such an image can be segmented but not measured.

    Notes
    -----
    Source: DICOM PS3.3 C.8.5.5, US Region Calibration Module. Region Spatial
    Format 1 is 2-D, Region Data Type 1 is tissue, Physical Units 3 is cm.

    Examples
    --------
    >>> tissue_spacing(us_image(delta_x_cm=0.01, delta_y_cm=0.02))
    PixelSpacing(row_mm=0.2, column_mm=0.1)
    """
    spacing = tissue_region(dataset)[1]
    if spacing is None:
        raise UncalibratedImageError(
            f"SOP Instance {text(dataset, 'SOPInstanceUID') or 'without UID'} is not calibrated.",
            "It can be outlined, but its measurements are in pixels.",
            study_instance_uid=text(dataset, "StudyInstanceUID"),
        )
    return spacing


def _frame_items(dataset: Dataset, frame_number: int, keyword: str) -> list[Dataset]:
    """Items of a sequence for one frame, from the nearest place that has them."""
    per_frame = items(dataset, "PerFrameFunctionalGroupsSequence")
    groups = per_frame[frame_number - 1 : frame_number] + items(dataset, "SharedFunctionalGroupsSequence")
    for holder in (*groups, dataset):
        if found := items(holder, keyword):
            return found
    return []


def _box(item: Dataset, rows: int, columns: int) -> Box | None:
    """Region bounds, which DICOM gives inclusive, as a half-open box inside the image."""
    bounds = [
        integer(item, keyword)
        for keyword in (
            "RegionLocationMinY0",
            "RegionLocationMaxY1",
            "RegionLocationMinX0",
            "RegionLocationMaxX1",
        )
    ]
    if any(bound is None or bound < 0 for bound in bounds):
        return None
    top, bottom, left, right = (int(bound or 0) for bound in bounds)
    if bottom >= rows + OVERHANG_PX or right >= columns + OVERHANG_PX:
        return None
    box = Box(top, min(bottom + 1, rows), left, min(right + 1, columns))
    return box if min(box.shape) >= SMALLEST_SIDE_PX else None


def _region_spacing(item: Dataset) -> PixelSpacing | None:
    """Scale of a region measured in cm; its sign is only the direction of the axis."""
    units = integer(item, "PhysicalUnitsXDirection"), integer(item, "PhysicalUnitsYDirection")
    delta_x, delta_y = number(item, "PhysicalDeltaX"), number(item, "PhysicalDeltaY")
    if units != (UNIT_CM, UNIT_CM) or delta_x is None or delta_y is None:
        return None
    # Ten times a float32-like delta would show its rounding: 0.2, not 0.20000000000000001.
    return _plausible(round(abs(delta_y) * 10, 12), round(abs(delta_x) * 10, 12))


def _pixel_spacing(dataset: Dataset, frame_number: int) -> PixelSpacing | None:
    """Pixel Spacing of the frame or of the image; exactly 1 by 1 is what converters write for unknown."""
    measures = _frame_items(dataset, frame_number, "PixelMeasuresSequence")
    for holder in (*measures, dataset):
        values = numbers(holder, "PixelSpacing")
        if len(values) == 2 and values != [1.0, 1.0]:
            return _plausible(values[0], values[1])
    return None


def _pixel_aspect(dataset: Dataset) -> float:
    """Pixel Aspect Ratio (0028,0034), height by width; 1 where it is absent or makes no sense."""
    values = numbers(dataset, "PixelAspectRatio")
    if len(values) != 2 or min(values) <= 0:
        return 1.0
    ratio = values[0] / values[1]
    return ratio if 1 / LARGEST_ASPECT <= ratio <= LARGEST_ASPECT else 1.0


def _plausible(row_mm: float, column_mm: float) -> PixelSpacing | None:
    if not all(SMALLEST_MM <= value <= LARGEST_MM for value in (row_mm, column_mm)):
        return None
    if not 1 / LARGEST_ASPECT <= row_mm / column_mm <= LARGEST_ASPECT:
        return None
    return PixelSpacing(row_mm, column_mm)


def _area(region: UltrasoundRegion) -> int:
    return region.box.area if region.box else 0


def _same_scale(one: PixelSpacing | None, other: PixelSpacing | None) -> bool:
    if one is None or other is None:
        return one is other
    return (
        abs(one.row_mm - other.row_mm) <= SAME_SCALE * one.row_mm
        and abs(one.column_mm - other.column_mm) <= SAME_SCALE * one.column_mm
    )


def _with_neighbours(
    largest: UltrasoundRegion, candidates: list[UltrasoundRegion]
) -> tuple[Box | None, tuple[Box, ...]]:
    """The box of the largest region, grown over pictures of the same scale that tile with it, and these."""
    same = {
        region.box
        for region in candidates
        if region.box is not None and _same_scale(region.spacing, largest.spacing)
    }
    boxes = sorted(same, key=lambda box: (box.row_start, box.column_start))
    union = Box(
        min(box.row_start for box in boxes),
        max(box.row_stop for box in boxes),
        min(box.column_start for box in boxes),
        max(box.column_stop for box in boxes),
    )
    if sum(box.area for box in boxes) < TILING * union.area:
        return largest.box, ()
    beside = all(min(_common(one, other)) <= OVERHANG_PX for one, other in combinations(boxes, 2))
    return union, tuple(boxes) if beside and len(boxes) > 1 else ()


def _common(one: Box, other: Box) -> tuple[int, int]:
    """Height and width of what two boxes have in common; 0 where there is nothing."""
    rows = min(one.row_stop, other.row_stop) - max(one.row_start, other.row_start)
    columns = min(one.column_stop, other.column_stop) - max(one.column_start, other.column_start)
    return max(rows, 0), max(columns, 0)


def _contradicts(one: UltrasoundRegion, other: UltrasoundRegion) -> bool:
    """Whether two regions lie on each other and yet differ in scale."""
    if one.box is None or other.box is None or _same_scale(one.spacing, other.spacing):
        return False
    rows, columns = _common(one.box, other.box)
    return rows * columns >= 0.9 * max(one.box.area, other.box.area)


def _inside(inner: Box, outer: Box | None) -> bool:
    """Whether a region reaches no further out of another than roundings do."""
    return outer is None or (
        inner.row_start >= outer.row_start - OVERHANG_PX
        and inner.row_stop <= outer.row_stop + OVERHANG_PX
        and inner.column_start >= outer.column_start - OVERHANG_PX
        and inner.column_stop <= outer.column_stop + OVERHANG_PX
    )
