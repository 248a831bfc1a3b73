from __future__ import annotations

from pathlib import Path

import pytest

from cad_node.domain import CommitmentReport
from cad_node.settings import NodeSettings
from cad_node.store.journal import Journal
from cad_node.store.schema import CommitmentRecord, CommitmentState, DeliveryRecord, DeliveryState
from tests.unit.jobs.stubs import Clock
from tests.unit.store.test_outgoing import claim, done

STUDY = "1.1"
SEG, SR = "1.1.9.1", "1.1.9.2"
DEADLINE_S = 3600.0


def sent(journal: Journal, number: int = 1) -> DeliveryRecord:
    """All of a study's next revision was taken by a destination that is to commit itself."""
    done(journal, STUDY, number)
    return sent_again(journal)


def sent_again(journal: Journal) -> DeliveryRecord:
    """Whatever is due was taken."""
    record = claim(journal)
    for uid in (SEG, SR):
        journal.taken.object_sent("pacs", STUDY, uid)
    journal.outgoing.sent(record, commitment=True)
    return record


def due(journal: Journal) -> CommitmentRecord:
    record = journal.commitments.due("pacs")
    assert record is not None
    return record


def asked(journal: Journal) -> str:
    """The Transaction UID of a request that the destination took."""
    transaction = journal.commitments.begin(due(journal), (SEG, SR), "node-1", DEADLINE_S)
    assert transaction is not None
    journal.commitments.asked(transaction, DEADLINE_S)
    return transaction


def report(
    journal: Journal,
    transaction: str,
    *committed: str,
    failed: dict[str, int] | None = None,
    name: str = "pacs",
) -> bool:
    return journal.commitments.report(
        CommitmentReport(transaction, frozenset(committed), failed or {}), {name}
    )


def now(journal: Journal) -> CommitmentRecord:
    (record,) = journal.commitments.of_study(STUDY)
    return record


def test_commitment_is_asked_for_only_where_it_is_wanted(journal: Journal) -> None:
    done(journal, STUDY)
    journal.outgoing.sent(claim(journal, "outbox"))
    assert journal.commitments.all() == []

    sent_again(journal)

    assert [item.destination for item in journal.commitments.all()] == ["pacs"]
    assert now(journal).state is CommitmentState.TO_ASK


def test_all_committed_is_committed(journal: Journal) -> None:
    sent(journal)
    transaction = asked(journal)
    assert journal.commitments.due("pacs") is None

    assert report(journal, transaction, SEG, SR)

    assert now(journal).state is CommitmentState.COMMITTED
    assert journal.commitments.is_reported(transaction)
    assert journal.commitments.committed(now(journal)) == {SEG, SR}


def test_only_what_a_report_names_is_committed(journal: Journal) -> None:
    sent(journal)
    transaction = asked(journal)

    report(journal, transaction, SEG, "9.9.9")

    assert now(journal).state is CommitmentState.REPORTED
    assert journal.commitments.open_objects(now(journal)) == {SR: None}
    assert due(journal).state is CommitmentState.REPORTED


def test_failure_reasons_are_kept_object_by_object(journal: Journal) -> None:
    sent(journal)
    transaction = asked(journal)

    report(journal, transaction, SEG, failed={SR: 0x0112})

    assert journal.commitments.open_objects(now(journal)) == {SR: 0x0112}


@pytest.mark.parametrize("transaction", ["1.2.3", ""])
def test_an_unknown_transaction_changes_nothing(journal: Journal, transaction: str) -> None:
    sent(journal)
    asked(journal)

    assert not report(journal, transaction, SEG, SR)

    assert now(journal).state is CommitmentState.ASKED


def test_another_destination_cannot_speak_for_it(journal: Journal) -> None:
    sent(journal)
    transaction = asked(journal)

    assert not report(journal, transaction, SEG, SR, name="outbox")

    assert now(journal).state is CommitmentState.ASKED


def test_a_report_that_is_repeated_changes_nothing(journal: Journal) -> None:
    sent(journal)
    transaction = asked(journal)
    report(journal, transaction, SEG, SR)

    assert report(journal, transaction, failed={SEG: 0x0110, SR: 0x0110})

    assert now(journal).state is CommitmentState.COMMITTED


def test_a_report_may_come_before_the_request_is_answered(journal: Journal) -> None:
    sent(journal)
    transaction = journal.commitments.begin(due(journal), (SEG, SR), "node-1", DEADLINE_S)
    assert transaction is not None
    report(journal, transaction, SEG, SR)

    journal.commitments.asked(transaction, DEADLINE_S)

    assert now(journal).state is CommitmentState.COMMITTED


def test_the_report_on_an_earlier_request_counts_too(journal: Journal, clock: Clock) -> None:
    sent(journal)
    first = asked(journal)
    clock.forward(DEADLINE_S)
    journal.commitments.ask_again(due(journal), "late")
    second = asked(journal)
    assert second != first

    report(journal, first, SEG, SR)

    assert now(journal).state is CommitmentState.COMMITTED


def test_what_an_earlier_request_failed_waits_for_the_later_one(journal: Journal, clock: Clock) -> None:
    sent(journal)
    first = asked(journal)
    clock.forward(DEADLINE_S)
    journal.commitments.ask_again(due(journal), "late")
    asked(journal)

    report(journal, first, SEG, failed={SR: 0x0112})

    assert now(journal).state is CommitmentState.ASKED
    assert journal.commitments.open_objects(now(journal)) == {SR: None}


