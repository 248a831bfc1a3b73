"""The spool: received instances, exactly as they came, one file each.

    ROOT/studies/STUDY/SERIES/SOP.dcm    what was received, never changed; replaced only by a correction
    ROOT/conflicts/STUDY/SERIES/...      another content under UIDs that were taken
    ROOT/incoming-NODE/                  what a node is writing; its leftovers go at its start
    ROOT/removing/STUDY/...              what an operator has removed, on its way out

The files are the truth and the journal is made from them: an instance is
answered for only once it would survive a power cut, and what the journal missed
is recorded at the next start. Nothing here removes a received file, `retention.py` does
when an operator asks. The threads of a process may write here together, and nodes that share the
spool; but different contents under one UID must not come to two nodes in the same moment.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Container, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pydicom.filereader import read_file_meta_info

from cad_node.domain import ReceivedInstance, StoredInstance, is_valid_uid
from cad_node.errors import InboxFullError, ReceiveError
from cad_node.store.contents import (
    CONFLICTS_FOLDER,
    Digests,
    conflict_path,
    digests_of,
    opened,
    same_dataset,
    same_pixels,
)
from cad_node.store.on_disk import sync
from cad_node.store.retention import put_back_left_over

logger = logging.getLogger(__name__)

# Below `data_dir`.
INBOX_FOLDER = "inbox"
# A spool of its own for what the node made itself and a PACS sends back.
RETURNED_FOLDER = "returned"

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
_INCOMING = "incoming"
_CHUNK_BYTES = 1 << 20
_LOCKS = 64
# Folders known to be on the disk, so that only the first instance of a series pays for them.
_REMEMBERED_FOLDERS = 10_000
# Of which the journal is asked together at the start: a spool may hold more images than fit into memory at ease.
_STUDIES_AT_ONCE = 500


class Inbox:
    """Instances on disk.

    Parameters
    ----------
    root
        Folder of the spool; made if it is not there.
    record
        Writes an instance into the journal; told again of one that is known.
    reserve_bytes
        What must stay free in the file system.
    writer
        Name of the node, where several share the spool.
    may_correct
        Whether images of a study are to be taken with new headers, by its UID.
    """

    def __init__(
        self,
        root: Path,
        record: Callable[[StoredInstance], bool],
        reserve_bytes: int,
        writer: str = "",
        may_correct: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.root = root
        self._may_correct = may_correct
        self._writer = writer
        self._record = record
        self._reserve_bytes = reserve_bytes
        self._safe_folders: set[Path] = set()
        # One instance at a time, many different ones at once.
        self._locks = tuple(threading.Lock() for _ in range(_LOCKS))
        for folder in (root, root / "studies", root / CONFLICTS_FOLDER, self.incoming):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def incoming(self) -> Path:
        """Where a large data set may be put while it comes in."""
        return self.root / (f"{_INCOMING}-{self._writer}" if self._writer else _INCOMING)

    def has_room(self, size_bytes: int) -> bool:
        """Whether the reserve would stay free if so many bytes came; a disk that is gone has no room."""
        try:
            free = shutil.disk_usage(self.root).free
        except OSError as error:
            logger.error("The spool cannot be reached: %s", error.strerror)
            return False
        return free - size_bytes >= self._reserve_bytes

    def accept(self, received: ReceivedInstance) -> None:
        """Make an instance safe and record it; once this returns, it survives a power cut.

        The same instance again changes nothing. Another data set under the same
        UIDs is kept aside, and the first stays; where the study may be corrected and
        the pixels are the same, the new one counts and the first is kept aside.

        Raises
        ------
        InboxFullError
            It would not fit; nothing is left behind.
        ReceiveError
            The spool cannot be written, or a UID is no UID.
        """
        path = _relative_path(received)
        lock = self._locks[hash(path) % _LOCKS]
        try:
            with lock:
                stored = self._store(received, path)
        except OSError as error:
            raise _translated(error, received.study_instance_uid) from error
        self._record(stored)

    def rescan(self, known: Callable[[Sequence[str]], Container[str]] = lambda _: ()) -> int:
        """Record what the journal lacks and remove leftovers; for the start, before anything comes in.

        Parameters
        ----------
        known
            Of some studies, the paths below the root that the journal holds, which are not read again.

        Returns
        -------
        int
            How many instances were recorded or told to the journal again.
        """
        put_back_left_over(self.root)
        self.clean_up()
        count = 0
        studies = sorted(folder.name for folder in (self.root / "studies").iterdir())
        for start in range(0, len(studies), _STUDIES_AT_ONCE):
            some = studies[start : start + _STUDIES_AT_ONCE]
            held = known(some)
            for study in some:
                found = (self.root / "studies" / study).glob("*/*.dcm")
                paths = sorted(f"studies/{study}/{path.parent.name}/{path.name}" for path in found)
                count += sum(self._recover(path) for path in paths if path not in held)
        return count

    def _recover(self, path: str) -> bool:
        """Record a file that the journal lacks; whether it can be read."""
        try:
            stored = _describe(self.root, PurePosixPath(path))
        except Exception as error:
            # A damaged file may make a reader raise anything; the others are still wanted.
            logger.error("%s cannot be read and is left alone: %s", path, type(error).__name__)
            return False
        self._record(stored)
        return True

    def clean_up(self) -> None:
        """Remove what was not received completely; for the start, before anything comes in."""
        # Without a name of its own is what an older version of the node left.
        for leftover in (*self.incoming.iterdir(), *(self.root / _INCOMING).glob("*")):
            logger.info("Removed an instance that had not been received completely.")
            leftover.unlink(missing_ok=True)

    def files_of(self, study_instance_uid: str) -> tuple[Path, ...]:
        """Every file of a study, in a repeatable order."""
        if not is_valid_uid(study_instance_uid):
            return ()
        return tuple(sorted((self.root / "studies" / study_instance_uid).glob("*/*.dcm")))

    def _store(self, received: ReceivedInstance, path: PurePosixPath) -> StoredInstance:
        target = self.root / path
        if target.exists():
            if same_dataset(received.part10, target):
                return _describe(self.root, path)
            if not self._corrects(received, target):
                self._keep_aside(received, path)
                return _describe(self.root, path)
            self._keep_former(path)
        digests, size = self._write(received.part10, target)
        return StoredInstance(
            study_instance_uid=received.study_instance_uid,
            series_instance_uid=received.series_instance_uid,
            sop_instance_uid=received.sop_instance_uid,
            sop_class_uid=received.sop_class_uid,
            transfer_syntax_uid=received.transfer_syntax_uid,
            path=path,
            sha256=digests.file,
            dataset_sha256=digests.dataset,
            size_bytes=size,
            calling_ae_title=received.calling_ae_title,
            received_at=datetime.fromtimestamp(target.stat().st_mtime, UTC),
        )

    def _keep_aside(self, received: ReceivedInstance, path: PurePosixPath) -> None:
        with opened(received.part10) as source:
            target = conflict_path(self.root, path, digests_of(source).dataset)
        if not target.exists():
            self._write(received.part10, target)
        logger.warning(
            "Instance %s came again with another content; the first is used, the other kept under conflicts",
            received.sop_instance_uid,
        )

    def _corrects(self, received: ReceivedInstance, target: Path) -> bool:
        """Whether a data set brings new headers for the pixels that are there, and they are waited for."""
        if not self._may_correct(received.study_instance_uid):
            return False
        try:
            return same_pixels(received.part10, target)
        except Exception:  # damaged, it may make a reader raise anything
            return False

    def _keep_former(self, path: PurePosixPath) -> None:
        """Keep a file aside that is about to be replaced."""
        with (self.root / path).open("rb") as content:
            aside = conflict_path(self.root, path, digests_of(content).dataset)
        if not aside.exists():
            self._make_safe_folder(aside.parent)
            aside.hardlink_to(self.root / path)
            sync(aside.parent)
        logger.info(
            "an image came again with new headers; they count, and the former are kept under conflicts"
        )

    def _write(self, content: bytes | Path, target: Path) -> tuple[Digests, int]:
        """Put a file in place, whole or not at all; returns its digests and size in bytes."""
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        # What was put into `incoming` has taken its room already.
        if not self.has_room(size if isinstance(content, bytes) else 0):
            raise OSError(errno.ENOSPC, "below the reserve")
        self._make_safe_folder(target.parent)
        descriptor, name = tempfile.mkstemp(prefix="writing-", dir=self.incoming)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if isinstance(content, Path):
                    digests = _take_over(content, temporary, file)
                else:
                    with opened(content) as source:
                        digests = digests_of(source)
                    file.write(content)
                file.flush()
            sync(temporary, data_alone=True)
            temporary.rename(target)
            sync(target.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return digests, size

    def _make_safe_folder(self, folder: Path) -> None:
        """Make a folder below the root, and each name that leads to it, durable."""
        if folder == self.root or (folder in self._safe_folders and folder.is_dir()):
            return
        self._make_safe_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync(folder.parent)
        if len(self._safe_folders) >= _REMEMBERED_FOLDERS:
            self._safe_folders.clear()
        self._safe_folders.add(folder)


def _relative_path(received: ReceivedInstance) -> PurePosixPath:
    """Where an instance lies below the root; built of nothing but valid UIDs."""
    uids = (received.study_instance_uid, received.series_instance_uid, received.sop_instance_uid)
    if not all(is_valid_uid(uid) for uid in uids):
        raise ReceiveError("An instance with an invalid UID cannot be stored.")
    return PurePosixPath("studies", *uids[:2], f"{uids[2]}.dcm")


def _describe(root: Path, path: PurePosixPath) -> StoredInstance:
    """What the journal wants to know, from the file and its name alone."""
    _, study, series, name = path.parts
    sop_instance = name.removesuffix(".dcm")
    if not all(is_valid_uid(uid) for uid in (study, series, sop_instance)):
        raise ValueError("not named by UIDs")
    file = root / path
    meta = read_file_meta_info(file)
    with file.open("rb") as content:
        digests = digests_of(content)
    status = file.stat()
    return StoredInstance(
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=sop_instance,
        sop_class_uid=str(meta.MediaStorageSOPClassUID),
        transfer_syntax_uid=str(meta.TransferSyntaxUID),
        path=path,
        sha256=digests.file,
        dataset_sha256=digests.dataset,
        size_bytes=status.st_size,
        calling_ae_title=str(meta.get("SourceApplicationEntityTitle", "")),
        received_at=datetime.fromtimestamp(status.st_mtime, UTC),
    )


def _take_over(source: Path, temporary: Path, file: BinaryIO) -> Digests:
    """Move a file to `temporary`, or copy it when it lies elsewhere; returns its digests."""
    with source.open("rb") as content:
        digests = digests_of(content)
        try:
            source.rename(temporary)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            content.seek(0)
            shutil.copyfileobj(content, file, _CHUNK_BYTES)
    return digests


def _translated(error: OSError, study_instance_uid: str) -> ReceiveError:
    if error.errno in _FULL:
        return InboxFullError(
            "The spool has no room.", "Free space in data_dir.", study_instance_uid=study_instance_uid
        )
    return ReceiveError(
        f"The spool cannot be written: {error.strerror}.",
        "Check data_dir and its disk.",
        study_instance_uid=study_instance_uid,
    )
