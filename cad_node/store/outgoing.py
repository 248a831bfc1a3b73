"""The journal's deliveries: one row a revision and destination.

Results of one study reach a destination in the order of its revisions: a later
one waits until the earlier is sent, refused or given up. What was analysed again
goes after the results of studies that came in.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from cad_node.domain import Verdict
from cad_node.errors import JobError
from cad_node.store.commitments import forget_commitment, want_commitment
from cad_node.store.database import insert_if_absent, reading
from cad_node.store.decision import decision
from cad_node.store.schema import UNDER_WAY, DeliveryRecord, DeliveryState, RevisionRecord
from cad_node.store.tables import deliveries, revisions, sent_objects


class Outgoing:
    """What is to be sent where, and what was; reached as `journal.outgoing`."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._reading = reading(engine)
        self._clock = clock

    def order(
        self,
        connection: Connection,
        record: RevisionRecord,
        destinations: Iterable[str],
        held: Collection[str] = (),
    ) -> None:
        """Order the delivery of a revision, within the transaction that finishes it.

        Where a later revision was ordered already, as after an operator's retry of
        an old one, the older results stay here. Destinations in `held` get it once
        it is accepted, which it may be already.
        """
        later = set(
            connection.scalars(
                sa.select(deliveries.c.destination).where(
                    deliveries.c.study_instance_uid == record.study_instance_uid,
                    deliveries.c.number > record.number,
                )
            )
        )
        now = self._clock()
        for destination in destinations:
            if destination in later:
                continue
            insert_if_absent(
                connection,
                deliveries,
                {
                    "study_instance_uid": record.study_instance_uid,
                    "revision": record.revision,
                    "destination": destination,
                    "number": record.number,
                    "state": DeliveryState.HELD if destination in held else DeliveryState.WAITING,
                    "hold": destination in held,
                    "since": now,
                    "next_attempt_at": now,
                },
            )
        # Results that were made anew may be taken where the former were not.
        connection.execute(
            deliveries.update()
            .where(
                deliveries.c.study_instance_uid == record.study_instance_uid,
                deliveries.c.revision == record.revision,
                deliveries.c.destination.not_in(later),
                deliveries.c.state.in_((DeliveryState.REFUSED, DeliveryState.GIVEN_UP)),
            )
            .values(state=DeliveryState.WAITING, attempts=0, since=now, finished_at=None)
        )
        # It waits for the results before it: they have their chance now, not at the end of a long delay.
        connection.execute(
            deliveries.update()
            .where(
                deliveries.c.study_instance_uid == record.study_instance_uid,
                deliveries.c.state == DeliveryState.WAITING,
            )
            .values(next_attempt_at=now)
        )
        self.settle(connection, record.study_instance_uid, record.revision)

    def settle(self, connection: Connection, study_instance_uid: str, revision: str) -> None:
        """Let go or keep back what is held of a revision, as it is accepted or rejected by now."""
        verdict = decision(connection, study_instance_uid, revision)
        if verdict is None:
            return
        now = self._clock()
        mine = (
            deliveries.c.study_instance_uid == study_instance_uid,
            deliveries.c.revision == revision,
            deliveries.c.hold,
        )
        if verdict is Verdict.REJECT:
            connection.execute(
                deliveries.update()
                .where(*mine, deliveries.c.state.in_((DeliveryState.HELD, DeliveryState.WAITING)))
                .values(state=DeliveryState.REJECTED, finished_at=now)
            )
            return
        kept = (DeliveryState.HELD, DeliveryState.REJECTED)
        later = deliveries.alias("later")
        outrun = sa.exists().where(
            later.c.study_instance_uid == study_instance_uid,
            later.c.destination == deliveries.c.destination,
            later.c.number > deliveries.c.number,
            later.c.state.in_((*UNDER_WAY, DeliveryState.SENT)),
        )
        freed = list(
            connection.scalars(
                deliveries.update()
                .where(*mine, deliveries.c.state.in_(kept), ~outrun)
                .values(state=DeliveryState.WAITING, since=now, next_attempt_at=now, finished_at=None)
                .returning(deliveries.c.destination)
            )
        )
        number = sa.select(sa.func.max(deliveries.c.number)).where(*mine[:2]).scalar_subquery()
        # Older results never go after newer ones, so what was held before has had its time.
        connection.execute(
            deliveries.update()
            .where(
                deliveries.c.study_instance_uid == study_instance_uid,
                deliveries.c.state == DeliveryState.HELD,
                (deliveries.c.destination.in_(freed) & (deliveries.c.number < number))
                | (deliveries.c.revision == revision),
            )
            .values(state=DeliveryState.SUPERSEDED, finished_at=now)
        )

    def claim(self, destination: str, executor: str, longest_s: float = math.inf) -> DeliveryRecord | None:
        """Take the delivery that is due for longest; None where none is due.

        Nothing waits for longer than `longest_s`: what seems to was noted before the clock was set back.
        """
        now = self._clock()
        earlier = deliveries.alias("earlier")
        blocked = sa.exists().where(
            earlier.c.study_instance_uid == deliveries.c.study_instance_uid,
            earlier.c.destination == deliveries.c.destination,
            earlier.c.number < deliveries.c.number,
            earlier.c.state.in_(UNDER_WAY),
        )
        query = (
            sa.select(deliveries)
            .where(
                deliveries.c.destination == destination,
                deliveries.c.state == DeliveryState.WAITING,
                (deliveries.c.next_attempt_at <= now) | (deliveries.c.next_attempt_at > now + longest_s),
                ~blocked,
            )
            .order_by(_can_wait(), deliveries.c.next_attempt_at, deliveries.c.number)
            .limit(1)
        )
        # Looked at without a write lock first: mostly nothing is due, once a second for each courier.
        with self._reading.begin() as connection:
            if connection.execute(query).first() is None:
                return None
        with self._engine.begin() as connection:
            row = connection.execute(query.with_for_update(skip_locked=True)).first()
            if row is None:
                return None
            record = _record(row)
            if record.hold and not self._may_go(connection, record):
                return None
            connection.execute(
                deliveries.update()
                .where(*_same(record))
                .values(state=DeliveryState.SENDING, executor=executor, attempts=deliveries.c.attempts + 1)
            )
        return _record(row, state=DeliveryState.SENDING, attempts=record.attempts + 1)

    def _may_go(self, connection: Connection, record: DeliveryRecord) -> bool:
        """The last look before sending: a rejection may have come while it was being tried."""
        verdict = decision(connection, record.study_instance_uid, record.revision)
        if verdict is Verdict.ACCEPT:
            return True
        state = DeliveryState.HELD if verdict is None else DeliveryState.REJECTED
        connection.execute(deliveries.update().where(*_same(record)).values(state=state))
        return False

    def sent(self, record: DeliveryRecord, *, commitment: bool = False) -> None:
        """Note that the destination took everything; with `commitment` it is to say that it keeps it."""
        now = self._clock()
        with self._engine.begin() as connection:
            changed = connection.execute(
                deliveries.update()
                .where(*_claimed(record))
                .values(state=DeliveryState.SENT, finished_at=now, error="", problem="")
            )
            if not changed.rowcount:
                return
            # What it did not take before has been replaced.
            connection.execute(
                deliveries.update()
                .where(
                    deliveries.c.study_instance_uid == record.study_instance_uid,
                    deliveries.c.destination == record.destination,
                    deliveries.c.number < record.number,
                    deliveries.c.state.in_((DeliveryState.REFUSED, DeliveryState.GIVEN_UP)),
                )
                .values(state=DeliveryState.SUPERSEDED)
            )
            if commitment:
                want_commitment(connection, record, now)

    def refused(self, record: DeliveryRecord, error: str, problem: str) -> None:
        """Note a refusal for ever: not tried again until an operator says so."""
        self._end(record, DeliveryState.REFUSED, error, problem)

    def given_up(self, record: DeliveryRecord, error: str, problem: str) -> None:
        """Note that it was tried for long enough."""
        self._end(record, DeliveryState.GIVEN_UP, error, problem)

    def postpone(self, record: DeliveryRecord, error: str, problem: str, delay_s: float) -> None:
        """Have it tried again after `delay_s`."""
        self._change(
            _claimed(record),
            state=DeliveryState.WAITING,
            next_attempt_at=self._clock() + delay_s,
            error=error,
            problem=problem,
        )

    def hurry(self, destination: str) -> None:
        """Have everything that waits for a destination tried now: it is back."""
        now = self._clock()
        self._change(
            (
                deliveries.c.destination == destination,
                deliveries.c.state == DeliveryState.WAITING,
                deliveries.c.next_attempt_at > now,
            ),
            next_attempt_at=now,
        )

    def release(self, executor: str, destination: str | None = None) -> int:
        """Put back what `executor` was sending, there or anywhere, when it died; how many there were."""
        conditions = [deliveries.c.executor == executor, deliveries.c.state == DeliveryState.SENDING]
        if destination is not None:
            conditions.append(deliveries.c.destination == destination)
        return self._change(
            conditions,
            state=DeliveryState.WAITING,
            next_attempt_at=self._clock(),
        )

    def retry(self, record: DeliveryRecord) -> None:
        """Deliver anew, everything that was taken before included.

        Raises
        ------
        JobError
            A later revision is on its way or has arrived: the older results must
            not come after it.
        """
        with self._engine.begin() as connection:
            later = connection.scalar(
                sa.select(sa.func.max(deliveries.c.number)).where(
                    deliveries.c.study_instance_uid == record.study_instance_uid,
                    deliveries.c.destination == record.destination,
                    deliveries.c.number > record.number,
                    deliveries.c.state.in_((*UNDER_WAY, DeliveryState.SENT)),
                )
            )
            if later is not None:
                raise JobError(
                    f"Revision {record.number} is older than revision {later}, which is "
                    f"on its way to {record.destination} or there already.",
                    "Retry the newest revision.",
                    study_instance_uid=record.study_instance_uid,
                )
            verdict = decision(connection, record.study_instance_uid, record.revision)
            if record.hold and verdict is not Verdict.ACCEPT:
                raise JobError(
                    f"Destination {record.destination} gets results only once they are accepted.",
                    f"cad-node answers record {record.study_instance_uid} --verdict accept.",
                    study_instance_uid=record.study_instance_uid,
                )
            now = self._clock()
            changed = connection.execute(
                deliveries.update()
                .where(*_same(record), deliveries.c.state != DeliveryState.SENDING)
                .values(
                    state=DeliveryState.WAITING,
                    attempts=0,
                    since=now,
                    next_attempt_at=now,
                    finished_at=None,
                    error="",
                    problem="",
                )
            )
            if changed.rowcount and record.state is DeliveryState.SENT:
                forget_commitment(connection, record)
                connection.execute(
                    sent_objects.delete().where(
                        sent_objects.c.study_instance_uid == record.study_instance_uid,
                        sent_objects.c.destination == record.destination,
                    )
                )

    # Looking

    def executors(self) -> set[str]:
        """Names of the machines that are sending something, or ended while they were."""
        query = sa.select(deliveries.c.executor).where(deliveries.c.state == DeliveryState.SENDING).distinct()
        with self._reading.begin() as connection:
            return set(connection.scalars(query))

    def is_busy(self) -> bool:
        """Whether anything is still to be sent."""
        with self._reading.begin() as connection:
            return bool(connection.scalar(sa.select(sa.exists().where(deliveries.c.state.in_(UNDER_WAY)))))

    def destinations_waited_for(self) -> set[str]:
        """Names of the destinations that something is still to be sent to."""
        query = sa.select(deliveries.c.destination).where(deliveries.c.state.in_(UNDER_WAY)).distinct()
        with self._reading.begin() as connection:
            return set(connection.scalars(query))

    def of_study(self, *study_instance_uids: str) -> list[DeliveryRecord]:
        """Every delivery of a study, or of several, the first revision first."""
        return self._select(deliveries.c.study_instance_uid.in_(study_instance_uids))

    def all(self, state: DeliveryState | None = None) -> list[DeliveryRecord]:
        """Every delivery, oldest first."""
        return self._select(*([] if state is None else [deliveries.c.state == state]))

    def _select(self, *conditions: sa.ColumnElement[bool]) -> list[DeliveryRecord]:
        query = (
            sa.select(deliveries)
            .where(*conditions)
            .order_by(deliveries.c.since, deliveries.c.number, deliveries.c.destination)
        )
        with self._reading.begin() as connection:
            return [_record(row) for row in connection.execute(query)]

    def _end(self, record: DeliveryRecord, state: DeliveryState, error: str, problem: str) -> None:
        self._change(_claimed(record), state=state, finished_at=self._clock(), error=error, problem=problem)

    def _change(self, conditions: Iterable[sa.ColumnElement[bool]], **values: object) -> int:
        with self._engine.begin() as connection:
            return connection.execute(deliveries.update().where(*conditions).values(**values)).rowcount


