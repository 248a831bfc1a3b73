"""What lies beside the studies in a data folder, holds patient data, and goes with time.

    inbox/conflicts   other contents under UIDs that were taken, never analysed
    answers           what radiologists said, and what else came that way
    returned          objects of the node's own that a PACS sent back
    invalid           objects of the node's own that failed its check

A file stays for as many days as a study does, and longer while its study is not finished
or an answer is not in the journal.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from cad_node.answers import ANSWERS_FOLDER
from cad_node.domain import is_valid_uid
from cad_node.retention import alone
from cad_node.store.contents import CONFLICTS_FOLDER
from cad_node.store.inbox import INBOX_FOLDER, RETURNED_FOLDER
from cad_node.store.journal import Journal
from cad_node.store.results import INVALID_FOLDER
from cad_node.store.retention import Standing


class Leftover(StrEnum):
    """A kind of such files, in words."""

    CONFLICTS = "another content under UIDs that were taken, never analysed (inbox/conflicts)"
    ANSWERS = "answers that the journal has (answers)"
    RETURNED = "results that a PACS sent back (returned)"
    INVALID = "objects that failed the node's own check (invalid)"


@dataclass(frozen=True)
class Swept:
    """Files of a kind that were, or would be, removed, and how many stay; the problems of those that could not go."""

    what: Leftover
    removed: int
    freed_bytes: int
    kept: int
    problems: tuple[str, ...] = ()


def sweep(
    journal: Journal, data_dir: Path, days: float, *, dry_run: bool = False, before: float | None = None
) -> list[Swept]:
    """Remove what is older than so many days, of studies that are finished or were never the node's.

    Parameters
    ----------
    data_dir
        The node's; it may be running.
    dry_run
        Only say what would be removed.
    before
        When it was so many days ago, seconds since 1970; None: by the days on which a node ran
        (`store/lifetime.py`).

    Raises
    ------
    JobError
        Another such command is at work in the same folder.
    """
    # Files have their times by this machine's clock, whatever the journal's says.
    files_before = journal.lifetime.days_ago(days, time.time()) if before is None else before
    studies_before = journal.lifetime.days_ago(days) if before is None else before
    with alone(data_dir):
        return list(_Sweep(journal, data_dir, studies_before, files_before).all(dry_run))


class _Sweep:
    def __init__(self, journal: Journal, data_dir: Path, studies_before: float, files_before: float) -> None:
        self._journal = journal
        self._data_dir = data_dir
        self._studies_before = studies_before
        self._before = files_before
        self._finished: dict[str, bool] = {}

    def all(self, dry_run: bool) -> Iterator[Swept]:
        conflicts = self._data_dir / INBOX_FOLDER / CONFLICTS_FOLDER
        answers = self._data_dir / ANSWERS_FOLDER
        noted = self._journal.answers.noted(self._before)
        found = {
            Leftover.CONFLICTS: [
                (path, self._old(path) and self._of_its_study(path)) for path in _files(conflicts)
            ],
            Leftover.ANSWERS: [
                (path, self._is_noted(PurePosixPath(path.relative_to(answers)), noted))
                for path in _files(answers / "studies")
            ]
            + [
                (path, self._old(path) and self._of_its_study(path))
                for path in _files(answers / CONFLICTS_FOLDER)
            ],
            Leftover.RETURNED: [(path, self._old(path)) for path in _files(self._data_dir / RETURNED_FOLDER)],
            Leftover.INVALID: [(path, self._old(path)) for path in _files(self._data_dir / INVALID_FOLDER)],
        }
        for what, files in found.items():
            yield _remove(what, files, dry_run)

    def _old(self, path: Path) -> bool:
        try:
            return path.stat().st_mtime < self._before
        except OSError:  # gone meanwhile, or out of reach: it stays, and the others are looked at
            return False

    def _of_its_study(self, path: Path) -> bool:
        """Whether the study of `…/STUDY/SERIES/SOP…` may go."""
        return self._may_go(path.parent.parent.name)

    def _is_noted(self, path: PurePosixPath, noted: dict[PurePosixPath, frozenset[str]]) -> bool:
        return path in noted and all(map(self._may_go, noted[path]))

    def _may_go(self, study_instance_uid: str) -> bool:
        """Whether a study is finished, or nothing of it is here."""
        if study_instance_uid not in self._finished:
            retention = self._journal.retention
            standing = retention.standing(study_instance_uid, self._studies_before)
            self._finished[study_instance_uid] = standing is Standing.FINISHED or not (
                retention.is_known(study_instance_uid)
                or (self._data_dir / INBOX_FOLDER / "studies" / study_instance_uid).exists()
            )
        return self._finished[study_instance_uid]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.dcm"))


def _remove(what: Leftover, files: list[tuple[Path, bool]], dry_run: bool) -> Swept:
    removed = freed = 0
    problems = []
    for path, goes in files:
        if not goes:
            continue
        try:
            size = path.stat().st_size
            if not dry_run:
                path.unlink()
                for folder in (one for one in path.parents[:2] if is_valid_uid(one.name)):
                    with suppress(OSError):  # others are in it
                        folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(f"{path.name}: {error.strerror}")
            continue
        removed += 1
        freed += size
    kept = sum(not goes for _, goes in files) + len(problems)
    return Swept(what, removed, freed, kept, tuple(problems))
