"""A folder as destination: one sub-folder a study, always the newest results."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from cad_node.domain import is_valid_uid
from cad_node.errors import DestinationRefusedError, DestinationUnreachableError
from cad_node.settings import FolderDestinationSettings
from cad_node.store.results import object_files, object_uid, sync_folder, sync_tree

# What is a result; whatever else a folder holds is its owner's own bookkeeping.
_PATTERNS = ("*.dcm", "*.png", "index.html", "result.json")


class FolderDestination:
    """Copies results to `path/STUDY UID/`, whole or not at all.

    A folder refuses nothing for ever: a disk that is full or not mounted, or
    lacking rights, is mended by somebody else, and then the next attempt works.
    """

    def __init__(self, settings: FolderDestinationSettings) -> None:
        self._settings = settings

    def send(self, results: Path, already_sent: Collection[str], on_sent: Callable[[str], None]) -> None:
        """Put a copy of the results in place of the study's earlier ones."""
        uid = _study_of(results)
        root = self._settings.path
        target = root / uid
        # Known names, so that what a crash left is found and removed by the next attempt.
        new, old = root / f".{uid}.new", root / f".{uid}.old"
        try:
            root.mkdir(parents=True, exist_ok=True)
            for left in (new, old):
                if left.exists():
                    shutil.rmtree(left)
            new.mkdir()
            for pattern in _PATTERNS:
                for path in results.glob(pattern):
                    shutil.copyfile(path, new / path.name)
            sync_tree(new)
            if target.exists():
                target.rename(old)
            new.rename(target)
            sync_folder(root)
            shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            raise self._unusable(error, uid) from error
        for path in object_files(results):
            on_sent(object_uid(path))

    def verify(self) -> None:
        """Write a file and remove it again."""
        try:
            self._settings.path.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._settings.path, prefix=".check-") as probe:
                probe.write(b"cad-node")
                probe.flush()
        except OSError as error:
            raise self._unusable(error, "") from error

    def _unusable(self, error: OSError, uid: str) -> DestinationUnreachableError:
        return DestinationUnreachableError(
            f"Destination {self._settings.name}: {self._settings.path} cannot be written: {error.strerror}.",
            "Check that it is mounted, has room, and belongs to the user the node runs as.",
            study_instance_uid=uid,
        )


def _study_of(results: Path) -> str:
    try:
        uid = str(json.loads((results / "result.json").read_text(encoding="utf-8"))["study_instance_uid"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DestinationRefusedError(
            "A result folder has no readable result.json.", "Retry the study: its results are made anew."
        ) from error
    if not is_valid_uid(uid):
        raise DestinationRefusedError("A result folder names no valid Study Instance UID.")
    return uid
