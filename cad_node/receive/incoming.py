"""The bytes of one data set while they come in.

Memory holds a small one; a large one goes to a file, so that twenty senders of
cine loops cannot fill the memory. What is refused from the start is counted and
dropped: the sender must be let finish before it can be answered.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cad_node.errors import InboxFullError, ReceiveError
from cad_node.receive.dataset import Identity, read_identity

# Up to here in memory: more than a still image, less than a cine loop.
_IN_MEMORY_BYTES = 16_000_000


@dataclass(frozen=True)
class StoreRequest:
    """What a request and its presentation context say about the data set to come."""

    sop_class_uid: str
    sop_instance_uid: str
    abstract_syntax_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str


class IncomingDataset:
    """A data set in the making, behind the header of its file.

    Parameters
    ----------
    request
        The request that announced it.
    header
        Preamble and File Meta Information.
    spill_folder
        Where a large data set is written while it comes in; None: never, all
        stays in memory.
    refusal
        Why it will be refused; its bytes are dropped as they come.
    has_room
        Whether that many bytes more may be written there.
    """

    def __init__(
        self,
        request: StoreRequest,
        header: bytes,
        spill_folder: Path | None = None,
        refusal: ReceiveError | None = None,
        has_room: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self.request = request
        self._has_room = has_room
        self.refusal = refusal
        self.size_bytes = 0
        self._header_bytes = len(header)
        self._buffer = bytearray(header if refusal is None else b"")
        self._spill_folder = spill_folder
        self._file: BinaryIO | None = None
        self._path: Path | None = None

    def write(self, fragment: memoryview) -> None:
        """Add what came next; a full disk becomes the refusal of this data set."""
        self.size_bytes += len(fragment)
        if self.refusal is not None:
            return
        try:
            if self._file is not None:
                self._append(self._file, fragment)
                return
            self._buffer += fragment
            if self._spill_folder is not None and len(self._buffer) > _IN_MEMORY_BYTES:
                self._spill(self._spill_folder)
        except OSError:
            self.discard()
            self.refusal = InboxFullError(
                "A large data set found no room while it came in.", "Free space for the spool."
            )

    def _spill(self, folder: Path) -> None:
        descriptor, name = tempfile.mkstemp(prefix="receiving-", dir=folder)
        self._path = Path(name)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._append(self._file, self._buffer)
        self._buffer = bytearray()

    def _append(self, file: BinaryIO, content: bytearray | memoryview) -> None:
        """Write all of it: where a disk fills up, the system takes a part and calls that success."""
        if not self._has_room(len(content)):
            raise OSError(errno.ENOSPC, "below the reserve")
        written = 0
        with memoryview(content) as view:
            while written < len(view):
                written += file.write(view[written:])

    def identity(self, maximum_bytes: int) -> Identity:
        """UIDs in the data set, complete or `UnreadableDatasetError`."""
        syntax = self.request.transfer_syntax_uid
        if self._path is None:
            with memoryview(self._buffer) as view, view[self._header_bytes :] as encoded:
                return read_identity(encoded, syntax, maximum_bytes)
        with (
            self._path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
            view[self._header_bytes :] as encoded,
        ):
            return read_identity(encoded, syntax, maximum_bytes)

    def part10(self) -> bytes | Path:
        """The whole file, or where it lies."""
        return bytes(self._buffer) if self._path is None else self._path

    def discard(self) -> None:
        """Let go of the bytes; a file that was moved away is no longer ours."""
        self._buffer = bytearray()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            self._path = None
