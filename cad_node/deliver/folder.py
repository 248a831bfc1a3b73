"""A folder as destination: one sub-folder a study, always the newest results."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from cad_node.deliver.objects import result_objects
from cad_node.deliver.summary import PAGE_FILE, RESULT_FILE, page_of, summary_of
from cad_node.domain import is_valid_uid
from cad_node.errors import DestinationRefusedError, DestinationUnreachableError
from cad_node.settings import FolderDestinationSettings
from cad_node.store.on_disk import sync
from cad_node.variants import Variant

# What is a result beside the objects, page and summary; whatever else a folder holds is its
# owner's own bookkeeping.
_PICTURES = "*.png"


class FolderDestination:
    """Copies results to `path/STUDY UID/`, whole or not at all.

    A folder refuses nothing for ever: a disk that is full or not mounted, or
    lacking rights, is mended by somebody else, and then the next attempt works.
    """

    def __init__(
        self, settings: FolderDestinationSettings, wanted: Collection[Variant] | None = None
    ) -> None:
        self._settings = settings
        self._wanted = wanted

    def send(self, results: Path, already_sent: Collection[str], on_sent: Callable[[str], None]) -> None:
        """Put a copy of the results in place of the study's earlier ones."""
        uid = _study_of(results)
        objects = result_objects(results, self._wanted)
        root = self._settings.path
        target = root / uid
        # Known names, so that what a crash left is found and removed by the next attempt.
        new, old = root / f".{uid}.new", root / f".{uid}.old"
        try:
            root.mkdir(parents=True, exist_ok=True)
            if old.exists() and not target.exists():
                old.rename(target)  # a swap that was cut short
            for left in (new, old):
                if left.exists():
                    shutil.rmtree(left)
            new.mkdir()
            for path in (*(item.path for item in objects), *results.glob(_PICTURES)):
                shutil.copyfile(path, new / path.name)
                sync(new / path.name)
            page = page_of(results, self._wanted)
            if page is not None:
                shutil.copyfile(page, new / PAGE_FILE)
                sync(new / PAGE_FILE)
            summary = summary_of(results, {item.path.name for item in objects})
            (new / RESULT_FILE).write_text(summary, encoding="utf-8")
            sync(new / RESULT_FILE)
            sync(new)
            if target.exists():
                target.rename(old)
            new.rename(target)
            sync(root)
            shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            raise self._unusable(error, uid) from error
        for item in objects:
            on_sent(item.sop_instance_uid)

    def verify(self) -> None:
        """Write a file and remove it again; a folder that is not there yet is tried by the nearest around it.

        It is not made: whoever looks may be another user than the node, which then could not write to it.
        """
        try:
            folder = self._settings.path
            while not folder.exists() and folder != folder.parent:
                folder = folder.parent
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".check-") as probe:
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
