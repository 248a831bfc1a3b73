from __future__ import annotations

from pathlib import Path

import pytest

from cad_node.domain import CommitmentReport, MadeBy, Verdict
from cad_node.store.inbox import Inbox
from cad_node.store.journal import Journal
from cad_node.store.retention import (
    REMOVING_FOLDER,
    Standing,
    put_back_left_over,
    remove_taken,
    take_away,
)
from cad_node.store.schema import DeliveryRecord, DeliveryState, RevisionRecord
from tests.unit.jobs.stubs import Clock, stored
from tests.unit.store.test_answers import says
from tests.unit.store.test_inbox import _received
from tests.unit.store.test_reanalysis import received

STUDY = "1.2.3"
DAY = 86400.0


def done(journal: Journal, record: RevisionRecord, held: tuple[str, ...] = ()) -> DeliveryRecord:
    """Its results are stored and to be sent."""
    journal.revisions.begin(record, "node-1")
    journal.revisions.finish(record, ["pacs"], held, MadeBy("a" * 64, "breast-us 1", "1" * 64))
    return next(item for item in journal.outgoing.of_study(STUDY) if item.revision == record.revision)


def claimed(journal: Journal, delivery: DeliveryRecord) -> DeliveryRecord:
    """Its courier is at work."""
    record = journal.outgoing.claim(delivery.destination, "node-1")
    assert record is not None
    return record


def sent(journal: Journal, record: RevisionRecord) -> None:
    delivery = done(journal, record)
    journal.outgoing.sent(claimed(journal, delivery))


def standing(journal: Journal, days: float = 30) -> Standing:
    return journal.retention.standing(STUDY, journal.lifetime.days_ago(days))


def test_a_study_that_every_destination_has_taken_is_finished_after_its_days(
    journal: Journal, clock: Clock
) -> None:
    sent(journal, received(journal))
    clock.forward(29 * DAY)
    assert standing(journal) is Standing.RECENT
    clock.forward(1 * DAY + 1)
    assert standing(journal) is Standing.FINISHED


def test_days_count_from_the_last_thing_that_happened(journal: Journal, clock: Clock) -> None:
    record = received(journal)
    clock.forward(40 * DAY)
    sent(journal, record)
    assert standing(journal) is Standing.RECENT


def test_a_study_without_a_destination_is_finished_once_it_is_analysed(
    journal: Journal, clock: Clock
) -> None:
    record = received(journal)
    journal.revisions.begin(record, "node-1")
    journal.revisions.finish(record, [], (), MadeBy())
    clock.forward(31 * DAY)
    assert standing(journal) is Standing.FINISHED


def test_what_is_received_analysed_or_sent_stays(journal: Journal, clock: Clock) -> None:
    journal.record_instance(stored(STUDY, 1))
    clock.forward(100 * DAY)
    assert standing(journal) is Standing.UNDER_WAY
    record = received(journal, number=2)
    clock.forward(100 * DAY)
    assert standing(journal) is Standing.UNDER_WAY
    done(journal, record)
    clock.forward(100 * DAY)
    assert standing(journal) is Standing.UNDER_WAY


def test_a_study_that_is_sent_again_with_more_is_no_longer_finished(journal: Journal, clock: Clock) -> None:
    sent(journal, received(journal))
    clock.forward(100 * DAY)
    journal.record_instance(stored(STUDY, 2))
    assert standing(journal) is Standing.UNDER_WAY


def test_what_failed_stays_however_old(journal: Journal, clock: Clock) -> None:
    record = received(journal)
    journal.revisions.begin(record, "node-1")
    journal.revisions.fail(record, "JobError", "broken")
    clock.forward(1000 * DAY)
    assert standing(journal) is Standing.FAILED


def test_what_is_held_stays_until_it_is_decided(journal: Journal, clock: Clock) -> None:
    done(journal, received(journal), held=("pacs",))
    clock.forward(1000 * DAY)
    assert standing(journal) is Standing.HELD
    (record,) = journal.revisions.of_study(STUDY)
    journal.answers.record([says(record.revision, Verdict.REJECT)])
    clock.forward(31 * DAY)
    assert standing(journal) is Standing.FINISHED


