"""SEG of an image, or of several of a series: a segment a lesion, through all frames of a cine.

BINARY shows in every viewer that shows segmentations at all. FRACTIONAL says how
likely each pixel in and around a lesion is lesion, and from which value on it is
in the mask that report and BINARY segmentation speak of. LABELMAP has one frame an image, whose pixels are segment
numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from highdicom import PixelMeasuresSequence, PlaneOrientationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.dataset import Dataset

from cad_node.domain import ImageResult, Lesion, PixelSpacing, unit_pixel
from cad_node.encode import uids
from cad_node.encode.provenance import Context, coded, equipment, seg_algorithm, stamp
from cad_node.encode.seg_frames import WHOLE, Segment, is_multi_frame, put_frames
from cad_node.encode.source import Source
from cad_node.errors import EncodeError

__all__ = ["encode_seg", "is_multi_frame", "key_lesion", "lesion_tracks", "seg_groups", "tracking_id"]

# Ultrasound has neither slices nor a place in the patient, but OHIF 3.13 shows nothing
# at all without these two macros.
_NOMINAL_THICKNESS_MM = 1.0
_NOMINAL_ORIENTATION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

Imaged = tuple[ImageResult, Source]


def encode_seg(images: Sequence[Imaged], context: Context) -> Dataset:
    """The masks of all lesions of images that have at least one each.

    Several images must be of one series, of one size and calibration, and single-frame.

    Raises
    ------
    EncodeError
        A mask is empty or not of the image's size.
    """
    segments = _segments(images)
    _check_masks(segments)
    first, source = images[0]
    template, seg_type = context.templates.seg, context.settings.seg_type
    key = source_key(images)
    shape = (1, first.reference.rows, first.reference.columns)
    empty = np.zeros(shape if seg_type == "labelmap" else (*shape, len(segments)), np.uint8)
    special: dict[str, Any] = {}
    if seg_type == "fractional":
        special = {"fractional_type": "PROBABILITY", "max_fractional_value": WHOLE}
    built = Segmentation(
        source_images=[source.stand_in],
        pixel_array=empty,  # (1, rows, columns, segments), or (1, rows, columns) for labels
        segmentation_type=seg_type.upper(),
        segment_descriptions=[_description(segment, context) for segment in segments],
        series_instance_uid=uids.seg_series_uid(key, context.provenance, context.wording),
        series_number=context.settings.seg_series_number,
        sop_instance_uid=uids.seg_uid(key, context.provenance, context.wording),
        instance_number=1,
        content_label=template.content.label,
        content_description=template.content.description,
        series_description=template.series.description,
        omit_empty_frames=False,
        specific_character_set=None,
        **special,
        **equipment(context),
    )
    dataset = Dataset(built)  # from here on highdicom's class knows less than the elements say
    put_frames(dataset, segments, seg_type)
    _put_shared_groups(dataset, _spacing(first))
    dataset.PatientOrientation = None
    stamp(dataset, source, context)
    return dataset


def seg_groups(images: Iterable[Imaged], context: Context) -> list[list[Imaged]]:
    """The images with lesions, those together that share a SEG."""
    groups: dict[object, list[Imaged]] = {}
    for image, source in images:
        named = image.reference
        alone = context.settings.seg_scope == "image" or is_multi_frame(image)
        key: object = named.sop_instance_uid
        if not alone:
            key = (named.series_instance_uid, named.rows, named.columns, _spacing(image))
        groups.setdefault(key, []).append((image, source))
    return list(groups.values())


def source_key(images: Sequence[Imaged]) -> str:
    """What the images of a SEG are called in its derived UIDs."""
    return " ".join(sorted(image.reference.sop_instance_uid for image, _ in images))


def _spacing(image: ImageResult) -> PixelSpacing:
    """The size of a pixel; of an image without a scale one of area one, as in the report, which speaks of pixels."""
    return image.key_frame.pixel_size if image.key_frame else unit_pixel(1.0)


def _segments(images: Sequence[Imaged]) -> list[Segment]:
    tracks = [(image, source, track) for image, source in images for track in lesion_tracks(image).values()]
    return [Segment(number, *named) for number, named in enumerate(tracks, start=1)]


def lesion_tracks(image: ImageResult) -> dict[int, list[Lesion]]:
    """The lesions by number; each with one entry a frame that shows it, in frame order."""
    tracks: dict[int, list[Lesion]] = {}
    for lesion in image.lesions:
        tracks.setdefault(lesion.number, []).append(lesion)
    return {
        number: sorted(track, key=lambda lesion: lesion.frame_number)
        for number, track in sorted(tracks.items())
    }


def key_lesion(track: Sequence[Lesion]) -> Lesion:
    """The most suspicious appearance of a lesion; the larger, then the earlier one where equal."""
    return max(
        track,
        key=lambda lesion: (
            lesion.probabilities.malignant,
            lesion.measurements.area,
            -lesion.frame_number,
        ),
    )


def tracking_id(source: Source, lesion_number: int, context: Context) -> str:
    """Name of a lesion that a reader can follow from the SEG to the SR."""
    return context.templates.seg.segment.tracking_id.format(image=source.name, number=lesion_number)


def _check_masks(segments: Sequence[Segment]) -> None:
    for segment in segments:
        reference = segment.image.reference
        for lesion in segment.track:
            if lesion.mask.shape != (reference.rows, reference.columns) or not lesion.mask.any():
                raise EncodeError(
                    f"Lesion {lesion.number} in frame {lesion.frame_number} of image "
                    f"{reference.sop_instance_uid} has an empty mask or one of another size.",
                    "Report this with the log; nothing was sent.",
                    study_instance_uid=reference.study_instance_uid,
                )


def _description(segment: Segment, context: Context) -> SegmentDescription:
    template, wording = context.templates.seg, context.templates.wording
    probabilities = key_lesion(segment.track).probabilities
    number = segment.track[0].number
    return SegmentDescription(
        segment_number=segment.number,
        segment_label=template.segment.label.format(
            number=number, class_name=wording.class_name(probabilities)
        )[:64],
        segmented_property_category=coded(template.segment.category),
        segmented_property_type=coded(template.segment.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=seg_algorithm(context, mask_from=_mask_from(segment, context)),
        tracking_uid=uids.tracking_uid(segment.source.reference.sop_instance_uid, number),
        tracking_id=tracking_id(segment.source, number, context),
        anatomic_regions=[coded(template.segment.site)],
        display_color=CIELabColor.from_rgb(*template.colours[probabilities.likeliest]),
    )


def _mask_from(segment: Segment, context: Context) -> int | None:
    """The least value of the mask's pixels; None where a pixel is in the mask or not."""
    kept = key_lesion(segment.track).probability_map
    return kept.least if kept is not None and context.settings.seg_type == "fractional" else None


def _put_shared_groups(dataset: Dataset, spacing: PixelSpacing) -> None:
    if not len(dataset.SharedFunctionalGroupsSequence):
        dataset.SharedFunctionalGroupsSequence = [Dataset()]
    shared = dataset.SharedFunctionalGroupsSequence[0]
    shared.PixelMeasuresSequence = PixelMeasuresSequence(
        pixel_spacing=(spacing.row_mm, spacing.column_mm),
        slice_thickness=_NOMINAL_THICKNESS_MM,
        spacing_between_slices=_NOMINAL_THICKNESS_MM,
    )
    shared.PlaneOrientationSequence = PlaneOrientationSequence("PATIENT", _NOMINAL_ORIENTATION)
