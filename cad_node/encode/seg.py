"""SEG of one image: BINARY, one segment a lesion, through all frames of a cine.

highdicom builds single-frame segmentations of images without a frame of
reference, but refuses several frames of them. A cine is therefore built as if
it were one frame, and its frames, their references and the second dimension
are put in afterwards. Frames without a lesion are left out: in a SEG, a frame
that is not there holds nothing of the segment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy

import numpy as np
from highdicom import PixelMeasuresSequence, PlaneOrientationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UltrasoundMultiFrameImageStorage

from cad_node.domain import ImageResult, Lesion, PixelSpacing
from cad_node.encode import uids
from cad_node.encode.provenance import Context, coded, equipment, seg_algorithm, stamp
from cad_node.encode.source import Source
from cad_node.errors import EncodeError

# The retired class that old scanners still send.
_MULTI_FRAME_CLASSES = {UltrasoundMultiFrameImageStorage, "1.2.840.10008.5.1.4.1.1.3"}
_TEMPORAL_POSITION_INDEX = Tag("TemporalPositionIndex")
# Ultrasound has neither slices nor a place in the patient, but OHIF 3.13 shows nothing
# at all without these two macros.
_NOMINAL_THICKNESS_MM = 1.0
# For an image without a scale: PixelMeasures must be there (see above), and the report, which
# says that its sizes are in pixels, agrees with a pixel of one.
_NOMINAL_SPACING = PixelSpacing(row_mm=1.0, column_mm=1.0)
_NOMINAL_ORIENTATION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def encode_seg(image: ImageResult, source: Source, context: Context) -> Dataset:
    """The masks of all lesions of an image that has at least one.

    Raises
    ------
    EncodeError
        A mask is empty or not of the image's size.
    """
    tracks = lesion_tracks(image)
    _check_masks(image, tracks)
    reference = image.reference
    template = context.templates.seg
    made_by, wording = context.provenance, context.wording
    key_masks = np.stack([np.any([one.mask for one in track], axis=0) for track in tracks.values()], axis=-1)
    built = Segmentation(
        source_images=[source.stand_in],
        pixel_array=key_masks[np.newaxis].astype(np.uint8),  # (1, rows, columns, segments)
        segmentation_type="BINARY",
        segment_descriptions=_segments(tracks, source, context),
        series_instance_uid=uids.seg_series_uid(reference.sop_instance_uid, made_by, wording),
        series_number=context.settings.seg_series_number,
        sop_instance_uid=uids.seg_uid(reference.sop_instance_uid, made_by, wording),
        instance_number=1,
        content_label=template.content.label,
        content_description=template.content.description,
        series_description=template.series.description,
        omit_empty_frames=False,
        specific_character_set=None,
        **equipment(context),
    )
    dataset = Dataset(built)  # from here on highdicom's class knows less than the elements say
    if is_multi_frame(image):
        _put_frames(dataset, tracks)
    _put_shared_groups(dataset, image.key_frame.spacing if image.key_frame else None)
    _put_dimensions(dataset, reference.sop_instance_uid)
    _put_source_class(dataset, reference.sop_instance_uid, reference.sop_class_uid)
    dataset.PatientOrientation = None
    stamp(dataset, source, context)
    return dataset


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


def is_multi_frame(image: ImageResult) -> bool:
    """Whether references to the image need a frame number."""
    return image.reference.number_of_frames > 1 or image.reference.sop_class_uid in _MULTI_FRAME_CLASSES


def tracking_id(source: Source, lesion_number: int, context: Context) -> str:
    """Name of a lesion that a reader can follow from the SEG to the SR."""
    return context.templates.seg.segment.tracking_id.format(image=source.name, number=lesion_number)


def _check_masks(image: ImageResult, tracks: Mapping[int, Sequence[Lesion]]) -> None:
    shape = image.reference.rows, image.reference.columns
    for track in tracks.values():
        for lesion in track:
            if lesion.mask.shape != shape or not lesion.mask.any():
                raise EncodeError(
                    f"Lesion {lesion.number} in frame {lesion.frame_number} of image "
                    f"{image.reference.sop_instance_uid} has an empty mask or one of another size.",
                    "Report this with the log; nothing was sent.",
                    study_instance_uid=image.reference.study_instance_uid,
                )


def _segments(
    tracks: Mapping[int, Sequence[Lesion]], source: Source, context: Context
) -> list[SegmentDescription]:
    template, wording = context.templates.seg, context.templates.wording
    segments = []
    for segment_number, (number, track) in enumerate(tracks.items(), start=1):
        probabilities = key_lesion(track).probabilities
        segments.append(
            SegmentDescription(
                segment_number=segment_number,
                segment_label=template.segment.label.format(
                    number=number, class_name=wording.class_name(probabilities)
                )[:64],
                segmented_property_category=coded(template.segment.category),
                segmented_property_type=coded(template.segment.type),
                algorithm_type="AUTOMATIC",
                algorithm_identification=seg_algorithm(context),
                tracking_uid=uids.tracking_uid(source.reference.sop_instance_uid, number),
                tracking_id=tracking_id(source, number, context),
                anatomic_regions=[coded(template.segment.site)],
                display_color=CIELabColor.from_rgb(*template.colours[probabilities.likeliest]),
            )
        )
    return segments


def _put_frames(dataset: Dataset, tracks: Mapping[int, Sequence[Lesion]]) -> None:
    """Replace the one frame a segment by all frames that show the lesion."""
    model = deepcopy(dataset.PerFrameFunctionalGroupsSequence[0])
    for keyword in ("DerivationImageSequence", "SegmentIdentificationSequence"):
        # A group that is the same for the only frame may have been shared.
        shared = dataset.SharedFunctionalGroupsSequence
        if keyword not in model and len(shared) and keyword in shared[0]:
            model[keyword] = deepcopy(shared[0][keyword])
            del shared[0][keyword]
    items, masks = [], []
    for segment_number, track in enumerate(tracks.values(), start=1):
        for lesion in track:
            item = deepcopy(model)
            content = item.FrameContentSequence[0]
            content.DimensionIndexValues = [segment_number, lesion.frame_number]
            content.TemporalPositionIndex = lesion.frame_number
            item.SegmentIdentificationSequence[0].ReferencedSegmentNumber = segment_number
            image = item.DerivationImageSequence[0].SourceImageSequence[0]
            image.ReferencedFrameNumber = lesion.frame_number
            items.append(item)
            masks.append(lesion.mask)
    dataset.PerFrameFunctionalGroupsSequence = items
    dataset.NumberOfFrames = len(items)
    dataset.PixelData = _packed(masks)
    dataset.SegmentsOverlap = "YES" if _overlap(tracks) else "NO"


def _overlap(tracks: Mapping[int, Sequence[Lesion]]) -> bool:
    by_frame: dict[int, NDArray[np.uint8]] = {}
    for track in tracks.values():
        for lesion in track:
            count = by_frame.setdefault(lesion.frame_number, np.zeros(lesion.mask.shape, np.uint8))
            count += lesion.mask
    return any(int(count.max()) > 1 for count in by_frame.values())


def _packed(masks: Sequence[NDArray[np.bool_]]) -> bytes:
    """One bit a pixel, frames without padding between them (PS3.5 8.1.1), an even number of bytes."""
    packed = np.packbits(np.concatenate([mask.ravel() for mask in masks]), bitorder="little").tobytes()
    return packed + b"\0" * (len(packed) % 2)


def _put_shared_groups(dataset: Dataset, spacing: PixelSpacing | None) -> None:
    if not len(dataset.SharedFunctionalGroupsSequence):
        dataset.SharedFunctionalGroupsSequence = [Dataset()]
    shared = dataset.SharedFunctionalGroupsSequence[0]
    spacing = spacing or _NOMINAL_SPACING
    shared.PixelMeasuresSequence = PixelMeasuresSequence(
        pixel_spacing=(spacing.row_mm, spacing.column_mm),
        slice_thickness=_NOMINAL_THICKNESS_MM,
        spacing_between_slices=_NOMINAL_THICKNESS_MM,
    )
    shared.PlaneOrientationSequence = PlaneOrientationSequence("PATIENT", _NOMINAL_ORIENTATION)


def _put_dimensions(dataset: Dataset, source: str) -> None:
    """Name the dimensions by a UID that does not change, and count time as the second of them."""
    organization = uids.derive_uid("dimensions", source)
    dataset.DimensionOrganizationSequence[0].DimensionOrganizationUID = organization
    for index in dataset.DimensionIndexSequence:
        index.DimensionOrganizationUID = organization
    if (
        "TemporalPositionIndex"
        in dataset.PerFrameFunctionalGroupsSequence[0].get("FrameContentSequence", [Dataset()])[0]
    ):
        index = Dataset()
        index.DimensionIndexPointer = _TEMPORAL_POSITION_INDEX
        index.FunctionalGroupPointer = Tag("FrameContentSequence")
        index.DimensionOrganizationUID = organization
        index.DimensionDescriptionLabel = "Temporal Position Index"
        dataset.DimensionIndexSequence = [dataset.DimensionIndexSequence[0], index]


def _put_source_class(dataset: Dataset, source: str, sop_class_uid: str) -> None:
    """Give every reference to the source its true SOP Class instead of the stand-in's."""
    for element in dataset:
        if element.VR != "SQ":
            continue
        for item in element.value:
            if item.get("ReferencedSOPInstanceUID") == source:
                item.ReferencedSOPClassUID = sop_class_uid
            _put_source_class(item, source, sop_class_uid)
