from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from cad_node.errors import DestinationUnreachableError, JobError, NoUsableFramesError, StudyError
from cad_node.jobs import workflows
from cad_node.jobs.engine import JobEngine, Process
from cad_node.jobs.workflows import jobs_file, recover
from cad_node.settings import NodeSettings
from cad_node.store.journal import Journal
from cad_node.store.results import ResultStore
from cad_node.store.schema import RevisionState
from tests.unit.jobs.stubs import FakeDestination, processing, stored

WAIT_S = 60.0


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflows, "_RETRY_AFTER_S", 0.01)


@pytest.fixture
def settings(tmp_path: Path) -> NodeSettings:
    return NodeSettings(
        data_dir=tmp_path,
        completion={"quiet_time_s": 0},  # type: ignore[arg-type]
        jobs={"workers": 2, "retry_first_s": 0.1},  # type: ignore[arg-type]
    )


@pytest.fixture
def journal(settings: NodeSettings) -> Iterator[Journal]:
    journal = Journal.open(settings)
    yield journal
    journal.close()


Make = Callable[..., JobEngine]


@pytest.fixture
def engine_with(settings: NodeSettings, journal: Journal, results: ResultStore) -> Make:
    def make(process: Process, **destinations: FakeDestination) -> JobEngine:
        return JobEngine(settings, journal, results, process, destinations)

    return make


def test_studies_come_in_and_results_go_out_to_every_destination(
    engine_with: Make, journal: Journal, results: ResultStore
) -> None:
    destinations = {"pacs": FakeDestination(), "outbox": FakeDestination()}
    for number in range(1, 6):
        journal.record_instance(stored(f"1.{number}"))

    with engine_with(processing(results), **destinations) as engine:
        assert engine.wait_idle(WAIT_S)

    for destination in destinations.values():
        assert len(destination.received) == len(set(destination.received)) == 10


