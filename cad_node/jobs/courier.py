"""Brings results to one destination, in its own thread, until it has taken them.

A destination that is down delays nobody but itself. While it is down, one
delivery after the other tries it at growing intervals; when it is back, all that
waits goes out at once.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from cad_node.deliver import Destination
from cad_node.errors import DestinationRefusedError, DestinationUnreachableError, JobError
from cad_node.jobs.faults import describe
from cad_node.jobs.thread import JobThread, Pause
from cad_node.logs import study_context
from cad_node.settings import JobsSettings
from cad_node.store.journal import Journal
from cad_node.store.results import ResultStore
from cad_node.store.schema import DeliveryRecord

logger = logging.getLogger(__name__)

# A destination with many deliveries waiting is knocked at this often, however long each one waits.
_LONGEST_PAUSE_S = 300.0


class Courier(JobThread):
    """Delivers to one destination what the journal says is due.

    Parameters
    ----------
    name
        Of the destination, in the settings and in the journal.
    executor
        Stable name of this machine: what it was sending when it died is sent again.
    clock
        Seconds since 1970; the same as the journal's.
    commitment
        Whether the destination is to say that it keeps what it took.
    """

    def __init__(
        self,
        name: str,
        destination: Destination,
        journal: Journal,
        results: ResultStore,
        settings: JobsSettings,
        executor: str,
        clock: Callable[[], float] = time.time,
        *,
        commitment: bool = False,
    ) -> None:
        super().__init__(f"courier-{name}")
        self._name = name
        self._destination = destination
        self._journal = journal
        self._results = results
        self._settings = settings
        self._executor = executor
        self._commitment = commitment
        self._failures = 0
        self._pause = Pause(clock)
        self._faulted = False

    def deliver_next(self) -> bool:
        """Make one attempt at what is due for longest; False where there is nothing to do now."""
        if self._pause.lasts:
            return False
        if self._faulted:
            # The journal could not be told how the last attempt ended.
            self._journal.outgoing.release(self._executor, self._name)
            self._faulted = False
        record = self._journal.outgoing.claim(self._name, self._executor, self._settings.retry_longest_s)
        if record is None:
            return False
        with study_context(record.study_instance_uid):
            self._attempt(record)
        return True

    def do_next(self) -> bool:
        """The same, as its thread calls it."""
        return self.deliver_next()

    def _rest(self) -> None:
        self._faulted = True
        self._pause.begin(self._settings.retry_first_s)

    def _attempt(self, record: DeliveryRecord) -> None:
        outgoing, taken = self._journal.outgoing, self._journal.taken
        uid = record.study_instance_uid
        started = time.monotonic()
        try:
            folder = self._results.folder(uid, record.revision)
            if not folder.is_dir():
                raise JobError(
                    "The results are no longer stored.", "Have them made anew: cad-node jobs retry."
                )
            self._destination.send(
                folder,
                taken.objects_sent(self._name, uid),
                lambda sop_instance_uid: taken.object_sent(self._name, uid, sop_instance_uid),
            )
        except (DestinationRefusedError, JobError) as error:
            outgoing.refused(record, type(error).__name__, str(error))
            logger.error("refused by %s: %s", self._name, error)
            self._reached()
        except DestinationUnreachableError as error:
            self._postpone(record, type(error).__name__, str(error))
        except Exception as error:  # a fault of ours; the next delivery may fare better
            self._postpone(record, type(error).__name__, describe(error))
        else:
            outgoing.sent(record, commitment=self._commitment)
            logger.info("sent to %s in %.1f s", self._name, time.monotonic() - started)
            self._reached()

    def _reached(self) -> None:
        self._pause.end()
        # One failure may have been the object's; two in a row were the destination's.
        if self._failures >= 2:
            logger.info("destination %s is back", self._name)
            self._journal.outgoing.hurry(self._name)
        self._failures = 0

    def _postpone(self, record: DeliveryRecord, error: str, problem: str) -> None:
        # Spread, so that not all that failed together comes back together.
        spread = random.uniform(0.8, 1.0)
        # What a clock that leapt, or a node that was off, adds to the time is no time in which it was tried.
        if self._journal.lifetime.has_passed(self._settings.retry_give_up_s, record.since):
            self._journal.outgoing.given_up(record, error, problem)
            logger.error("given up on %s after %d attempts: %s", self._name, record.attempts, problem)
        else:
            delay_s = self._settings.delay_s(record.attempts) * spread
            self._journal.outgoing.postpone(record, error, problem, delay_s)
            logger.warning("%s: again in %.0f s: %s", self._name, delay_s, problem)
        self._failures += 1
        self._pause.begin(min(self._settings.delay_s(self._failures), _LONGEST_PAUSE_S) * spread)