@pytest.mark.parametrize("state", [DeliveryState.REFUSED, DeliveryState.GIVEN_UP])
def test_what_a_destination_has_not_taken_stays(journal: Journal, clock: Clock, state: DeliveryState) -> None:
    delivery = claimed(journal, done(journal, received(journal)))
    end = journal.outgoing.refused if state is DeliveryState.REFUSED else journal.outgoing.given_up
    end(delivery, "DeliveryError", "no")
    clock.forward(1000 * DAY)
    assert standing(journal) is Standing.NOT_TAKEN


def test_what_a_destination_is_not_committed_to_stays(journal: Journal, clock: Clock) -> None:
    delivery = claimed(journal, done(journal, received(journal)))
    journal.outgoing.sent(delivery, commitment=True)
    clock.forward(1000 * DAY)
    assert standing(journal) is Standing.NOT_COMMITTED
    record = journal.commitments.due("pacs")
    assert record is not None
    transaction = journal.commitments.begin(record, ["1.2.3.9.1"], "node-1", 3600)
    assert transaction is not None
    journal.commitments.asked(transaction, 3600)
    clock.forward(1000 * DAY)
    assert standing(journal) is Standing.NOT_COMMITTED
    journal.commitments.report(CommitmentReport(transaction, frozenset(["1.2.3.9.1"]), {}), ["pacs"])
    clock.forward(29 * DAY)
    assert standing(journal) is Standing.RECENT
    clock.forward(2 * DAY)
    assert standing(journal) is Standing.FINISHED


def test_a_commitment_that_failed_keeps_the_study_and_one_to_what_was_replaced_does_not(
    journal: Journal, clock: Clock
) -> None:
    journal.outgoing.sent(claimed(journal, done(journal, received(journal))), commitment=True)
    (record,) = journal.commitments.all()
    journal.commitments.end(record, "0x0122 SOP Class not supported")
    clock.forward(1000 * DAY)
    assert standing(journal) is Standing.NOT_COMMITTED
    sent(journal, received(journal, number=2))
    clock.forward(31 * DAY)
    assert standing(journal) is Standing.FINISHED


def test_what_the_newest_result_replaced_need_not_have_been_taken(journal: Journal, clock: Clock) -> None:
    journal.outgoing.refused(claimed(journal, done(journal, received(journal))), "DeliveryError", "no")
    sent(journal, received(journal, number=2))
    clock.forward(31 * DAY)
    assert standing(journal) is Standing.FINISHED


def test_a_study_that_the_journal_does_not_know_stays(journal: Journal) -> None:
    assert journal.retention.standing("9.9.9", journal.lifetime.days_ago(1)) is Standing.UNDER_WAY


def test_a_study_that_went_on_meanwhile_is_not_given_away(journal: Journal, clock: Clock) -> None:
    sent(journal, received(journal))
    clock.forward(31 * DAY)
    with journal.retention.finished(STUDY, journal.lifetime.days_ago(30)) as known:
        assert known == {"1.2.3/1.dcm"}
    journal.record_instance(stored(STUDY, 2))
    with journal.retention.finished(STUDY, journal.lifetime.days_ago(30)) as known:
        assert known is None


def committed(journal: Journal, objects: tuple[str, ...]) -> str:
    """Sent, asked about, and kept there; the transaction."""
    journal.outgoing.sent(claimed(journal, done(journal, received(journal))), commitment=True)
    record = journal.commitments.due("pacs")
    assert record is not None
    transaction = journal.commitments.begin(record, objects, "node-1", 3600)
    assert transaction is not None
    journal.commitments.asked(transaction, 3600)
    journal.commitments.report(CommitmentReport(transaction, frozenset(objects), {}), ["pacs"])
    return transaction


def test_a_commitment_that_was_given_stays_known_in_the_short_journal(
    journal: Journal, clock: Clock, tmp_path: Path
) -> None:
    transaction = committed(journal, ("1.2.3.9.1",))
    clock.forward(31 * DAY)

    journal.retention.forget_files(STUDY, journal.lifetime.days_ago(30), tmp_path)

    assert rows(journal, "commitment_objects") == 0
    assert [one.state.value for one in journal.commitments.all()] == ["committed"]
    late = CommitmentReport(transaction, frozenset(), {"1.2.3.9.1": 0x0112})
    assert journal.commitments.report(late, ["pacs"])
    assert [one.state.value for one in journal.commitments.all()] == ["committed"]


