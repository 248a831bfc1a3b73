"""Decodes JPEG Lossless frames with GDCM, as a program of its own; started by `lossless`.

GDCM aborts the whole process on about one in twenty damaged streams. Here that
costs one image. Standard input: one line of JSON, then the streams; standard
output: the decoded frames, one after another.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any, BinaryIO


def main() -> None:
    """Decode what stands on standard input."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold a patient's picture
    header = json.loads(sys.stdin.buffer.readline())
    for length in header["lengths"]:
        sys.stdout.buffer.write(_decoded(sys.stdin.buffer, length, header))
    sys.stdout.buffer.flush()


def _decoded(source: BinaryIO, length: int, header: dict[str, Any]) -> bytes:
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(source.read(length))
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((header["columns"], header["rows"], 1))
    image.SetDataElement(element)
    kind = (
        gdcm.PhotometricInterpretation.MONOCHROME2
        if header["samples"] == 1
        else gdcm.PhotometricInterpretation.RGB  # whatever it is: so it stays as it is stored
    )
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    if header["samples"] > 1:
        image.SetPlanarConfiguration(0)
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(header["syntax"])))
    stored = header["stored"]
    image.SetPixelFormat(
        gdcm.PixelFormat(header["samples"], header["allocated"], stored, stored - 1, header["signed"])
    )
    decoded: bytes = image.GetBuffer().encode("utf-8", "surrogateescape")
    return decoded


if __name__ == "__main__":
    main()
