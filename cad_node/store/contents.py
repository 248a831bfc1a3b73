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

# Below a spool's root: another content under UIDs that were taken.
CONFLICTS_FOLDER = "conflicts"

_CHUNK_BYTES = 1 << 20
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
        while True:
            left, right = one.read(_CHUNK_BYTES), other.read(_CHUNK_BYTES)
            if left != right:
                return False
            if not left:
                return True


def conflict_path(root: Path, path: PurePosixPath, dataset_sha256: str) -> Path:
    """Where another content under the UIDs of `path` (`studies/STUDY/SERIES/SOP.dcm`) is kept."""
    name = f"{path.stem}.{dataset_sha256[:16]}.dcm"
    return root / CONFLICTS_FOLDER / path.relative_to("studies").parent / name


@contextlib.contextmanager
def opened(content: bytes | Path) -> Iterator[BinaryIO]:
    """A received file to read from, whether it is in memory or on the disk."""
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        yield file


def _dataset_offset(file: BinaryIO) -> int:
    """Where the data set begins, by the File Meta Information Group Length; leaves the position at the start."""
    head = file.read(144)
    file.seek(0)
    if head[128:140] != b"DICM\x02\x00\x00\x00UL\x04\x00":
        return 0
    length = int.from_bytes(head[140:144], "little")
    return 144 + length if length <= _LONGEST_META_BYTES else 0
