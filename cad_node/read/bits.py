"""Where in its cell a sample lies: Bits Allocated, Bits Stored and High Bit.

Nearly everybody stores samples at the lower end. Old ACR-NEMA equipment, and what was
converted from it, fills cells from the top: 12 bits in 16 with High Bit 15. Read as if
they lay below, such samples lose their upper bits, and a lesion its border.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from cad_node.read.headers import integer


@dataclass(frozen=True)
class SampleBits:
    """How samples lie in their cells; `shift` is the number of bits below them that are not theirs."""

    allocated: int
    stored: int
    signed: int
    shift: int = 0

    @property
    def decoded(self) -> int:
        """Bits that a decoder must hand out: whole cells, where the samples do not lie at the lower end."""
        return self.allocated if self.shift else self.stored

    @property
    def decoded_signed(self) -> int:
        """Pixel Representation for a decoder; the sign of a sample that is shifted comes later."""
        return 0 if self.shift else self.signed

    def aligned(self, frame: NDArray[np.generic]) -> NDArray[np.generic]:
        """Samples out of decoded cells."""
        if not self.shift:
            return frame
        values = (frame.astype(np.int64) >> self.shift) & ((1 << self.stored) - 1)
        if self.signed:
            values -= (values >> (self.stored - 1)) << self.stored
        return values.astype(f"{'i' if self.signed else 'u'}{self.allocated // 8}")


def sample_bits(dataset: Dataset, precision: int | None = None) -> SampleBits:
    """What a header says of its samples (PS3.5 section 8.1.1).

    Parameters
    ----------
    precision
        Bits of a sample in the compressed stream. One that holds no more than Bits Stored has
        nothing below or above its samples, whatever High Bit says.
    """
    allocated = integer(dataset, "BitsAllocated") or 0
    stored = integer(dataset, "BitsStored") or allocated
    signed = integer(dataset, "PixelRepresentation") or 0
    high = integer(dataset, "HighBit")
    shift = 0 if high is None else high + 1 - stored
    is_possible = 0 < shift <= allocated - stored
    is_whole = precision is not None and precision <= stored
    return SampleBits(allocated, stored, signed, shift if is_possible and not is_whole else 0)
