"""The durable workflow engine: DBOS behind the few words the node needs.

One workflow a run of a revision, on one queue; its inputs are UIDs, never
pixels. DBOS keeps the state of each in SQLite or PostgreSQL and takes up after a
crash what this machine had begun. Nothing else is reached over a network: no
telemetry, no console, no server.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from dbos import DBOS, DBOSClient, DBOSConfig, SetWorkflowID
from sqlalchemy.exc import SQLAlchemyError

from cad_node.errors import JobError
from cad_node.settings import NodeSettings
from cad_node.store.database import cause_of, postgres_url, sqlite_engine
from cad_node.store.schema import RevisionRecord

JOBS_FILE = "jobs.db"
_QUEUE = "studies"
# Pinned, or queued work of another version of the node would wait for ever. To be raised when the
# steps below change; the journal then starts anew what the older workflows left.
_WORKFLOW_VERSION = "1"
# Limits a worker to four studies a second, far more than it can analyse; looking more often costs an
# idle node more (at 0.1 s, 7 % of a core), and the default of one second makes short studies wait.
_POLLING_S = 0.25
_ENDED = {"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}
_FORGET_AFTER = timedelta(days=7)
_AT_ONCE = 500
_ATTEMPTS = 3
_RETRY_AFTER_S = 2.0


class Outcome(StrEnum):
    """How one attempt to process a revision ended; later: another run does it."""

    DONE = "done"
    FAILED = "failed"
    AGAIN = "again"
    LATER = "later"


Process = Callable[[str, str, int, bool], Outcome]
Finish = Callable[[str, str, int], None]


class Workflows:
    """Runs the workflows; one at a time in a Python process, as DBOS is a singleton there.

    Parameters
    ----------
    process
        Step 1, with Study Instance UID, revision, run, and whether it is the last
        attempt. Runs at least once, so a repeat must be harmless; raises nothing
        that may not be stored.
    finish
        Step 2, when step 1 is done: harmless to repeat, too.
    """

    _running = threading.Lock()

    def __init__(self, settings: NodeSettings, process: Process, finish: Finish) -> None:
        self._settings = settings
        self._process = process
        self._finish = finish
        self._sqlite = (
            None if settings.jobs.database_url else sqlite_engine(jobs_file(settings), explicit_begin=False)
        )
        self._study: Callable[[str, str, int], None] | None = None

    def start(self) -> None:
        """Begin, with what a crash left first.

        Raises
        ------
        JobError
            The database cannot be used, or another engine runs in this process.
        """
        if not self._running.acquire(blocking=False):
            raise JobError("A job engine runs in this process already.", "Stop it first.")
        try:
            self._launch()
        except SQLAlchemyError as error:
            self._end()
            raise JobError(
                f"The job database cannot be used: {cause_of(error)}.",
                "Check jobs.database_url, and that the data folder is writable and not full.",
            ) from error
        except BaseException:
            self._end()
            raise

    def stop(self, timeout_s: float) -> None:
        """Begin nothing more and wait for what runs; what is unfinished goes on at the next start."""
        self._end(timeout_s)

    def enqueue(self, record: RevisionRecord) -> None:
        """Queue the run of a revision; nothing happens where it was queued before."""
        if self._study is None:
            raise JobError("The job engine does not run.", "Start it first.")
        with SetWorkflowID(record.workflow_id):
            DBOS.enqueue_workflow(_QUEUE, self._study, record.study_instance_uid, record.revision, record.run)

    def begin(self, record: RevisionRecord) -> None:
        """Run it now on this machine, past the queue; nothing happens where it was begun before."""
        if self._study is None:
            raise JobError("The job engine does not run.", "Start it first.")
        with SetWorkflowID(record.workflow_id):
            DBOS.start_workflow(self._study, record.study_instance_uid, record.revision, record.run)

    def ended(self, records: Sequence[RevisionRecord]) -> dict[str, bool]:
        """Whether runs are over, one way or the other, by workflow ID; those never queued here are left out."""
        found = {}
        for start in range(0, len(records), _AT_ONCE):
            ids = [record.workflow_id for record in records[start : start + _AT_ONCE]]
            for workflow in DBOS.list_workflows(workflow_ids=ids, load_input=False, load_output=False):
                found[workflow.workflow_id] = workflow.status in _ENDED
        return found

    def forget_ended(self) -> None:
        """Drop what DBOS keeps of runs that ended a while ago: the journal has what is worth knowing."""
        before = (datetime.now(UTC) - _FORGET_AFTER).isoformat()
        while ended := DBOS.list_workflows(
            status=sorted(_ENDED),
            completed_before=before,
            limit=_AT_ONCE,
            load_input=False,
            load_output=False,
        ):
            DBOS.delete_workflows([workflow.workflow_id for workflow in ended])

    def _launch(self) -> None:
        jobs = self._settings.jobs
        config: DBOSConfig = {
            "name": "cad-node",
            "application_version": _WORKFLOW_VERSION,
            "executor_id": jobs.executor_id,
            "enable_otlp": False,
            "log_level": "ERROR",
            "use_listen_notify": False,
            "scheduler_polling_interval_sec": 3600.0,
        }
        if self._sqlite is not None:
            config["system_database_engine"] = self._sqlite
        else:
            config["system_database_url"] = _dbos_url(self._settings)
            config["sys_db_pool_size"] = jobs.workers + 4
        # A handler of our own choosing keeps DBOS from adding one that writes to the console.
        dbos_logger = logging.getLogger("dbos")
        if not dbos_logger.handlers:
            dbos_logger.addHandler(logging.NullHandler())
        DBOS(config=config)

        # No limit to recoveries here: the journal counts them, and says why it gave up.
        @DBOS.workflow(name="study", max_recovery_attempts=None)
        def study(study_instance_uid: str, revision: str, run: int) -> None:
            self._run_study(study_instance_uid, revision, run)

        self._study = study
        DBOS.launch()
        DBOS.register_queue(
            _QUEUE,
            worker_concurrency=jobs.workers,
            polling_interval_sec=_POLLING_S,
            on_conflict="always_update",
        )

    def _run_study(self, study_instance_uid: str, revision: str, run: int) -> None:
        """The workflow: every step's outcome is stored, so a crash repeats at most the step it hit."""
        for attempt in range(1, _ATTEMPTS + 1):
            last = attempt == _ATTEMPTS
            outcome = DBOS.run_step(
                {"name": f"process {attempt}"}, self._process, study_instance_uid, revision, run, last
            )
            if outcome != Outcome.AGAIN:
                break
            DBOS.sleep(_RETRY_AFTER_S * attempt)
        if outcome == Outcome.DONE:
            DBOS.run_step({"name": "order deliveries"}, self._finish, study_instance_uid, revision, run)

    def _end(self, timeout_s: float = 0.0) -> None:
        try:
            DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=math.ceil(timeout_s))
        finally:
            self._study = None
            if self._sqlite is not None:
                self._sqlite.dispose()
            self._running.release()


