"""What an operator has seen to is waited for no longer, and nothing that is still needed is lost."""

from __future__ import annotations

from cad_node.domain import CommitmentReport, MadeBy, Verdict
from cad_node.store.dismissals import Open
from cad_node.store.journal import Journal
from cad_node.store.retention import Standing
from cad_node.store.schema import (
    CommitmentState,
    DeliveryState,
    Matter,
    RevisionRecord,
    RevisionState,
)
from tests.unit.jobs.stubs import Clock, stored
from tests.unit.store.test_answers import says
from tests.unit.store.test_reanalysis import NEW, ordered, received

STUDY = "1.2.3"
DAY = 86400.0


def failed(journal: Journal, study: str = STUDY, number: int = 1) -> RevisionRecord:
    record = received(journal, study, number)
    journal.revisions.begin(record, "node-1")
    journal.revisions.fail(record, "StudyError", "No.")
    return record


def finished(journal: Journal, held: tuple[str, ...] = ()) -> RevisionRecord:
    record = received(journal)
    journal.revisions.begin(record, "node-1")
    journal.revisions.finish(record, ["pacs"], held, MadeBy())
    return record


def refused(journal: Journal) -> RevisionRecord:
    record = finished(journal)
    delivery = journal.outgoing.claim("pacs", "node-1")
    assert delivery is not None
    journal.outgoing.refused(delivery, "DestinationRefusedError", "Answered 0xC000.")
    return record


def not_committed(journal: Journal) -> str:
    """Sent, asked about, and not kept; the transaction."""
    finished(journal)
    delivery = journal.outgoing.claim("pacs", "node-1")
    assert delivery is not None
    journal.outgoing.sent(delivery, commitment=True)
    record = journal.commitments.due("pacs")
    assert record is not None
    transaction = journal.commitments.begin(record, ["1.2.3.9.1"], "node-1", 60)
    assert transaction is not None
    journal.commitments.refused(transaction, "No.")
    return transaction


def dismiss(journal: Journal, study: str | None = None) -> list[Open]:
    what = journal.dismissals.standing_open(["pacs"], study_instance_uid=study)
    return journal.dismissals.dismiss(what, "anna@ward", "ticket 7")


def state(journal: Journal) -> RevisionState:
    return journal.revisions.of_study(STUDY)[-1].state


def standing(journal: Journal, clock: Clock, days: float = 31) -> Standing:
    clock.forward(days * DAY)
    return journal.retention.standing(STUDY, journal.lifetime.days_ago(30))


def test_what_failed_is_dismissed_with_who_when_and_why_and_goes_after_its_days(
    journal: Journal, clock: Clock
) -> None:
    record = failed(journal)
    clock.forward(1000 * DAY)
    assert [(one.matter, one.state) for one in dismiss(journal)] == [(Matter.REVISION, "failed")]

    assert state(journal) is RevisionState.DISMISSED
    (noted,) = journal.dismissals.of_study(STUDY)
    assert (noted.revision, noted.was, noted.dismissed_by) == (record.revision, "failed", "anna@ward")
    assert (noted.reason, noted.dismissed_at, noted.withdrawn_at) == ("ticket 7", clock.now, None)
    assert standing(journal, clock, 29) is Standing.RECENT
    assert standing(journal, clock, 2) is Standing.FINISHED


def test_what_is_held_refused_or_not_committed_may_be_dismissed(journal: Journal, clock: Clock) -> None:
    finished(journal, held=("pacs",))
    assert [one.state for one in dismiss(journal)] == ["held"]
    assert standing(journal, clock) is Standing.FINISHED


def test_a_refusal_that_is_dismissed_keeps_nothing(journal: Journal, clock: Clock) -> None:
    refused(journal)
    assert standing(journal, clock) is Standing.NOT_TAKEN
    dismiss(journal)
    assert standing(journal, clock) is Standing.FINISHED


def test_a_commitment_that_is_dismissed_keeps_nothing(journal: Journal, clock: Clock) -> None:
    not_committed(journal)
    assert standing(journal, clock) is Standing.NOT_COMMITTED
    assert [one.matter for one in dismiss(journal)] == [Matter.COMMITMENT]
    assert standing(journal, clock) is Standing.FINISHED


def test_a_late_report_of_a_failure_does_not_wake_what_was_dismissed(journal: Journal) -> None:
    transaction = not_committed(journal)
    dismiss(journal)
    journal.commitments.report(CommitmentReport(transaction, frozenset(), {"1.2.3.9.1": 0x0112}), ["pacs"])
    assert [one.state for one in journal.commitments.all()] == [CommitmentState.DISMISSED]


def test_a_late_commitment_counts(journal: Journal) -> None:
    transaction = not_committed(journal)
    dismiss(journal)
    journal.commitments.report(CommitmentReport(transaction, frozenset(["1.2.3.9.1"]), {}), ["pacs"])
    assert [one.state for one in journal.commitments.all()] == [CommitmentState.COMMITTED]


def test_what_is_well_or_under_way_cannot_be_dismissed(journal: Journal) -> None:
    finished(journal)
    assert dismiss(journal) == []
    failed(journal, "1.2.4")
    journal.record_instance(stored("1.2.4", 2))
    assert dismiss(journal) == []
    journal.close_study("1.2.4")
    assert dismiss(journal) == []


