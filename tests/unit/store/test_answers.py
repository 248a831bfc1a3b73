from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from cad_node.domain import Verdict
from cad_node.errors import JobError
from cad_node.settings import NodeSettings
from cad_node.store.journal import JOURNAL_FILE, Journal
from cad_node.store.schema import AnswerRecord, AnswerWay, DeliveryState, RevisionRecord
from cad_node.store.tables import SCHEMA_VERSION
from tests.unit.jobs.stubs import Clock, stored

STUDY = "1.2.3"
HELD, WAITING, REJECTED = DeliveryState.HELD, DeliveryState.WAITING, DeliveryState.REJECTED
SENT, SUPERSEDED = DeliveryState.SENT, DeliveryState.SUPERSEDED


def complete(journal: Journal, number: int = 1) -> RevisionRecord:
    """One more instance of the study, complete and being processed."""
    journal.record_instance(stored(STUDY, number))
    revision = journal.close_study(STUDY)
    assert revision is not None
    record = journal.revisions.get(STUDY, revision)
    assert record is not None
    journal.revisions.begin(record, "node-1")
    return record


def done(journal: Journal, number: int = 1) -> str:
    """The same, processed: `pacs` gets it once it is accepted, `outbox` at once."""
    record = complete(journal, number)
    journal.revisions.finish(record, ["pacs", "outbox"], {"pacs"})
    return record.revision


_count = iter(range(1, 1000))


def says(revision: str, verdict: Verdict, number: int = 0, lesions: int = 2, **changes: Any) -> AnswerRecord:
    nth = next(_count)
    values = {
        "sop_instance_uid": f"1.9.{nth}",
        "number": number,
        "study_instance_uid": STUDY,
        "revision": revision,
        "verdict": verdict,
        "named": "benign",
        "corrected": "",
        "lesions": lesions,
        "tracking_uid": "",
        "model": "breast-us 1.0.0",
        "title": "113000",
        "way": AnswerWay.CSTORE,
        "calling_ae_title": "WORKSTATION",
        "path": f"studies/{nth}.dcm",
        "received_at": float(nth),
    }
    return AnswerRecord(**{**values, **changes})


def states(journal: Journal, destination: str = "pacs") -> list[DeliveryState]:
    return [item.state for item in journal.outgoing.all() if item.destination == destination]


def test_what_is_held_waits_for_nobody_and_is_not_claimed(journal: Journal) -> None:
    done(journal)

    assert (states(journal), states(journal, "outbox")) == ([HELD], [WAITING])
    assert journal.outgoing.claim("pacs", "node-1") is None
    outbox = journal.outgoing.claim("outbox", "node-1")
    assert outbox is not None
    journal.outgoing.sent(outbox)
    assert journal.is_idle()


def test_what_is_accepted_goes_out_once(journal: Journal) -> None:
    revision = done(journal)

    assert journal.answers.record([says(revision, Verdict.ACCEPT)])
    record = journal.outgoing.claim("pacs", "node-1")
    assert record is not None
    journal.outgoing.sent(record)
    assert journal.answers.record([says(revision, Verdict.ACCEPT)])

    assert states(journal) == [SENT]
    assert journal.outgoing.claim("pacs", "node-1") is None


def test_what_is_rejected_stays_so_for_whatever_comes_by_network(journal: Journal) -> None:
    revision = done(journal)

    journal.answers.record([says(revision, Verdict.REJECT)])
    journal.answers.record([says(revision, Verdict.ACCEPT)])

    assert states(journal) == [REJECTED]
    assert journal.outgoing.claim("pacs", "node-1") is None


def test_the_command_line_takes_a_rejection_back(journal: Journal) -> None:
    revision = done(journal)
    journal.answers.record([says(revision, Verdict.REJECT)])

    journal.answers.record([says(revision, Verdict.ACCEPT, way=AnswerWay.COMMAND)])

    assert states(journal) == [WAITING]


def test_the_same_answer_again_changes_nothing(journal: Journal) -> None:
    revision = done(journal)
    answer = says(revision, Verdict.ACCEPT)
    journal.answers.record([answer])

    assert not journal.answers.record([answer])
    assert journal.answers.all() == [answer]
    assert journal.answers.stored_paths() == {answer.path}


def test_lesions_accepted_one_by_one_accept_the_result_with_the_last(journal: Journal) -> None:
    revision = done(journal)

    journal.answers.record([says(revision, Verdict.ACCEPT, 1)])
    assert states(journal) == [HELD]
    journal.answers.record([says(revision, Verdict.ACCEPT, 2)])
    assert states(journal) == [WAITING]


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.CORRECT])
def test_a_lesion_that_is_not_right_keeps_the_result_held(journal: Journal, verdict: Verdict) -> None:
    revision = done(journal)

    journal.answers.record([says(revision, verdict, 1)])
    journal.answers.record([says(revision, Verdict.ACCEPT, 2)])

    assert states(journal) == [HELD]


