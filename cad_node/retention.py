"""Which studies a node need not keep any longer, and their removal.

Received files, and results if that is wanted, of studies that are finished; the journal
keeps what became of them. `store/retention.py` says what finished means, `leftovers.py`
sees to what lies beside the studies.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cad_node.domain import is_valid_uid
from cad_node.errors import JobError
from cad_node.store.contents import digests_of
from cad_node.store.inbox import INBOX_FOLDER
from cad_node.store.journal import Journal
from cad_node.store.results import RESULTS_FOLDER
from cad_node.store.retention import Standing, put_back_left_over, remove_taken, take_away


@dataclass(frozen=True)
class Pruned:
    """One study that lies in the data folder, how it stands, and what was, or would be, freed.

    `problem` says what could not be removed; it is tried again the next time.
    """

    study_instance_uid: str
    standing: Standing
    freed_bytes: int = 0
    problem: str = ""


def prune(
    journal: Journal,
    data_dir: Path,
    days: float,
    *,
    results: bool = False,
    dry_run: bool = False,
    before: float | None = None,
) -> Iterator[Pruned]:
    """Remove finished studies to which nothing has happened for so many days.

    Parameters
    ----------
    data_dir
        The node's; it may be running.
    results
        Whether stored results go, too. A later report of such a study then names no
        predecessor, and answers to what was removed are kept without effect.
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
    before = journal.lifetime.days_ago(days) if before is None else before
    with alone(data_dir):
        yield from _prune(journal, data_dir, before, results=results, dry_run=dry_run)


def _prune(
    journal: Journal, data_dir: Path, before: float, *, results: bool, dry_run: bool
) -> Iterator[Pruned]:
    inbox = data_dir / INBOX_FOLDER
    if not dry_run:
        put_back_left_over(inbox)
        _shorten(journal, inbox, before)
    for uid in _present(data_dir, results=results):
        standing = journal.retention.standing(uid, before)
        if standing is not Standing.FINISHED:
            yield Pruned(uid, standing)
            continue
        if dry_run:
            yield Pruned(
                uid, standing, _size(inbox / "studies" / uid) + _results_size(data_dir, uid, results)
            )
            continue
        try:
            yield _removed(journal, data_dir, uid, before, results)
        except OSError as error:
            yield Pruned(uid, standing, problem=error.strerror or type(error).__name__)


def _removed(journal: Journal, data_dir: Path, uid: str, before: float, results: bool) -> Pruned:
    inbox = data_dir / INBOX_FOLDER
    for path in journal.retention.undigested(uid):
        if (inbox / path).is_file():
            with (inbox / path).open("rb") as content:
                journal.retention.note_digest(uid, path, digests_of(content))
    with journal.retention.finished(uid, before) as known:
        if known is None:
            return Pruned(uid, Standing.UNDER_WAY)
        take_away(inbox, uid)
    freed = remove_taken(inbox, uid, known)
    journal.retention.forget_files(uid, before, inbox)
    if results:
        freed += _results_size(data_dir, uid, results)
        target = data_dir / RESULTS_FOLDER / uid
        if target.is_dir():
            shutil.rmtree(target)
    return Pruned(uid, Standing.FINISHED, freed)


def _shorten(journal: Journal, inbox: Path, before: float) -> None:
    """Make the journal shorter where a removal was cut short before, or an older node removed the files."""
    if not (inbox / "studies").is_dir():
        return  # not mounted: the files are not gone
    for uid in journal.retention.with_files():
        if not (inbox / "studies" / uid).exists():
            journal.retention.forget_files(uid, before, inbox)


@contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """Keep a second removal out: it would put back what the first is removing."""
    with (data_dir / "prune.lock").open("w", encoding="ascii") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JobError(
                f"Another cad-node prune is at work in {data_dir}.", "Wait for it to end."
            ) from error
        yield


def _present(data_dir: Path, *, results: bool) -> list[str]:
    folders = [data_dir / INBOX_FOLDER / "studies", *([data_dir / RESULTS_FOLDER] if results else [])]
    return sorted({path.name for folder in folders for path in folder.glob("*") if is_valid_uid(path.name)})


def _results_size(data_dir: Path, uid: str, results: bool) -> int:
    return _size(data_dir / RESULTS_FOLDER / uid) if results else 0


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
