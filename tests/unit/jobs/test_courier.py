from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from cad_node.errors import DestinationRefusedError, DestinationUnreachableError
from cad_node.jobs.courier import Courier
from cad_node.settings import JobsSettings
from cad_node.store.journal import Journal
from cad_node.store.results import ResultStore
from cad_node.store.schema import DeliveryState
from tests.unit.jobs.stubs import Clock, FakeDestination, stored, write_results

SETTINGS = JobsSettings(retry_first_s=10, retry_longest_s=100, retry_give_up_s=1000)


def down() -> DestinationUnreachableError:
    return DestinationUnreachableError("Nobody answers.", "Wait.")


MakeCourier = Callable[[FakeDestination], Courier]


@pytest.fixture
def courier_to(journal: Journal, results: ResultStore, clock: Clock) -> MakeCourier:
    return lambda destination: Courier("pacs", destination, journal, results, SETTINGS, "node-1", clock)


@pytest.fixture
def ready(journal: Journal, results: ResultStore) -> Callable[[str, int], None]:
    """Make the results of a study ready to be sent."""

    def make(study: str, number: int = 1) -> None:
        journal.record_instance(stored(study, number))
        revision = journal.close_study(study)
        assert revision is not None
        record = journal.revisions.get(study, revision)
        assert record is not None
        results.commit(study, revision, lambda folder: write_results(folder, study, revision))
        journal.revisions.finish(record, ["pacs"])

    return make


Ready = Callable[[str], None]


def states(journal: Journal) -> list[DeliveryState]:
    return [record.state for record in journal.outgoing.all()]


def test_what_is_due_is_sent_once(journal: Journal, courier_to: MakeCourier, ready: Ready) -> None:
    destination = FakeDestination()
    courier = courier_to(destination)
    ready("1.1")

    assert courier.deliver_next()
    assert not courier.deliver_next()

    assert len(destination.received) == 2
    assert states(journal) == [DeliveryState.SENT]


def test_after_a_partial_failure_only_the_rest_is_sent(
    journal: Journal, courier_to: MakeCourier, ready: Ready, clock: Clock
) -> None:
    destination = FakeDestination(down(), take=1)
    courier = courier_to(destination)
    ready("1.1")
    courier.deliver_next()
    assert len(destination.received) == 1
    clock.forward(10)

    courier.deliver_next()

    assert len(destination.received) == len(set(destination.received)) == 2
    assert states(journal) == [DeliveryState.SENT]


def test_what_did_not_change_is_not_sent_with_the_next_revision(
    courier_to: MakeCourier, ready: Callable[[str, int], None]
) -> None:
    destination = FakeDestination()
    courier = courier_to(destination)
    ready("1.1", 1)
    courier.deliver_next()

    ready("1.1", 2)
    courier.deliver_next()

    assert len(destination.received) == len(set(destination.received)) == 3  # one SEG, two SRs


def test_delays_double_up_to_the_longest(
    journal: Journal, courier_to: MakeCourier, ready: Ready, clock: Clock
) -> None:
    courier = courier_to(FakeDestination(*(down() for _ in range(6))))
    ready("1.1")
    delays = []
    for _ in range(6):
        assert courier.deliver_next()
        delays.append(journal.outgoing.all()[0].next_attempt_at - clock.now)
        clock.forward(delays[-1])

    for delay, nominal in zip(delays, (10, 20, 40, 80, 100, 100), strict=True):
        assert 0.8 * nominal <= delay <= nominal


def test_a_failure_says_what_and_when_again(journal: Journal, courier_to: MakeCourier, ready: Ready) -> None:
    courier = courier_to(FakeDestination(down()))
    ready("1.1")
    courier.deliver_next()

    record = journal.outgoing.all()[0]
    assert (record.state, record.error) == (DeliveryState.WAITING, "DestinationUnreachableError")
    assert record.problem == "Nobody answers. Wait."


def test_while_it_is_down_one_delivery_at_a_time_knocks(
    courier_to: MakeCourier, ready: Ready, clock: Clock
) -> None:
    destination = FakeDestination(*(down() for _ in range(50)))
    courier = courier_to(destination)
    for number in range(1, 21):
        ready(f"1.{number}")

    knocks = 0
    for _ in range(60):
        clock.forward(1)
        while courier.deliver_next():
            knocks += 1

    assert 3 <= knocks <= 5  # after 0, 10, 30 s …, not twenty times each


