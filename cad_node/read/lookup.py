"""Look-up tables of grey: Modality LUT and VOI LUT Sequence (PS3.3 C.11.1, C.11.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from cad_node.read.headers import integer, is_big_endian, items, numbers


@dataclass(frozen=True)
class LookupTable:
    """What each value becomes; `top` is white.

    Values below `first` become the first entry, values past the last entry the last one.
    """

    first: int
    entries: NDArray[np.uint16]
    top: int

    def apply(self, frame: NDArray[np.generic]) -> NDArray[np.uint16]:
        """A frame after the table."""
        places = np.rint(frame).astype(np.int32) - self.first
        looked_up: NDArray[np.uint16] = self.entries[np.clip(places, 0, len(self.entries) - 1)]
        return looked_up


def lookup_table(dataset: Dataset, keyword: str) -> LookupTable | None:
    """The first table of a sequence; None where there is none, or where it cannot be made sense of.

    Parameters
    ----------
    keyword
        ModalityLUTSequence or VOILUTSequence.
    """
    found = items(dataset, keyword)
    if not found:
        return None
    item = found[0]
    descriptor = numbers(item, "LUTDescriptor")
    if len(descriptor) != 3 or "LUTData" not in item:
        return None
    # Entries are counted in 16 bits, which hold no 65536; it is written as 0.
    count, first, bits = int(descriptor[0]) or 2**16, int(descriptor[1]), int(descriptor[2])
    entries = _entries(item, count, swap=is_big_endian(dataset))
    if entries is None:
        return None
    if first >= 2**15 and _is_signed(dataset):
        first -= 2**16  # US where it should be SS
    most = int(entries.max())
    # The bits are commonly named as 16 whatever they are; then those in use count, as in deep pixels.
    top = 2**bits - 1 if 8 <= bits < 16 and most < 2**bits else 2 ** max(8, most.bit_length()) - 1
    return LookupTable(first, entries, top)


def _entries(item: Dataset, count: int, *, swap: bool) -> NDArray[np.uint16] | None:
    """The entries of a table: words, or octets of which two share a word (C.11.1.1.1)."""
    stored = item["LUTData"].value
    if isinstance(stored, bytes):
        data = stored
        if swap and len(data) % 2 == 0:  # pydicom leaves OW as the file has it
            data = np.frombuffer(data, np.uint16).byteswap().tobytes()
    else:
        values = numbers(item, "LUTData")
        if not values or min(values) < 0 or max(values) >= 2**16:
            return None
        data = np.array(values, "<u2").tobytes()
    if len(data) >= 2 * count:
        return np.frombuffer(data, "<u2", count).astype(np.uint16)
    if len(data) >= count:
        return np.frombuffer(data, np.uint8, count).astype(np.uint16)
    return None


def _is_signed(dataset: Dataset) -> bool:
    return integer(dataset, "PixelRepresentation") == 1 or (integer(dataset, "RescaleIntercept") or 0) < 0
