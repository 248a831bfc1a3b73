"""Orders to analyse again, in the real engine: behind what comes in, by the right model, once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cad_node.domain import MadeBy
from cad_node.errors import GaveWayError
from cad_node.jobs.engine import JobEngine, Process
from cad_node.settings import NodeSettings
from cad_node.store.journal import Journal
from cad_node.store.results import ResultStore
from cad_node.store.schema import DeliveryState, RevisionState
from tests.unit.jobs.stubs import FakeDestination, processing, stored

WAIT_S = 300.0
OLD = MadeBy("a" * 64, "breast-us 1", "1" * 64)
NEW = MadeBy("b" * 64, "breast-us 2", "2" * 64)
STUDIES = ("1.1", "1.2", "1.3")

Make = Callable[[Process, MadeBy, FakeDestination], JobEngine]


@pytest.fixture
def settings(tmp_path: Path) -> NodeSettings:
    return NodeSettings(
        data_dir=tmp_path,
        completion={"quiet_time_s": 0},  # type: ignore[arg-type]
        jobs={"workers": 1, "retry_first_s": 0.1},  # type: ignore[arg-type]
    )


@pytest.fixture
def journal(settings: NodeSettings) -> Iterator[Journal]:
    journal = Journal.open(settings)
    yield journal
    journal.close()


@pytest.fixture
def engine_of(settings: NodeSettings, journal: Journal, results: ResultStore) -> Make:
    def make(process: Process, made: MadeBy, destination: FakeDestination) -> JobEngine:
        return JobEngine(settings, journal, results, process, {"pacs": destination}, digest=made.digest)

    return make


@pytest.fixture
def _analysed_before(engine_of: Make, journal: Journal, results: ResultStore) -> None:
    for study in STUDIES:
        journal.record_instance(stored(study))
    with engine_of(processing(results, made=OLD), OLD, FakeDestination()) as engine:
        assert engine.wait_idle(WAIT_S)
    assert journal.reanalysis.counts() == {OLD: 3}


def order_all(journal: Journal) -> None:
    for study in journal.reanalysis.latest():
        assert study.last is not None
        assert journal.reanalysis.order(study.last, NEW.digest)


@pytest.mark.usefixtures("_analysed_before")
def test_a_node_with_the_new_model_makes_new_results_once(
    engine_of: Make, journal: Journal, results: ResultStore
) -> None:
    order_all(journal)
    destination = FakeDestination()

    with engine_of(processing(results, made=NEW), NEW, destination) as engine:
        assert engine.wait_idle(WAIT_S)

    assert journal.reanalysis.counts() == {NEW: 3}
    assert [name[:4] for name in destination.folders] == ["0002"] * 3
    # The SEG of each is what the destination has: only the new reports went.
    assert len(destination.received) == len(set(destination.received)) == 3
    assert {record.starts for record in journal.revisions.all()} == {1}


@pytest.mark.usefixtures("_analysed_before")
def test_a_node_with_another_model_leaves_the_orders_alone_and_says_so(
    engine_of: Make, journal: Journal, results: ResultStore, caplog: pytest.LogCaptureFixture
) -> None:
    order_all(journal)
    journal.record_instance(stored("1.4"))

    with engine_of(processing(results, made=OLD), OLD, FakeDestination()) as engine:
        wait_until(lambda: len(journal.revisions.all(RevisionState.DONE)) == 4)
        assert not engine.wait_idle(0)

    assert journal.reanalysis.waiting() == {NEW.digest: 3}
    assert "3 studies wait to be analysed again by another model" in caplog.text


@pytest.mark.usefixtures("_analysed_before")
def test_what_comes_in_goes_before_what_is_analysed_again(
    engine_of: Make, journal: Journal, results: ResultStore
) -> None:
    order_all(journal)
    for study in ("1.4", "1.5"):
        journal.record_instance(stored(study))
    begun: list[str] = []

    with engine_of(
        processing(results, before=lambda study, _: begun.append(study), made=NEW), NEW, FakeDestination()
    ) as engine:
        assert engine.wait_idle(WAIT_S)

    assert begun == ["1.4", "1.5", *STUDIES]


@pytest.mark.usefixtures("_analysed_before")
def test_one_that_gave_way_is_taken_up_again_after_what_came_in(
    engine_of: Make, journal: Journal, results: ResultStore
) -> None:
    order_all(journal)
    begun: list[str] = []
    gave_way = threading.Event()

    def before(study: str, _revision: str) -> None:
        begun.append(study)
        if not gave_way.is_set():
            gave_way.set()
            journal.record_instance(stored("1.4"))
            journal.close_study("1.4")
            raise GaveWayError("A study that came in needs the worker.", "")

    destination = FakeDestination()
    with engine_of(processing(results, before=before, made=NEW), NEW, destination) as engine:
        assert engine.wait_idle(WAIT_S)

    assert begun == ["1.1", "1.4", *STUDIES]
    again = journal.revisions.of_study("1.1")[1]
    assert (again.state, again.starts, again.run) == (RevisionState.DONE, 1, 2)
    assert len(destination.folders) == 4


@pytest.mark.usefixtures("_analysed_before")
def test_an_order_begun_under_a_model_that_the_node_no_longer_has_waits_for_it(
    engine_of: Make, journal: Journal, results: ResultStore
) -> None:
    order_all(journal)
    order = journal.reanalysis.startable(NEW.digest)
    assert order is not None
    journal.revisions.begin(order, "node-1")  # killed then, and started with the old model

    with engine_of(processing(results, made=OLD), OLD, FakeDestination()):
        wait_until(lambda: journal.reanalysis.waiting() == {NEW.digest: 3})
    with engine_of(processing(results, made=NEW), NEW, FakeDestination()) as engine:
        assert engine.wait_idle(WAIT_S)

    assert journal.reanalysis.counts() == {NEW: 3}


@pytest.mark.usefixtures("_analysed_before")
def test_an_order_that_the_engine_lost_does_not_stop_what_came_in_behind_it(
    engine_of: Make, journal: Journal, results: ResultStore
) -> None:
    order_all(journal)
    order = journal.reanalysis.startable(NEW.digest)
    assert order is not None
    journal.revisions.begin(order, "node-1")
    journal.record_instance(stored(order.study_instance_uid, 2))
    journal.close_study(order.study_instance_uid)

    with engine_of(processing(results, made=NEW), NEW, FakeDestination()) as engine:
        assert engine.wait_idle(WAIT_S)

    assert journal.reanalysis.counts() == {NEW: 3}
    assert [record.made_for for record in journal.revisions.of_study(order.study_instance_uid)] == ["", ""]


@pytest.mark.usefixtures("_analysed_before")
def test_what_is_held_is_held_again(settings: NodeSettings, journal: Journal, results: ResultStore) -> None:
    order_all(journal)
    held = settings.destinations[0].model_copy(update={"name": "pacs", "hold": True})
    settings = settings.model_copy(update={"destinations": (held,)})
    destination = FakeDestination()

    with JobEngine(
        settings, journal, results, processing(results, made=NEW), {"pacs": destination}, digest=NEW.digest
    ) as engine:
        assert engine.wait_idle(WAIT_S)

    assert destination.received == []
    states = [item.state for item in journal.outgoing.of_study("1.1")]
    assert states == [DeliveryState.SENT, DeliveryState.HELD]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
