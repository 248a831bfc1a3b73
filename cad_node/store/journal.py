"""What was received, what was made of it, and what was delivered.

The journal is the truth about every study; the job engine and the couriers only
act on it. Each method is one transaction: it happened wholly or not at all,
whenever the power goes. What is to be processed is in `revisions.py`, what is to
be delivered in `outgoing.py`, which objects were taken in `taken.py`, what destinations
are committed to in `commitments.py`, what is to be analysed again in `reanalysis.py`,
what radiologists said in `answers.py`, what an operator has seen to in `dismissals.py`,
what is finished and may go in `retention.py`, by which days that is counted in `lifetime.py`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from pathlib import PurePosixPath

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from cad_node.domain import StoredInstance
from cad_node.errors import JobError
from cad_node.settings import NodeSettings
from cad_node.store.answers import Answers
from cad_node.store.commitments import Commitments
from cad_node.store.database import cause_of, insert_if_absent, postgres_engine, reading, sqlite_engine
from cad_node.store.dismissals import Dismissals, is_dismissed, withdraw_newest
from cad_node.store.executor_name import ExecutorName
from cad_node.store.instance_sets import revision_of, unlisted_files
from cad_node.store.lifetime import Lifetime, seed_days
from cad_node.store.outgoing import Outgoing
from cad_node.store.reanalysis import Reanalysis, drop_orders
from cad_node.store.retention import Retention
from cad_node.store.revisions import AFRESH, Revisions
from cad_node.store.schema import UNFINISHED, RevisionState, StudyRecord
from cad_node.store.tables import (
    FIRST_WITH_DAYS,
    MIGRATIONS,
    SCHEMA_VERSION,
    instances,
    journal_info,
    locked_study,
    metadata,
    revision_files,
    revisions,
    studies,
)
from cad_node.store.taken import Taken

logger = logging.getLogger(__name__)

Clock = Callable[[], float]

JOURNAL_FILE = "journal.db"
_POSTGRES_SCHEMA = "cad_node"


class Journal:
    """The record of every study; safe to use from several threads and processes.

    Parameters
    ----------
    engine
        From `database.py`; its tables are made if they are absent.
    clock
        Seconds since 1970.

    Raises
    ------
    JobError
        The database cannot be opened, or a newer version of the node wrote it.
    """

    def __init__(self, engine: Engine, clock: Clock = time.time) -> None:
        if engine.dialect.name == "postgresql":
            engine = engine.execution_options(schema_translate_map={None: _POSTGRES_SCHEMA})
        self._engine = engine
        self._reading = reading(engine)
        self._clock = clock
        self.executor_name = ExecutorName(engine)
        self.outgoing = Outgoing(engine, clock)
        self.taken = Taken(engine, clock)
        self.commitments = Commitments(engine, clock)
        self.revisions = Revisions(engine, self.outgoing, clock)
        self.reanalysis = Reanalysis(engine, clock)
        self.answers = Answers(engine, self.outgoing)
        self.dismissals = Dismissals(engine, clock)
        self.lifetime = Lifetime(engine, clock)
        self.retention = Retention(engine)
        try:
            self._create()
        except SQLAlchemyError as error:
            engine.dispose()
            raise JobError(
                f"The journal cannot be opened: {cause_of(error)}.",
                "Check jobs.database_url, and that the data folder is writable and not full.",
            ) from error

    @classmethod
    def open(cls, settings: NodeSettings, clock: Clock = time.time) -> Journal:
        """Open the journal that the settings name, making it where there is none."""
        url = settings.jobs.database_url
        if url:
            return cls(postgres_engine(url), clock)
        return cls(sqlite_engine(settings.data_dir / JOURNAL_FILE, explicit_begin=True), clock)

    def close(self) -> None:
        """Give the connections back, and the node's name."""
        self.executor_name.release()
        self._engine.dispose()

    def _create(self) -> None:
        with self._engine.begin() as connection:
            if self._engine.dialect.name == "postgresql":
                # Two nodes starting at once would both create; the lock ends with the transaction.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(0x0CAD_0DE)))
                connection.execute(sa.schema.CreateSchema(_POSTGRES_SCHEMA, if_not_exists=True))
            metadata.create_all(connection)
            version = connection.scalar(sa.select(journal_info.c.schema_version))
            if version is None:
                connection.execute(journal_info.insert().values(schema_version=SCHEMA_VERSION))
            elif version in MIGRATIONS:
                self._migrate(connection, version)
                version = SCHEMA_VERSION
        if version is not None and version != SCHEMA_VERSION:
            self.close()
            raise JobError(
                f"The journal was written by another version of the node (schema {version}, "
                f"this one knows {SCHEMA_VERSION}).",
                "Run the version that wrote it, or point data_dir to a new folder.",
            )

    def _migrate(self, connection: Connection, version: int) -> None:
        """Bring an older journal up to date, in the transaction that opened it."""
        schema = f"{_POSTGRES_SCHEMA}." if self._engine.dialect.name == "postgresql" else ""
        for step in range(version, SCHEMA_VERSION):
            for statement in MIGRATIONS[step]:
                connection.execute(sa.text(statement.format(schema=schema)))
        if version < FIRST_WITH_DAYS:
            seed_days(connection)
        connection.execute(journal_info.update().values(schema_version=SCHEMA_VERSION))
        logger.info("the journal was brought from schema %d to %d", version, SCHEMA_VERSION)

    # Receiving

    def record_instance(self, stored: StoredInstance) -> bool:
        """Note an instance that lies safely in the inbox.

        Returns
        -------
        bool
            False for a repeat of what is known, whoever sends it: it changes nothing and
            does not restart the quiet time; where its file was removed it is there again.
            An instance with another data set than before takes the place of the earlier one.
            Where the study was dismissed, a repeat opens it, too: it counts as sent anew.
        """
        uid = stored.study_instance_uid
        values = {
            "study_instance_uid": uid,
            "sop_instance_uid": stored.sop_instance_uid,
            "series_instance_uid": stored.series_instance_uid,
            "sop_class_uid": stored.sop_class_uid,
            "transfer_syntax_uid": stored.transfer_syntax_uid,
            "path": str(stored.path),
            "sha256": stored.sha256,
            "dataset_sha256": stored.dataset_sha256,
            "size_bytes": stored.size_bytes,
            "calling_ae_title": stored.calling_ae_title,
            "received_at": stored.received_at.timestamp(),
        }
        same = (instances.c.study_instance_uid == uid) & (
            instances.c.sop_instance_uid == stored.sop_instance_uid
        )
        with self._engine.begin() as connection:
            now = self._clock()
            study = insert_if_absent(
                connection,
                studies,
                {
                    "study_instance_uid": uid,
                    "is_open": True,
                    "first_instance_at": now,
                    "last_instance_at": now,
                },
            )
            connection.execute(locked_study(uid))
            known = connection.execute(
                sa.select(instances.c.sha256, instances.c.dataset_sha256, instances.c.path).where(same)
            ).first()
            if known is not None and _is_repeat(stored, known.sha256, known.dataset_sha256):
                if not known.path:
                    connection.execute(instances.update().where(same).values(path=str(stored.path)))
                if not is_dismissed(connection, uid):
                    return False
            elif known is None:
                connection.execute(instances.insert().values(values))
            else:
                connection.execute(instances.update().where(same).values(values))
            if not study:
                connection.execute(
                    studies.update()
                    .where(studies.c.study_instance_uid == uid)
                    .values(
                        is_open=True,
                        first_instance_at=sa.case(
                            (studies.c.is_open, studies.c.first_instance_at), else_=now
                        ),
                        last_instance_at=now,
                    )
                )
        return True

    def stored_paths(self, studies: Collection[str]) -> frozenset[str]:
        """Where every recorded instance of some studies lies that was not removed, relative to the inbox."""
        query = sa.select(instances.c.path).where(
            instances.c.study_instance_uid.in_(studies), instances.c.path != ""
        )
        with self._reading.begin() as connection:
            return frozenset(connection.scalars(query))

    # Completion

    def open_studies(self) -> list[tuple[str, float, float]]:
        """Studies that wait for more: UID, and when the first and last instance came."""
        query = (
            sa.select(studies.c.study_instance_uid, studies.c.first_instance_at, studies.c.last_instance_at)
            .where(studies.c.is_open)
            .order_by(studies.c.first_instance_at)
        )
        with self._reading.begin() as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(query)]

    def close_study(self, study_instance_uid: str) -> str | None:
        """Take what was received as complete.

        What was dismissed of the newest revision is not any longer where the study was sent
        again as it was: what failed is then to be processed again.

        Returns
        -------
        str | None
            The revision that is now to be processed; None where nothing changed
            since a revision before.
        """
        uid = study_instance_uid
        with self._engine.begin() as connection:
            study = connection.execute(locked_study(uid)).first()
            if study is None or not study.is_open:
                return None
            connection.execute(
                studies.update().where(studies.c.study_instance_uid == uid).values(is_open=False)
            )
            rows = connection.execute(
                sa.select(instances.c.sop_instance_uid, instances.c.sha256, instances.c.path).where(
                    instances.c.study_instance_uid == uid
                )
            ).all()
            revision = revision_of((row.sop_instance_uid, row.sha256) for row in rows)
            number = (
                connection.scalar(
                    sa.select(sa.func.coalesce(sa.func.max(revisions.c.number), 0)).where(
                        revisions.c.study_instance_uid == uid
                    )
                )
                or 0
            )
            made = insert_if_absent(
                connection,
                revisions,
                {
                    "study_instance_uid": uid,
                    "revision": revision,
                    "number": number + 1,
                    "state": RevisionState.WAITING,
                    "created_at": self._clock(),
                },
            )
            if not made:
                return self._sent_again(connection, uid, revision)
            # What was to be analysed again is now analysed with what came.
            drop_orders(connection, uid)
            connection.execute(
                revision_files.insert(),
                [
                    {
                        "study_instance_uid": uid,
                        "revision": revision,
                        "sop_instance_uid": row.sop_instance_uid,
                        "path": row.path,
                    }
                    for row in rows
                ],
            )
        return revision

    def _sent_again(self, connection: Connection, uid: str, revision: str) -> str | None:
        """Take up what was dismissed, of a study that came again as it was; the revision, if it failed."""
        if not withdraw_newest(connection, uid, "sent again", self._clock()):
            return None
        newest = sa.select(sa.func.max(revisions.c.number)).where(revisions.c.study_instance_uid == uid)
        changed = connection.execute(
            revisions.update()
            .where(
                revisions.c.study_instance_uid == uid,
                revisions.c.revision == revision,
                revisions.c.number == newest.scalar_subquery(),
                revisions.c.state == RevisionState.FAILED,
            )
            .values(**AFRESH)
        )
        return revision if changed.rowcount else None

    def files_of(self, study_instance_uid: str, revision: str) -> tuple[PurePosixPath, ...]:
        """The files of a revision, relative to the inbox, in a repeatable order.

        A file that was removed is named `.`, which is no file; it has its name again once
        the instance was sent again. Nothing is named where it is no longer known which
        instances they were: their files were removed, and others came since.
        """
        mine = (
            revision_files.c.study_instance_uid == study_instance_uid,
            revision_files.c.revision == revision,
        )
        query = (
            sa.select(sa.case((revision_files.c.path != "", revision_files.c.path), else_=instances.c.path))
            .join(
                instances,
                sa.and_(
                    instances.c.study_instance_uid == revision_files.c.study_instance_uid,
                    instances.c.sop_instance_uid == revision_files.c.sop_instance_uid,
                ),
                isouter=True,
            )
            .where(*mine)
            .order_by(revision_files.c.sop_instance_uid)
        )
        with self._reading.begin() as connection:
            paths = connection.scalars(query).all() or [
                path for _, path in unlisted_files(connection, study_instance_uid, revision)
            ]
        return tuple(PurePosixPath(path) for path in paths)

    # Looking

    def study_records(
        self, study_instance_uid: str | None = None, *, only_open: bool = False
    ) -> list[StudyRecord]:
        """Every study, or the one named, or those that wait for more, with the number of its instances."""
        query = (
            sa.select(studies, sa.func.count(instances.c.sop_instance_uid).label("instances"))
            .join(instances, instances.c.study_instance_uid == studies.c.study_instance_uid, isouter=True)
            .group_by(*studies.c)
            .order_by(studies.c.last_instance_at)
        )
        if study_instance_uid is not None:
            query = query.where(studies.c.study_instance_uid == study_instance_uid)
        if only_open:
            query = query.where(studies.c.is_open)
        with self._reading.begin() as connection:
            return [
                StudyRecord(row.study_instance_uid, row.is_open, row.instances, row.last_instance_at)
                for row in connection.execute(query)
            ]

    def is_idle(self) -> bool:
        """Whether nothing is open, unprocessed or undelivered."""
        with self._reading.begin() as connection:
            busy = connection.scalar(
                sa.select(
                    sa.exists().where(studies.c.is_open)
                    | sa.exists().where(revisions.c.state.in_(UNFINISHED))
                )
            )
        return not busy and not self.outgoing.is_busy()


def _is_repeat(stored: StoredInstance, sha256: str, dataset_sha256: str) -> bool:
    """Whether an instance is what the journal knows, of the file or, sent by another, of its data set."""
    if stored.sha256 == sha256:
        return True
    return bool(dataset_sha256) and stored.dataset_sha256 == dataset_sha256