def test_what_went_on_since_it_was_looked_at_is_left_alone(journal: Journal) -> None:
    record = failed(journal)
    what = journal.dismissals.standing_open(["pacs"])
    journal.revisions.retry(record)
    assert journal.dismissals.dismiss(what, "anna", "late") == []
    assert journal.dismissals.of_study(STUDY) == []


def test_what_waits_for_a_destination_that_is_no_longer_named_may_be_dismissed(journal: Journal) -> None:
    finished(journal)
    (waiting,) = journal.dismissals.standing_open(["outbox"])
    assert (waiting.destination, waiting.state) == ("pacs", "waiting")
    journal.dismissals.dismiss([waiting], "anna", "PACS replaced")
    assert journal.is_idle()
    assert journal.outgoing.claim("pacs", "node-1") is None


def test_only_the_states_and_the_study_asked_for_are_found(journal: Journal) -> None:
    refused(journal)
    failed(journal, "1.2.4")
    look = journal.dismissals.standing_open
    assert [one.study_instance_uid for one in look(["pacs"], states=["failed"])] == ["1.2.4"]
    assert [one.state for one in look(["pacs"], study_instance_uid=STUDY)] == ["refused"]


def test_a_dismissed_study_that_is_sent_again_is_analysed_again(journal: Journal, clock: Clock) -> None:
    journal.record_instance(stored(number=2))
    record = failed(journal)
    dismiss(journal)
    clock.forward(31 * DAY)

    assert journal.record_instance(stored(number=1))
    clock.forward(5)
    assert journal.record_instance(stored(number=2))
    assert journal.open_studies() == [(STUDY, clock.now - 5, clock.now)]
    assert journal.close_study(STUDY) == record.revision

    (again,) = journal.revisions.startable()
    assert (again.number, again.run, again.starts, again.problem) == (1, 2, 0, "")
    (noted,) = journal.dismissals.of_study(STUDY)
    assert (noted.withdrawn_at, noted.withdrawn_by) == (clock.now, "sent again")
    assert not journal.record_instance(stored(number=1))


def test_a_repeat_of_what_failed_and_was_not_dismissed_changes_nothing(journal: Journal) -> None:
    failed(journal)
    assert not journal.record_instance(stored())
    assert journal.open_studies() == []


def test_a_study_sent_again_whose_result_was_refused_and_dismissed_is_shown_again(journal: Journal) -> None:
    refused(journal)
    dismiss(journal)

    journal.record_instance(stored())

    assert journal.close_study(STUDY) is None
    assert state(journal) is RevisionState.DONE
    assert [one.state for one in journal.outgoing.of_study(STUDY)] == [DeliveryState.REFUSED]


def test_a_dismissed_study_with_one_image_more_is_the_next_revision_and_the_old_one_stays_dismissed(
    journal: Journal,
) -> None:
    failed(journal)
    dismiss(journal)
    journal.record_instance(stored(number=1))
    journal.record_instance(stored(number=2))
    assert journal.close_study(STUDY) is not None
    states = [one.state for one in journal.revisions.of_study(STUDY)]
    assert states == [RevisionState.DISMISSED, RevisionState.WAITING]


def test_a_repeat_after_that_reopens_nothing(journal: Journal) -> None:
    failed(journal)
    dismiss(journal)
    second = received(journal, number=2)
    journal.revisions.begin(second, "node-1")
    journal.revisions.finish(second, [], (), MadeBy())
    assert not journal.record_instance(stored())
    assert journal.open_studies() == []


def check_answer(journal: Journal, verdict: Verdict, expected: DeliveryState) -> None:
    record = finished(journal, held=("pacs",))
    dismiss(journal)
    journal.answers.record([says(record.revision, verdict)])
    assert [one.state for one in journal.outgoing.of_study(STUDY)] == [expected]
    assert journal.dismissals.standing() == []


def test_a_held_result_that_is_accepted_after_all_goes_out(journal: Journal) -> None:
    check_answer(journal, Verdict.ACCEPT, DeliveryState.WAITING)


def test_a_held_result_that_is_rejected_after_all_stays_here(journal: Journal) -> None:
    check_answer(journal, Verdict.REJECT, DeliveryState.REJECTED)


def test_withdrawn_it_stands_open_as_it_did(journal: Journal) -> None:
    failed(journal)
    dismiss(journal)
    assert journal.dismissals.withdraw(STUDY, "bert: jobs retry") == 1
    assert state(journal) is RevisionState.FAILED
    assert journal.dismissals.withdraw(STUDY, "bert: jobs retry") == 0
    assert dismiss(journal)  # and it may be dismissed anew
    assert len(journal.dismissals.of_study(STUDY)) == 2


def test_an_order_that_failed_and_was_dismissed_leaves_the_result_before_it(journal: Journal) -> None:
    finished(journal)
    order = ordered(journal)
    journal.revisions.begin(order, "node-1")
    journal.revisions.fail(order, "ModelError", "No.")
    journal.dismissals.dismiss(journal.dismissals.standing_open(["pacs"]), "anna", "old model")
    journal.record_instance(stored())
    assert journal.close_study(STUDY) is None
    assert [one.state for one in journal.revisions.of_study(STUDY)] == [
        RevisionState.DONE,
        RevisionState.FAILED,
    ]
    assert order.made_for == NEW.digest