def test_when_it_is_back_all_that_waits_goes_out_at_once(
    journal: Journal, courier_to: MakeCourier, ready: Ready, clock: Clock
) -> None:
    courier = courier_to(FakeDestination(*(down() for _ in range(5))))
    for number in range(1, 6):
        ready(f"1.{number}")
    for _ in range(5):
        while not courier.deliver_next():
            clock.forward(1)
    clock.forward(100)

    while courier.deliver_next():
        pass

    assert states(journal) == [DeliveryState.SENT] * 5


def test_a_refusal_is_for_ever_and_holds_back_nobody(
    journal: Journal, courier_to: MakeCourier, ready: Ready, clock: Clock
) -> None:
    courier = courier_to(FakeDestination(DestinationRefusedError("No.", "Ask.")))
    ready("1.1")
    ready("1.2")

    assert courier.deliver_next()
    assert courier.deliver_next()
    clock.forward(1e6)
    assert not courier.deliver_next()

    assert sorted(states(journal)) == [DeliveryState.REFUSED, DeliveryState.SENT]


def test_it_gives_up_in_the_end(
    journal: Journal, courier_to: MakeCourier, ready: Ready, clock: Clock
) -> None:
    courier = courier_to(FakeDestination(*(down() for _ in range(50))))
    ready("1.1")
    for _ in range(1101):
        courier.deliver_next()
        clock.forward(1)

    assert states(journal) == [DeliveryState.GIVEN_UP]


def test_a_clock_that_leaps_ahead_gives_nothing_up(
    journal: Journal, results: ResultStore, ready: Ready, clock: Clock
) -> None:
    settings, destination = JobsSettings(), FakeDestination(down(), down())
    courier = Courier("pacs", destination, journal, results, settings, "node-1", clock)
    journal.lifetime.note_alive()
    ready("1.1")
    courier.deliver_next()
    clock.forward(365 * 86400)
    journal.lifetime.note_alive()
    courier.deliver_next()
    assert states(journal) == [DeliveryState.WAITING]


def test_a_fault_of_ours_is_retried_and_its_message_kept_out(
    journal: Journal, courier_to: MakeCourier, ready: Ready, caplog: pytest.LogCaptureFixture
) -> None:
    courier = courier_to(FakeDestination(ValueError("DOE^JANE")))
    ready("1.1")

    courier.deliver_next()

    record = journal.outgoing.all()[0]
    assert record.state is DeliveryState.WAITING
    assert "ValueError at stubs.py:" in record.problem
    assert "JANE" not in record.problem + caplog.text


def test_results_that_are_gone_are_not_retried_for_ever(
    journal: Journal, courier_to: MakeCourier, ready: Ready, results: ResultStore
) -> None:
    ready("1.1")
    results.folder("1.1", journal.outgoing.all()[0].revision).rename(results.root / "away")

    courier_to(FakeDestination()).deliver_next()

    assert states(journal) == [DeliveryState.REFUSED]


def test_a_journal_that_is_away_for_a_moment_leaves_nothing_unsent(
    journal: Journal, courier_to: MakeCourier, ready: Ready, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = FakeDestination()
    courier = courier_to(destination)
    ready("1.1")

    def away(*_: object, **__: object) -> None:
        raise OperationalError("", None, Exception("database or disk is full"))

    with monkeypatch.context() as moment:
        moment.setattr(journal.taken, "object_sent", away)
        for name in ("sent", "postpone"):
            moment.setattr(journal.outgoing, name, away)
        look(courier)
        assert states(journal) == [DeliveryState.SENDING]
    clock.forward(10)
    look(courier)

    assert states(journal) == [DeliveryState.SENT]


@pytest.mark.parametrize("days", [1, 4000])
def test_a_clock_that_is_set_back_delays_nothing_for_ever(
    journal: Journal, courier_to: MakeCourier, ready: Ready, clock: Clock, days: float
) -> None:
    destination = FakeDestination(down(), down())
    courier = courier_to(destination)
    clock.forward(days * 86400)
    ready("1.1")
    courier.deliver_next()
    clock.forward(-days * 86400)

    courier.deliver_next()
    clock.forward(100)
    courier.deliver_next()

    assert states(journal) == [DeliveryState.SENT]


def look(courier: Courier) -> None:
    """One turn of its thread."""
    courier._turn()
