"""A thread that does one thing after the other, and looks for the next each second."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

from cad_node.jobs.faults import describe

logger = logging.getLogger(__name__)

# An operator's order, or another machine's, comes from another process, which cannot wake it.
_LOOK_S = 1.0


class Pause:
    """A rest of so many seconds that a clock which is set back does not make longer."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = self._length_s = 0.0

    def begin(self, seconds: float) -> None:
        """Rest from now on."""
        self._since, self._length_s = self._clock(), seconds

    def end(self) -> None:
        """Rest no longer."""
        self._length_s = 0.0

    @property
    def lasts(self) -> bool:
        """Whether it is not over yet."""
        return self._since <= self._clock() < self._since + self._length_s


class JobThread(ABC):
    """Does what is due, one at a time, until it is told to stop; a fault does not end it."""

    def __init__(self, name: str) -> None:
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look at once: something may be due."""
        self._wake.set()

    def ask_to_stop(self) -> None:
        """Begin nothing more."""
        self._stopping.set()
        self._wake.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for what is being done; whether it ended in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @abstractmethod
    def do_next(self) -> bool:
        """Do what is due for longest; False where there is nothing to do now."""

    @abstractmethod
    def _rest(self) -> None:
        """Pause after a fault of the node's own, as while the journal is away."""

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._turn():
                self._wake.wait(_LOOK_S)
                self._wake.clear()

    def _turn(self) -> bool:
        """One look at what is due; whether there was anything."""
        try:
            return self.do_next()
        except Exception as error:  # the journal is away: the thread must outlive that
            logger.error("%s: %s", self._thread.name, describe(error))
            self._rest()
            return False
