"""Result objects, stored before they are sent.

`ROOT/STUDY UID/NUMBER-REVISION/` holds everything made of one revision of a study:
`seg-001.dcm` …, `sr.dcm`, `preview-001.png` …, `index.html` (`index-2.html` … for
folders that get other objects than all) and `result.json`.
A folder is there wholly or not at all; it is never changed again.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cad_node.domain import MadeBy, is_valid_uid
from cad_node.errors import JobError
from cad_node.store.on_disk import sync, sync_tree

logger = logging.getLogger(__name__)

# Below `data_dir`.
RESULTS_FOLDER = "results"
# Objects of ours that our own check refused.
INVALID_FOLDER = "invalid"

_REVISION = re.compile(r"[0-9a-f]{1,64}")
_UNFINISHED = ".unfinished"
_STALE_S = 86400.0


class ResultStore:
    """Folders of results below `root`; safe to use from several threads and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def commit(self, study_instance_uid: str, revision: str, write: Callable[[Path], None]) -> Path:
        """Store what `write` puts into the empty folder that it is given.

        The files are on the disk before the folder gets its name. What is stored
        already is not written again.

        Returns
        -------
        Path
            The folder of the revision.

        Raises
        ------
        OSError
            The disk is full or not writable; nothing is left behind.
        """
        done = self._find(study_instance_uid, revision)
        if done is not None:
            return done
        unfinished = self.root / _UNFINISHED
        unfinished.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f"{study_instance_uid}-", dir=unfinished))
        try:
            write(work)
            sync_tree(work)
            work.chmod(0o755)  # mkdtemp makes it 0700; who may enter is decided by data_dir
            target = self.folder(study_instance_uid, revision)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                work.rename(target)
            except OSError:
                # Somebody else was faster, for example a node thought dead: both are equal.
                done = self._find(study_instance_uid, revision)
                if done is None:
                    raise
                return done
            sync(target.parent)
            sync(self.root)
            return target
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def folder(self, study_instance_uid: str, revision: str) -> Path:
        """Where the results of a revision are, or would be: look whether it is there."""
        done = self._find(study_instance_uid, revision)
        if done is not None:
            return done
        numbers = [_number(path) for path in self._revisions(study_instance_uid)]
        return self._study(study_instance_uid) / f"{max(numbers, default=0) + 1:04d}-{revision}"

    def stored(self, study_instance_uid: str) -> list[tuple[str, Path]]:
        """Revision and folder of everything stored for a study, the newest first."""
        found = self._revisions(study_instance_uid)
        return [(path.name.partition("-")[2], path) for path in reversed(found)]

    def before(self, study_instance_uid: str, revision: str) -> list[Path]:
        """All results stored before those of `revision`, the first first."""
        done = self._find(study_instance_uid, revision)
        return [
            path
            for path in self._revisions(study_instance_uid)
            if done is None or _number(path) < _number(done)
        ]

    def made_by(self, study_instance_uid: str, revision: str) -> MadeBy:
        """By what stored results were made; empty where they are gone or do not say."""
        try:
            path = self.folder(study_instance_uid, revision) / "result.json"
            content = json.loads(path.read_text(encoding="utf-8"))
            made = content["provenance"]
            return MadeBy(
                str(content.get("made_by", "")),
                f"{made['model_name']} {made['model_version']}"[:160],
                str(made["model_sha256"]),
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return MadeBy()

    def clean_up(self) -> None:
        """Remove what interrupted commits left behind more than a day ago."""
        for path in (self.root / _UNFINISHED).glob("*"):
            if time.time() - path.stat().st_mtime > _STALE_S:
                logger.info("removing an unfinished result folder")
                shutil.rmtree(path, ignore_errors=True)

    def _study(self, study_instance_uid: str) -> Path:
        if not is_valid_uid(study_instance_uid):
            raise JobError("A Study Instance UID is not a valid UID.", "See PS3.5 section 9.1.")
        return self.root / study_instance_uid

    def _revisions(self, study_instance_uid: str) -> list[Path]:
        found = self._study(study_instance_uid).glob("[0-9]*-*")
        return sorted(found, key=_number)

    def _find(self, study_instance_uid: str, revision: str) -> Path | None:
        if not _REVISION.fullmatch(revision):
            raise JobError("A revision is not a hexadecimal digest.", "See cad-node jobs list.")
        found = self._study(study_instance_uid).glob(f"[0-9]*-{revision}")
        return next(iter(sorted(found)), None)


def object_files(folder: Path) -> list[Path]:
    """The DICOM objects of a result folder, SEG before the SR that refers to them."""
    return sorted(folder.glob("*.dcm"), key=lambda path: (path.name.startswith("sr"), path.name))


def _number(folder: Path) -> int:
    return int(folder.name.partition("-")[0])
