"""Has one destination confirm that it keeps what it was sent, in a thread of its own.

It stands beside the courier and never in its way: a delivery is done when it was taken,
and what follows here delays no other. What is missing there goes back to the courier,
and so under the same UIDs, by the same rules.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping

from cad_node.deliver.commitment import CommitmentScu, Remedy, remedy
from cad_node.deliver.event_report import read_report
from cad_node.deliver.objects import ResultObject
from cad_node.domain import EventReport, ReportAnswer
from cad_node.errors import DestinationRefusedError, DestinationUnreachableError, JobError
from cad_node.jobs.faults import describe
from cad_node.jobs.thread import JobThread, Pause
from cad_node.logs import study_context
from cad_node.settings import CStoreDestinationSettings, JobsSettings
from cad_node.store.journal import Journal
from cad_node.store.results import ResultStore
from cad_node.store.schema import CommitmentRecord, CommitmentState

logger = logging.getLogger(__name__)

_RETRY = "See the log of the PACS, then: cad-node jobs retry."
# A request of which the node itself hears no more, beside its answer's own deadline.
_SLACK_S = 60.0


class CommitmentRequester(JobThread):
    """Asks one destination what the journal says is to be asked, and draws the conclusions.

    Parameters
    ----------
    executor
        Stable name of this machine: what it was asking when it died is asked again.
    clock
        Seconds since 1970; the same as the journal's.
    """

    def __init__(
        self,
        scu: CommitmentScu,
        journal: Journal,
        results: ResultStore,
        settings: JobsSettings,
        executor: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(f"commitment-{scu.settings.name}")
        self._scu = scu
        self._destination = scu.settings
        self._journal = journal
        self._results = results
        self._settings = settings
        self._executor = executor
        self._failures = 0
        self._pause = Pause(clock)

    def do_next(self) -> bool:
        """Ask, or act on what was answered or not; False where there is nothing to do now."""
        longest_s = max(self._destination.commitment_timeout_s + _SLACK_S, self._settings.retry_longest_s)
        record = self._journal.commitments.due(self._destination.name, longest_s)
        if record is None:
            return False
        with study_context(record.study_instance_uid):
            if record.state is CommitmentState.REPORTED:
                self._act(record)
            elif record.state is not CommitmentState.TO_ASK:
                self._remind(record)
            elif self._pause.lasts:
                return False
            else:
                self._ask(record)
        return True

    def _rest(self) -> None:
        self._pause.begin(self._settings.retry_first_s)

    def _ask(self, record: CommitmentRecord) -> None:
        commitments = self._journal.commitments
        try:
            objects = self._objects(record)
        except (DestinationRefusedError, JobError) as error:
            self._end(record, str(error))
            return
        deadline_s = self._destination.commitment_timeout_s
        transaction_uid = commitments.begin(
            record, [one.sop_instance_uid for one in objects], self._executor, deadline_s + _SLACK_S
        )
        if transaction_uid is None:
            return
        name = {self._destination.name}
        try:
            self._scu.request(
                transaction_uid,
                objects,
                lambda report: record_report(self._journal, report, name),
                lambda: self._stopping.is_set() or commitments.is_reported(transaction_uid),
            )
        except DestinationRefusedError as error:
            self._refused(transaction_uid, str(error))
        except DestinationUnreachableError as error:
            self._postpone(transaction_uid, record, str(error))
        except Exception as error:  # a fault of ours; the next request may fare better
            self._postpone(transaction_uid, record, describe(error))
        else:
            commitments.asked(transaction_uid, deadline_s)
            logger.info("asked %s for storage commitment of %d objects", *name, len(objects))
            self._reached()

    def _objects(self, record: CommitmentRecord) -> list[ResultObject]:
        """What was sent and is not committed."""
        folder = self._results.folder(record.study_instance_uid, record.revision)
        if not folder.is_dir():
            raise JobError("The results are no longer stored.", "Have them made anew: cad-node jobs retry.")
        done = self._journal.commitments.committed(record)
        return [one for one in self._scu.objects(folder) if one.sop_instance_uid not in done]

    def _act(self, record: CommitmentRecord) -> None:
        """See to what the destination is not committed to."""
        reasons = self._journal.commitments.open_objects(record)
        problem = self._problem(reasons)
        remedies = {uid: remedy(reason)[0] for uid, reason in reasons.items()}
        if Remedy.NONE in remedies.values() or record.requests >= self._destination.commitment_tries:
            self._end(record, f"{problem} {_RETRY}")
            return
        logger.warning("%s", problem)
        delay_s = self._settings.delay_s(record.requests)
        missing = [uid for uid, what in remedies.items() if what is Remedy.SEND_AGAIN]
        if not missing:
            self._journal.commitments.ask_again(record, problem, delay_s)
        elif not self._journal.commitments.send_again(record, missing, delay_s):
            self._end(record, f"{problem} A later revision has taken its place.")

    def _remind(self, record: CommitmentRecord) -> None:
        """No report came in time."""
        problem = f"Destination {self._destination.name} did not report on a commitment in time."
        if record.requests >= self._destination.commitment_tries:
            self._end(
                record, f"{problem} Check that it knows the node's AE title, address and port; {_RETRY}"
            )
        else:
            logger.warning("%s", problem)
            self._journal.commitments.ask_again(record, problem)

    def _problem(self, reasons: Mapping[str, int | None]) -> str:
        counts = Counter(remedy(reason)[1] for reason in reasons.values())
        what = ", ".join(f"{count} x {words}" for words, count in sorted(counts.items()))
        return f"Destination {self._destination.name} is not committed to all objects: {what}."

    def _end(self, record: CommitmentRecord, problem: str) -> None:
        self._journal.commitments.end(record, problem)
        logger.error("not committed: %s", problem)

    def _refused(self, transaction_uid: str, problem: str) -> None:
        self._journal.commitments.refused(transaction_uid, problem)
        logger.error("not committed: %s", problem)
        self._reached()

    def _reached(self) -> None:
        if self._failures >= 2:
            self._journal.commitments.hurry(self._destination.name)
        self._failures = 0
        self._pause.end()

    def _postpone(self, transaction_uid: str, record: CommitmentRecord, problem: str) -> None:
        spread = random.uniform(0.8, 1.0)
        # What a clock that leapt, or a node that was off, adds to the time is no time in which it was tried.
        if self._journal.lifetime.has_passed(self._settings.retry_give_up_s, record.since):
            self._journal.commitments.refused(transaction_uid, problem)
            logger.error("given up on asking: %s", problem)
        else:
            delay_s = self._settings.delay_s(record.attempts + 1) * spread
            self._journal.commitments.postpone(transaction_uid, problem, delay_s)
            logger.warning("asked for commitment again in %.0f s: %s", delay_s, problem)
        self._failures += 1
        self._pause.begin(self._settings.delay_s(self._failures) * spread)


class ReportDesk:
    """Takes the reports that come to the node's own port, from those who were asked.

    Parameters
    ----------
    destinations
        Those that commitment is asked of; others are left out.
    """

    def __init__(self, journal: Journal, destinations: Mapping[str, CStoreDestinationSettings]) -> None:
        self._journal = journal
        self._names: dict[str, set[str]] = {}
        called: dict[str, set[str]] = {}
        for name, settings in destinations.items():
            for title in settings.reporting_ae_titles:
                self._names.setdefault(title, set()).add(name)
                called.setdefault(title, set()).add(settings.calling_ae_title)
        self.called = {title: frozenset(titles) for title, titles in called.items()}

    def record(self, report: EventReport) -> ReportAnswer:
        """Make a report safe, and say how it is answered."""
        return record_report(self._journal, report, self._names.get(report.calling_ae_title, set()))


def record_report(journal: Journal, report: EventReport, destinations: set[str]) -> ReportAnswer:
    """Note a report of a peer that speaks for these destinations; what cannot be noted is to be repeated."""
    found = read_report(report)
    if isinstance(found, ReportAnswer):
        return found
    try:
        known = journal.commitments.report(found, destinations)
    except Exception as error:  # the journal is away: the peer is told that it failed
        logger.error("a commitment's report could not be noted: %s", describe(error))
        return ReportAnswer.FAULT
    if not known:
        return ReportAnswer.UNKNOWN_TRANSACTION
    logger.info("commitment: %d objects kept, %d not", len(found.committed), len(found.failed))
    return ReportAnswer.RECORDED
