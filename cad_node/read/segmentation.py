"""What a SEG outlines: of which image and frame, and the mask itself when it is asked for.

Reads BINARY, FRACTIONAL and label map segmentations of anybody's making. A mask
belongs to the image that its frame names as its source; ultrasound has no place in
space by which it could be found otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder

from cad_node.codes import LESION_CLASSES
from cad_node.domain import LesionClass
from cad_node.errors import PixelDecodeError
from cad_node.read.frames import DECODERS
from cad_node.read.gate import number_of_frames
from cad_node.read.headers import (
    integer,
    items,
    quiet_pydicom,
    read_with_pixels,
    text,
    texts,
    transfer_syntax_of,
)

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
SEGMENTATION_CLASSES = frozenset((SEGMENTATION, LABEL_MAP))

# CID 7150: anatomical structure (also by the code that it had before), tissue, body substance, substance,
# physical object. What such a segment outlines is no lesion.
_NO_LESION = frozenset(("91723000", "123037004", "85756007", "91720002", "105590001", "260787004"))

# Among the Algorithm Parameters of a FRACTIONAL segment of this node: from which value on a pixel is in the mask.
_MASK_FROM = re.compile(r"\bmask_from_value=(\d+)")


@dataclass(frozen=True)
class Outline:
    """One lesion in one frame of one image, as a SEG has it.

    `frame_number` is None where the SEG speaks of the image without naming a
    frame. `index` is the SEG's own frame, from 0, `value` the pixel value that means
    this segment in a label map. `least` is the value from which a pixel of a
    FRACTIONAL segment is in the mask; None: half of the largest.
    """

    sop_instance_uid: str
    frame_number: int | None
    tracking_uid: str
    lesion_class: LesionClass | None
    rows: int
    columns: int
    index: int
    value: int | None = None
    least: int | None = None


@dataclass(frozen=True)
class _Segment:
    number: int
    is_lesion: bool
    tracking_uid: str
    lesion_class: LesionClass | None
    least: int | None


@dataclass(frozen=True)
class Outlines:
    """The outlines of a SEG, and how many of its frames name no single image as their source."""

    outlines: tuple[Outline, ...]
    unplaced: int


def read_outlines(path: Path) -> Outlines:
    """What a SEG outlines; its pixels are not decoded.

    Segments that are said to be anatomy, tissue or things are left out: they are no lesions.

    Raises
    ------
    StudyError
        The file cannot be read.
    """
    # Unmended: the mended header has no functional groups.
    dataset = _whole(path, path.stat().st_mtime_ns)
    segments = {one.number: one for one in map(_segment, items(dataset, "SegmentSequence"))}
    shared = (items(dataset, "SharedFunctionalGroupsSequence") or [Dataset()])[0]
    frames = items(dataset, "PerFrameFunctionalGroupsSequence")
    only = _only_reference(dataset)
    is_label_map = text(dataset, "SOPClassUID") == LABEL_MAP
    found: list[Outline] = []
    unplaced = 0
    for index, frame in enumerate(frames):
        place = _place(frame, shared) or only
        if place is None:
            unplaced += 1
            continue
        for segment in segments.values() if is_label_map else _named(frame, shared, segments):
            if segment.is_lesion:
                found.append(
                    Outline(
                        *place,
                        segment.tracking_uid,
                        segment.lesion_class,
                        integer(dataset, "Rows") or 0,
                        integer(dataset, "Columns") or 0,
                        index,
                        segment.number if is_label_map else None,
                        segment.least,
                    )
                )
    return Outlines(tuple(found), unplaced)


def _segment(item: Dataset) -> _Segment:
    category = _codes(item, "SegmentedPropertyCategoryCodeSequence")
    kinds = items(item, "SegmentedPropertyTypeCodeSequence")
    named = [code for kind in kinds for code in _codes(kind, "SegmentedPropertyTypeModifierCodeSequence")]
    classes = [
        LESION_CLASSES.get(code) for code in (*_codes(item, "SegmentedPropertyTypeCodeSequence"), *named)
    ]
    return _Segment(
        integer(item, "SegmentNumber") or 0,
        # Number 0 is the background of a label map.
        bool(integer(item, "SegmentNumber")) and not any(value in _NO_LESION for value, _scheme in category),
        text(item, "TrackingUID"),
        next((one for one in classes if one is not None), None),
        _least(item),
    )


def _least(segment: Dataset) -> int | None:
    for algorithm in items(segment, "SegmentationAlgorithmIdentificationSequence"):
        said = _MASK_FROM.search(" ".join(texts(algorithm, "AlgorithmParameters")))
        if said is not None:
            return int(said[1])
    return None


def _codes(item: Dataset, keyword: str) -> list[tuple[str, str]]:
    return [(text(code, "CodeValue"), text(code, "CodingSchemeDesignator")) for code in items(item, keyword)]


def _named(frame: Dataset, shared: Dataset, segments: Mapping[int, _Segment]) -> Iterator[_Segment]:
    """The segment that a frame belongs to."""
    groups = items(frame, "SegmentIdentificationSequence") or items(shared, "SegmentIdentificationSequence")
    number = integer(groups[0], "ReferencedSegmentNumber") if groups else None
    if number is not None and number in segments:
        yield segments[number]


def _place(frame: Dataset, shared: Dataset) -> tuple[str, int | None] | None:
    """Image and frame that a frame was drawn on; None where it names none, or several."""
    derivations = items(frame, "DerivationImageSequence") or items(shared, "DerivationImageSequence")
    places = {
        (text(source, "ReferencedSOPInstanceUID"), integer(source, "ReferencedFrameNumber"))
        for derivation in derivations
        for source in items(derivation, "SourceImageSequence")
    }
    return places.pop() if len(places) == 1 else None


def _only_reference(dataset: Dataset) -> tuple[str, int | None] | None:
    """The image of a SEG that refers to one image as a whole."""
    uids = {
        text(instance, "ReferencedSOPInstanceUID")
        for series in items(dataset, "ReferencedSeriesSequence")
        for instance in items(series, "ReferencedInstanceSequence")
    }
    return (uids.pop(), None) if len(uids) == 1 else None


def read_mask(path: Path, outline: Outline) -> NDArray[np.bool_]:
    """The mask of an outline, `(rows, columns)` of the SEG.

    Of a FRACTIONAL segmentation, what the segment says is in the mask, or what is half lesion or more.

    Raises
    ------
    PixelDecodeError
        The pixels cannot be decoded.
    """
    try:
        dataset = _whole(path, path.stat().st_mtime_ns)
        with quiet_pydicom():
            values = _frame(dataset, outline.index).reshape(outline.rows, outline.columns)
            if outline.value is not None:
                return np.asarray(values == outline.value)
            if text(dataset, "SegmentationType") == "FRACTIONAL":
                half = (integer(dataset, "MaximumFractionalValue") or 255) / 2
                return np.asarray(values >= (half if outline.least is None else outline.least))
            return np.asarray(values > 0)
    except Exception as error:  # decoders of others meet bytes of others
        raise PixelDecodeError(
            f"A segmentation cannot be decoded ({type(error).__name__}).", "Write it anew, or leave it out."
        ) from error


@lru_cache(maxsize=2)
def _whole(path: Path, _changed: int) -> Dataset:
    """A SEG with its pixels; the frames of one are asked for one after the other."""
    return read_with_pixels(path)


def _frame(dataset: Dataset, index: int) -> NDArray[np.unsignedinteger]:
    """Pixel values of one frame."""
    syntax = transfer_syntax_of(dataset)
    size = (integer(dataset, "Rows") or 0) * (integer(dataset, "Columns") or 0)
    bits = integer(dataset, "BitsAllocated") or 0
    if syntax.is_encapsulated:
        decoded = get_decoder(syntax).as_array(
            dataset, index=index, raw=True, decoding_plugin=DECODERS.get(syntax, "")
        )
        return np.asarray(decoded[0], dtype=np.uint8 if bits <= 8 else np.uint16)
    data: bytes = dataset.PixelData
    if not 0 <= index < number_of_frames(dataset) or len(data) * 8 < (index + 1) * size * bits:
        raise PixelDecodeError("A segmentation has fewer frames than it announces.")
    if bits == 1:
        # Frames follow each other without padding (PS3.5 8.1.1), so that one may begin inside a byte.
        first, last = index * size, (index + 1) * size
        packed = np.frombuffer(data, np.uint8)[first // 8 : -(-last // 8)]
        return np.unpackbits(packed, bitorder="little")[first % 8 : first % 8 + size]
    width = bits // 8
    values = np.frombuffer(data, np.dtype(f"<u{width}"), count=size, offset=index * size * width)
    return values.astype(np.uint16)
