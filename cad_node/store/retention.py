"""What may be removed of studies that are finished, and its removal.

A study is finished once it is closed, analysed, and taken by every destination, with its
commitment where that is asked for; anything short of that keeps it, unless an operator has
dismissed it (`dismissals.py`). The journal is made shorter and keeps what it must know for
ever, the digest of every instance and the UID of every object that was sent: a removed study
that is sent again is known, and is neither analysed nor sent a second time.

Nothing received is lost on the way. A study's folder is taken out of the spool in one
rename, while its row is locked; a file in it that the journal does not know yet has come
in that very moment, and is put back.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from cad_node.domain import is_valid_uid
from cad_node.store.contents import Digests, conflict_path, digests_of, same_dataset
from cad_node.store.database import reading
from cad_node.store.schema import UNDER_WAY, UNFINISHED, CommitmentState, DeliveryState, RevisionState
from cad_node.store.tables import (
    commitment_objects,
    commitment_requests,
    commitments,
    deliveries,
    dismissals,
    instances,
    locked_study,
    revision_files,
    revisions,
    studies,
)

logger = logging.getLogger(__name__)

# Below the inbox: what is being removed. A removal that was cut short goes on from here.
REMOVING_FOLDER = "removing"

_NOT_TAKEN = (DeliveryState.REFUSED, DeliveryState.GIVEN_UP)


class Standing(StrEnum):
    """Whether a study may go, and otherwise what it is kept for."""

    FINISHED = "finished"
    RECENT = "kept: recent"
    UNDER_WAY = "kept: received, analysed or sent at the moment"
    FAILED = "kept: failed"
    HELD = "kept: held for the radiologist's answer"
    NOT_TAKEN = "kept: a destination has not taken it"
    NOT_COMMITTED = "kept: a destination has not committed itself to it"


class Retention:
    """What is finished; reached as `journal.retention`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading = reading(engine)

    def standing(self, study_instance_uid: str, before: float) -> Standing:
        """How a study stands; recent: something came or changed since `before`, seconds since 1970."""
        with self._reading.begin() as connection:
            return self._standing(connection, study_instance_uid, before)

    @contextlib.contextmanager
    def finished(self, study_instance_uid: str, before: float) -> Iterator[frozenset[str] | None]:
        """Hold a finished study as it is while its files are taken away.

        Yields
        ------
        frozenset[str] | None
            Paths of its instances below the inbox; None where the study went on meanwhile.
        """
        with self._engine.begin() as connection:
            connection.execute(locked_study(study_instance_uid))
            if self._standing(connection, study_instance_uid, before) is Standing.FINISHED:
                yield self._paths(connection, study_instance_uid)
            else:
                yield None

    def is_known(self, study_instance_uid: str) -> bool:
        """Whether the journal has the study."""
        query = sa.select(studies.c.is_open).where(studies.c.study_instance_uid == study_instance_uid)
        with self._reading.begin() as connection:
            return connection.execute(query).first() is not None

    def undigested(self, study_instance_uid: str) -> list[str]:
        """Paths of instances of which an older node did not note the digest of the data set."""
        query = sa.select(instances.c.path).where(
            instances.c.study_instance_uid == study_instance_uid,
            instances.c.dataset_sha256 == "",
            instances.c.path != "",
        )
        with self._reading.begin() as connection:
            return list(connection.scalars(query))

    def note_digest(self, study_instance_uid: str, path: str, digests: Digests) -> None:
        """Note by what an instance is known again once its file is gone."""
        with self._engine.begin() as connection:
            connection.execute(
                instances.update()
                .where(
                    instances.c.study_instance_uid == study_instance_uid,
                    instances.c.path == path,
                    instances.c.sha256 == digests.file,
                )
                .values(dataset_sha256=digests.dataset)
            )

    def with_files(self) -> list[str]:
        """Studies of which the journal names files in the inbox."""
        query = sa.select(instances.c.study_instance_uid).where(instances.c.path != "").distinct()
        with self._reading.begin() as connection:
            return sorted(connection.scalars(query))

    def forget_files(self, study_instance_uid: str, before: float, inbox: Path) -> None:
        """Make the journal shorter by what it says of files that were removed of a finished study.

        Which instances a revision was over goes whole: `instance_sets.py` finds it again
        where it is needed. So does what commitments that were given were asked about.
        """
        uid = study_instance_uid
        with self._engine.begin() as connection:
            connection.execute(locked_study(uid))
            if self._standing(connection, uid, before) is not Standing.FINISHED:
                return
            # Sent again meanwhile, it lies there again: whoever records it waits for this transaction.
            gone = [path for path in self._paths(connection, uid) if not (inbox / path).exists()]
            for path in gone:
                connection.execute(
                    instances.update()
                    .where(instances.c.study_instance_uid == uid, instances.c.path == path)
                    .values(path="")
                )
            if not gone or self._paths(connection, uid):
                return
            connection.execute(revision_files.delete().where(revision_files.c.study_instance_uid == uid))
            given = (
                sa.select(commitment_requests.c.transaction_uid)
                .join(
                    commitments,
                    sa.and_(
                        commitments.c.study_instance_uid == commitment_requests.c.study_instance_uid,
                        commitments.c.revision == commitment_requests.c.revision,
                        commitments.c.destination == commitment_requests.c.destination,
                    ),
                )
                .where(
                    commitments.c.study_instance_uid == uid, commitments.c.state == CommitmentState.COMMITTED
                )
            )
            connection.execute(
                commitment_objects.delete().where(commitment_objects.c.transaction_uid.in_(given))
            )

    def _paths(self, connection: Connection, uid: str) -> frozenset[str]:
        query = sa.select(instances.c.path).where(
            instances.c.study_instance_uid == uid, instances.c.path != ""
        )
        return frozenset(connection.scalars(query))

    def _standing(self, connection: Connection, uid: str, before: float) -> Standing:
        study = connection.execute(sa.select(studies).where(studies.c.study_instance_uid == uid)).first()
        made = connection.execute(
            sa.select(revisions).where(revisions.c.study_instance_uid == uid).order_by(revisions.c.number)
        ).all()
        sent = connection.execute(sa.select(deliveries).where(deliveries.c.study_instance_uid == uid)).all()
        states = {RevisionState(row.state) for row in made}
        if study is None or study.is_open or not made or states & set(UNFINISHED):
            return Standing.UNDER_WAY
        if made[-1].state == RevisionState.FAILED:
            return Standing.FAILED
        ways = {DeliveryState(row.state) for row in sent}
        if ways & set(UNDER_WAY):
            return Standing.UNDER_WAY
        if DeliveryState.HELD in ways:
            return Standing.HELD
        if not_taken := self._not_taken(connection, uid, made[-1].revision, sent):
            return not_taken
        times = [study.last_instance_at, *(row.finished_at or row.created_at for row in made)]
        times += [row.finished_at or row.since for row in sent]
        kept = sa.select(commitments).where(commitments.c.study_instance_uid == uid)
        times += [row.finished_at or row.since for row in connection.execute(kept)]
        seen_to = sa.select(dismissals.c.dismissed_at).where(dismissals.c.study_instance_uid == uid)
        times += connection.scalars(seen_to)
        return Standing.RECENT if max(times) > before else Standing.FINISHED

    @staticmethod
    def _not_taken(
        connection: Connection, uid: str, revision: str, sent: Sequence[sa.Row[Any]]
    ) -> Standing | None:
        """What the newest revision lacks at a destination; what it replaced need not have been taken."""
        newest = {row.destination: row.state for row in sent if row.revision == revision}
        if any(state in _NOT_TAKEN for state in newest.values()):
            return Standing.NOT_TAKEN
        query = sa.select(commitments.c.destination).where(
            commitments.c.study_instance_uid == uid,
            commitments.c.revision == revision,
            commitments.c.state.not_in((CommitmentState.COMMITTED, CommitmentState.DISMISSED)),
        )
        if any(newest.get(name) == DeliveryState.SENT for name in connection.scalars(query)):
            return Standing.NOT_COMMITTED
        return None


