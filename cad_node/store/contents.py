"""What tells one received file from another: its bytes, and those of its data set alone.

The File Meta Information (PS3.10 section 7.1) says who sent it when, and which version of
the node took it: it is no part of what was received.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from pydicom import dcmread

# Below a spool's root: another content under UIDs that were taken.
CONFLICTS_FOLDER = "conflicts"

_CHUNK_BYTES = 1 << 20
# What says how the bytes of Pixel Data are to be read (PS3.3 C.7.6.3).
_SHAPE = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
# As it stands in File Meta Information (PS3.5 section A.5).
_DEFLATED = b"1.2.840.10008.1.2.1.99"
# The node's own is 300 bytes; a number that is no length must not be read into memory.
_LONGEST_META_BYTES = 1 << 20


class Digests(NamedTuple):
    """SHA-256 of a whole file, and of its data set alone."""

    file: str
    dataset: str


def digests_of(file: BinaryIO) -> Digests:
    """Both digests of an open Part 10 file."""
    file.seek(0)
    head = file.read(_dataset_offset(file))
    whole, dataset = hashlib.sha256(head), hashlib.sha256()
    file.seek(len(head))
    while chunk := file.read(_CHUNK_BYTES):
        whole.update(chunk)
        dataset.update(chunk)
    return Digests(whole.hexdigest(), dataset.hexdigest())


def same_dataset(content: bytes | Path, stored: Path) -> bool:
    """Whether both files hold the same data set; who sent it when is no difference."""
    with opened(content) as one, stored.open("rb") as other:
        one.seek(_dataset_offset(one))
        other.seek(_dataset_offset(other))
        return _same_rest(one, other)


def same_pixels(content: bytes | Path, stored: Path) -> bool:
    """Whether two files hold the same Pixel Data, byte for byte, however their headers differ.

    Not told of a deflated data set, of one without pixels, or under two transfer syntaxes.
    """
    with opened(content) as one, stored.open("rb") as other:
        for file in (one, other):
            # Asked before pydicom is, which would inflate all of it.
            if _DEFLATED in file.read(_dataset_offset(file)):
                return False
            file.seek(0)
        headers = [dcmread(file, stop_before_pixels=True) for file in (one, other)]
        syntax = headers[0].file_meta.TransferSyntaxUID
        if any(headers[0].get(keyword) != headers[1].get(keyword) for keyword in _SHAPE):
            return False
        # Both stand where their Pixel Data begin.
        return syntax == headers[1].file_meta.TransferSyntaxUID and _same_rest(one, other, at_least=1)


def conflict_path(root: Path, path: PurePosixPath, dataset_sha256: str) -> Path:
    """Where another content under the UIDs of `path` (`studies/STUDY/SERIES/SOP.dcm`) is kept."""
    name = f"{path.stem}.{dataset_sha256[:16]}.dcm"
    return root / CONFLICTS_FOLDER / path.relative_to("studies").parent / name


@contextlib.contextmanager
def opened(content: bytes | Path) -> Iterator[BinaryIO]:
    """A received file to read from, whether it is in memory or on the disk."""
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        yield file


def _same_rest(one: BinaryIO, other: BinaryIO, at_least: int = 0) -> bool:
    """Whether two files are the same from where they stand, and so many bytes at least."""
    size = 0
    while True:
        left, right = one.read(_CHUNK_BYTES), other.read(_CHUNK_BYTES)
        if left != right:
            return False
        if not left:
            return size >= at_least
        size += len(left)


def _dataset_offset(file: BinaryIO) -> int:
    """Where the data set begins, by the File Meta Information Group Length; leaves the position at the start."""
    head = file.read(144)
    file.seek(0)
    if head[128:140] != b"DICM\x02\x00\x00\x00UL\x04\x00":
        return 0
    length = int.from_bytes(head[140:144], "little")
    return 144 + length if length <= _LONGEST_META_BYTES else 0
