"""Stored samples to the picture a reader sees: uint8, grey or RGB.

Labels lie: routers decompress JPEG to RGB and leave YBR_FULL_422 in the header,
and JPEG of RGB is sent as YBR. Ultrasound helps, because it is mostly grey:
read in the right colour space nearly all of it is, in the wrong one nearly
nothing. Where that is not clear the stream decides, then the label.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.uid import ExplicitVRLittleEndian

from cad_node.errors import PixelDecodeError
from cad_node.read.headers import number, quiet_pydicom, text, transfer_syntax_of

# A colour space is believed against the label when the picture is so many times greyer in it.
_MUCH_GREYER = 3.0
# A window that cuts less than this at either end of 8 bits is the whole range, as Philips writes it.
_NEGLIGIBLE = 3.0


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
    big = transfer_syntax_of(dataset).is_little_endian is False or (
        getattr(dataset, "original_encoding", (None, None))[1] is False
    )
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


def grey_to_uint8(frames: Sequence[NDArray[np.generic]], dataset: Dataset) -> list[NDArray[np.uint8]]:
    """MONOCHROME samples of a whole image as shown: Modality LUT, window, inversion.

    8-bit pictures stay as they are unless a window really cuts. Deeper ones
    without a window are scaled alike in all frames: by the bits that are in
    use where unsigned, else from least to greatest. One frame at a time is made
    wider on the way: a long loop in floating point would fill the memory.
    """
    window = _window(dataset)
    is_8_bit = frames[0].dtype == np.uint8 and _modality(frames[0], dataset).dtype == np.uint8
    if is_8_bit and _is_whole(window):
        grey = [_modality(frame, dataset).astype(np.uint8, copy=False) for frame in frames]
    else:
        grey = _scaled(frames, dataset, window or _range(frames, dataset))
        if window and _is_flat(grey):  # the window shows nothing: it is for other values
            grey = _scaled(frames, dataset, _range(frames, dataset))
    return (
        [255 - one for one in grey] if text(dataset, "PhotometricInterpretation") == "MONOCHROME1" else grey
    )


def _scaled(
    frames: Sequence[NDArray[np.generic]], dataset: Dataset, ends: tuple[float, float]
) -> list[NDArray[np.uint8]]:
    """The frames with what lies between the two ends spread over 8 bits."""
    low, high = ends
    gain = 255.0 / (high - low)
    return [
        np.clip(np.rint((_modality(frame, dataset).astype(np.float32) - low) * gain), 0, 255).astype(np.uint8)
        for frame in frames
    ]


def _is_flat(grey: Sequence[NDArray[np.uint8]]) -> bool:
    levels = {int(level) for one in grey if one.size for level in (one.min(), one.max())}
    return len(levels) < 2


def _modality(frame: NDArray[np.generic], dataset: Dataset) -> NDArray[np.generic]:
    """Apply Rescale Slope and Intercept or a Modality LUT; a broken one is left out.

    A slope of zero is broken, too: it would make every picture one even grey.
    """
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if "ModalityLUTSequence" not in dataset and (not slope or (slope, intercept) == (1.0, 0.0)):
        return frame
    try:
        with quiet_pydicom():
            return np.asarray(apply_modality_lut(frame, dataset))
    except Exception:  # as above: broken tables fail in many ways
        return frame


def _window(dataset: Dataset) -> tuple[float, float] | None:
    """Ends of the first window, LINEAR (PS3.3 C.11.2.1.2.1) or LINEAR_EXACT; a sigmoid as linear."""
    centre, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    if centre is None or width is None or width <= 1:
        return None
    if text(dataset, "VOILUTFunction").upper() == "LINEAR_EXACT":
        return centre - width / 2, centre + width / 2
    return centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2


def _is_whole(window: tuple[float, float] | None) -> bool:
    return window is None or (window[0] <= _NEGLIGIBLE and window[1] >= 255 - _NEGLIGIBLE)


def _range(frames: Sequence[NDArray[np.generic]], dataset: Dataset) -> tuple[float, float]:
    """Black and white of deep pixels without a window."""
    ends = [
        (float(one.min()), float(one.max()))
        for one in (_modality(frame, dataset) for frame in frames)
        if one.size
    ]
    least = min((end for end, _ in ends), default=0.0)
    greatest = max((end for _, end in ends), default=0.0)
    if least >= 0:
        bits = max(8, int(greatest).bit_length())
        return 0.0, float(2**bits - 1)
    return least, max(greatest, least + 1)
