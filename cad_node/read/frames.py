"""Pixel Data to pictures, on demand.

All frames of an image are decoded at once, because decoders, windows and the
choice of colour space belong to the image, and are kept until another image of
the same study is asked for: a study of many cines needs the memory of one.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from cad_node.domain import Frame, ImageReference
from cad_node.errors import PixelDecodeError, StudyError
from cad_node.read import colour
from cad_node.read.bits import SampleBits, sample_bits
from cad_node.read.calibration import TissuePicture
from cad_node.read.gate import number_of_frames
from cad_node.read.grey import grey_to_uint8
from cad_node.read.headers import integer, quiet_pydicom, read_with_pixels, text, transfer_syntax_of
from cad_node.read.jpeg import StreamInfo, declare_untransformed, stream_info
from cad_node.read.lossless import decode_lossless

_PILLOW_SYNTAXES = frozenset((JPEGBaseline8Bit, JPEGExtended12Bit))
_LOSSLESS_SYNTAXES = frozenset((JPEGLossless, JPEGLosslessSV1))
# One decoder each, and never GDCM, which aborts the process on damaged streams (measured: 5 to 9 % of
# them); pydicom would go on to the next one and the next.
DECODERS = {
    **dict.fromkeys((JPEG2000, JPEG2000Lossless), "pillow"),
    **dict.fromkeys(JPEGLSTransferSyntaxes, "pyjpegls"),
    RLELossless: "pylibjpeg",
}
# Syntaxes whose streams tell their own size. It is compared with the header before anything is decoded:
# a decoder allocates what the stream says.
_SIZED_SYNTAXES = frozenset(
    (*_PILLOW_SYNTAXES, *_LOSSLESS_SYNTAXES, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes)
)


@dataclass
class DecodedImage:
    """The one image whose frames a study keeps in memory."""

    # One attribute, so that a thread never sees the path of one image with the frames of another.
    kept: tuple[Path | None, tuple[Frame, ...]] = (None, ())


@dataclass(frozen=True)
class LazyFrames(Sequence[Frame]):
    """Frames of one file, decoded when the first of them is asked for.

    `calibrations` holds tissue region, spacing and what is left out of each frame, or of
    all of them where it has one entry. Access raises `PixelDecodeError` where the
    pixels cannot be decoded, and again at every access.
    """

    path: Path
    reference: ImageReference
    calibrations: tuple[TissuePicture, ...]
    decoded: DecodedImage = field(default_factory=DecodedImage, repr=False, compare=False)

    def __len__(self) -> int:
        return self.reference.number_of_frames

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Frame, ...]: ...
    def __getitem__(self, index: int | slice) -> Frame | tuple[Frame, ...]:
        return self._all()[index]

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._all())

    def __getstate__(self) -> dict[str, object]:
        """Travel between processes without pixels."""
        return {**self.__dict__, "decoded": DecodedImage()}

    def _all(self) -> tuple[Frame, ...]:
        path, frames = self.decoded.kept
        if path != self.path:
            del frames
            self.decoded.kept = (None, ())  # free before the next is made
            frames = self._decode()
            self.decoded.kept = (self.path, frames)
        return frames

    def _decode(self) -> tuple[Frame, ...]:
        study = self.reference.study_instance_uid
        try:
            pictures = decode_frames(read_with_pixels(self.path))
        except StudyError as error:
            raise PixelDecodeError(
                f"SOP Instance {self.reference.sop_instance_uid}: {error.problem}",
                error.hint,
                study_instance_uid=study,
            ) from error
        last = len(self.calibrations) - 1
        return tuple(
            Frame(self.reference, index + 1, picture, *self.calibrations[min(index, last)])
            for index, picture in enumerate(pictures)
        )


def decode_frames(dataset: Dataset) -> tuple[NDArray[np.uint8], ...]:
    """Decode every frame of an image into what a reader sees.

    Parameters
    ----------
    dataset
        With Pixel Data, as read from the file.

    Returns
    -------
    tuple of array
        One for each frame, uint8: `(rows, columns)` where it is grey, also
        where it was stored as RGB with equal channels, else `(rows, columns, 3)`, RGB.

    Raises
    ------
    PixelDecodeError
        The pixels cannot be decoded, or are of another size or number than the header says.
    """
    try:
        with quiet_pydicom():
            stored, told = _stored(dataset)
            return _shown(stored, told, dataset)
    except PixelDecodeError:
        raise
    except MemoryError as error:
        raise PixelDecodeError("Pixel Data does not fit into memory.") from error
    except Exception as error:  # five decoders of others meet bytes of others
        raise PixelDecodeError(
            f"Pixel Data cannot be decoded ({transfer_syntax_of(dataset).name or 'no transfer syntax'}).",
            "Ask the sender for the image again, or for another transfer syntax.",
        ) from error


def _stored(dataset: Dataset) -> tuple[list[NDArray[np.generic]], bool | None]:
    """Samples as stored, a frame each, and whether the streams call themselves RGB."""
    syntax = transfer_syntax_of(dataset)
    data = dataset["PixelData"].value
    count = number_of_frames(dataset)
    if not data or count < 1:
        raise PixelDecodeError("There is no Pixel Data.")
    told: bool | None = None
    precision: int | None = None
    streams: list[bytes] = []
    if syntax.is_encapsulated:
        offsets = _extended_offsets(dataset)
        streams = list(generate_frames(data, number_of_frames=count, extended_offsets=offsets))[:count]
        if len(streams) < count:
            raise PixelDecodeError(f"{count} frames are announced, {len(streams)} are there.")
        if syntax in _SIZED_SYNTAXES:
            infos = [_checked(stream, dataset) for stream in streams]
            told, precision = infos[0].is_rgb, max(info.precision for info in infos)
    bits = sample_bits(dataset, precision)
    return [bits.aligned(frame) for frame in _decoded(dataset, data, streams, bits)], told


def _decoded(
    dataset: Dataset, data: bytes, streams: list[bytes], bits: SampleBits
) -> list[NDArray[np.generic]]:
    """Samples as the decoder of the transfer syntax hands them out, a frame each."""
    syntax = transfer_syntax_of(dataset)
    # Pillow reads eight bits only.
    is_deep = syntax == JPEGExtended12Bit and bits.allocated > 8
    if is_deep or syntax in _LOSSLESS_SYNTAXES:
        return decode_lossless(streams, dataset, syntax, bits)
    if syntax in _PILLOW_SYNTAXES:
        return [_decode_jpeg(stream) for stream in streams]
    return _decode_others(dataset, syntax, data, bits)


def _checked(stream: bytes, dataset: Dataset) -> StreamInfo:
    """What a stream says of itself, once it agrees with the header."""
    info = stream_info(stream)
    if info is None:
        raise PixelDecodeError("A compressed frame has no valid start.")
    announced = (integer(dataset, "Rows"), integer(dataset, "Columns"), integer(dataset, "SamplesPerPixel"))
    if (info.rows, info.columns, info.components) != announced:
        raise PixelDecodeError("A compressed frame has another size than the header says.")
    return info


def _decode_jpeg(stream: bytes) -> NDArray[np.generic]:
    """One 8-bit JPEG stream, its components as they are stored."""
    info = stream_info(stream)
    if info is not None and info.components == 3:
        stream = declare_untransformed(stream)
    with Image.open(io.BytesIO(stream), formats=("JPEG",)) as picture:
        return np.asarray(picture).copy()


def _decode_others(dataset: Dataset, syntax: UID, data: bytes, bits: SampleBits) -> list[NDArray[np.generic]]:
    """Everything else by pydicom's decoders, without their colour conversion."""
    allocated, count = bits.allocated, number_of_frames(dataset)
    label = text(dataset, "PhotometricInterpretation")
    samples = integer(dataset, "SamplesPerPixel") or 0
    rows, columns = integer(dataset, "Rows") or 0, integer(dataset, "Columns") or 0
    if label in {"YBR_FULL_422", "YBR_PARTIAL_422"}:
        # Subsampled only when native, and then only if there is not room for three whole samples.
        whole = rows * columns * 3 * count * allocated // 8
        halved = not syntax.is_encapsulated and len(data) < whole
        label = "YBR_FULL_422" if halved else "YBR_FULL"
    options: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        "samples_per_pixel": samples,
        "photometric_interpretation": label,
        "bits_allocated": allocated,
        "bits_stored": bits.decoded,
        "pixel_representation": bits.decoded_signed,
        "number_of_frames": count,
        "pixel_keyword": "PixelData",
        "pixel_vr": dataset["PixelData"].VR,
    }
    if samples > 1:
        options["planar_configuration"] = integer(dataset, "PlanarConfiguration") or 0
    if offsets := _extended_offsets(dataset):
        options["extended_offsets"] = offsets
    plugin = DECODERS.get(syntax, "")
    if samples > 1 and allocated > 8 and plugin == "pillow":
        plugin = "pylibjpeg"  # Pillow cuts deep colour to 8 bits
    decoded = get_decoder(syntax).iter_array(data, raw=True, decoding_plugin=plugin, **options)
    frames = [np.asarray(frame) for frame, _properties in decoded][:count]
    if len(frames) < count:
        raise PixelDecodeError(f"{count} frames are announced, {len(frames)} could be decoded.")
    return frames


