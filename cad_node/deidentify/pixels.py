"""Clean pictures into a header: encoding, picture attributes, regions, compression history.

What is written is what a reader was shown: 8-bit grey or RGB. So palettes,
windows and look-up tables are done with and leave the header. No encoder here
loses anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from cad_node.deidentify.options import Encoding
from cad_node.domain import Box
from cad_node.encode.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from cad_node.errors import EncodeError, StudyError
from cad_node.read.calibration import ultrasound_regions
from cad_node.read.frames import decode_frames
from cad_node.read.headers import items, read_with_pixels, text

TRANSFER_SYNTAXES: Mapping[Encoding, UID] = {
    Encoding.EXPLICIT_VR_LE: ExplicitVRLittleEndian,
    Encoding.RLE: RLELossless,
    Encoding.JPEG_LS: JPEGLSLossless,
    Encoding.JPEG_2000: JPEG2000Lossless,
}
# One encoder each, as for decoding: pydicom would try GDCM first, which may end the process.
_ENCODERS = {RLELossless: "pylibjpeg", JPEGLSLossless: "pyjpegls", JPEG2000Lossless: "pylibjpeg"}
# What a source in one of these has lost: PS3.3 C.7.6.1.1.5.1.
_LOSSY_METHODS = {
    JPEGBaseline8Bit: "ISO_10918_1",
    JPEGExtended12Bit: "ISO_10918_1",
    JPEGLSNearLossless: "ISO_14495_1",
    JPEG2000: "ISO_15444_1",
    HTJ2K: "ISO_15444_15",
}
# Applied to the pixels already, or true of the old ones only.
_DONE_WITH = (
    "ColorSpace", "LargestImagePixelValue", "LargestPixelValueInSeries", "PixelPaddingRangeLimit",
    "PixelPaddingValue", "PlanarConfiguration", "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableDescriptor",
    "AlphaPaletteColorLookupTableDescriptor", "ModalityLUTSequence", "PresentationLUTShape", "RescaleIntercept",
    "RescaleSlope", "RescaleType", "SmallestImagePixelValue", "SmallestPixelValueInSeries", "VOILUTFunction",
    "VOILUTSequence", "WindowCenter", "WindowWidth",
)  # fmt: skip
# A region stays while so much of it was cleaned rather than blanked.
_LEAST_SHARE = 0.9


def lossless_syntax(source: UID) -> UID:
    """The transfer syntax of a copy where the user names none: compressed stays compressed."""
    return JPEGLSLossless if source.is_encapsulated else ExplicitVRLittleEndian


def put_pixels(copy: Dataset, stack: NDArray[np.uint8], syntax: UID) -> None:
    """Encode clean frames into a de-identified header, and give it its file meta information.

    Parameters
    ----------
    copy
        Changed in place.
    stack
        uint8 `(frames, rows, columns)`, or `(frames, rows, columns, 3)` in RGB.
    syntax
        One of `TRANSFER_SYNTAXES`.

    Raises
    ------
    EncodeError
        The encoder failed.
    """
    for keyword in _DONE_WITH:
        if keyword in copy:
            delattr(copy, keyword)
    is_rgb = stack.ndim == 4
    copy.Rows, copy.Columns = (int(side) for side in stack.shape[1:3])
    copy.SamplesPerPixel = 3 if is_rgb else 1
    copy.PhotometricInterpretation = "RGB" if is_rgb else "MONOCHROME2"
    copy.BitsAllocated, copy.BitsStored, copy.HighBit, copy.PixelRepresentation = 8, 8, 7, 0
    if is_rgb:
        copy.PlanarConfiguration = 0
    copy.file_meta = _file_meta(copy, ExplicitVRLittleEndian)
    frames = np.ascontiguousarray(stack if "NumberOfFrames" in copy else stack[0])
    encoded = frames.tobytes()
    copy.PixelData = encoded + b"\0" * (len(encoded) % 2)
    copy["PixelData"].VR = "OB"
    if not syntax.is_encapsulated:
        return
    if is_rgb and syntax == JPEG2000Lossless:
        copy.PhotometricInterpretation = "YBR_RCT"  # the encoder's reversible transform
    options: dict[str, Any] = {"encoding_plugin": _ENCODERS[syntax], "generate_instance_uid": False}
    try:
        copy.compress(syntax, frames, **options)
    except Exception as error:  # encoders of others
        raise EncodeError(
            f"A picture could not be encoded ({type(error).__name__}).",
            "Choose another --transfer-syntax.",
        ) from error


def keep_regions(copy: Dataset, cleaned: Box) -> None:
    """Leave those ultrasound regions in a header that lie in what was cleaned; the rest is blank now.

    Bounds that reach out of the picture, as some scanners write them, are mended.
    """
    kept = []
    described = items(copy, "SequenceOfUltrasoundRegions")
    for region, item in zip(ultrasound_regions(copy), described, strict=True):
        box = region.box
        if region.is_dummy or box is None or _shared(box, cleaned) < _LEAST_SHARE * box.area:
            continue
        item.RegionLocationMaxX1 = box.column_stop - 1
        item.RegionLocationMaxY1 = box.row_stop - 1
        kept.append(item)
    if kept:
        copy.SequenceOfUltrasoundRegions = kept
    elif "SequenceOfUltrasoundRegions" in copy:
        del copy.SequenceOfUltrasoundRegions


def keep_lossy_history(copy: Dataset, source: UID, ratio: float) -> None:
    """Say that the pixels were once compressed with loss, where the source did not say so itself.

    Parameters
    ----------
    copy
        Holds what the source's header said.
    source
        Its transfer syntax.
    ratio
        Bytes of its pixels, plain by compressed.
    """
    method = _LOSSY_METHODS.get(source)
    if method is None or text(copy, "LossyImageCompression") == "01":
        return
    copy.LossyImageCompression = "01"
    copy.LossyImageCompressionRatio = f"{ratio:.4g}"
    copy.LossyImageCompressionMethod = method


def check_written(path: Path, stack: NDArray[np.uint8]) -> None:
    """Read a copy back: what is on disk must be what was cleaned.

    Raises
    ------
    EncodeError
        It is not.
    """
    try:
        frames = decode_frames(read_with_pixels(path))
    except StudyError as error:
        raise EncodeError("A written copy cannot be read back.", "It was not kept.") from error
    if len(frames) != len(stack) or not all(map(_are_equal, frames, stack)):
        raise EncodeError("A written copy differs from the cleaned pictures.", "It was not kept.")


def _are_equal(frame: NDArray[np.uint8], clean: NDArray[np.uint8]) -> bool:
    """Whether pictures show the same; RGB without colour is read back as grey."""
    if frame.ndim < clean.ndim:
        frame = np.repeat(frame[..., None], 3, axis=-1)
    return np.array_equal(frame, clean)


def _shared(one: Box, other: Box) -> int:
    rows = min(one.row_stop, other.row_stop) - max(one.row_start, other.row_start)
    columns = min(one.column_stop, other.column_stop) - max(one.column_start, other.column_start)
    return max(rows, 0) * max(columns, 0)


def _file_meta(copy: Dataset, syntax: UID) -> FileMetaDataset:
    """New file meta information: the old names the AE titles of sender and receiver."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = copy.SOPClassUID
    meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return meta
