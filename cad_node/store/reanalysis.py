"""The journal's orders to analyse again what was analysed by another model or other settings.

An order is a revision like any other, over the instances of the one before it, so that
results, deliveries, answers and what is held follow as they always do. It differs in
two ways: only a node whose results have the digest that the order was made for takes
it, and only while no study that came in needs a worker.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from cad_node.domain import MadeBy
from cad_node.store.database import insert_if_absent, reading
from cad_node.store.instance_sets import unlisted_files
from cad_node.store.revisions import made_columns, revision_record, same_run
from cad_node.store.schema import UNFINISHED, RevisionRecord, RevisionState
from cad_node.store.tables import locked_study, nodes, revision_files, revisions, studies


@dataclass(frozen=True)
class LatestRevision:
    """A study as far as an order to analyse it again goes by it.

    `order` is an order that nobody has begun, `last` the newest revision beside it, `result` the
    newest whose results are stored; each may be missing. `last_instance_at`: seconds since 1970.
    """

    study_instance_uid: str
    is_open: bool
    last_instance_at: float
    last: RevisionRecord | None
    order: RevisionRecord | None
    result: RevisionRecord | None


class Reanalysis:
    """Orders, and by what results were made; reached as `journal.reanalysis`."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._reading = reading(engine)
        self._clock = clock

    # By what results are made

    def announce(self, executor: str, made: MadeBy) -> None:
        """Note by what a node that starts makes its results."""
        with self._engine.begin() as connection:
            connection.execute(nodes.delete().where(nodes.c.executor == executor))
            values = {"executor": executor, "started_at": self._clock(), **made_columns(made)}
            insert_if_absent(connection, nodes, values)

    def announced(self, executor: str) -> MadeBy | None:
        """What the node of that name announced last, or the node that started last; None: none ever did."""
        query = sa.select(nodes).order_by((nodes.c.executor == executor).desc(), nodes.c.started_at.desc())
        with self._reading.begin() as connection:
            row = connection.execute(query.limit(1)).first()
        return None if row is None else MadeBy(row.made_by, row.model, row.model_sha256)

    def counts(self) -> dict[MadeBy, int]:
        """Of how many studies the newest results were made by what."""
        columns = (revisions.c.made_by, revisions.c.model, revisions.c.model_sha256)
        query = (
            sa.select(*columns, sa.func.count())
            .where(revisions.c.state == RevisionState.DONE, ~_outdated())
            .group_by(*columns)
        )
        with self._reading.begin() as connection:
            return {MadeBy(*row[:3]): int(row[3]) for row in connection.execute(query)}

    def newest_result(self, study_instance_uid: str) -> RevisionRecord | None:
        """The newest revision of a study whose results are stored."""
        query = sa.select(revisions).where(
            revisions.c.study_instance_uid == study_instance_uid,
            revisions.c.state == RevisionState.DONE,
            ~_outdated(),
        )
        with self._reading.begin() as connection:
            row = connection.execute(query).first()
        return None if row is None else revision_record(row)

    def unlabelled(self) -> list[RevisionRecord]:
        """Results of which the journal does not say by what they were made: an older node noted them."""
        query = sa.select(revisions).where(
            revisions.c.state == RevisionState.DONE, revisions.c.model == "", ~_outdated()
        )
        with self._reading.begin() as connection:
            return [revision_record(row) for row in connection.execute(query)]

    def label(self, record: RevisionRecord, made: MadeBy) -> None:
        """Note by what stored results were made."""
        with self._engine.begin() as connection:
            connection.execute(revisions.update().where(*same_run(record)).values(**made_columns(made)))

    # Orders

    def latest(self, study_instance_uid: str | None = None) -> list[LatestRevision]:
        """Every study, or the one named, in the order in which they came."""
        query = sa.select(studies).order_by(studies.c.last_instance_at, studies.c.study_instance_uid)
        newest = sa.select(revisions).order_by(revisions.c.study_instance_uid, revisions.c.number)
        if study_instance_uid is not None:
            query = query.where(studies.c.study_instance_uid == study_instance_uid)
            newest = newest.where(revisions.c.study_instance_uid == study_instance_uid)
        last: dict[str, RevisionRecord] = {}
        orders: dict[str, RevisionRecord] = {}
        results: dict[str, RevisionRecord] = {}
        with self._reading.begin() as connection:
            for row in connection.execute(newest):
                record = revision_record(row)
                waits = record.made_for and record.state is RevisionState.WAITING
                (orders if waits else last)[record.study_instance_uid] = record
                if record.state is RevisionState.DONE:
                    results[record.study_instance_uid] = record
            return [
                LatestRevision(
                    row.study_instance_uid,
                    row.is_open,
                    row.last_instance_at,
                    last.get(row.study_instance_uid),
                    orders.get(row.study_instance_uid),
                    results.get(row.study_instance_uid),
                )
                for row in connection.execute(query)
            ]

    def order(self, last: RevisionRecord, made_for: str) -> bool:
        """Have the instances of a study's newest revision analysed again; an older order not begun goes.

        Returns
        -------
        bool
            False where the study went on meanwhile, or the same is ordered already.
        """
        uid = last.study_instance_uid
        # Follows from what was there before: two that order at once order the same.
        name = hashlib.sha256(f"{last.revision} {made_for}".encode("ascii")).hexdigest()[:32]
        with self._engine.begin() as connection:
            study = connection.execute(locked_study(uid)).first()
            if study is None or study.is_open:
                return False
            drop_orders(connection, uid, other_than=made_for)
            newest = connection.execute(
                sa.select(revisions)
                .where(revisions.c.study_instance_uid == uid)
                .order_by(revisions.c.number.desc())
                .limit(1)
            ).first()
            if newest is None or (newest.revision, newest.run, newest.state) != (
                last.revision,
                last.run,
                last.state,
            ):
                return False
            made = insert_if_absent(
                connection,
                revisions,
                {
                    "study_instance_uid": uid,
                    "revision": name,
                    "number": last.number + 1,
                    "state": RevisionState.WAITING,
                    "created_at": self._clock(),
                    "made_for": made_for,
                },
            )
            if made:
                same = sa.select(
                    revision_files.c.study_instance_uid,
                    sa.literal(name),
                    revision_files.c.sop_instance_uid,
                    revision_files.c.path,
                ).where(
                    revision_files.c.study_instance_uid == uid, revision_files.c.revision == last.revision
                )
                columns = ["study_instance_uid", "revision", "sop_instance_uid", "path"]
                listed = connection.execute(
                    revision_files.insert().from_select(columns, same),
                    execution_options={"preserve_rowcount": True},
                ).rowcount
                # Files that were removed and then sent again: nothing lists them any more.
                if not listed and (files := unlisted_files(connection, uid, last.revision)):
                    rows = [(uid, name, sop_instance_uid, path) for sop_instance_uid, path in files]
                    connection.execute(
                        revision_files.insert(), [dict(zip(columns, row, strict=True)) for row in rows]
                    )
        return made

    def withdraw(self, study_instance_uid: str, digest: str) -> None:
        """Forget orders for a study that nobody has begun, but those for this digest."""
        with self._engine.begin() as connection:
            connection.execute(locked_study(study_instance_uid))
            drop_orders(connection, study_instance_uid, other_than=digest)

    def startable(self, digest: str) -> RevisionRecord | None:
        """The oldest order for nodes with this digest, unless a study that came in waits for a worker."""
        fresh = revisions.alias("fresh")
        urgent = sa.exists().where(
            fresh.c.made_for == "", fresh.c.state.in_((RevisionState.WAITING, RevisionState.QUEUED))
        )
        query = (
            sa.select(revisions)
            .where(revisions.c.made_for == digest, revisions.c.state == RevisionState.WAITING, ~urgent)
            .order_by(revisions.c.created_at, revisions.c.study_instance_uid)
            .limit(1)
        )
        with self._reading.begin() as connection:
            row = connection.execute(query).first()
        return None if row is None else revision_record(row)

    def busy(self, executor: str) -> int:
        """How many studies a machine is processing, and orders that are just being begun anywhere."""
        query = sa.select(sa.func.count()).where(
            ((revisions.c.state == RevisionState.PROCESSING) & (revisions.c.executor == executor))
            | ((revisions.c.state == RevisionState.QUEUED) & (revisions.c.made_for != ""))
        )
        with self._reading.begin() as connection:
            return connection.scalar(query) or 0

    def waiting(self) -> dict[str, int]:
        """How many orders wait, by the digest that they were made for."""
        query = (
            sa.select(revisions.c.made_for, sa.func.count())
            .where(revisions.c.made_for != "", revisions.c.state == RevisionState.WAITING)
            .group_by(revisions.c.made_for)
        )
        with self._reading.begin() as connection:
            return {row[0]: int(row[1]) for row in connection.execute(query)}

    def put_back(self, record: RevisionRecord, *, begun: bool = False) -> None:
        """Have an order wait again, as if it had not been begun; `begun`: that counts as a start all the same.

        Where instances came meanwhile it goes: their revision waits for it, and is made
        by the model of today, too.
        """
        with self._engine.begin() as connection:
            connection.execute(locked_study(record.study_instance_uid))
            connection.execute(
                revisions.update()
                .where(*same_run(record), revisions.c.state.in_(UNFINISHED), revisions.c.made_for != "")
                .values(
                    state=RevisionState.WAITING,
                    run=revisions.c.run + 1,
                    starts=revisions.c.starts if begun else _one_less(revisions.c.starts),
                    executor="",
                )
            )
            later = connection.scalar(
                sa.select(sa.func.count()).where(
                    revisions.c.study_instance_uid == record.study_instance_uid,
                    revisions.c.number > record.number,
                )
            )
            if later:
                drop_orders(connection, record.study_instance_uid)


def drop_orders(connection: Connection, study_instance_uid: str, other_than: str = "") -> None:
    """Forget orders for a study that nobody has begun, within a transaction that holds the study."""
    mine = sa.select(revisions.c.revision).where(
        revisions.c.study_instance_uid == study_instance_uid,
        revisions.c.made_for.not_in(("", other_than)),
        revisions.c.state == RevisionState.WAITING,
    )
    for revision in connection.scalars(mine).all():
        for table in (revision_files, revisions):
            connection.execute(
                table.delete().where(
                    table.c.study_instance_uid == study_instance_uid, table.c.revision == revision
                )
            )


def _one_less(starts: sa.Column[int]) -> sa.ColumnElement[int]:
    return sa.case((starts > 0, starts - 1), else_=0)


def _outdated() -> sa.ColumnElement[bool]:
    """Whether a later revision of the study has results."""
    later = revisions.alias("later")
    return sa.exists().where(
        later.c.study_instance_uid == revisions.c.study_instance_uid,
        later.c.number > revisions.c.number,
        later.c.state == RevisionState.DONE,
    )