def _can_wait() -> sa.ColumnElement[int]:
    """1 for what was merely analysed again, unless something that came in waits behind it; else 0."""
    behind = deliveries.alias("behind")
    again = sa.exists().where(
        revisions.c.study_instance_uid == deliveries.c.study_instance_uid,
        revisions.c.revision == deliveries.c.revision,
        revisions.c.made_for != "",
    )
    waited_for = sa.exists().where(
        behind.c.study_instance_uid == deliveries.c.study_instance_uid,
        behind.c.destination == deliveries.c.destination,
        behind.c.number > deliveries.c.number,
        behind.c.state.in_(UNDER_WAY),
    )
    return sa.case((again & ~waited_for, 1), else_=0)


def _same(record: DeliveryRecord) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        deliveries.c.study_instance_uid == record.study_instance_uid,
        deliveries.c.revision == record.revision,
        deliveries.c.destination == record.destination,
    )


def _claimed(record: DeliveryRecord) -> tuple[sa.ColumnElement[bool], ...]:
    """Picks its row while the attempt is still its courier's: a node thought dead decides nothing any more."""
    return (
        *_same(record),
        deliveries.c.state == DeliveryState.SENDING,
        deliveries.c.attempts == record.attempts,
    )


def _record(row: sa.Row[tuple[object, ...]], **changes: object) -> DeliveryRecord:
    values = {**row._mapping, **changes}
    del values["executor"]
    return DeliveryRecord(**{**values, "state": DeliveryState(str(values["state"]))})
