"""The journal's commitments: whether a destination keeps what it was sent (PS3.4 annex J).

A request is noted before it goes out, with the objects that it asks about. So a report
is known whenever it comes: after a crash, after its deadline, after the next request.
What it says of each object is kept (`commitment_reports.py`); only what it names as
committed counts as that.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Collection, Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cad_node.store.commitment_reports import CommitmentReports, commitment_key, commitment_record
from cad_node.store.database import insert_if_absent
from cad_node.store.schema import (
    UNDER_WAY,
    UNSETTLED,
    CommitmentRecord,
    CommitmentState,
    DeliveryRecord,
    DeliveryState,
)
from cad_node.store.tables import (
    commitment_objects,
    commitment_requests,
    commitments,
    deliveries,
    sent_objects,
)


class Commitments(CommitmentReports):
    """What was asked and what was answered; reached as `journal.commitments`."""

    # Asking

    def due(self, destination: str, longest_s: float = math.inf) -> CommitmentRecord | None:
        """What something is to be done about for longest; None where there is nothing.

        Nothing waits for longer than `longest_s`: what seems to was noted before the clock was set back.
        """
        now = self._clock()
        query = (
            sa.select(commitments)
            .join(
                deliveries,
                sa.and_(
                    deliveries.c.study_instance_uid == commitments.c.study_instance_uid,
                    deliveries.c.revision == commitments.c.revision,
                    deliveries.c.destination == commitments.c.destination,
                ),
            )
            .where(
                commitments.c.destination == destination,
                commitments.c.state.in_(UNSETTLED),
                (commitments.c.next_attempt_at <= now) | (commitments.c.next_attempt_at > now + longest_s),
                deliveries.c.state == DeliveryState.SENT,
            )
            # Asking may have to wait for a destination that is down; the others need none.
            .order_by(commitments.c.state == CommitmentState.TO_ASK, commitments.c.next_attempt_at)
            .limit(1)
        )
        with self._reading.begin() as connection:
            row = connection.execute(query).first()
        return None if row is None else commitment_record(row)

    def begin(
        self, record: CommitmentRecord, objects: Iterable[str], executor: str, deadline_s: float
    ) -> str | None:
        """Note a request that is about to go out.

        Parameters
        ----------
        objects
            SOP Instance UIDs that it asks about.
        deadline_s
            A request of which nothing more is heard is overdue after it.

        Returns
        -------
        str | None
            Its new Transaction UID; None where another node was quicker.
        """
        transaction_uid = f"2.25.{uuid.uuid4().int}"  # PS3.5 annex B.2
        now = self._clock()
        with self._engine.begin() as connection:
            changed = connection.execute(
                commitments.update()
                .where(*_unchanged(record))
                .values(
                    state=CommitmentState.ASKING,
                    transaction_uid=transaction_uid,
                    requests=commitments.c.requests + 1,
                    executor=executor,
                    next_attempt_at=now + deadline_s,
                )
            )
            if not changed.rowcount:
                return None
            connection.execute(
                commitment_requests.insert().values(
                    transaction_uid=transaction_uid,
                    study_instance_uid=record.study_instance_uid,
                    revision=record.revision,
                    destination=record.destination,
                    asked_at=now,
                )
            )
            connection.execute(
                commitment_objects.insert(),
                [{"transaction_uid": transaction_uid, "sop_instance_uid": uid} for uid in objects],
            )
        return transaction_uid

    def asked(self, transaction_uid: str, deadline_s: float) -> None:
        """Note that the destination took the request; its report may have been quicker."""
        self._change(
            _asking(transaction_uid),
            state=CommitmentState.ASKED,
            attempts=0,
            problem="",
            next_attempt_at=self._clock() + deadline_s,
        )

    def postpone(self, transaction_uid: str, problem: str, delay_s: float) -> None:
        """Have it asked for again after `delay_s`: the request did not get there."""
        self._change(
            _asking(transaction_uid),
            state=CommitmentState.TO_ASK,
            requests=commitments.c.requests - 1,
            attempts=commitments.c.attempts + 1,
            problem=problem,
            next_attempt_at=self._clock() + delay_s,
        )

    def ask_again(self, record: CommitmentRecord, problem: str, delay_s: float = 0.0) -> None:
        """Have it asked for again, by a new request."""
        self._change(
            _unchanged(record),
            state=CommitmentState.TO_ASK,
            problem=problem,
            next_attempt_at=self._clock() + delay_s,
        )

    def send_again(self, record: CommitmentRecord, objects: Collection[str], delay_s: float) -> bool:
        """Have objects sent again that the destination lacks; when they are, it is asked again.

        Returns
        -------
        bool
            False where a later revision is on its way or has arrived: older results
            never go after newer ones.
        """
        now = self._clock()
        mine = _delivery(record)
        later = deliveries.alias("later")
        with self._engine.begin() as connection:
            # Locked first here and in `Outgoing.sent`, so that neither waits for the other for ever.
            connection.execute(sa.select(deliveries.c.state).where(*mine).with_for_update())
            outrun = connection.scalar(
                sa.select(
                    sa.exists().where(
                        later.c.study_instance_uid == record.study_instance_uid,
                        later.c.destination == record.destination,
                        later.c.number
                        > sa.select(deliveries.c.number).where(*mine).correlate(None).scalar_subquery(),
                        later.c.state.in_((*UNDER_WAY, DeliveryState.SENT)),
                    )
                )
            )
            if outrun:
                return False
            changed = connection.execute(
                commitments.update()
                .where(*_unchanged(record))
                .values(state=CommitmentState.TO_ASK, next_attempt_at=now)
            )
            if changed.rowcount:
                connection.execute(
                    sent_objects.delete().where(
                        sent_objects.c.destination == record.destination,
                        sent_objects.c.sop_instance_uid.in_(objects),
                    )
                )
                connection.execute(
                    deliveries.update()
                    .where(*mine, deliveries.c.state == DeliveryState.SENT)
                    .values(state=DeliveryState.WAITING, attempts=0, since=now, next_attempt_at=now + delay_s)
                )
        return True

    def end(self, record: CommitmentRecord, problem: str) -> None:
        """Note that the destination is not committed, and why; a late report may still change that."""
        self._change(
            _unchanged(record),
            state=CommitmentState.NOT_COMMITTED,
            finished_at=self._clock(),
            problem=problem,
        )

    def refused(self, transaction_uid: str, problem: str) -> None:
        """Note that the destination does not take the request at all, and why."""
        self._change(
            _asking(transaction_uid),
            state=CommitmentState.NOT_COMMITTED,
            finished_at=self._clock(),
            problem=problem,
        )

    def start_over(self, record: CommitmentRecord) -> None:
        """Ask as if for the first time, about everything that was sent."""
        now = self._clock()
        self._change(
            _unchanged(record),
            state=CommitmentState.TO_ASK,
            requests=0,
            attempts=0,
            since=now,
            next_attempt_at=now,
            finished_at=None,
            problem="",
        )

    def hurry(self, destination: str) -> None:
        """Have everything asked for now that waits after a failure: the destination is back."""
        now = self._clock()
        self._change(
            (
                commitments.c.destination == destination,
                commitments.c.state == CommitmentState.TO_ASK,
                commitments.c.attempts > 0,
                commitments.c.next_attempt_at > now,
            ),
            next_attempt_at=now,
        )

    def release(self, executor: str) -> int:
        """Have asked again what `executor` was asking for when it died; how many there were."""
        return self._change(
            (commitments.c.executor == executor, commitments.c.state == CommitmentState.ASKING),
            state=CommitmentState.TO_ASK,
            next_attempt_at=self._clock(),
        )

    def withdraw(self, asked: Collection[str]) -> int:
        """Ask no more where the settings do not say so any longer; how many were not committed.

        `asked` names the destinations that commitment is asked of.
        """
        with self._engine.begin() as connection:
            return connection.execute(
                commitments.delete().where(
                    commitments.c.destination.not_in(asked),
                    commitments.c.state != CommitmentState.COMMITTED,
                )
            ).rowcount

    # Looking

    def of_study(self, *study_instance_uids: str) -> list[CommitmentRecord]:
        """Every commitment to the results of a study, or of several."""
        return self._select(commitments.c.study_instance_uid.in_(study_instance_uids))

    def all(self, state: CommitmentState | None = None) -> list[CommitmentRecord]:
        """Every commitment, oldest first."""
        return self._select(*([] if state is None else [commitments.c.state == state]))

    def _select(self, *conditions: sa.ColumnElement[bool]) -> list[CommitmentRecord]:
        query = (
            sa.select(commitments)
            .where(*conditions)
            .order_by(commitments.c.since, commitments.c.study_instance_uid, commitments.c.destination)
        )
        with self._reading.begin() as connection:
            return [commitment_record(row) for row in connection.execute(query)]

    def _change(self, conditions: Iterable[sa.ColumnElement[bool]], **values: object) -> int:
        with self._engine.begin() as connection:
            return connection.execute(commitments.update().where(*conditions).values(**values)).rowcount


def want_commitment(connection: Connection, record: DeliveryRecord, now: float) -> None:
    """Have commitment asked for, within the transaction that notes a delivery as sent."""
    values = {
        "study_instance_uid": record.study_instance_uid,
        "revision": record.revision,
        "destination": record.destination,
        "state": CommitmentState.TO_ASK,
        "since": now,
        "next_attempt_at": now,
    }
    if not insert_if_absent(connection, commitments, values):
        # Something was sent again; what was counted so far still counts.
        connection.execute(
            commitments.update()
            .where(*commitment_key(record), commitments.c.state != CommitmentState.COMMITTED)
            .values(state=CommitmentState.TO_ASK, next_attempt_at=now)
        )


def forget_commitment(connection: Connection, record: DeliveryRecord) -> None:
    """Begin anew with a delivery of which everything is sent again."""
    connection.execute(commitments.delete().where(*commitment_key(record)))


def _unchanged(record: CommitmentRecord) -> tuple[sa.ColumnElement[bool], ...]:
    """Picks its row while nothing has happened to it since it was read."""
    return (
        *commitment_key(record),
        commitments.c.state == record.state,
        commitments.c.transaction_uid == record.transaction_uid,
        commitments.c.requests == record.requests,
    )


def _asking(transaction_uid: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        commitments.c.transaction_uid == transaction_uid,
        commitments.c.state == CommitmentState.ASKING,
    )


def _delivery(record: CommitmentRecord) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        deliveries.c.study_instance_uid == record.study_instance_uid,
        deliveries.c.revision == record.revision,
        deliveries.c.destination == record.destination,
    )