def take_away(inbox: Path, study_instance_uid: str) -> None:
    """Take a study's folder out of the spool, whole; to be followed by `remove_taken`.

    Raises
    ------
    OSError
        It cannot be moved; it is where it was.
    """
    if not is_valid_uid(study_instance_uid):
        raise ValueError("not a valid UID")
    source = inbox / "studies" / study_instance_uid
    if source.is_dir():
        removing = inbox / REMOVING_FOLDER
        removing.mkdir(mode=0o700, exist_ok=True)
        source.rename(removing / study_instance_uid)


def remove_taken(inbox: Path, study_instance_uid: str, known: frozenset[str]) -> int:
    """Remove what was taken away, and put back what the journal does not know.

    Returns
    -------
    int
        Bytes that were freed.

    Raises
    ------
    OSError
        Something cannot be removed; what is left goes the next time.
    """
    taken = inbox / REMOVING_FOLDER / study_instance_uid
    freed = 0
    for path in sorted(taken.rglob("*.dcm")):
        if _place(inbox, path).relative_to(inbox).as_posix() in known:
            size = path.stat().st_size
            path.unlink()
            freed += size
        else:
            logger.info("an instance came while its study was removed; it is kept")
            _put_back(inbox, path)
    _remove_empty(taken)
    return freed


def put_back_left_over(inbox: Path) -> None:
    """Undo removals that were cut short; the next one begins anew.

    The journal may know by now of an instance that came in the last moment: only the
    transaction that took a study away could tell it from the others.

    Raises
    ------
    OSError
        Something cannot be moved.
    """
    for taken in sorted((inbox / REMOVING_FOLDER).glob("*")):
        for path in sorted(taken.rglob("*.dcm")):
            _put_back(inbox, path)
        _remove_empty(taken)


def _place(inbox: Path, taken: Path) -> Path:
    """Where a file that was taken away came from."""
    return inbox / "studies" / taken.relative_to(inbox / REMOVING_FOLDER)


def _put_back(inbox: Path, path: Path) -> None:
    place = _place(inbox, path)
    if not place.exists():
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.rename(place)
    elif same_dataset(path, place):
        path.unlink()
    else:
        with path.open("rb") as content:
            aside = conflict_path(inbox, PurePosixPath(place.relative_to(inbox)), digests_of(content).dataset)
        logger.warning("an instance came with another content while its study was removed; kept as %s", aside)
        aside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.rename(aside)


def _remove_empty(folder: Path) -> None:
    for inner in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            inner.rmdir()
    with contextlib.suppress(OSError):
        folder.rmdir()
