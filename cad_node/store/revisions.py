"""The journal's revisions: sets of instances that are to be processed, and how far they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from cad_node.domain import MadeBy
from cad_node.errors import SeveralPatientsError
from cad_node.store.database import reading
from cad_node.store.outgoing import Outgoing
from cad_node.store.schema import UNFINISHED, RevisionRecord, RevisionState
from cad_node.store.tables import commitments, deliveries, revisions

# What makes a revision that is finished one to be processed, as a new run.
AFRESH: dict[str, Any] = {
    "state": RevisionState.WAITING,
    "run": revisions.c.run + 1,
    "starts": 0,
    "finished_at": None,
    "error": "",
    "problem": "",
}

_AS_COMPLETE = (revisions.c.created_at, revisions.c.study_instance_uid, revisions.c.number)


class Revisions:
    """What is to be processed and what was; reached as `journal.revisions`."""

    def __init__(self, engine: Engine, outgoing: Outgoing, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._reading = reading(engine)
        self._outgoing = outgoing
        self._clock = clock

    def startable(self) -> list[RevisionRecord]:
        """Revisions to be queued, oldest first: none while an earlier one of the study is unfinished.

        Orders to analyse again are not among them: see `reanalysis.py`.
        """
        earlier = revisions.alias("earlier")
        blocked = sa.exists().where(
            earlier.c.study_instance_uid == revisions.c.study_instance_uid,
            earlier.c.number < revisions.c.number,
            earlier.c.state.in_(UNFINISHED),
        )
        return self._select(revisions.c.state == RevisionState.WAITING, revisions.c.made_for == "", ~blocked)

    def started(self) -> list[RevisionRecord]:
        """Revisions that the job engine was given and has not finished."""
        return self._select(revisions.c.state.in_((RevisionState.QUEUED, RevisionState.PROCESSING)))

    def mark_queued(self, record: RevisionRecord) -> None:
        """Note that the job engine has it; harmless when it went on already."""
        self._update(record, (RevisionState.WAITING,), state=RevisionState.QUEUED)

    def begin(self, record: RevisionRecord, executor: str) -> int:
        """Note that processing begins on `executor`.

        Returns
        -------
        int
            How often it was begun since it was ordered, this time included; 0 where the
            revision is finished or another run took over, and nothing is to be done.
        """
        with self._engine.begin() as connection:
            changed = connection.execute(
                revisions.update()
                .where(*same_run(record), revisions.c.state.in_(UNFINISHED))
                .values(state=RevisionState.PROCESSING, starts=revisions.c.starts + 1, executor=executor)
            )
            if not changed.rowcount:
                return 0
            return connection.scalar(sa.select(revisions.c.starts).where(*same_run(record))) or 0

    def finish(
        self,
        record: RevisionRecord,
        destinations: Iterable[str],
        held: Collection[str] = (),
        made: MadeBy | None = None,
    ) -> None:
        """Note that the results are stored and by what they were made, and order their delivery, in one.

        Destinations that are in `held`, too, get them only once they are accepted.
        """
        made = made or MadeBy()
        with self._engine.begin() as connection:
            changed = connection.execute(
                revisions.update()
                .where(*same_run(record), revisions.c.state.in_(UNFINISHED))
                .values(
                    state=RevisionState.DONE,
                    finished_at=self._clock(),
                    error="",
                    problem="",
                    **made_columns(made),
                )
            )
            if not changed.rowcount:
                return
            # Of a failure before it nobody has to take care any more.
            connection.execute(
                revisions.update()
                .where(
                    revisions.c.study_instance_uid == record.study_instance_uid,
                    revisions.c.number < record.number,
                    revisions.c.state == RevisionState.FAILED,
                )
                .values(state=RevisionState.SUPERSEDED)
            )
            self._outgoing.order(connection, record, destinations, held)

    def fail(self, record: RevisionRecord, error: str, problem: str) -> None:
        """Note that processing failed for good, with the class of the error and its message."""
        self._update(
            record,
            UNFINISHED,
            state=RevisionState.FAILED,
            finished_at=self._clock(),
            error=error,
            problem=problem,
        )

    def restart(self, record: RevisionRecord) -> bool:
        """Have processing that ended without a result begun anew, as a new run.

        Returns
        -------
        bool
            False where it is finished, or another run has begun meanwhile.
        """
        return self._update(
            record,
            (RevisionState.QUEUED, RevisionState.PROCESSING),
            state=RevisionState.WAITING,
            run=revisions.c.run + 1,
        )

    def retry(self, record: RevisionRecord) -> bool:
        """Have a revision that failed, or whose results are lost, processed anew.

        Returns
        -------
        bool
            False where it is being processed.
        """
        return self._update(
            record,
            (RevisionState.FAILED, RevisionState.SUPERSEDED, RevisionState.DONE),
            **AFRESH,
        )

    # Looking

    def executors(self) -> set[str]:
        """Names of the machines that are processing something, or ended while they were."""
        query = (
            sa.select(revisions.c.executor).where(revisions.c.state == RevisionState.PROCESSING).distinct()
        )
        with self._reading.begin() as connection:
            return set(connection.scalars(query))

    def names_several_patients(self, study_instance_uid: str) -> bool:
        """Whether a study failed as its images name different patients, and was never analysed."""
        mine = revisions.c.study_instance_uid == study_instance_uid
        with self._reading.begin() as connection:
            return bool(
                connection.scalar(
                    sa.select(
                        sa.exists().where(mine, revisions.c.error == SeveralPatientsError.__name__)
                        & ~sa.exists().where(mine, revisions.c.state == RevisionState.DONE)
                    )
                )
            )

    def get(self, study_instance_uid: str, revision: str) -> RevisionRecord | None:
        """One revision of a study."""
        found = self._select(
            revisions.c.study_instance_uid == study_instance_uid, revisions.c.revision == revision
        )
        return found[0] if found else None

    def of_study(self, *study_instance_uids: str) -> list[RevisionRecord]:
        """All revisions of a study, or of several, the first first."""
        return self._select(revisions.c.study_instance_uid.in_(study_instance_uids))

    def latest(self, limit: int, state: str | None = None) -> tuple[list[RevisionRecord], int]:
        """At most so many revisions, those that became complete last, and how many there are in all.

        Parameters
        ----------
        state
            Only those in this state, or with a delivery or a commitment that is.
        """
        condition: sa.ColumnElement[bool] = sa.true()
        if state is not None:
            condition = sa.or_(
                revisions.c.state == state,
                *(
                    sa.exists().where(
                        table.c.study_instance_uid == revisions.c.study_instance_uid,
                        table.c.revision == revisions.c.revision,
                        table.c.state == state,
                    )
                    for table in (deliveries, commitments)
                ),
            )
        query = sa.select(revisions).where(condition)
        query = query.order_by(*(column.desc() for column in _AS_COMPLETE)).limit(limit)
        with self._reading.begin() as connection:
            total = connection.scalar(sa.select(sa.func.count()).select_from(revisions).where(condition))
            found = [revision_record(row) for row in connection.execute(query)]
        return found[::-1], total or 0

    def all(self, state: RevisionState | None = None) -> list[RevisionRecord]:
        """All revisions, in the order in which they became complete."""
        return self._select(*([] if state is None else [revisions.c.state == state]))

    def _select(self, *conditions: sa.ColumnElement[bool]) -> list[RevisionRecord]:
        query = sa.select(revisions).where(*conditions).order_by(*_AS_COMPLETE)
        with self._reading.begin() as connection:
            return [revision_record(row) for row in connection.execute(query)]

    def _update(self, record: RevisionRecord, states: Iterable[RevisionState], **values: object) -> bool:
        with self._engine.begin() as connection:
            changed = connection.execute(
                revisions.update()
                .where(*same_run(record), revisions.c.state.in_(tuple(states)))
                .values(**values)
            )
            return changed.rowcount > 0


def revision_record(row: sa.Row[Any]) -> RevisionRecord:
    """A row of the table as the other rooms see it."""
    return RevisionRecord(**{**row._mapping, "state": RevisionState(row.state)})


def made_columns(made: MadeBy) -> dict[str, str]:
    """What the journal's columns say of it."""
    return {"made_by": made.digest, "model": made.model, "model_sha256": made.model_sha256}


def same_run(record: RevisionRecord) -> tuple[sa.ColumnElement[bool], ...]:
    """Picks the row of a revision while its run is the one of `record`."""
    return (
        revisions.c.study_instance_uid == record.study_instance_uid,
        revisions.c.revision == record.revision,
        revisions.c.run == record.run,
    )