def test_a_request_is_overdue_after_its_deadline(journal: Journal, clock: Clock) -> None:
    sent(journal)
    asked(journal)

    clock.forward(DEADLINE_S - 1)
    assert journal.commitments.due("pacs") is None
    clock.forward(1)
    assert due(journal).state is CommitmentState.ASKED


def test_two_nodes_do_not_ask_for_the_same(journal: Journal) -> None:
    sent(journal)
    seen = due(journal)

    assert journal.commitments.begin(seen, (SEG,), "node-1", DEADLINE_S) is not None
    assert journal.commitments.begin(seen, (SEG,), "node-2", DEADLINE_S) is None


def test_what_is_sent_again_is_the_missing_object_alone(journal: Journal) -> None:
    sent(journal)
    report(journal, asked(journal), SEG, failed={SR: 0x0112})

    assert journal.commitments.send_again(due(journal), [SR], 0)

    assert journal.taken.objects_sent("pacs", STUDY) == {SEG}
    assert [item.state for item in journal.outgoing.all() if item.destination == "pacs"] == [
        DeliveryState.WAITING
    ]
    assert journal.commitments.due("pacs") is None  # not before it was sent
    sent_again(journal)
    assert (due(journal).state, due(journal).requests) == (CommitmentState.TO_ASK, 1)


def test_older_results_are_not_sent_again_after_newer_ones(journal: Journal) -> None:
    sent(journal, 1)
    report(journal, asked(journal), SEG, failed={SR: 0x0112})
    done(journal, STUDY, 2)

    assert not journal.commitments.send_again(due(journal), [SR], 0)

    assert journal.taken.objects_sent("pacs", STUDY) == {SEG, SR}


def test_a_commitment_that_waits_holds_back_no_delivery(journal: Journal) -> None:
    sent(journal, 1)
    asked(journal)

    done(journal, STUDY, 2)

    assert claim(journal).number == 2


def test_a_destination_that_could_not_be_asked_is_asked_later(journal: Journal, clock: Clock) -> None:
    sent(journal)
    transaction = journal.commitments.begin(due(journal), (SEG,), "node-1", DEADLINE_S)
    assert transaction is not None
    journal.commitments.postpone(transaction, "down", 10)

    assert journal.commitments.due("pacs") is None
    clock.forward(10)
    again = due(journal)
    assert (again.attempts, again.requests, again.problem) == (1, 0, "down")


def test_when_it_is_back_all_that_waits_is_asked_for(journal: Journal) -> None:
    sent(journal)
    transaction = journal.commitments.begin(due(journal), (SEG,), "node-1", DEADLINE_S)
    assert transaction is not None
    journal.commitments.postpone(transaction, "down", 1000)

    journal.commitments.hurry("pacs")

    assert due(journal).attempts == 1


def test_what_was_being_asked_at_a_crash_is_asked_again_and_its_report_still_counts(
    journal: Journal, clock: Clock
) -> None:
    sent(journal)
    transaction = journal.commitments.begin(due(journal), (SEG, SR), "node-1", DEADLINE_S)
    assert transaction is not None

    assert journal.commitments.release("node-2") == 0
    assert journal.commitments.release("node-1") == 1

    assert due(journal).state is CommitmentState.TO_ASK
    report(journal, transaction, SEG, SR)
    assert now(journal).state is CommitmentState.COMMITTED


def test_a_journal_that_is_opened_again_knows_what_was_asked(
    tmp_path: Path, journal: Journal, clock: Clock
) -> None:
    sent(journal)
    transaction = asked(journal)

    # As after a kill -9: the first one is not closed.
    again = Journal.open(NodeSettings(data_dir=tmp_path), clock)

    assert now(again).transaction_uid == transaction
    assert report(again, transaction, SEG, SR)
    assert now(again).state is CommitmentState.COMMITTED
    again.close()


def test_a_late_report_mends_what_was_given_up(journal: Journal) -> None:
    sent(journal)
    transaction = asked(journal)
    journal.commitments.end(now(journal), "No answer.")
    assert now(journal).state is CommitmentState.NOT_COMMITTED
    assert journal.commitments.due("pacs") is None

    report(journal, transaction, SEG, SR)

    assert (now(journal).state, now(journal).problem) == (CommitmentState.COMMITTED, "")


def test_a_refused_request_is_not_repeated_until_an_operator_says_so(journal: Journal) -> None:
    sent(journal)
    transaction = journal.commitments.begin(due(journal), (SEG,), "node-1", DEADLINE_S)
    assert transaction is not None
    journal.commitments.refused(transaction, "Does not know it.")
    assert journal.commitments.due("pacs") is None

    journal.commitments.start_over(now(journal))

    assert (due(journal).requests, due(journal).problem) == (0, "")


def test_a_retry_of_the_delivery_begins_anew(journal: Journal, clock: Clock) -> None:
    sent(journal)
    report(journal, asked(journal), SEG, SR)
    (delivery,) = (item for item in journal.outgoing.all() if item.destination == "pacs")
    clock.forward(1)

    journal.outgoing.retry(delivery)

    assert journal.commitments.all() == []
    sent_again(journal)
    assert journal.commitments.committed(due(journal)) == frozenset()


def test_what_is_no_longer_asked_for_is_withdrawn_unless_committed(journal: Journal) -> None:
    sent(journal)
    transaction = asked(journal)
    assert journal.commitments.withdraw(["pacs"]) == 0

    assert journal.commitments.withdraw(["archive"]) == 1

    assert journal.commitments.all() == []
    assert report(journal, transaction, SEG, SR)  # it was asked, so it is answered
