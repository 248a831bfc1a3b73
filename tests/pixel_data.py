"""Pixel Data of synthetic images, in every photometric interpretation and transfer syntax that tests ask for."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)


def set_pixels(
    dataset: Dataset,
    stack: NDArray[Any],
    photometric: str,
    transfer_syntax: str,
    *,
    bits_stored: int = 8,
    planar_configuration: int = 0,
    jpeg_quality: int = 95,
) -> None:
    """Encode `(frames, rows, columns[, 3])` into the Pixel Data of `dataset`.

    RGB goes in for the YBR photometrics, grey levels for PALETTE COLOR. JPEG
    Baseline, JPEG 2000 (colour becomes YBR_RCT or YBR_ICT), JPEG-LS, RLE and
    all native syntaxes can be written.
    """
    samples = 1 if photometric in {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"} else 3
    if samples == 3 and stack.ndim == 3:
        stack = np.repeat(stack[..., None], 3, axis=-1)
    dataset.SamplesPerPixel = samples
    dataset.PhotometricInterpretation = photometric
    dataset.Rows, dataset.Columns = stack.shape[1:3]
    dataset.BitsAllocated = 8 if bits_stored <= 8 else 16
    dataset.BitsStored = bits_stored
    dataset.HighBit = bits_stored - 1
    dataset.PixelRepresentation = 0
    if samples == 3:
        dataset.PlanarConfiguration = planar_configuration
    if photometric == "PALETTE COLOR":
        _grey_palette(dataset, big_endian=transfer_syntax == ExplicitVRBigEndian)
    stack = stack.astype(np.uint8 if bits_stored <= 8 else np.uint16)
    if UID(transfer_syntax).is_encapsulated:
        _compress(dataset, stack, UID(transfer_syntax), jpeg_quality)
        return
    if photometric.startswith("YBR_FULL"):
        stack = np.stack([np.asarray(Image.fromarray(frame).convert("YCbCr")) for frame in stack])
        if photometric == "YBR_FULL_422":  # two luminances, then the pair's one Cb and Cr: PS3.3 C.7.6.3.1.2
            pairs = stack.reshape(*stack.shape[:2], -1, 2, 3)
            stack = np.concatenate([pairs[..., 0], pairs[..., :1, 1], pairs[..., :1, 2]], axis=-1)
    elif samples == 3 and planar_configuration == 1:
        stack = stack.transpose(0, 3, 1, 2)
    if bits_stored > 8 and transfer_syntax == ExplicitVRBigEndian:
        stack = stack.byteswap()
    encoded = stack.tobytes()
    dataset.PixelData = encoded + b"\0" * (len(encoded) % 2)
    dataset["PixelData"].VR = "OB" if bits_stored <= 8 else "OW"


def jpeg(frame: NDArray[np.uint8], quality: int = 95, *, keep_rgb: bool = False) -> bytes:
    """One frame as a JPEG Baseline stream: YCbCr 4:2:2, or with `keep_rgb` unconverted RGB."""
    buffer = io.BytesIO()
    extra: dict[str, Any] = {"keep_rgb": True} if keep_rgb else {"subsampling": "4:2:2"}
    if frame.ndim == 2:
        extra = {}
    Image.fromarray(frame).save(buffer, "JPEG", quality=quality, **extra)
    return buffer.getvalue()


def _grey_palette(dataset: Dataset, *, big_endian: bool) -> None:
    """Three equal 16-bit tables that show index n as grey level n."""
    table = (np.arange(256) * 257).astype(">u2" if big_endian else "<u2").tobytes()
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", table)


def _compress(dataset: Dataset, stack: NDArray[Any], syntax: UID, quality: int) -> None:
    """Encapsulate the frames by Pillow (JPEG Baseline) or by pydicom's encoders."""
    if syntax == JPEGBaseline8Bit:
        keep_rgb = dataset.PhotometricInterpretation == "RGB"
        streams = [jpeg(frame, quality, keep_rgb=keep_rgb) for frame in stack]
        dataset.PixelData = encapsulate(streams)
        dataset["PixelData"].VR = "OB"
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionRatio = round(stack.nbytes / sum(map(len, streams)), 2)
        dataset.LossyImageCompressionMethod = "ISO_10918_1"
        dataset.ImageType = ["DERIVED", *list(dataset.ImageType)[1:]]
        return
    # GDCM's RLE encoder, which comes first, aborts the process on an odd number of pixels.
    options: dict[str, Any] = {"encoding_plugin": "pylibjpeg"} if syntax == RLELossless else {}
    if syntax in (JPEG2000, JPEG2000Lossless):
        # The encoder takes RGB and does the transform that the photometric names itself.
        if stack.ndim == 4:
            dataset.PhotometricInterpretation = "YBR_ICT" if syntax == JPEG2000 else "YBR_RCT"
        options = {"j2k_psnr": [45]} if syntax == JPEG2000 else {}
    elif dataset.PhotometricInterpretation.startswith("YBR"):
        stack = np.stack([np.asarray(Image.fromarray(frame).convert("YCbCr")) for frame in stack])
    contiguous = np.ascontiguousarray(stack)
    contiguous = contiguous[0] if "NumberOfFrames" not in dataset else contiguous
    dataset.compress(syntax, contiguous, generate_instance_uid=False, **options)
