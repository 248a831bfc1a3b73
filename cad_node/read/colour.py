"""Stored samples of colour to the picture a reader sees: uint8 RGB.

Labels lie: routers decompress JPEG to RGB and leave YBR_FULL_422 in the header,
and JPEG of RGB is sent as YBR. Ultrasound helps, because it is mostly grey:
read in the right colour space nearly all of it is, in the wrong one nearly
nothing. Where that is not clear the stream decides, then the label.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import ExplicitVRLittleEndian

from cad_node.errors import PixelDecodeError
from cad_node.read.headers import is_big_endian, quiet_pydicom

# A colour space is believed against the label when the picture is so many times greyer in it.
_MUCH_GREYER = 3.0


def is_rgb(frame: NDArray[np.uint8], label: str, told: bool | None) -> bool:
    """Whether three-sample pixels are RGB rather than luminance and chrominance.

    Parameters
    ----------
    frame
        `(rows, columns, 3)`, as stored.
    label
        Photometric Interpretation.
    told
        What the compressed stream says, None where it says nothing.
    """
    step = max(1, max(frame.shape[:2]) // 256)
    first, second, third = np.moveaxis(frame[::step, ::step].astype(np.int16), -1, 0)
    as_rgb = float((np.abs(first - second) + np.abs(first - third)).mean())
    as_ybr = float((np.abs(second - 128) + np.abs(third - 128)).mean())
    if as_rgb * _MUCH_GREYER < as_ybr:
        return True
    if as_ybr * _MUCH_GREYER < as_rgb:
        return False
    return told if told is not None else not label.startswith("YBR")


def ybr_to_rgb(frame: NDArray[np.uint8], label: str) -> NDArray[np.uint8]:
    """Turn YBR_FULL (PS3.3 C.7.6.3.1.2), or YBR_PARTIAL where the label says so, into RGB."""
    if label.startswith("YBR_PARTIAL"):
        offset = np.array((16, 128, 128), np.float32)
        gain = np.array((255 / 219, 255 / 224, 255 / 224), np.float32)
        expanded = (frame.astype(np.float32) - offset) * gain + np.array((0, 128, 128), np.float32)
        frame = np.clip(np.rint(expanded), 0, 255).astype(np.uint8)
    luminance, blue, red = cv2.split(frame)
    swapped = cv2.merge((luminance, red, blue))  # OpenCV wants Y, Cr, Cb
    return np.asarray(cv2.cvtColor(swapped, cv2.COLOR_YCrCb2RGB), np.uint8)


def palette(dataset: Dataset) -> tuple[NDArray[np.uint8], int]:
    """The palette of a PALETTE COLOR image, `(entries, 3)`, and the sample value of its first entry.

    Raises
    ------
    PixelDecodeError
        No usable palette.
    """
    mended = Dataset()
    mended.file_meta = FileMetaDataset()
    mended.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    big = is_big_endian(dataset)
    try:
        with quiet_pydicom():
            for colour in ("Red", "Green", "Blue"):
                _copy_table(dataset, mended, colour, swap=big)
            entries, first, _bits = mended.RedPaletteColorLookupTableDescriptor
            indices = np.arange(entries or 2**16, dtype=np.uint32) + first
            table = np.asarray(apply_color_lut(indices, mended))
    except Exception as error:  # broken tables fail in many ways
        raise PixelDecodeError("The colour palette of an image is broken.") from error
    # Tables of 16 bits that hold 8-bit values are an old error, named in PS3.3 C.7.6.3.1.6.
    shift = 8 if int(table.max(initial=0)) > 255 else 0
    return (table >> shift).astype(np.uint8), int(first)


def _copy_table(source: Dataset, target: Dataset, colour: str, *, swap: bool) -> None:
    """Copy one table in little-endian order: pydicom 3.0 leaves OW as the file had it."""
    name = f"{colour}PaletteColorLookupTableDescriptor"
    setattr(target, name, list(source[name].value))
    for keyword in (
        f"{colour}PaletteColorLookupTableData",
        f"Segmented{colour}PaletteColorLookupTableData",
    ):
        if keyword not in source:
            continue
        value = source[keyword].value
        if isinstance(value, bytes) and swap and len(value) % 2 == 0:
            value = np.frombuffer(value, np.uint16).byteswap().tobytes()
        setattr(target, keyword, value)
