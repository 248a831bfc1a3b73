"""Worker processes that process studies, one study at a time each.

A study runs in its own process because decoders of compressed pixels are
native code fed by whoever can send: a crash or an endless loop there ends the
worker and fails that study; the node, its associations and the other studies
go on. It also keeps the network threads free of the interpreter lock.

A task that can wait is begun only while none waits that cannot, and stops at the
next frame when one comes; its worker stays, with its models.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar, cast

from cad_node.errors import CadNodeError, StudyError
from cad_node.giving_way import give_way_when
from cad_node.logs import set_up_logging
from cad_node.process import StudyTask
from cad_node.result_files import StudySummary
from cad_node.settings import NodeSettings

logger = logging.getLogger(__name__)

_START_DEADLINE_S = 300.0
# proc(5), oom_score_adj: as if a worker used half of the machine's memory more than it does.
_OOM_SCORE = 500


class WorkerDiedError(StudyError):
    """The worker crashed or overran its time; the study may be tried again."""


_Task = TypeVar("_Task")
_Answer = TypeVar("_Answer")
_Task_contra = TypeVar("_Task_contra", contravariant=True)
_Answer_co = TypeVar("_Answer_co", covariant=True)


class Processes(Protocol[_Task_contra, _Answer_co]):
    """What a worker holds: loaded once, asked task by task."""

    def process(self, task: _Task_contra, /) -> _Answer_co:
        """Do one task; it and the answer travel between processes."""


Load = Callable[[NodeSettings], Processes[StudyTask, StudySummary]]


class WorkerPool(Generic[_Task, _Answer]):
    """A fixed number of worker processes; `process` may be called from many threads.

    Parameters
    ----------
    settings
        Handed to every worker, which loads its own model.
    count
        Number of workers. Each holds a model (about 0.6 GB of memory).
    load
        Makes the processor inside the worker; it is sent there, and never through a command line.
    """

    def __init__(
        self, settings: NodeSettings, count: int, load: Callable[[NodeSettings], Processes[_Task, _Answer]]
    ) -> None:
        # Spawned, not forked: threads of torch and onnxruntime do not survive a fork.
        self._context = multiprocessing.get_context("spawn")
        self._settings = settings
        self._load = load
        self._workers = [self._new_worker() for _ in range(count)]
        self._idle = list(self._workers)
        # Workers with a task that can wait, the one that began first in front.
        self._yielding: list[_Worker[_Task, _Answer]] = []
        self._urgent = 0
        self._changed = threading.Condition()
        self._closed = False

    def __enter__(self) -> WorkerPool[_Task, _Answer]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait_ready(self) -> None:
        """Wait until every worker has loaded its model; raises what went wrong there."""
        for worker in self._workers:
            worker.wait_ready()

    def process(self, task: _Task, *, can_wait: bool = False) -> _Answer:
        """Process a task in an idle worker, waiting for one.

        Parameters
        ----------
        can_wait
            Let every other task go first, even in the middle of this one.

        Raises
        ------
        CadNodeError
            As the processor does.
        GaveWayError
            The task can wait, and another needed its worker.
        WorkerDiedError
            The worker ended or ran longer than `runtime.study_deadline_s`.
        """
        worker = self._take(can_wait)
        idle = worker
        try:
            return worker.run(task, self._settings.runtime.study_deadline_s)
        except WorkerDiedError:
            idle = self._replacement(worker)
            raise
        finally:
            with self._changed:
                if can_wait:
                    self._yielding.remove(worker)
                self._idle.append(idle)
                self._changed.notify_all()

    def close(self) -> None:
        """End the workers; a study in progress is given up, and none is begun any more."""
        with self._changed:
            self._closed = True
            for worker in self._workers:
                worker.kill()
            self._changed.notify_all()

    def _take(self, can_wait: bool) -> _Worker[_Task, _Answer]:
        with self._changed:
            if can_wait:
                self._changed.wait_for(lambda: self._closed or (self._idle and not self._urgent))
            else:
                self._urgent += 1
                try:
                    while not (self._closed or self._idle):
                        for worker in self._yielding[: self._urgent]:
                            worker.ask_to_give_way()
                        self._changed.wait()
                finally:
                    self._urgent -= 1
                # Where several became idle at once, one that can wait may go, too.
                self._changed.notify_all()
            if self._closed:
                raise WorkerDiedError(
                    "The workers were stopped before the study was processed.", "Start again."
                )
            worker = self._idle.pop()
            worker.next_task()
            if can_wait:
                self._yielding.append(worker)
            return worker

    def _replacement(self, dead: _Worker[_Task, _Answer]) -> _Worker[_Task, _Answer]:
        dead.kill()
        with self._changed:
            if self._closed:
                return dead
            self._workers.remove(dead)
            self._workers.append(worker := self._new_worker())
            return worker

    def _new_worker(self) -> _Worker[_Task, _Answer]:
        return _Worker(self._context, self._settings, self._load)


class _Worker(Generic[_Task, _Answer]):
    def __init__(
        self,
        context: multiprocessing.context.SpawnContext,
        settings: NodeSettings,
        load: Callable[[NodeSettings], Processes[_Task, _Answer]],
    ) -> None:
        self._pipe, theirs = context.Pipe()
        self._task = 0
        # The task that is to give way. Shared memory without a lock: a worker that is killed leaves none taken.
        self._asked = RawValue("q", 0)
        self._process: BaseProcess = context.Process(
            target=_serve, args=(theirs, settings, load, self._asked), name="cad-node-worker", daemon=True
        )
        # Ctrl-C reaches the whole process group: it is held back until the worker itself passes it over.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        theirs.close()
        self._ready = False

    def wait_ready(self) -> None:
        if not self._ready:
            self._receive(_START_DEADLINE_S)
            self._ready = True

    def next_task(self) -> None:
        """Number the task to come, so that it alone can be asked to give way."""
        self._task += 1

    def ask_to_give_way(self) -> None:
        self._asked.value = self._task

    def run(self, task: _Task, deadline_s: float) -> _Answer:
        self.wait_ready()
        try:
            self._pipe.send((self._task, task))
        except OSError as error:
            raise self._death() from error
        answer = self._receive(deadline_s)
        if answer is None:
            raise WorkerDiedError("A worker gave no answer.", "See the log.")
        return cast("_Answer", answer)

    def _receive(self, deadline_s: float) -> object:
        try:
            if not self._pipe.poll(deadline_s):
                if not self._ready:
                    raise WorkerDiedError(
                        f"A worker did not load its models within {deadline_s:.0f} s.",
                        "Start again when the machine, or the disk that holds the models, is less busy.",
                    )
                raise WorkerDiedError(
                    f"Processing took longer than {deadline_s:.0f} s and was ended.",
                    "Raise runtime.study_deadline_s if the study is merely large.",
                )
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._death() from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _death(self) -> WorkerDiedError:
        self._process.join(5)
        code = self._process.exitcode
        name = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        if not self._ready:
            return WorkerDiedError(
                f"A worker ended ({name}) while it loaded its models.",
                "See the lines before this one. SIGKILL often means that memory ran out: a worker takes about "
                "0.6 GB; lower jobs.workers.",
            )
        return WorkerDiedError(
            f"The worker ended ({name}) while it processed the study.",
            "If it happens again, a file of the study crashes a decoder: keep it for the developers.",
        )

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.join(5)
        self._pipe.close()


def _serve(
    pipe: Connection,
    settings: NodeSettings,
    load: Callable[[NodeSettings], Processes[Any, Any]],
    asked: ctypes.c_longlong,
) -> None:
    """Run in the worker: load once, then one study after the other until the pipe closes."""
    # Ctrl-C reaches the whole process group; only the parent decides what then happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    _cost_no_more_than_a_study()
    set_up_logging(settings.log_level)
    try:
        processor = load(settings)
    except CadNodeError as error:
        pipe.send(error)
        return
    pipe.send(None)
    number = 0
    give_way_when(lambda: asked.value == number > 0)
    while True:
        try:
            number, task = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(processor.process(task))
        except CadNodeError as error:
            pipe.send(error)
        except Exception as error:  # the wall between a study and the node
            logger.error("unexpected %s in a study", type(error).__name__)
            # The message of a foreign exception may quote the data set: only its kind travels.
            pipe.send(StudyError(f"Unexpected {type(error).__name__} while processing.", _where(error)))


def _cost_no_more_than_a_study() -> None:
    """Leave no core file, and be the one that the kernel ends when an image takes all memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold a patient's picture
    with contextlib.suppress(OSError, ValueError):
        adjustment = Path("/proc/self/oom_score_adj")
        adjustment.write_text(str(max(_OOM_SCORE, int(adjustment.read_text()))), encoding="ascii")


def _end_with_parent(parent: int) -> None:
    """End this process when the node was killed: its successor starts workers of its own."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _where(error: BaseException) -> str:
    """File and line that raised, innermost last: enough to find it, no data."""
    trace = error.__traceback__
    places = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return "At " + " < ".join(reversed(places[-6:])) + "."
