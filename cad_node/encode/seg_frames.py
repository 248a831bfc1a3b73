"""The frames of a SEG: pixels, what each frame is of, and its place in the dimensions.

highdicom builds single-frame segmentations of images without a frame of
reference, but refuses several frames of them. So it is given one empty frame,
and the frames are put in here: through a cine, or through several images of a
series. Frames without a lesion are left out: in a SEG, a frame that is not there
holds nothing of the segment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UltrasoundMultiFrameImageStorage

from cad_node.domain import ImageResult, Lesion
from cad_node.encode import uids
from cad_node.encode.source import Source
from cad_node.errors import EncodeError
from cad_node.settings import SegType

# The value of a probability of one in a FRACTIONAL segmentation.
WHOLE = 255
# The retired class that old scanners still send.
_MULTI_FRAME_CLASSES = {UltrasoundMultiFrameImageStorage, "1.2.840.10008.5.1.4.1.1.3"}
_TEMPORAL_POSITION_INDEX = Tag("TemporalPositionIndex")
_FRAME_LABEL = Tag("FrameLabel")


@dataclass(frozen=True)
class Segment:
    """A lesion as a segment: its number in the SEG, and where it shows."""

    number: int
    image: ImageResult
    source: Source
    track: Sequence[Lesion]


@dataclass(frozen=True)
class _Frame:
    """One frame to be; `segment` is None where the pixels say which segment they are."""

    pixels: NDArray[np.uint8]
    image: ImageResult
    frame_number: int
    segment: int | None


def is_multi_frame(image: ImageResult) -> bool:
    """Whether references to the image need a frame number."""
    return image.reference.number_of_frames > 1 or image.reference.sop_class_uid in _MULTI_FRAME_CLASSES


def put_frames(dataset: Dataset, segments: Sequence[Segment], seg_type: SegType) -> None:
    """Replace the frames that the library made by all that show a lesion."""
    model = _model(dataset)
    frames = list(_label_frames(segments) if seg_type == "labelmap" else _segment_frames(segments, seg_type))
    multi_frame = any(is_multi_frame(segment.image) for segment in segments)
    items = []
    for position, frame in enumerate(frames, start=1):
        item = deepcopy(model)
        content = item.FrameContentSequence[0]
        values = [] if frame.segment is None else [frame.segment]
        if multi_frame:
            values.append(frame.frame_number)
            content.TemporalPositionIndex = frame.frame_number
            content.pop(_FRAME_LABEL, None)
        elif frame.segment is None:
            values.append(position)
            content.FrameLabel = f"Frame {position}"
        content.DimensionIndexValues = values
        if frame.segment is not None:
            item.SegmentIdentificationSequence[0].ReferencedSegmentNumber = frame.segment
        image = item.DerivationImageSequence[0].SourceImageSequence[0]
        image.ReferencedSOPInstanceUID = frame.image.reference.sop_instance_uid
        if is_multi_frame(frame.image):
            image.ReferencedFrameNumber = frame.frame_number
        items.append(item)
    dataset.PerFrameFunctionalGroupsSequence = items
    dataset.NumberOfFrames = len(items)
    dataset.PixelData = _pixel_data(frames, seg_type, dataset.BitsAllocated)
    # In a label map, one pixel is of one segment.
    overlap = seg_type != "labelmap" and _overlap(segments)
    dataset.SegmentsOverlap = "YES" if overlap else "NO"
    _put_dimensions(dataset, segments, multi_frame=multi_frame, labels=seg_type == "labelmap")
    _put_references(dataset, segments)


def _model(dataset: Dataset) -> Dataset:
    """The frame that the library made, whole: what it shared among the only frames is its own again."""
    model: Dataset = deepcopy(dataset.PerFrameFunctionalGroupsSequence[0])
    for keyword in ("DerivationImageSequence", "SegmentIdentificationSequence"):
        shared = dataset.SharedFunctionalGroupsSequence
        if keyword not in model and len(shared) and keyword in shared[0]:
            model[keyword] = deepcopy(shared[0][keyword])
            del shared[0][keyword]
    return model


def _segment_frames(segments: Sequence[Segment], seg_type: SegType) -> Iterator[_Frame]:
    for segment in segments:
        for lesion in segment.track:
            pixels = _fractions(lesion) if seg_type == "fractional" else lesion.mask.astype(np.uint8)
            yield _Frame(pixels, segment.image, lesion.frame_number, segment.number)


def _fractions(lesion: Lesion) -> NDArray[np.uint8]:
    """The probability of each pixel of the frame, in 255ths; the threshold gives the mask.

    Raises
    ------
    EncodeError
        The analysis kept no probability, or one of another mask.
    """
    kept = lesion.probability_map
    if kept is None:
        raise EncodeError("The analysis kept no probability map, which a FRACTIONAL segmentation needs.")
    pixels = np.zeros(lesion.mask.shape, np.uint8)
    pixels[kept.box.slices] = kept.values
    if not np.array_equal(pixels >= kept.least, lesion.mask):
        raise EncodeError("A lesion's mask and its probability map do not agree.")
    return pixels


def _label_frames(segments: Sequence[Segment]) -> Iterator[_Frame]:
    """A frame for each of the source that shows a lesion; where two overlap, the more suspicious one wins."""
    shown: dict[tuple[str, int], list[tuple[Segment, Lesion]]] = {}
    for segment in segments:
        for lesion in segment.track:
            key = segment.image.reference.sop_instance_uid, lesion.frame_number
            shown.setdefault(key, []).append((segment, lesion))
    positions = {segment.image.reference.sop_instance_uid: segment.number for segment in reversed(segments)}
    for uid, frame_number in sorted(shown, key=lambda key: (positions[key[0]], key[1])):
        lesions = shown[uid, frame_number]
        labels = np.zeros(lesions[0][1].mask.shape, np.uint8)
        for segment, lesion in sorted(lesions, key=lambda pair: pair[1].probabilities.malignant):
            labels[lesion.mask] = segment.number
        yield _Frame(labels, lesions[0][0].image, frame_number, None)


def _pixel_data(frames: Sequence[_Frame], seg_type: SegType, bits_allocated: int) -> bytes:
    """The pixels of all frames without padding between them (PS3.5 8.1.1), an even number of bytes."""
    flat = np.concatenate([frame.pixels.ravel() for frame in frames])
    if seg_type == "binary":
        packed = np.packbits(flat, bitorder="little").tobytes()
    else:
        packed = flat.astype(f"<u{bits_allocated // 8}").tobytes()
    return packed + b"\0" * (len(packed) % 2)


def _overlap(segments: Sequence[Segment]) -> bool:
    by_frame: dict[tuple[str, int], NDArray[np.uint8]] = {}
    for segment in segments:
        for lesion in segment.track:
            key = segment.image.reference.sop_instance_uid, lesion.frame_number
            count = by_frame.setdefault(key, np.zeros(lesion.mask.shape, np.uint8))
            count += lesion.mask
    return any(int(count.max()) > 1 for count in by_frame.values())


def _put_dimensions(
    dataset: Dataset, segments: Sequence[Segment], *, multi_frame: bool, labels: bool
) -> None:
    """Name the dimensions by a UID that does not change; in a loop, time is the last of them."""
    sources = sorted({segment.image.reference.sop_instance_uid for segment in segments})
    organization = uids.derive_uid("dimensions", *sources)
    dataset.DimensionOrganizationSequence[0].DimensionOrganizationUID = organization
    # Of a label map the library's only dimension is a frame label, which stands in for one.
    indices = [] if labels and multi_frame else list(dataset.DimensionIndexSequence)
    if multi_frame:
        index = Dataset()
        index.DimensionIndexPointer = _TEMPORAL_POSITION_INDEX
        index.FunctionalGroupPointer = Tag("FrameContentSequence")
        index.DimensionDescriptionLabel = "Temporal Position Index"
        indices.append(index)
    for index in indices:
        index.DimensionOrganizationUID = organization
    dataset.DimensionIndexSequence = indices


def _put_references(dataset: Dataset, segments: Sequence[Segment]) -> None:
    """List every source image, each by its true SOP Class instead of the stand-in's."""
    classes = {
        segment.image.reference.sop_instance_uid: segment.image.reference.sop_class_uid
        for segment in segments
    }
    series = dataset.ReferencedSeriesSequence[0]
    for container, keyword in ((series, "ReferencedInstanceSequence"), (dataset, "SourceImageSequence")):
        if keyword not in container:
            continue
        model = container[keyword].value[0]
        items = []
        for uid in classes:
            item = deepcopy(model)
            item.ReferencedSOPInstanceUID = uid
            items.append(item)
        setattr(container, keyword, items)
    put_source_classes(dataset, classes)


def put_source_classes(dataset: Dataset, classes: dict[str, str]) -> None:
    """Give every reference to a source its SOP Class; `classes` by SOP Instance UID."""
    for element in dataset:
        if element.VR != "SQ":
            continue
        for item in element.value:
            if item.get("ReferencedSOPInstanceUID") in classes:
                item.ReferencedSOPClassUID = classes[item.ReferencedSOPInstanceUID]
            put_source_classes(item, classes)
