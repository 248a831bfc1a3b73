"""What destinations report of a commitment, object by object, and the conclusion from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from cad_node.domain import CommitmentReport
from cad_node.store.database import reading
from cad_node.store.schema import CommitmentRecord, CommitmentState, DeliveryRecord
from cad_node.store.tables import commitment_objects, commitment_requests, commitments

_COMMITTED = 0  # in `commitment_objects.failure_reason`


class CommitmentReports:
    """The half of `Commitments` that listens."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._reading = reading(engine)
        self._clock = clock

    def report(self, report: CommitmentReport, destinations: Collection[str]) -> bool:
        """Note what a destination says of one request; the same again changes nothing.

        Parameters
        ----------
        destinations
            Those that the peer who sent it may speak for.

        Returns
        -------
        bool
            False where none of them was asked under this Transaction UID.
        """
        with self._engine.begin() as connection:
            request = connection.execute(
                sa.select(commitment_requests)
                .where(
                    commitment_requests.c.transaction_uid == report.transaction_uid,
                    commitment_requests.c.destination.in_(destinations),
                )
                .with_for_update()
            ).first()
            if request is None:
                return False
            if request.reported_at is not None:
                return True
            mine = commitment_objects.c.transaction_uid == request.transaction_uid
            asked = connection.scalars(sa.select(commitment_objects.c.sop_instance_uid).where(mine)).all()
            for uid in asked:
                reason = report.failed.get(uid, _COMMITTED if uid in report.committed else None)
                connection.execute(
                    commitment_objects.update()
                    .where(mine, commitment_objects.c.sop_instance_uid == uid)
                    .values(failure_reason=reason)
                )
            connection.execute(
                commitment_requests.update()
                .where(commitment_requests.c.transaction_uid == request.transaction_uid)
                .values(reported_at=self._clock())
            )
            self._settle(connection, request)
        return True

    def _settle(self, connection: Connection, request: sa.Row[tuple[object, ...]]) -> None:
        """Draw the conclusion from all reports that there are."""
        row = connection.execute(
            sa.select(commitments)
            .where(
                commitments.c.study_instance_uid == request.study_instance_uid,
                commitments.c.revision == request.revision,
                commitments.c.destination == request.destination,
            )
            .with_for_update()
        ).first()
        if row is None or row.state == CommitmentState.COMMITTED:
            return
        record = commitment_record(row)
        now = self._clock()
        # Each request asks about all that was not committed before, so the latest speaks for the rest.
        if not self._open(connection, record):
            values: dict[str, object] = {
                "state": CommitmentState.COMMITTED,
                "finished_at": now,
                "problem": "",
            }
        elif (
            record.transaction_uid == request.transaction_uid
            and record.state is not CommitmentState.DISMISSED
        ):
            values = {"state": CommitmentState.REPORTED, "next_attempt_at": now}
        else:
            return
        connection.execute(commitments.update().where(*commitment_key(record)).values(**values))

    def is_reported(self, transaction_uid: str) -> bool:
        """Whether the report on a request has come."""
        query = sa.select(commitment_requests.c.reported_at).where(
            commitment_requests.c.transaction_uid == transaction_uid
        )
        with self._reading.begin() as connection:
            return connection.scalar(query) is not None

    def committed(self, record: CommitmentRecord) -> frozenset[str]:
        """SOP Instance UIDs that the destination is committed to since they were sent there."""
        with self._reading.begin() as connection:
            return self._committed(connection, record)

    def open_objects(self, record: CommitmentRecord) -> Mapping[str, int | None]:
        """What the latest request asked about and is not committed: the Failure Reason, None for silence."""
        with self._reading.begin() as connection:
            return self._open(connection, record)

    def _committed(self, connection: Connection, record: CommitmentRecord) -> frozenset[str]:
        query = (
            sa.select(commitment_objects.c.sop_instance_uid)
            .join(
                commitment_requests,
                commitment_requests.c.transaction_uid == commitment_objects.c.transaction_uid,
            )
            .where(
                commitment_requests.c.study_instance_uid == record.study_instance_uid,
                commitment_requests.c.revision == record.revision,
                commitment_requests.c.destination == record.destination,
                commitment_requests.c.asked_at >= record.since,
                commitment_objects.c.failure_reason == _COMMITTED,
            )
        )
        return frozenset(connection.scalars(query))

    def _open(self, connection: Connection, record: CommitmentRecord) -> dict[str, int | None]:
        rows = connection.execute(
            sa.select(commitment_objects).where(
                commitment_objects.c.transaction_uid == record.transaction_uid
            )
        ).all()
        done = self._committed(connection, record)
        return {row.sop_instance_uid: row.failure_reason for row in rows if row.sop_instance_uid not in done}


def commitment_key(record: CommitmentRecord | DeliveryRecord) -> tuple[sa.ColumnElement[bool], ...]:
    """Picks the row of a delivery's commitment."""
    return (
        commitments.c.study_instance_uid == record.study_instance_uid,
        commitments.c.revision == record.revision,
        commitments.c.destination == record.destination,
    )


def commitment_record(row: sa.Row[tuple[object, ...]]) -> CommitmentRecord:
    """A row of the table as the other rooms see it."""
    values = {**row._mapping}
    del values["executor"]
    return CommitmentRecord(**{**values, "state": CommitmentState(str(values["state"]))})