def test_the_journal_is_not_shortened_while_a_study_is_not_finished(
    journal: Journal, clock: Clock, tmp_path: Path
) -> None:
    record = received(journal)
    clock.forward(31 * DAY)
    journal.retention.forget_files(STUDY, journal.lifetime.days_ago(30), tmp_path)
    assert len(journal.files_of(STUDY, record.revision)) == rows(journal, "revision_files") == 1
    assert journal.stored_paths([STUDY])


def test_the_journal_is_not_shortened_where_a_file_came_again(
    journal: Journal, clock: Clock, tmp_path: Path
) -> None:
    sent(journal, received(journal))
    clock.forward(31 * DAY)
    (path,) = journal.stored_paths([STUDY])
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_bytes(b"again")
    journal.retention.forget_files(STUDY, journal.lifetime.days_ago(30), tmp_path)
    assert journal.stored_paths([STUDY]) == {path}
    assert rows(journal, "revision_files") == 1


def rows(journal: Journal, table: str) -> int:
    with journal._engine.connect() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox", lambda stored: True, 0)


def files(inbox: Inbox) -> list[str]:
    return sorted(str(path.relative_to(inbox.root)) for path in inbox.root.rglob("*") if path.is_file())


def test_known_files_go_and_their_folders_too(inbox: Inbox) -> None:
    inbox.accept(_received(sop="1.2.3.4.5"))
    inbox.accept(_received(sop="1.2.3.4.6"))
    size = sum(path.stat().st_size for path in inbox.files_of(STUDY))

    take_away(inbox.root, STUDY)
    freed = remove_taken(
        inbox.root, STUDY, frozenset({f"studies/1.2.3/1.2.3.4/1.2.3.4.{n}.dcm" for n in (5, 6)})
    )

    assert freed == size
    assert files(inbox) == []
    assert list((inbox.root / REMOVING_FOLDER).iterdir()) == []


def test_a_file_that_came_in_that_moment_is_put_back(inbox: Inbox) -> None:
    inbox.accept(_received(sop="1.2.3.4.5"))
    inbox.accept(_received(sop="1.2.3.4.6"))

    take_away(inbox.root, STUDY)
    remove_taken(inbox.root, STUDY, frozenset({"studies/1.2.3/1.2.3.4/1.2.3.4.5.dcm"}))

    assert files(inbox) == ["studies/1.2.3/1.2.3.4/1.2.3.4.6.dcm"]


def test_an_instance_is_received_where_its_folder_was_removed(inbox: Inbox) -> None:
    inbox.accept(_received(sop="1.2.3.4.5"))
    take_away(inbox.root, STUDY)
    inbox.accept(_received(sop="1.2.3.4.6"))

    assert "studies/1.2.3/1.2.3.4/1.2.3.4.6.dcm" in files(inbox)


def test_a_removal_that_was_cut_short_is_undone_at_the_next_start(inbox: Inbox) -> None:
    inbox.accept(_received(sop="1.2.3.4.5"))
    inbox.accept(_received(sop="1.2.3.4.6"))
    before = files(inbox)
    take_away(inbox.root, STUDY)
    inbox.accept(_received(sop="1.2.3.4.6"))  # the same again, meanwhile
    inbox.rescan()

    assert files(inbox) == before


def test_of_two_contents_none_is_lost(inbox: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    inbox.accept(_received(dataset=b"one"))
    take_away(inbox.root, STUDY)
    inbox.accept(_received(dataset=b"two"))
    put_back_left_over(inbox.root)

    first, second = files(inbox)
    assert first.startswith("conflicts/1.2.3/1.2.3.4/1.2.3.4.5.")
    assert second == "studies/1.2.3/1.2.3.4/1.2.3.4.5.dcm"
    assert "kept as" in caplog.text
    take_away(inbox.root, STUDY)  # nothing of the former is in the way


def test_a_name_that_is_no_uid_is_no_path(inbox: Inbox) -> None:
    with pytest.raises(ValueError, match="not a valid UID"):
        take_away(inbox.root, "../studies")