def jobs_file(settings: NodeSettings) -> Path:
    """Where the embedded job database lies."""
    return settings.data_dir / JOBS_FILE


def recover(settings: NodeSettings, executor: str) -> int:
    """Put back into the queue what a machine that is dead for good had begun.

    Needed only where that machine does not come back under the same name:
    started again, it takes up its own. The machine must really be dead, or its
    studies are processed twice at once (which costs time and harms nothing).

    Returns
    -------
    int
        How many workflows there were.

    Raises
    ------
    JobError
        The job database cannot be used.
    """
    with _client(settings) as client:
        if client is None:
            return 0
        pending = client.list_workflows(status="PENDING", executor_id=executor, load_input=False)
        for workflow in pending:
            client.resume_workflow(workflow.workflow_id, queue_name=_QUEUE)
        return len(pending)


def pending_elsewhere(settings: NodeSettings) -> set[str]:
    """Names of the machines, other than this one, that have begun something and not ended it.

    Raises
    ------
    JobError
        The job database cannot be used.
    """
    with _client(settings) as client:
        pending = [] if client is None else client.list_workflows(status="PENDING", load_input=False)
    return {one.executor_id for one in pending if one.executor_id} - {settings.jobs.executor_id}


@contextmanager
def _client(settings: NodeSettings) -> Iterator[DBOSClient | None]:
    """A look from outside at the job database; None where there is none yet."""
    engine = client = None
    try:
        if settings.jobs.database_url:
            client = DBOSClient(system_database_url=_dbos_url(settings), application_name="cad-node")
        elif jobs_file(settings).exists():
            engine = sqlite_engine(jobs_file(settings), explicit_begin=False)
            client = DBOSClient(system_database_engine=engine, application_name="cad-node")
        yield client
    except SQLAlchemyError as error:
        raise JobError(
            f"The job database cannot be used: {cause_of(error)}.", "Has a node ever run on it?"
        ) from error
    finally:
        if client is not None:
            client.destroy()
        if engine is not None:
            engine.dispose()


def _dbos_url(settings: NodeSettings) -> str:
    url = postgres_url(settings.jobs.database_url or "").set(drivername="postgresql")
    return url.render_as_string(hide_password=False)
