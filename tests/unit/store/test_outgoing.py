from __future__ import annotations

import pytest

from cad_node.errors import JobError
from cad_node.store.journal import Journal
from cad_node.store.schema import DeliveryRecord, DeliveryState
from tests.unit.jobs.stubs import Clock, stored


def done(journal: Journal, study: str, number: int = 1) -> None:
    """One more instance of a study, complete and processed."""
    journal.record_instance(stored(study, number))
    revision = journal.close_study(study)
    assert revision is not None
    record = journal.revisions.get(study, revision)
    assert record is not None
    journal.revisions.begin(record, "node-1")
    journal.revisions.finish(record, ["pacs", "outbox"])


def claim(journal: Journal, destination: str = "pacs") -> DeliveryRecord:
    record = journal.outgoing.claim(destination, "node-1")
    assert record is not None
    return record


def test_each_delivery_is_claimed_once(journal: Journal) -> None:
    done(journal, "1.1")
    done(journal, "1.2")

    assert {claim(journal).study_instance_uid, claim(journal).study_instance_uid} == {"1.1", "1.2"}
    assert journal.outgoing.claim("pacs", "node-1") is None
    assert claim(journal, "outbox").destination == "outbox"


def test_what_was_postponed_is_due_again_only_later(journal: Journal, clock: Clock) -> None:
    done(journal, "1.1")
    journal.outgoing.postpone(claim(journal), "DestinationUnreachableError", "down", 10)

    clock.forward(9)
    assert journal.outgoing.claim("pacs", "node-1") is None
    clock.forward(1)
    again = claim(journal)
    assert (again.attempts, again.problem) == (2, "down")


def test_results_of_a_study_go_out_in_the_order_of_its_revisions(journal: Journal, clock: Clock) -> None:
    done(journal, "1.1", 1)
    journal.outgoing.postpone(claim(journal), "E", "down", 3600)
    done(journal, "1.1", 2)

    first = claim(journal)  # at once, in spite of its delay: the later results wait for it
    assert first.number == 1
    assert journal.outgoing.claim("pacs", "node-1") is None
    journal.outgoing.sent(first)
    assert claim(journal).number == 2


def test_a_refused_revision_does_not_hold_back_the_next(journal: Journal) -> None:
    done(journal, "1.1", 1)
    journal.outgoing.refused(claim(journal), "DestinationRefusedError", "no")
    done(journal, "1.1", 2)

    assert claim(journal).number == 2


def test_older_results_cannot_be_retried_after_newer_ones(journal: Journal) -> None:
    done(journal, "1.1", 1)
    journal.outgoing.refused(claim(journal), "DestinationRefusedError", "no")
    done(journal, "1.1", 2)
    old = journal.outgoing.all(DeliveryState.REFUSED)[0]

    with pytest.raises(JobError, match="older than revision 2"):
        journal.outgoing.retry(old)


def test_an_old_revision_that_is_processed_late_is_not_sent_after_the_new(journal: Journal) -> None:
    journal.record_instance(stored("1.1", 1))
    revision = journal.close_study("1.1")
    assert revision is not None
    old = journal.revisions.get("1.1", revision)
    assert old is not None
    journal.revisions.fail(old, "E", "no")
    done(journal, "1.1", 2)
    assert journal.revisions.retry(old)
    again = journal.revisions.get("1.1", revision)
    assert again is not None
    journal.revisions.finish(again, ["pacs", "outbox"])

    assert {delivery.number for delivery in journal.outgoing.of_study("1.1")} == {2}


def test_results_made_anew_go_where_the_former_were_refused(journal: Journal) -> None:
    done(journal, "1.1")
    journal.outgoing.refused(claim(journal), "JobError", "The results are no longer stored.")
    journal.outgoing.sent(claim(journal, "outbox"))
    record = journal.revisions.all()[0]
    assert journal.revisions.retry(record)

    journal.revisions.finish(journal.revisions.all()[0], ["pacs", "outbox"])

    states = {item.destination: item.state for item in journal.outgoing.all()}
    assert states == {"pacs": DeliveryState.WAITING, "outbox": DeliveryState.SENT}


def test_a_retry_starts_from_the_beginning(journal: Journal, clock: Clock) -> None:
    done(journal, "1.1")
    journal.outgoing.refused(claim(journal), "DestinationRefusedError", "no")
    clock.forward(1000)

    journal.outgoing.retry(journal.outgoing.all(DeliveryState.REFUSED)[0])

    again = claim(journal)
    assert (again.attempts, again.since, again.problem) == (1, clock.now, "")


def test_retrying_what_was_sent_sends_every_object_again(journal: Journal) -> None:
    done(journal, "1.1")
    journal.taken.object_sent("pacs", "1.1", "1.1.9")
    journal.taken.object_sent("pacs", "1.1", "1.1.9")
    journal.taken.object_sent("outbox", "1.1", "1.1.9")
    journal.outgoing.sent(claim(journal))
    assert journal.taken.objects_sent("pacs", "1.1") == {"1.1.9"}

    journal.outgoing.retry(journal.outgoing.all(DeliveryState.SENT)[0])

    assert journal.taken.objects_sent("pacs", "1.1") == frozenset()
    assert journal.taken.objects_sent("outbox", "1.1") == {"1.1.9"}


def test_what_a_dead_node_was_sending_is_released(journal: Journal) -> None:
    done(journal, "1.1")
    claim(journal)

    assert journal.outgoing.release("another") == 0
    assert journal.outgoing.release("node-1") == 1
    assert claim(journal).attempts == 2


def test_when_a_destination_is_back_all_that_waits_is_due(journal: Journal) -> None:
    for study in ("1.1", "1.2"):
        done(journal, study)
        journal.outgoing.postpone(claim(journal), "E", "down", 3600)
    journal.outgoing.postpone(claim(journal, "outbox"), "E", "full", 3600)

    journal.outgoing.hurry("pacs")

    assert {claim(journal).study_instance_uid, claim(journal).study_instance_uid} == {"1.1", "1.2"}
    assert len(journal.outgoing.all(DeliveryState.WAITING)) == 2


@pytest.mark.parametrize("late", ["refused", "given_up", "postpone"])
def test_who_was_thought_dead_decides_nothing_any_more(journal: Journal, late: str) -> None:
    done(journal, "1.1")
    first = claim(journal)
    journal.outgoing.release("node-1")
    second = journal.outgoing.claim("pacs", "node-2")
    assert second is not None
    journal.outgoing.sent(second)

    more = (10.0,) if late == "postpone" else ()
    getattr(journal.outgoing, late)(first, "DeliveryError", "no", *more)

    assert [item.state for item in journal.outgoing.all() if item.destination == "pacs"] == [
        DeliveryState.SENT
    ]


def test_machines_that_are_sending_are_known_by_name(journal: Journal) -> None:
    done(journal, "1.1")
    assert journal.outgoing.executors() == set()
    claim(journal)
    assert journal.outgoing.executors() == {"node-1"}
    journal.outgoing.release("node-1")
    assert journal.outgoing.executors() == set()
