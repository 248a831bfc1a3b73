"""Proof that results can be read by others: SEG and SR opened anew, and their numbers compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from highdicom.seg import Segmentation
from highdicom.sr import Comprehensive3DSR, ComprehensiveSR, EnhancedSR
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    SegmentationStorage,
)

from cad_node import codes
from cad_node.encode.provenance import MASK_FROM
from cad_node.errors import EncodeError

_READERS: dict[str, Any] = {
    SegmentationStorage: Segmentation,
    Comprehensive3DSRStorage: Comprehensive3DSR,
    ComprehensiveSRStorage: ComprehensiveSR,
    EnhancedSRStorage: EnhancedSR,
}
_AREA, _PROBABILITY_OF_CANCER = "42798000", "111047"
# The report rounds areas to hundredths; and 1 % for the outline that stands for the pixels.
_ROUNDING, _AREA_TOLERANCE = 0.01, 0.01


@dataclass(frozen=True)
class LesionReading:
    """A lesion as a reader of the files sees it, in the frame that the report measured.

    `area` and `unit` are the report's; `mask_area` is counted from the SEG's
    pixels and its Pixel Spacing. `probability_percent` is that of cancer.
    """

    tracking_uid: str
    tracking_id: str
    source_sop_instance_uid: str
    frame_number: int
    area: float
    mask_area: float
    unit: str
    probability_percent: float


@dataclass(frozen=True)
class ReadBack:
    """What was found in the files."""

    segments: int
    measurement_groups: int
    lesions: tuple[LesionReading, ...]


def read_back(files: Sequence[Path | Dataset]) -> ReadBack:
    """Read the SEGs and SRs of one or several studies and compare them.

    Raises
    ------
    EncodeError
        An object cannot be read, or a lesion of a report has no mask with its
        Tracking UID, or one of another area.
    """
    objects = [_opened(file) for file in files]
    segs = [one for one in objects if isinstance(one, Segmentation)]
    reports = [one for one in objects if not isinstance(one, Segmentation)]
    masks = {
        str(seg.get_segment_description(number).tracking_uid): (seg, number)
        for seg in segs
        for number in seg.segment_numbers
    }
    lesions = tuple(reading for report in reports for reading in _readings(report, masks))
    return ReadBack(
        segments=len(masks),
        measurement_groups=sum(
            len(report.content.get_planar_roi_measurement_groups())
            + len(report.content.get_image_measurement_groups())
            for report in reports
        ),
        lesions=lesions,
    )


def _opened(file: Path | Dataset) -> Dataset:
    name = file.name if isinstance(file, Path) else "The object"
    try:
        dataset = dcmread(file) if isinstance(file, Path) else file
        opened: Dataset = _READERS[dataset.SOPClassUID].from_dataset(dataset)
        return opened
    except (OSError, InvalidDicomError, ValueError, AttributeError, LookupError, TypeError) as error:
        raise EncodeError(
            f"{name} cannot be read back as SEG or SR ({type(error).__name__}).",
            "Report this; the file is kept.",
        ) from error


def _readings(report: Dataset, masks: Mapping[str, tuple[Segmentation, int]]) -> Iterator[LesionReading]:
    for group in report.content.get_planar_roi_measurement_groups():
        tracking_uid = str(group.tracking_uid)
        if tracking_uid not in masks:
            raise EncodeError(f"No segment has the Tracking UID {tracking_uid} of the report.")
        region = group.roi
        image = region.ContentSequence[0]
        frames = image.referenced_frame_numbers
        source = str(image.referenced_sop_instance_uid)
        values = {one.name.value: one for one in group.get_measurements()}
        area = values[_AREA]
        pixels, pixel_mm2 = _mask_size(*masks[tracking_uid], source, frames)
        reading = LesionReading(
            tracking_uid=tracking_uid,
            tracking_id=str(group.tracking_identifier),
            source_sop_instance_uid=source,
            frame_number=frames[0] if frames else 1,
            area=float(area.value),
            mask_area=pixels if area.unit.value == codes.PIXELS.value else pixels * pixel_mm2,
            unit=str(area.unit.value),
            probability_percent=float(values[_PROBABILITY_OF_CANCER].value),
        )
        if abs(reading.area - reading.mask_area) > _ROUNDING + _AREA_TOLERANCE * reading.mask_area:
            raise EncodeError(
                f"{reading.tracking_id} is {reading.area} {reading.unit} in the report, "
                f"but {reading.mask_area:.2f} in the segmentation."
            )
        yield reading


def _mask_size(
    seg: Segmentation, segment_number: int, source: str, frames: Sequence[int] | None
) -> tuple[int, float]:
    """Pixels of the mask in the frame, and the area of one in mm2."""
    # Ultrasound has no place in space, so that places cannot be compared.
    if frames:
        mask = seg.get_pixels_by_source_frame(
            source, list(frames)[:1], segment_numbers=[segment_number], ignore_spatial_locations=True
        )
    else:
        mask = seg.get_pixels_by_source_instance(
            [source], segment_numbers=[segment_number], ignore_spatial_locations=True
        )
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    row_mm, column_mm = (float(value) for value in measures.PixelSpacing)
    least = _mask_from(seg, segment_number)
    return int((mask >= least).sum()), row_mm * column_mm


def _mask_from(seg: Segmentation, segment_number: int) -> float:
    """The least value of the mask's pixels, as highdicom gives them: from 0 to 1."""
    if seg.SegmentationType != "FRACTIONAL":
        return 1.0
    algorithm = seg.get_segment_description(segment_number).algorithm_identification
    parameters = (algorithm.parameters if algorithm else None) or {}
    # Half a step below, since the library divides in floats.
    return (int(parameters.get(MASK_FROM, 1)) - 0.5) / float(seg.MaximumFractionalValue)
