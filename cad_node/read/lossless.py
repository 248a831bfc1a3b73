"""JPEG Lossless and 12-bit JPEG, which only GDCM decodes, kept out of this process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID

from cad_node.errors import PixelDecodeError
from cad_node.read.bits import SampleBits
from cad_node.read.headers import integer

_WORKER = Path(__file__).with_name("gdcm_worker.py")
# Start of the worker, and time for a frame: a hundred times what 1024 x 768 takes.
_START_S, _FRAME_S = 60.0, 2.0


def decode_lossless(
    streams: Sequence[bytes], dataset: Dataset, syntax: UID, bits: SampleBits
) -> list[NDArray[np.generic]]:
    """Decode all frames of one image in a process of its own.

    Returns
    -------
    list of array
        Samples as stored, `(rows, columns)` or `(rows, columns, samples)`.

    Raises
    ------
    PixelDecodeError
        GDCM refused a stream, died of it, or took too long.
    """
    rows, columns = integer(dataset, "Rows") or 0, integer(dataset, "Columns") or 0
    samples, allocated, signed = integer(dataset, "SamplesPerPixel") or 0, bits.allocated, bits.decoded_signed
    header = {
        "syntax": str(syntax),
        "rows": rows,
        "columns": columns,
        "samples": samples,
        "allocated": allocated,
        "stored": bits.decoded,
        "signed": signed,
        "lengths": [len(stream) for stream in streams],
    }
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter and our own file
            [sys.executable, "-I", str(_WORKER)],
            input=b"".join((json.dumps(header).encode(), b"\n", *streams)),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_START_S + _FRAME_S * len(streams),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PixelDecodeError("A JPEG Lossless stream takes too long to decode.") from error
    dtype = np.dtype(f"<{'i' if signed else 'u'}{max(allocated, 8) // 8}")
    shape = (len(streams), rows, columns, samples) if samples > 1 else (len(streams), rows, columns)
    if done.returncode != 0 or len(done.stdout) != int(np.prod(shape, dtype=np.int64)) * dtype.itemsize:
        raise PixelDecodeError("A JPEG Lossless stream is damaged.", "Ask the sender for the image again.")
    return list(np.frombuffer(done.stdout, dtype).reshape(shape))
