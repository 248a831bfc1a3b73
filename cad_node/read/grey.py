"""Stored samples of grey to the picture a reader sees: uint8.

In the order of PS3.4 N.2: Modality LUT or rescale, VOI LUT or window, then the
direction of grey. A table or a window that shows nothing at all is for other
values, and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from cad_node.read.headers import number, text
from cad_node.read.lookup import LookupTable, lookup_table

# A window that cuts less than this at either end of 8 bits is the whole range, as Philips writes it.
_NEGLIGIBLE = 3.0

_Samples = NDArray[np.generic]
_Shown = list[NDArray[np.uint8]]


def grey_to_uint8(frames: Sequence[_Samples], dataset: Dataset) -> _Shown:
    """MONOCHROME samples of a whole image as shown.

    Of a VOI LUT and a window, which stand for two views, the table is taken. 8-bit
    pictures stay as they are unless one of them really cuts. Deeper ones
    without are scaled alike in all frames: by the bits that are in
    use where unsigned, else from least to greatest. One frame at a time is made
    wider on the way: a long loop in floating point would fill the memory.
    """
    modality = _Modality.of(dataset)
    grey = (
        _by_table(frames, modality, lookup_table(dataset, "VOILUTSequence"))
        or _by_window(frames, modality, _window(dataset))
        or _by_range(frames, modality)
    )
    return [255 - one for one in grey] if _is_inverse(dataset, grey) else grey


@dataclass(frozen=True)
class _Modality:
    """Stored samples to the values that windows and tables are made for; a broken step is left out."""

    table: LookupTable | None
    slope: float = 1.0
    intercept: float = 0.0

    @classmethod
    def of(cls, dataset: Dataset) -> _Modality:
        table = lookup_table(dataset, "ModalityLUTSequence")
        slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
        # A slope of zero is broken, too: it would make every picture one even grey.
        if table is not None or not slope:
            return cls(table)
        return cls(None, slope, intercept or 0.0)

    @property
    def is_linear(self) -> bool:
        return self.table is None and (self.slope, self.intercept) != (1.0, 0.0)

    def apply(self, frame: _Samples) -> _Samples:
        if self.table is not None:
            return self.table.apply(frame)
        if not self.is_linear:
            return frame
        return frame.astype(np.float32) * np.float32(self.slope) + np.float32(self.intercept)


class _Window(NamedTuple):
    centre: float
    width: float
    function: str

    def ends(self) -> tuple[float, float]:
        """Black and white of LINEAR (PS3.3 C.11.2.1.2.1) or LINEAR_EXACT (C.11.2.1.3.2)."""
        if self.function == "LINEAR_EXACT":
            return self.centre - self.width / 2, self.centre + self.width / 2
        return self.centre - 0.5 - (self.width - 1) / 2, self.centre - 0.5 + (self.width - 1) / 2

    def is_whole(self) -> bool:
        """Whether it shows 8 bits as they are."""
        low, high = self.ends()
        return self.function != "SIGMOID" and low <= _NEGLIGIBLE and high >= 255 - _NEGLIGIBLE


def _window(dataset: Dataset) -> _Window | None:
    """The first window. A LINEAR one of width 1 is a threshold, and no picture."""
    centre, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    function = text(dataset, "VOILUTFunction").upper()
    if function not in {"SIGMOID", "LINEAR_EXACT"}:
        function = "LINEAR"
    if centre is None or width is None or width <= (1 if function == "LINEAR" else 0):
        return None
    return _Window(centre, width, function)


def _by_table(frames: Sequence[_Samples], modality: _Modality, table: LookupTable | None) -> _Shown | None:
    """The frames as a VOI LUT shows them; None where there is none, or where nothing is left."""
    if table is None:
        return None
    gain = 255.0 / table.top

    def shown(values: _Samples) -> NDArray[np.floating]:
        return table.apply(values) * np.float32(gain)

    return _unless_flat(_shown(frames, modality, shown))


def _by_window(frames: Sequence[_Samples], modality: _Modality, window: _Window | None) -> _Shown | None:
    """The frames as a window shows them; None where there is none, or where nothing is left."""
    if window is None:
        return None
    if window.is_whole() and _is_8_bit(frames, modality):
        return _as_they_are(frames, modality)
    if window.function != "SIGMOID":
        return _unless_flat(_shown(frames, modality, _line(*window.ends())))

    def shown(values: _Samples) -> NDArray[np.floating]:
        steps = (values.astype(np.float32) - np.float32(window.centre)) * np.float32(-4 / window.width)
        return np.asarray(255 / (1 + np.exp(np.clip(steps, -80, 80))))  # PS3.3 C.11.2.1.3.1

    return _unless_flat(_shown(frames, modality, shown))


def _by_range(frames: Sequence[_Samples], modality: _Modality) -> _Shown:
    """The frames with all their values between black and white."""
    if _is_8_bit(frames, modality):
        return _as_they_are(frames, modality)
    if modality.table is not None:
        return _shown(frames, modality, _line(0, modality.table.top))
    # A rescale changes what values are called, not how bright they are; a negative one turns them round.
    low, high = sorted(end * modality.slope + modality.intercept for end in _stored_range(frames))
    return _shown(frames, modality, _line(low, high))


def _is_8_bit(frames: Sequence[_Samples], modality: _Modality) -> bool:
    if modality.table is not None:
        return modality.table.top == 255
    return frames[0].dtype == np.uint8 and not modality.is_linear


def _as_they_are(frames: Sequence[_Samples], modality: _Modality) -> _Shown:
    return [modality.apply(frame).astype(np.uint8, copy=False) for frame in frames]


def _line(low: float, high: float) -> Callable[[_Samples], NDArray[np.floating]]:
    """What lies between two ends, spread over 8 bits."""
    gain = 255.0 / (high - low)
    return lambda values: (values.astype(np.float32) - np.float32(low)) * np.float32(gain)


def _shown(
    frames: Sequence[_Samples], modality: _Modality, show: Callable[[_Samples], NDArray[np.floating]]
) -> _Shown:
    return [np.clip(np.rint(show(modality.apply(frame))), 0, 255).astype(np.uint8) for frame in frames]


def _unless_flat(grey: _Shown) -> _Shown | None:
    levels = {int(level) for one in grey if one.size for level in (one.min(), one.max())}
    return grey if len(levels) > 1 else None


def _stored_range(frames: Sequence[_Samples]) -> tuple[float, float]:
    """Least and greatest sample; of unsigned ones 0, and the greatest that their bits can hold."""
    ends = [(float(one.min()), float(one.max())) for one in frames if one.size]
    least = min((end for end, _ in ends), default=0.0)
    greatest = max((end for _, end in ends), default=0.0)
    if least >= 0:
        bits = max(8, int(greatest).bit_length())
        return 0.0, float(2**bits - 1)
    return least, max(greatest, least + 1)


def _is_inverse(dataset: Dataset, grey: _Shown) -> bool:
    """Whether small values are bright: MONOCHROME1, or Presentation LUT Shape INVERSE, which then go together.

    Where they contradict each other, the darker picture is right: B-mode is mostly dark.
    """
    by_label = text(dataset, "PhotometricInterpretation").upper() == "MONOCHROME1"
    shape = text(dataset, "PresentationLUTShape").upper()
    by_shape = {"INVERSE": True, "IDENTITY": False}.get(shape, by_label)
    if by_label == by_shape:
        return by_label
    return float(np.mean([one.mean() for one in grey])) > 255 / 2
