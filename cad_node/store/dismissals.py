"""The journal's dismissals: what an operator has seen to, so that nobody waits for it any longer.

What failed, is held, was not taken or not committed is kept and shown until somebody acts.
Dismissed, it is shown as that, and may go with the next `prune` as what is finished does. Who
said so, when and why stays in the journal. A dismissal is withdrawn by a retry, by an answer to
what was held, and by the study when it is sent again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from cad_node.store.database import reading
from cad_node.store.schema import (
    UNFINISHED,
    CommitmentState,
    DeliveryState,
    DismissalRecord,
    Matter,
    RevisionState,
)
from cad_node.store.tables import commitments, deliveries, dismissals, locked_study, revisions, studies

DISMISSABLE = (
    RevisionState.FAILED.value,
    DeliveryState.HELD.value,
    DeliveryState.REFUSED.value,
    DeliveryState.GIVEN_UP.value,
    DeliveryState.WAITING.value,
    CommitmentState.NOT_COMMITTED.value,
)
_DISMISSED = "dismissed"
_TABLES = {Matter.REVISION: revisions, Matter.DELIVERY: deliveries, Matter.COMMITMENT: commitments}


@dataclass(frozen=True)
class Open:
    """What stands open of a study and may be dismissed; `since` when, `destination` empty for a revision."""

    study_instance_uid: str
    revision: str
    matter: Matter
    destination: str
    state: str
    since: float


class Dismissals:
    """What was dismissed, and what may be; reached as `journal.dismissals`."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._reading = reading(engine)
        self._clock = clock

    def standing_open(
        self,
        destinations: Collection[str],
        *,
        study_instance_uid: str | None = None,
        states: Collection[str] = DISMISSABLE,
    ) -> list[Open]:
        """What may be dismissed: of studies that are closed and of which nothing is being analysed.

        Parameters
        ----------
        destinations
            Those that the settings name. What waits for one of them will be sent; what
            waits for another waits for ever.
        study_instance_uid
            Of this study alone.
        states
            In one of these (`DISMISSABLE`) alone.
        """
        delivery_time = sa.func.coalesce(deliveries.c.finished_at, deliveries.c.since)
        queries = [
            _open(revisions, Matter.REVISION, revisions.c.finished_at, [RevisionState.FAILED]),
            _open(
                deliveries,
                Matter.DELIVERY,
                delivery_time,
                [DeliveryState.HELD, DeliveryState.REFUSED, DeliveryState.GIVEN_UP],
            ),
            _open(deliveries, Matter.DELIVERY, delivery_time, [DeliveryState.WAITING]).where(
                deliveries.c.destination.not_in(tuple(destinations))
            ),
            _open(commitments, Matter.COMMITMENT, commitments.c.finished_at, [CommitmentState.NOT_COMMITTED]),
        ]
        found = sa.union_all(*queries).subquery()
        query = (
            sa.select(found)
            .where(found.c.state.in_(tuple(states)))
            .order_by(found.c.since, found.c.study_instance_uid, found.c.matter.desc(), found.c.destination)
        )
        if study_instance_uid is not None:
            query = query.where(found.c.study_instance_uid == study_instance_uid)
        with self._reading.begin() as connection:
            return [
                Open(**{**row._mapping, "matter": Matter(row.matter)}) for row in connection.execute(query)
            ]

    def dismiss(self, what: Iterable[Open], by: str, reason: str) -> list[Open]:
        """Note that these were seen to, and why.

        Parameters
        ----------
        by
            Whoever says so.
        reason
            Kept and shown, never logged.

        Returns
        -------
        list[Open]
            Those dismissed: none that went on since they were looked at.
        """
        by_study: dict[str, list[Open]] = {}
        for one in what:
            by_study.setdefault(one.study_instance_uid, []).append(one)
        return [
            one
            for uid, found in by_study.items()
            for one in self._dismiss(uid, found, by, " ".join(reason.split()))
        ]

    def _dismiss(self, uid: str, what: list[Open], by: str, reason: str) -> list[Open]:
        done = []
        with self._engine.begin() as connection:
            connection.execute(locked_study(uid))
            if connection.scalar(sa.select(_under_way(uid))):
                return []
            now = self._clock()
            for one in what:
                table = _TABLES[one.matter]
                changed = connection.execute(
                    table.update()
                    .where(*_row(table, uid, one.revision, one.destination), table.c.state == one.state)
                    .values(state=_DISMISSED)
                )
                if not changed.rowcount:
                    continue
                connection.execute(
                    dismissals.insert().values(
                        study_instance_uid=uid,
                        revision=one.revision,
                        matter=one.matter,
                        destination=one.destination,
                        was=one.state,
                        dismissed_at=now,
                        dismissed_by=by[:128],
                        reason=reason,
                    )
                )
                done.append(one)
        return done

    def withdraw(self, study_instance_uid: str, by: str) -> int:
        """Have what was dismissed of a study's newest revision stand open again; how much it was."""
        with self._engine.begin() as connection:
            connection.execute(locked_study(study_instance_uid))
            return withdraw_newest(connection, study_instance_uid, by, self._clock())

    # Looking

    def of_study(self, study_instance_uid: str) -> list[DismissalRecord]:
        """All that was ever dismissed of a study, the first first."""
        return self._select(dismissals.c.study_instance_uid == study_instance_uid)

    def standing(self) -> list[DismissalRecord]:
        """All that is dismissed and was not withdrawn, oldest first."""
        return self._select(dismissals.c.withdrawn_at.is_(None))

    def _select(self, condition: sa.ColumnElement[bool]) -> list[DismissalRecord]:
        query = sa.select(dismissals).where(condition).order_by(dismissals.c.id)
        with self._reading.begin() as connection:
            return [_record(row) for row in connection.execute(query)]


