import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cad_node.errors import GaveWayError, ModelNotFoundError, NoUsableFramesError, StudyError
from cad_node.process import StudyTask
from cad_node.settings import load_settings
from cad_node.workers import WorkerDiedError, WorkerPool
from tests.unit.fake_processors import load_and_die, load_nothing, load_obedient


def _task(order: str) -> StudyTask:
    return StudyTask((), Path(order), datetime.now(UTC))


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[WorkerPool]:
    settings = load_settings(None, {"data_dir": tmp_path, "runtime": {"study_deadline_s": 30}})
    with WorkerPool(settings, 1, load_obedient) as workers:
        yield workers


def test_a_study_is_processed_in_another_process(pool: WorkerPool) -> None:
    assert pool.process(_task("good")).seconds["read"] != os.getpid()


def test_a_crash_costs_one_study_and_the_next_goes_on(pool: WorkerPool) -> None:
    with pytest.raises(WorkerDiedError, match="SIGSEGV"):
        pool.process(_task("crash"))

    assert pool.process(_task("good")).study_instance_uid == "good"


def test_a_worker_without_memory_ends_before_the_node_and_leaves_no_core(pool: WorkerPool) -> None:
    """A core file would hold a patient's picture."""
    pool.wait_ready()
    about = Path(f"/proc/{pool._workers[0]._process.pid}")

    assert int((about / "oom_score_adj").read_text()) >= 500
    (cores,) = (line for line in (about / "limits").read_text().splitlines() if "core file" in line)
    assert cores.split()[4:6] == ["0", "0"]


def test_an_error_of_the_node_comes_back_as_it_is(pool: WorkerPool) -> None:
    with pytest.raises(NoUsableFramesError, match="Send it again"):
        pool.process(_task("refuse"))

    assert pool.process(_task("good")).study_instance_uid == "good"


def test_a_foreign_error_comes_back_without_its_message(pool: WorkerPool) -> None:
    with pytest.raises(StudyError, match="Unexpected KeyError") as caught:
        pool.process(_task("stumble"))

    assert "DOE" not in str(caught.value)
    assert "fake_processors.py" in caught.value.hint


def test_a_study_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    settings = load_settings(None, {"data_dir": tmp_path, "runtime": {"study_deadline_s": 1}})
    with WorkerPool(settings, 1, load_obedient) as workers:
        workers.wait_ready()

        with pytest.raises(WorkerDiedError, match="longer than 1 s"):
            workers.process(_task("hang"))


def test_what_fails_while_loading_is_told_at_the_start(tmp_path: Path) -> None:
    settings = load_settings(None, {"data_dir": tmp_path})
    with WorkerPool(settings, 1, load_nothing) as workers, pytest.raises(ModelNotFoundError):
        workers.wait_ready()


def test_a_worker_that_dies_while_loading_blames_no_study(tmp_path: Path) -> None:
    settings = load_settings(None, {"data_dir": tmp_path})
    said = r"\(SIGKILL\) while it loaded its models.*memory"
    with WorkerPool(settings, 1, load_and_die) as workers, pytest.raises(WorkerDiedError, match=said):
        workers.wait_ready()


def test_ctrl_c_while_a_worker_starts_is_left_to_the_node(pool: WorkerPool) -> None:
    process = pool._workers[0]._process
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)

    assert pool.process(_task("good")).study_instance_uid == "good"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def test_many_threads_share_few_workers(pool: WorkerPool) -> None:
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda name: pool.process(_task(name)), ["a", "b", "c", "d"]))

    assert [summary.study_instance_uid for summary in done] == ["a", "b", "c", "d"]


def test_after_the_end_no_study_is_begun(pool: WorkerPool) -> None:
    pool.close()

    with pytest.raises(WorkerDiedError, match="stopped"):
        pool.process(_task("good"))


def test_a_task_that_can_wait_gives_way_and_its_worker_stays(pool: WorkerPool) -> None:
    before = pool.process(_task("good")).seconds["read"]
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(pool.process, _task("patient"), can_wait=True)
        while not pool._yielding:
            time.sleep(0.01)

        urgent = pool.process(_task("good"))

        with pytest.raises(GaveWayError):
            waiting.result(30)
    assert urgent.seconds["read"] == before


def test_one_that_was_not_asked_goes_on_after_another_gave_way(pool: WorkerPool) -> None:
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(pool.process, _task("patient"), can_wait=True)
        while not pool._yielding:
            time.sleep(0.01)
        pool.process(_task("polite"))
        with pytest.raises(GaveWayError):
            waiting.result(30)

    assert pool.process(_task("polite"), can_wait=True).study_instance_uid == "polite"
