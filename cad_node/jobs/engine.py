"""The job engine: closes studies, has them processed, and sends couriers out.

Everything it knows is in the journal; the workflow engine holds only what is
being done. So either database may be restored from a backup, or the second one
lost, and at the next look the engine brings them together again.

What is to be analysed again is begun only while no study that came in needs a
worker, and gives way to one that comes (`workers.py`).
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from cad_node.deliver import Destination, commitment_scus
from cad_node.errors import (
    GaveWayError,
    JobError,
    ModelError,
    NoUsableFramesError,
    PixelDecodeError,
    SettingsError,
    SeveralPatientsError,
    SourceGoneError,
    TemplateError,
    UncalibratedImageError,
)
from cad_node.jobs.commitment import CommitmentRequester
from cad_node.jobs.completion import due_studies
from cad_node.jobs.courier import Courier
from cad_node.jobs.faults import describe
from cad_node.jobs.recovery import gone
from cad_node.jobs.thread import JobThread
from cad_node.jobs.workflows import Outcome, Workflows
from cad_node.logs import study_context
from cad_node.settings import NodeSettings
from cad_node.store.journal import Journal
from cad_node.store.results import ResultStore
from cad_node.store.schema import RevisionRecord

logger = logging.getLogger(__name__)

Process = Callable[[str, str], None]

# Facts about the study or the node's files: a second attempt would say the same.
_FINAL = (
    ModelError,
    NoUsableFramesError,
    PixelDecodeError,
    SettingsError,
    SeveralPatientsError,
    SourceGoneError,
    TemplateError,
    UncalibratedImageError,
)
# A study that takes the whole node down with it this often is left alone.
_MAX_STARTS = 10
_RECONCILE_S = 10.0
_TIDY_S = 86400.0
_ALIVE_S = 3600.0
_GONE_S = 600.0
_SLOWEST_LOOK_S = 1.0


class JobEngine:
    """From the last instance of a study to its results at every destination.

    Parameters
    ----------
    settings
        Of the node.
    journal, results
        Where everything is kept; closed by whoever opened them, after `stop`.
    process
        Makes the results of a revision and commits them to `results`. Called from
        several threads; may be called again for the same revision.
    destinations
        By name. Each has a thread of its own.
    clock
        Seconds since 1970; the same as the journal's.
    digest
        Of what the results are made by (`MadeBy`): only orders to analyse again that
        were made for it are taken. Empty: none is.
    """

    def __init__(
        self,
        settings: NodeSettings,
        journal: Journal,
        results: ResultStore,
        process: Process,
        destinations: Mapping[str, Destination],
        clock: Callable[[], float] = time.time,
        digest: str = "",
    ) -> None:
        self._digest = digest
        self._settings = settings
        self._journal = journal
        self._results = results
        self._process = process
        self._clock = clock
        self._destinations = tuple(destinations)
        self._held = frozenset(item.name for item in settings.destinations if item.hold)
        self._executor = settings.jobs.executor_id
        self._workflows = Workflows(settings, self._process_step, self._finish_step)
        self._asked = {name: scu for name, scu in commitment_scus(settings).items() if name in destinations}
        self._couriers: list[JobThread] = [
            Courier(
                name,
                destination,
                journal,
                results,
                settings.jobs,
                self._executor,
                clock,
                commitment=name in self._asked,
            )
            for name, destination in destinations.items()
        ]
        self._couriers += [
            CommitmentRequester(scu, journal, results, settings.jobs, self._executor, clock)
            for scu in self._asked.values()
        ]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="job-engine", daemon=True)
        self._listening_since = 0.0
        self._active = 0
        self._gone: set[str] = set()
        self._active_lock = threading.Lock()

    def start(self) -> None:
        """Begin, first with what was unfinished when the node last ended.

        Raises
        ------
        JobError
            The databases cannot be used, or an engine runs in this process.
        """
        self._workflows.start()
        try:
            self._take_up()
        except BaseException:
            self._workflows.stop(0.0)
            raise
        self._listening_since = self._clock()
        self._thread.start()
        for courier in self._couriers:
            courier.start()

    def stop(self, timeout_s: float = 20.0) -> bool:
        """Begin nothing more and wait for what is being done.

        Returns
        -------
        bool
            False where something was still being done after `timeout_s`. Either
            way nothing is lost: the next start goes on with it.
        """
        deadline = time.monotonic() + timeout_s
        self._stopping.set()
        if not self._thread.is_alive():
            return True  # it never started, or was stopped before
        for courier in self._couriers:
            courier.ask_to_stop()
        self._thread.join(timeout_s)
        left_s = max(deadline - time.monotonic(), 0.0)
        self._workflows.stop(left_s if self._active else 0.0)
        ended = [courier.join(max(deadline - time.monotonic(), 0.1)) for courier in self._couriers]
        clean = all(ended) and not self._active
        if not clean:
            logger.warning("stopped in the middle of work, which the next start takes up")
        return clean

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until every study is complete, processed and delivered; whether that came about."""
        deadline = time.monotonic() + timeout_s
        while not self._journal.is_idle():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def __enter__(self) -> JobEngine:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def close_due_studies(self) -> None:
        """Take studies as complete whose time has come."""
        due = due_studies(
            self._journal.open_studies(), self._settings.completion, self._clock(), self._listening_since
        )
        for uid in due:
            with study_context(uid):
                revision = self._journal.close_study(uid)
                if revision is None:
                    logger.info("complete, and nothing in it is new")
                else:
                    logger.info("complete, revision %s", revision)

    def _take_up(self) -> None:
        """Look at what was unfinished when the node last ended."""
        outgoing = self._journal.outgoing
        released = outgoing.release(self._executor)
        self._journal.commitments.release(self._executor)
        if withdrawn := self._journal.commitments.withdraw(self._asked):
            logger.info("%d commitments are no longer asked for, as the settings say", withdrawn)
        started = self._journal.revisions.started()
        if released or started:
            logger.info("taking up %d studies and %d deliveries", len(started), released)
        waiting = self._journal.reanalysis.waiting()
        if mine := waiting.pop(self._digest, 0):
            logger.info("%d studies are to be analysed again", mine)
        if waiting:
            logger.warning(
                "%d studies wait to be analysed again by another model or settings than this node's",
                sum(waiting.values()),
            )
        for name in sorted(outgoing.destinations_waited_for() - set(self._destinations)):
            logger.warning("deliveries wait for destination %s, which the settings no longer name", name)

    def _run(self) -> None:
        look_s = min(max(self._settings.completion.quiet_time_s / 10, 0.1), _SLOWEST_LOOK_S)
        reconcile_at = tidy_at = alive_at = gone_at = -math.inf
        while not self._stopping.is_set():
            try:
                if time.monotonic() >= alive_at:
                    self._journal.lifetime.note_alive()
                    alive_at = time.monotonic() + _ALIVE_S
                self.close_due_studies()
                if time.monotonic() >= reconcile_at:
                    self._reconcile()
                    reconcile_at = time.monotonic() + _RECONCILE_S
                self._enqueue()
                self._analyse_again()
                if time.monotonic() >= gone_at:
                    self._speak_of_the_gone()
                    gone_at = time.monotonic() + _GONE_S
                if time.monotonic() >= tidy_at:
                    self._workflows.forget_ended()
                    self._results.clean_up()
                    tidy_at = time.monotonic() + _TIDY_S
            except Exception as error:  # a database is away: the engine must outlive that
                logger.error("job engine: %s", describe(error))
                self._stopping.wait(_SLOWEST_LOOK_S)
            self._stopping.wait(look_s)

    def _enqueue(self) -> None:
        for record in self._journal.revisions.startable():
            self._workflows.enqueue(record)
            self._journal.revisions.mark_queued(record)

    def _analyse_again(self) -> None:
        """Begin with one order where a worker has nothing else to do."""
        reanalysis = self._journal.reanalysis
        record = reanalysis.startable(self._digest) if self._digest else None
        if record is None or reanalysis.busy(self._executor) >= self._settings.jobs.workers:
            return
        self._workflows.begin(record)
        self._journal.revisions.mark_queued(record)

    def _reconcile(self) -> None:
        """Have whatever the journal counts as started really be on its way."""
        self._journal.executor_name.keep()
        records = self._journal.revisions.started()
        ended = self._workflows.ended(records)
        for record in records:
            known = record.workflow_id in ended
            over = ended.get(record.workflow_id, True)
            if record.made_for:
                if over:
                    self._journal.reanalysis.put_back(record, begun=known)
            elif not known:
                self._workflows.enqueue(record)
            elif over and self._journal.revisions.restart(record):
                logger.warning("a workflow of study %s ended without a result", record.study_instance_uid)

    def _speak_of_the_gone(self) -> None:
        """Name the machines whose work waits for them, once each time that they are gone."""
        now_gone = gone(self._settings, self._journal)
        for name in sorted(now_gone - self._gone):
            logger.warning(
                "machine %s does not run, and what it had begun waits for it; where it does not come back: "
                "cad-node jobs recover %s",
                name,
                name,
            )
        self._gone = now_gone

    def _process_step(self, study_instance_uid: str, revision: str, run: int, last: bool) -> Outcome:
        with self._active_lock:
            self._active += 1
        try:
            with study_context(study_instance_uid):
                return self._process_once(self._record(study_instance_uid, revision, run), last)
        finally:
            with self._active_lock:
                self._active -= 1

    def _process_once(self, record: RevisionRecord, last: bool) -> Outcome:
        self._raise_if_stopping()
        if record.made_for not in ("", self._digest):
            # Begun before this node was started with another model, or on another machine.
            self._journal.reanalysis.put_back(record)
            return Outcome.LATER
        starts = self._journal.revisions.begin(record, self._executor)
        if not starts:
            return Outcome.FAILED  # decided elsewhere: by a later run, or on another machine
        if starts > _MAX_STARTS:
            problem = (
                f"The node ended {_MAX_STARTS} times while it processed this study. Look into its files."
            )
            self._journal.revisions.fail(record, "JobError", problem)
            logger.error("%s", problem)
            return Outcome.FAILED
        return self._attempt(record, last)

    def _attempt(self, record: RevisionRecord, last: bool) -> Outcome:
        uid, started = record.study_instance_uid, time.monotonic()
        try:
            # What was committed before a crash is not made again.
            if not self._results.folder(uid, record.revision).is_dir():
                self._process(uid, record.revision)
        except GaveWayError:
            self._journal.reanalysis.put_back(record)
            logger.info("gave way to a study that came in; analysed again later")
            return Outcome.LATER
        except Exception as error:  # the wall between one study and the others
            self._raise_if_stopping()
            if not last and not isinstance(error, _FINAL):
                logger.warning("processing failed and is tried again: %s", describe(error))
                return Outcome.AGAIN
            self._journal.revisions.fail(record, type(error).__name__, describe(error))
            logger.error("processing failed: %s", describe(error))
            return Outcome.FAILED
        logger.info("processed in %.1f s", time.monotonic() - started)
        return Outcome.DONE

    def _finish_step(self, study_instance_uid: str, revision: str, run: int) -> None:
        record = self._record(study_instance_uid, revision, run)
        # What is stored says by what it was made: the node may have been started anew since.
        made = self._results.made_by(study_instance_uid, revision)
        self._journal.revisions.finish(record, self._destinations, self._held, made)
        for courier in self._couriers:
            courier.wake()

    def _raise_if_stopping(self) -> None:
        """Leave a study as it is in the journal; the next start takes it up."""
        if self._stopping.is_set():
            raise JobError("The node is stopping.", "The study is taken up at the next start.")

    def _record(self, study_instance_uid: str, revision: str, run: int) -> RevisionRecord:
        record = self._journal.revisions.get(study_instance_uid, revision)
        if record is None or record.run != run:
            raise JobError(
                "A workflow belongs to no revision in the journal.",
                "Journal and job database must belong together: restore both from the same backup.",
                study_instance_uid=study_instance_uid,
            )
        return record