def _record(row: sa.Row[tuple[object, ...]]) -> DismissalRecord:
    values = {**row._mapping}
    del values["id"]
    return DismissalRecord(**{**values, "matter": Matter(str(values["matter"]))})


def is_dismissed(connection: Connection, study_instance_uid: str) -> bool:
    """Whether anything of a study's newest revision is dismissed."""
    query = sa.select(sa.exists().where(*_of_newest(study_instance_uid)))
    return bool(connection.scalar(query))


def withdraw_newest(connection: Connection, study_instance_uid: str, by: str, now: float) -> int:
    """Withdraw what was dismissed of a study's newest revision, within a transaction that holds the study."""
    return _withdraw(connection, _of_newest(study_instance_uid), by, now)


def withdraw_held(connection: Connection, study_instance_uid: str, revision: str, by: str, now: float) -> int:
    """Withdraw the dismissal of what was held of a revision, as somebody answers to it after all."""
    mine = (
        dismissals.c.study_instance_uid == study_instance_uid,
        dismissals.c.revision == revision,
        dismissals.c.was == DeliveryState.HELD,
        dismissals.c.withdrawn_at.is_(None),
    )
    return _withdraw(connection, mine, by, now)


def _withdraw(connection: Connection, which: tuple[sa.ColumnElement[bool], ...], by: str, now: float) -> int:
    rows = connection.execute(sa.select(dismissals).where(*which)).all()
    # In the order in which everything else locks them.
    for row in sorted(rows, key=lambda row: list(Matter).index(Matter(row.matter))):
        table = _TABLES[Matter(row.matter)]
        connection.execute(
            table.update()
            .where(
                *_row(table, row.study_instance_uid, row.revision, row.destination),
                table.c.state == _DISMISSED,
            )
            .values(state=row.was)
        )
    if rows:
        connection.execute(dismissals.update().where(*which).values(withdrawn_at=now, withdrawn_by=by[:128]))
    return len(rows)


def _of_newest(uid: str) -> tuple[sa.ColumnElement[bool], ...]:
    newest = (
        sa.select(revisions.c.revision)
        .where(revisions.c.study_instance_uid == uid)
        .order_by(revisions.c.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    return (
        dismissals.c.study_instance_uid == uid,
        dismissals.c.revision == newest,
        dismissals.c.withdrawn_at.is_(None),
    )


def _open(
    table: sa.Table, matter: Matter, since: sa.ColumnElement[float], states: list[str]
) -> sa.Select[tuple[str, str, str, str, str, float]]:
    destination = table.c.destination if "destination" in table.c else sa.literal("")
    return sa.select(
        table.c.study_instance_uid,
        table.c.revision,
        sa.literal(matter.value).label("matter"),
        destination.label("destination"),
        table.c.state,
        since.label("since"),
    ).where(table.c.state.in_(states), ~_under_way(table.c.study_instance_uid))


def _under_way(uid: sa.ColumnElement[str] | str) -> sa.ColumnElement[bool]:
    """Whether instances of a study are waited for, or it is being analysed."""
    unfinished = revisions.alias("unfinished")
    return sa.exists().where(studies.c.study_instance_uid == uid, studies.c.is_open) | sa.exists().where(
        unfinished.c.study_instance_uid == uid, unfinished.c.state.in_(UNFINISHED)
    )


def _row(table: sa.Table, uid: str, revision: str, destination: str) -> tuple[sa.ColumnElement[bool], ...]:
    mine = (table.c.study_instance_uid == uid, table.c.revision == revision)
    return (*mine, table.c.destination == destination) if "destination" in table.c else mine