def test_a_failing_study_stops_no_other(
    engine_with: Make, journal: Journal, results: ResultStore, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[str] = []

    def before(study: str, _revision: str) -> None:
        tries.append(study)
        if study == "1.1":
            raise NoUsableFramesError("No file could be read.", "Send it again.")
        if study == "1.2":
            raise ZeroDivisionError("DOE^JANE")

    for number in (1, 2, 3):
        journal.record_instance(stored(f"1.{number}"))
    destination = FakeDestination()

    with engine_with(processing(results, before=before), pacs=destination) as engine:
        assert engine.wait_idle(WAIT_S)

    records = {record.study_instance_uid: record for record in journal.revisions.all()}
    assert records["1.1"].state is records["1.2"].state is RevisionState.FAILED
    assert records["1.1"].problem == "No file could be read. Send it again."
    assert records["1.2"].error == "ZeroDivisionError"
    assert "JANE" not in records["1.2"].problem + caplog.text
    assert records["1.3"].state is RevisionState.DONE
    assert (tries.count("1.1"), tries.count("1.2"), tries.count("1.3")) == (1, 3, 1)
    assert len(destination.folders) == 1


def test_what_failed_for_a_moment_succeeds_at_the_next_attempt(
    engine_with: Make, journal: Journal, results: ResultStore
) -> None:
    tries: list[str] = []

    def before(study: str, _revision: str) -> None:
        tries.append(study)
        if len(tries) < 3:
            raise StudyError("The worker died.", "It happens.")

    journal.record_instance(stored())
    with engine_with(processing(results, before=before)) as engine:
        assert engine.wait_idle(WAIT_S)

    assert journal.revisions.all()[0].state is RevisionState.DONE


def test_an_operators_retry_runs_a_failed_study_again(
    engine_with: Make, journal: Journal, results: ResultStore
) -> None:
    broken = threading.Event()
    broken.set()

    def before(_study: str, _revision: str) -> None:
        if broken.is_set():
            raise NoUsableFramesError("No.", "")

    journal.record_instance(stored())
    destination = FakeDestination()
    with engine_with(processing(results, before=before), pacs=destination) as engine:
        assert engine.wait_idle(WAIT_S)
        broken.clear()
        assert journal.revisions.retry(journal.revisions.all(RevisionState.FAILED)[0])
        assert engine.wait_idle(WAIT_S)

    assert len(destination.folders) == 1


def test_a_late_instance_gives_a_second_delivery_after_the_first(
    engine_with: Make, journal: Journal, results: ResultStore
) -> None:
    destination = FakeDestination()
    with engine_with(processing(results), pacs=destination) as engine:
        journal.record_instance(stored(number=1))
        assert engine.wait_idle(WAIT_S)
        journal.record_instance(stored(number=1))
        journal.record_instance(stored(number=2))
        assert engine.wait_idle(WAIT_S)

    assert [name[:4] for name in destination.folders] == ["0001", "0002"]
    assert len(destination.received) == len(set(destination.received)) == 3


def test_one_destination_that_is_down_delays_no_other(
    engine_with: Make, journal: Journal, results: ResultStore
) -> None:
    down = FakeDestination(*(DestinationUnreachableError("Down.", "") for _ in range(10_000)))
    good = FakeDestination()
    for number in range(1, 6):
        journal.record_instance(stored(f"1.{number}"))

    with engine_with(processing(results), down=down, good=good) as engine:
        deadline = time.monotonic() + WAIT_S
        while len(good.folders) < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not engine.wait_idle(0)

    assert len(good.folders) == 5


def test_stopping_in_the_middle_loses_nothing(
    engine_with: Make, journal: Journal, results: ResultStore
) -> None:
    begun, release = threading.Event(), threading.Event()

    def wait(_study: str, _revision: str) -> None:
        begun.set()
        release.wait(WAIT_S)
        raise StudyError("The worker was ended.", "")  # as a worker does that is killed at the end

    for number in range(1, 6):
        journal.record_instance(stored(f"1.{number}"))
    first = engine_with(processing(results, before=wait), pacs=FakeDestination())
    first.start()
    assert begun.wait(WAIT_S)
    assert not first.stop(timeout_s=0.2)
    release.set()
    assert RevisionState.FAILED not in {record.state for record in journal.revisions.all()}

    destination = FakeDestination()
    with engine_with(processing(results), pacs=destination) as second:
        assert second.wait_idle(WAIT_S)

    assert len(destination.folders) == 5
    assert {record.state for record in journal.revisions.all()} == {RevisionState.DONE}


def test_a_lost_job_database_is_made_anew_from_the_journal(
    engine_with: Make, journal: Journal, results: ResultStore, settings: NodeSettings
) -> None:
    journal.record_instance(stored())
    revision = journal.close_study("1.2.3")
    assert revision is not None
    record = journal.revisions.get("1.2.3", revision)
    assert record is not None
    journal.revisions.mark_queued(record)
    assert not jobs_file(settings).exists()

    with engine_with(processing(results)) as engine:
        assert engine.wait_idle(WAIT_S)

    assert journal.revisions.all()[0].state is RevisionState.DONE


def test_a_lost_journal_is_made_anew_from_the_inbox(
    engine_with: Make, journal: Journal, results: ResultStore, settings: NodeSettings
) -> None:
    journal.record_instance(stored())
    with engine_with(processing(results), pacs=FakeDestination()) as engine:
        assert engine.wait_idle(WAIT_S)
    (settings.data_dir / "other").mkdir()
    other = Journal.open(settings.model_copy(update={"data_dir": settings.data_dir / "other"}))
    destination = FakeDestination()
    other.record_instance(stored())  # as the inbox does that finds it at the start

    with JobEngine(settings, other, results, processing(results), {"pacs": destination}) as engine:
        assert engine.wait_idle(WAIT_S)

    assert len(destination.received) == 2
    assert len(list((results.root / "1.2.3").iterdir())) == 1
    other.close()


def test_results_committed_before_a_crash_are_not_made_again(
    engine_with: Make, journal: Journal, results: ResultStore
) -> None:
    journal.record_instance(stored())
    revision = journal.close_study("1.2.3")
    assert revision is not None
    processing(results)("1.2.3", revision)

    def never(_study: str, _revision: str) -> None:
        raise AssertionError

    destination = FakeDestination()
    with engine_with(never, pacs=destination) as engine:
        assert engine.wait_idle(WAIT_S)

    assert len(destination.folders) == 1


def test_a_study_that_ends_the_node_each_time_is_left_alone(
    engine_with: Make, journal: Journal, results: ResultStore
) -> None:
    journal.record_instance(stored())
    revision = journal.close_study("1.2.3")
    assert revision is not None
    record = journal.revisions.get("1.2.3", revision)
    assert record is not None
    for _ in range(10):
        journal.revisions.begin(record, "node-1")

    with engine_with(processing(results)) as engine:
        assert engine.wait_idle(WAIT_S)

    failed = journal.revisions.all(RevisionState.FAILED)
    assert len(failed) == 1
    assert "ended 10 times" in failed[0].problem


def test_stopping_what_does_not_run_is_harmless(engine_with: Make, results: ResultStore) -> None:
    engine = engine_with(processing(results), pacs=FakeDestination())
    assert engine.stop()
    with engine_with(processing(results), pacs=FakeDestination()) as other:
        assert other.stop()


def test_a_second_engine_in_the_process_is_refused(engine_with: Make, results: ResultStore) -> None:
    with engine_with(processing(results)):
        second = engine_with(processing(results))
        with pytest.raises(JobError, match="runs in this process"):
            second.start()


def test_what_ended_long_ago_is_dropped_from_the_job_database_alone(
    engine_with: Make, journal: Journal, results: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.record_instance(stored())
    with engine_with(processing(results)) as engine:
        assert engine.wait_idle(WAIT_S)
        record = journal.revisions.all()[0]
        deadline = time.monotonic() + WAIT_S
        ended = {record.workflow_id: True}
        while engine._workflows.ended([record]) != ended and time.monotonic() < deadline:
            time.sleep(0.05)
        engine._workflows.forget_ended()
        assert engine._workflows.ended([record]) == ended

        monkeypatch.setattr(workflows, "_FORGET_AFTER", timedelta(0))
        engine._workflows.forget_ended()

        assert engine._workflows.ended([record]) == {}
    assert journal.revisions.all() == [record]


def test_a_look_at_all_that_is_queued_is_one_question_to_the_job_database(
    engine_with: Make, journal: Journal, results: ResultStore
) -> None:
    for number in range(1, 11):
        journal.record_instance(stored(f"1.{number}"))
    go_on = threading.Event()
    mine = threading.get_ident()
    asked: list[str] = []
    with engine_with(processing(results, before=lambda *_: bool(go_on.wait(WAIT_S)))) as engine:
        deadline = time.monotonic() + WAIT_S
        while len(journal.revisions.started()) < 10 and time.monotonic() < deadline:
            time.sleep(0.05)
        job_database = engine._workflows._sqlite
        sa.event.listen(
            job_database,
            "before_cursor_execute",
            lambda _connection, _cursor, statement, *_: (
                asked.append(statement) if threading.get_ident() == mine else None
            ),
        )

        engine._reconcile()

        go_on.set()
        assert engine.wait_idle(WAIT_S)
    assert len(asked) == 1


def test_recovering_where_nothing_ran_finds_nothing(settings: NodeSettings) -> None:
    assert recover(settings, "node-9") == 0
    assert not jobs_file(settings).exists()


def test_a_job_database_that_is_none_is_said_in_words(
    engine_with: Make, results: ResultStore, settings: NodeSettings
) -> None:
    jobs_file(settings).write_bytes(b"not a database, only some bytes of text" * 100)

    with pytest.raises(JobError, match="job database cannot be used"):
        engine_with(processing(results)).start()
    with pytest.raises(JobError, match="job database cannot be used"):
        recover(settings, "node-9")
    jobs_file(settings).unlink()
    with engine_with(processing(results)):
        pass  # a failed start is no obstacle to the next


def test_nothing_is_connected_to(
    engine_with: Make, journal: Journal, results: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _self, address: asked.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: asked.append(address))
    journal.record_instance(stored())

    with engine_with(processing(results), pacs=FakeDestination()) as engine:
        assert engine.wait_idle(WAIT_S)

    assert asked == []


def test_a_destination_that_was_taken_out_of_the_settings_is_named(
    engine_with: Make, journal: Journal, results: ResultStore, caplog: pytest.LogCaptureFixture
) -> None:
    journal.record_instance(stored())
    down = FakeDestination(*(DestinationUnreachableError("Down.", "") for _ in range(10_000)))
    with engine_with(processing(results), old=down):
        deadline = time.monotonic() + WAIT_S
        while not journal.outgoing.all() and time.monotonic() < deadline:
            time.sleep(0.05)

    with engine_with(processing(results), new=FakeDestination()):
        assert "wait for destination old" in caplog.text
