"""The node that serves: the only place that wires the rooms together.

C-STORE -> inbox -> journal -> (study complete) -> worker -> results -> destinations
C-STORE -> inbox of answers -> journal -> (what was held is let go, or kept for good)
C-STORE -> what the node made itself and a PACS sends back: kept, and nothing follows
N-EVENT-REPORT -> journal -> (what a destination is committed to, and what it is to be sent again)
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from cad_node.answers import ANSWERS_FOLDER, AnswerDesk
from cad_node.deliver import Destination, commitment_scus, make_destination
from cad_node.domain import ReceivedInstance, StoredInstance
from cad_node.errors import SettingsError, SourceGoneError
from cad_node.jobs.commitment import ReportDesk
from cad_node.jobs.engine import JobEngine
from cad_node.jobs.recovery import take_over
from cad_node.logs import study_context
from cad_node.process import StudyTask, load_processor, making
from cad_node.read.came_back import is_own_capture, is_verified
from cad_node.receive.contexts import ANSWER_CLASSES
from cad_node.receive.listening import look_at_port
from cad_node.receive.scp import Reports, StorageScp
from cad_node.settings import NodeSettings
from cad_node.store.inbox import INBOX_FOLDER, RETURNED_FOLDER, Inbox
from cad_node.store.journal import Journal
from cad_node.store.results import RESULTS_FOLDER, ResultStore, object_files
from cad_node.tls import look_at_files
from cad_node.workers import Load, WorkerPool

logger = logging.getLogger(__name__)

# Studies that were spoken of when they were sent again; afterwards they are spoken of once more.
_REMEMBERED_STUDIES = 10_000


class Node:
    """A running node: start it, use it, stop it.

    Parameters
    ----------
    settings
        Read once, here.
    load
        Makes the processor inside each worker; another one in tests.
    """

    def __init__(self, settings: NodeSettings, load: Load = load_processor) -> None:
        self.settings = settings
        look_at_files(settings)
        self.making = making(settings)
        self._lock = _lock_folder(settings)
        self.journal = Journal.open(settings)
        try:
            self.journal.executor_name.claim(settings.jobs.executor_id)
        except BaseException:
            self.journal.close()
            self._lock.close()
            raise
        self.results = ResultStore(settings.data_dir / RESULTS_FOLDER)
        self.inbox = Inbox(
            settings.data_dir / INBOX_FOLDER,
            record=self._record,
            reserve_bytes=settings.receive.disk_reserve_bytes,
            writer=settings.jobs.executor_id,
            may_correct=self.journal.revisions.names_several_patients,
        )
        answers = settings.data_dir / ANSWERS_FOLDER
        self.answers = Inbox(
            answers,
            record=AnswerDesk(self.journal, self.results, settings.answers, answers).record,
            reserve_bytes=settings.receive.disk_reserve_bytes,
            writer=settings.jobs.executor_id,
        )
        self.returned = Inbox(
            settings.data_dir / RETURNED_FOLDER,
            record=lambda _: False,
            reserve_bytes=settings.receive.disk_reserve_bytes,
            writer=settings.jobs.executor_id,
        )
        self.destinations: Mapping[str, Destination] = {
            destination.name: make_destination(destination, settings.results)
            for destination in settings.destinations
        }
        self.pool = WorkerPool(settings, settings.jobs.workers, load)
        self.engine = JobEngine(
            settings,
            self.journal,
            self.results,
            process=self._process,
            destinations=self.destinations,
            digest=self.making.digest,
        )
        self._told: set[str] = set()
        asked = {name: scu.settings for name, scu in commitment_scus(settings).items()}
        desk = ReportDesk(self.journal, asked)
        self.scp = StorageScp(
            settings.receive,
            accept=self._accept,
            has_room=self.inbox.has_room,
            spill_folder=self.inbox.incoming,
            reports=Reports(desk.called, desk.record),
        )

    def start(self) -> None:
        """Load the models, take up what a crash left, then open the port."""
        look_at_port(self.settings.receive)  # now, as the models take their time
        self.pool.wait_ready()
        self.journal.reanalysis.announce(self.settings.jobs.executor_id, self.making)
        for record in self.journal.reanalysis.unlabelled():
            made = self.results.made_by(record.study_instance_uid, record.revision)
            self.journal.reanalysis.label(record, made)
        self.inbox.rescan(self.journal.stored_paths)
        answered = self.journal.answers.stored_paths()
        self.answers.rescan(lambda _: answered)
        self.returned.clean_up()
        self.engine.start()
        if not self.settings.jobs.database_url:
            take_over(self.settings, self.journal)
        self.scp.start()

    def stop(self) -> None:
        """Close the port, then the workers; what is unfinished goes on at the next start."""
        self.scp.stop()
        self.engine.stop()
        self.pool.close()
        self.journal.close()
        self._lock.close()
        logger.info("stopped")

    def _accept(self, received: ReceivedInstance) -> None:
        """Make an instance safe: an image for its study, an answer for the result that it names."""
        is_answer = received.sop_class_uid in ANSWER_CLASSES
        if self._came_back(received, is_answer=is_answer):
            logger.info("a result came back; it is kept apart and changes nothing")
            self.returned.accept(received)
        else:
            (self.answers if is_answer else self.inbox).accept(received)

    def _came_back(self, received: ReceivedInstance, *, is_answer: bool) -> bool:
        """Whether a PACS sends what it was sent; a report that somebody verified since is an answer."""
        if not is_answer:
            return is_own_capture(received)
        sent = self.journal.taken.was_sent(received.study_instance_uid, received.sop_instance_uid)
        return sent and not is_verified(received)

    def _record(self, stored: StoredInstance) -> bool:
        """Note an instance; of a study that is merely sent again, say once that its result is of an older model."""
        new = self.journal.record_instance(stored)
        uid = stored.study_instance_uid
        if not new and uid not in self._told:
            if len(self._told) >= _REMEMBERED_STUDIES:
                self._told.clear()
            self._told.add(uid)
            result = self.journal.reanalysis.newest_result(uid)
            if result is not None and result.made_by != self.making.digest:
                with study_context(uid):
                    logger.warning(
                        "sent again, and nothing in it is new: its result stays the one by %s, made otherwise than "
                        "this node does now (%s); to have it anew: cad-node reanalyse --study",
                        result.model or "an unknown model",
                        self.making.model,
                    )
        return new

    def _process(self, study_instance_uid: str, revision: str) -> None:
        """Make the results of one revision of a study; harmless when done before."""
        if self.results.folder(study_instance_uid, revision).is_dir():
            return  # a crash came between storing and noting it
        files = tuple(self.inbox.root / path for path in self.journal.files_of(study_instance_uid, revision))
        gone = sum(not path.is_file() for path in files)
        if gone or not files:
            raise SourceGoneError(
                f"{gone or 'All'} of {len(files) or 'the'} files of the study are no longer in the inbox.",
                "Have the study sent again, then: cad-node jobs retry.",
                study_instance_uid=study_instance_uid,
            )
        before = self.results.before(study_instance_uid, revision)
        earlier = tuple(path for folder in before for path in object_files(folder))
        record = self.journal.revisions.get(study_instance_uid, revision)
        again = record is not None and record.made_for != ""

        def write(folder: Path) -> None:
            self.pool.process(StudyTask(files, folder, datetime.now(UTC), earlier), can_wait=again)

        self.results.commit(study_instance_uid, revision, write)


def _lock_folder(settings: NodeSettings) -> ExitStack:
    """Make the data folder, and keep a second node out of it; the lock ends with the process.

    Several machines on one PostgreSQL share the folder, each under an executor_id of its own;
    with SQLite a node is alone in it, whatever its name.
    """
    folder, executor_id = settings.data_dir, settings.jobs.executor_id
    with ExitStack() as locks:
        locks.enter_context(_locked(folder, f"node-{executor_id}.lock", f"runs as {executor_id} on"))
        if not settings.jobs.database_url:
            locks.enter_context(_locked(folder, "node.lock", "works in"))
        return locks.pop_all()


def _locked(folder: Path, name: str, what: str) -> IO[str]:
    """Lock a file in a folder for as long as it is open."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Opened for appending: another node's process number stays in it until it is locked.
        handle = (folder / name).open("a", encoding="ascii")
    except OSError as error:
        raise SettingsError(
            f"The data folder {folder.resolve()} cannot be written to: {error.strerror}.",
            "Set data_dir to a folder of the user that the node runs as, on a disk that is mounted and not full.",
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.close()
        raise SettingsError(
            f"Another node {what} the data folder {folder}.",
            "Stop it, or give this one another data_dir or, with PostgreSQL, another jobs.executor_id.",
        ) from error
    handle.truncate(0)
    handle.write(f"{os.getpid()}\n")
    handle.flush()
    return handle