def test_an_unclear_answer_and_one_to_nothing_have_no_effect(journal: Journal) -> None:
    revision = done(journal)

    journal.answers.record([says(revision, Verdict.UNCLEAR)])
    journal.answers.record([says("", Verdict.ACCEPT)])

    assert states(journal) == [HELD]
    assert [record.verdict for record in journal.answers.latest()] == [Verdict.UNCLEAR]


def test_an_answer_that_came_before_the_delivery_was_ordered_counts(journal: Journal) -> None:
    record = complete(journal)
    journal.answers.record([says(record.revision, Verdict.ACCEPT)])

    journal.revisions.finish(record, ["pacs"], {"pacs"})

    assert states(journal) == [WAITING]


def test_a_rejection_that_comes_while_the_destination_is_down_counts(journal: Journal, clock: Clock) -> None:
    revision = done(journal)
    journal.answers.record([says(revision, Verdict.ACCEPT)])
    record = journal.outgoing.claim("pacs", "node-1")
    assert record is not None
    journal.answers.record([says(revision, Verdict.REJECT)])
    journal.outgoing.postpone(record, "DestinationUnreachableError", "down", 10)
    clock.forward(11)

    assert journal.outgoing.claim("pacs", "node-1") is None
    assert states(journal) == [REJECTED]


def test_what_was_being_sent_at_a_crash_is_looked_at_again(journal: Journal) -> None:
    revision = done(journal)
    journal.answers.record([says(revision, Verdict.ACCEPT)])
    assert journal.outgoing.claim("pacs", "node-1") is not None
    journal.answers.record([says(revision, Verdict.REJECT)])
    journal.outgoing.release("node-1")

    assert journal.outgoing.claim("pacs", "node-1") is None
    assert states(journal) == [REJECTED]


def test_older_results_do_not_follow_newer_ones_that_were_accepted(journal: Journal) -> None:
    old = done(journal, 1)
    new = done(journal, 2)

    journal.answers.record([says(new, Verdict.ACCEPT)])
    assert states(journal) == [SUPERSEDED, WAITING]
    journal.answers.record([says(old, Verdict.ACCEPT)])
    assert states(journal) == [SUPERSEDED, WAITING]


def test_an_operators_retry_does_not_get_round_a_hold(journal: Journal) -> None:
    done(journal)
    held = next(item for item in journal.outgoing.all() if item.destination == "pacs")

    with pytest.raises(JobError, match="only once they are accepted"):
        journal.outgoing.retry(held)

    assert states(journal) == [HELD]


def test_what_was_said_last_counts(journal: Journal) -> None:
    revision = done(journal)
    journal.answers.record([says(revision, Verdict.ACCEPT, 1)])
    journal.answers.record([says(revision, Verdict.CORRECT, 1, corrected="malignant")])

    assert [(item.verdict, item.corrected) for item in journal.answers.latest()] == [
        (Verdict.CORRECT, "malignant")
    ]


def test_an_answer_that_meant_nothing_the_first_time_means_nothing_when_it_is_sent_again(
    journal: Journal,
) -> None:
    revision = done(journal)
    journal.answers.record([says(revision, Verdict.UNCLEAR, sop_instance_uid="1.9.0")])

    # The same object, read with a title that has been added to the settings since.
    again = [says(revision, Verdict.ACCEPT, number, sop_instance_uid="1.9.0") for number in range(3)]
    assert not journal.answers.record(again)

    assert [one.number for one in journal.answers.all()] == [0]
    assert {item.destination: item.state for item in journal.outgoing.all()}["pacs"] is HELD


def test_a_journal_of_the_first_schema_is_brought_up_to_date(tmp_path: Path, journal: Journal) -> None:
    done(journal)
    journal.close()
    with sqlite3.connect(tmp_path / JOURNAL_FILE) as old:
        for table in ("answers", "commitments", "commitment_requests", "commitment_objects"):
            old.execute(f"DROP TABLE {table}")
        old.execute("ALTER TABLE deliveries DROP COLUMN hold")
        old.execute("UPDATE deliveries SET state = 'waiting'")
        old.execute("ALTER TABLE instances DROP COLUMN dataset_sha256")
        for column in ("made_for", "made_by", "model", "model_sha256"):
            old.execute(f"ALTER TABLE revisions DROP COLUMN {column}")
        old.execute("UPDATE journal_info SET schema_version = 1")
    old.close()

    again = Journal.open(NodeSettings(data_dir=tmp_path))

    assert [item.hold for item in again.outgoing.all()] == [False, False]
    assert again.outgoing.claim("pacs", "node-1") is not None
    assert again.answers.all() == []
    assert again.commitments.all() == []
    assert [record.made_for for record in again.revisions.all()] == [""]
    again.close()
    with sqlite3.connect(tmp_path / JOURNAL_FILE) as new:
        assert new.execute("SELECT schema_version FROM journal_info").fetchall() == [(SCHEMA_VERSION,)]
    new.close()