def _extended_offsets(dataset: Dataset) -> tuple[bytes, bytes] | None:
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        return dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths
    return None


def _shown(
    stored: list[NDArray[np.generic]], told: bool | None, dataset: Dataset
) -> tuple[NDArray[np.uint8], ...]:
    label = text(dataset, "PhotometricInterpretation").upper()
    if stored[0].ndim == 3:
        bits = integer(dataset, "BitsStored") or 8
        bytes_ = [_to_8_bits(frame, bits) for frame in stored]
        rgb = colour.is_rgb(bytes_[0], label, told)
        return tuple(_grey_if_equal(frame if rgb else colour.ybr_to_rgb(frame, label)) for frame in bytes_)
    if label == "PALETTE COLOR":
        table, first = colour.palette(dataset)
        last = len(table) - 1
        return tuple(
            _grey_if_equal(table[np.clip(frame.astype(np.int64) - first, 0, last)]) for frame in stored
        )
    return tuple(grey_to_uint8(stored, dataset))


def _to_8_bits(frame: NDArray[np.generic], bits: int) -> NDArray[np.uint8]:
    """Colour samples of more than 8 bits keep their upper 8."""
    if frame.dtype == np.uint8:
        return frame.astype(np.uint8, copy=False)
    upper = frame.astype(np.int64) >> max(0, bits - 8)
    return np.asarray(np.clip(upper, 0, 255), np.uint8)


def _grey_if_equal(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One channel of an RGB picture whose three are equal everywhere."""
    first: NDArray[np.uint8] = frame[..., 0]
    if np.array_equal(first, frame[..., 1]) and np.array_equal(first, frame[..., 2]):
        return np.ascontiguousarray(first)
    return frame
