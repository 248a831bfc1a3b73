from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cad_node.cli.jobs import JobState, jobs_app
from cad_node.domain import CommitmentReport
from cad_node.errors import JobError
from cad_node.settings import NodeSettings
from cad_node.store import outgoing as deliveries
from cad_node.store.journal import Journal
from cad_node.store.results import ResultStore
from cad_node.store.schema import CommitmentState, DeliveryState, RevisionRecord, RevisionState
from tests.unit.jobs.stubs import stored, write_results

STUDY = "1.2.3"


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    monkeypatch.setenv("CADNODE_DATA_DIR", str(tmp_path))
    journal = Journal.open(NodeSettings(data_dir=tmp_path))
    yield journal
    journal.close()


def jobs(*arguments: str) -> Result:
    return CliRunner().invoke(jobs_app, list(arguments))


def make_results(tmp_path: Path, record: RevisionRecord) -> None:
    uid, revision = record.study_instance_uid, record.revision
    ResultStore(tmp_path / "results").commit(uid, revision, lambda path: write_results(path, uid, revision))


def complete(journal: Journal, study: str = STUDY, number: int = 1) -> RevisionRecord:
    journal.record_instance(stored(study, number))
    revision = journal.close_study(study)
    assert revision is not None
    record = journal.revisions.get(study, revision)
    assert record is not None
    return record


def test_every_state_can_be_looked_for() -> None:
    assert {state.value for state in JobState} == {
        "receiving",
        *(state.value for state in RevisionState),
        *(state.value for state in DeliveryState),
        *(state.value for state in CommitmentState),
    }


def test_list_shows_what_is_received_made_and_refused_word_by_word(journal: Journal) -> None:
    journal.revisions.finish(complete(journal), ["pacs", "outbox"])
    delivery = journal.outgoing.claim("pacs", "node-1")
    assert delivery is not None
    journal.outgoing.refused(delivery, "DestinationRefusedError", "Answered 0xC000. Change [results][/].")
    journal.record_instance(stored("1.2.4"))

    lines = jobs("list").output.splitlines()

    study = next(line for line in lines if STUDY in line)
    assert "done" in study
    assert "outbox waiting, pacs refused" in study
    assert "Answered 0xC000. Change [results][/]." in study
    assert "1 instances so far" in next(line for line in lines if "1.2.4" in line)


@pytest.mark.parametrize(
    ("state", "shown"),
    [("receiving", {"1.1"}), ("failed", {"1.2"}), ("waiting", {"1.3"}), ("sent", set())],
)
def test_list_shows_only_the_state_asked_for(journal: Journal, state: str, shown: set[str]) -> None:
    journal.record_instance(stored("1.1"))
    journal.revisions.fail(complete(journal, "1.2"), "StudyError", "No.")
    complete(journal, "1.3")

    output = jobs("list", "--state", state).output

    assert {uid for uid in ("1.1", "1.2", "1.3") if f" {uid} " in output} == shown


def test_a_long_list_is_cut_and_says_so(journal: Journal) -> None:
    for number in range(1, 6):
        complete(journal, f"1.{number}")

    output = jobs("list", "--limit", "2").output

    assert " 1.5 " in output
    assert " 1.3 " not in output
    assert "3 earlier ones are left out" in output


def test_list_reads_no_more_than_it_shows(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 21):
        journal.revisions.finish(complete(journal, f"1.{number}"), ["pacs"])
    read: list[object] = []
    record = deliveries._record
    monkeypatch.setattr(deliveries, "_record", lambda row: (read.append(row), record(row))[1])

    assert " 1.20 " in jobs("list", "--limit", "2").output

    assert len(read) == 2


@pytest.mark.parametrize("state", ["waiting", "refused", "to_ask", "done"])
def test_a_long_list_of_one_state_is_cut_after_it_is_chosen(journal: Journal, state: str) -> None:
    for number in range(1, 4):
        journal.revisions.finish(complete(journal, f"1.{number}"), ["pacs", "outbox"])
    while item := journal.outgoing.claim("pacs", "node-1"):
        journal.outgoing.refused(item, "E", "no")
    while item := journal.outgoing.claim("outbox", "node-1"):
        journal.outgoing.sent(item, commitment=True)
    for number in range(4, 7):
        journal.revisions.fail(complete(journal, f"1.{number}"), "E", "no")
    for number in range(7, 10):
        journal.revisions.finish(complete(journal, f"1.{number}"), ["outbox"] if state == "waiting" else [])

    output = jobs("list", "--limit", "2", "--state", state).output

    last = {"waiting": 9, "refused": 3, "to_ask": 3, "done": 9}[state]
    assert [line.split()[1] for line in output.splitlines() if " 1." in line] == [
        f"1.{last - 1}",
        f"1.{last}",
    ]
    assert f"{4 if state == 'done' else 1} earlier ones are left out" in output


def test_list_shows_no_failure_that_a_later_revision_made_good(journal: Journal) -> None:
    journal.revisions.fail(complete(journal, number=1), "PixelDecodeError", "Bad pixels.")
    journal.revisions.finish(complete(journal, number=2), [])

    assert STUDY not in jobs("list", "--state", "failed").output
    assert "superseded" in jobs("show", STUDY).output


def test_show_tells_every_revision_and_delivery(journal: Journal) -> None:
    journal.revisions.finish(complete(journal, number=1), ["pacs"])
    journal.revisions.fail(complete(journal, number=2), "PixelDecodeError", "Bad pixels.")

    output = jobs("show", STUDY).output

    assert "2 instances" in output
    assert all(word in output for word in ("done", "failed", "Bad pixels.", "pacs", "waiting"))


def test_retry_processes_a_failed_revision_again(journal: Journal) -> None:
    record = complete(journal)
    journal.revisions.fail(record, "StudyError", "No.")

    assert "Revision 1 is processed again." in jobs("retry", STUDY).output

    assert journal.revisions.all()[0].state is RevisionState.WAITING


def test_retry_makes_lost_results_anew(journal: Journal) -> None:
    journal.revisions.finish(complete(journal), ["pacs"])

    assert "Revision 1 is processed again." in jobs("retry", STUDY).output

    assert journal.revisions.all()[0].state is RevisionState.WAITING


@pytest.mark.parametrize("destination", [[], ["--destination", "pacs"]])
def test_retry_of_lost_results_says_who_keeps_the_former(journal: Journal, destination: list[str]) -> None:
    journal.revisions.finish(complete(journal), ["pacs", "outbox"])
    delivery = journal.outgoing.claim("pacs", "node-1")
    assert delivery is not None
    journal.outgoing.sent(delivery)

    output = jobs("retry", STUDY, *destination).output

    assert "Revision 1 is processed again." in output
    assert "pacs: keeps the results that it took before" in output
    assert f"cad-node jobs retry {STUDY} --destination pacs" in output


def test_retry_sends_again_what_was_not_taken_and_leaves_the_rest(journal: Journal, tmp_path: Path) -> None:
    record = complete(journal)
    make_results(tmp_path, record)
    journal.revisions.finish(record, ["pacs", "outbox"])
    for name in ("pacs", "outbox"):
        delivery = journal.outgoing.claim(name, "node-1")
        assert delivery is not None
        if name == "pacs":
            journal.outgoing.refused(delivery, "DestinationRefusedError", "No.")
        else:
            journal.outgoing.sent(delivery)

    output = jobs("retry", STUDY).output

    assert "delivered to pacs again" in output
    states = {item.destination: item.state for item in journal.outgoing.all()}
    assert states == {"pacs": DeliveryState.WAITING, "outbox": DeliveryState.SENT}
    assert "Nothing to retry" not in output


def test_retry_of_what_is_well_does_nothing(journal: Journal, tmp_path: Path) -> None:
    record = complete(journal)
    make_results(tmp_path, record)
    journal.revisions.finish(record, [])

    assert "Nothing to retry: revision 1 is done." in jobs("retry", STUDY).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "9.9"], "No study 9.9"),
        (["retry", "9.9"], "No study 9.9"),
        (["retry", STUDY, "--destination", "nowhere"], "no delivery to 'nowhere'"),
        (["recover", "node-1"], "this machine"),
    ],
)
def test_what_does_not_exist_is_said_in_words(journal: Journal, arguments: list[str], message: str) -> None:
    complete(journal)

    answer = jobs(*arguments)

    assert isinstance(answer.exception, JobError)
    assert message in str(answer.exception)


def test_looking_where_no_node_was_makes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CADNODE_DATA_DIR", str(tmp_path / "none"))

    answer = jobs("list")

    assert isinstance(answer.exception, JobError)
    assert not (tmp_path / "none").exists()


def not_committed(journal: Journal) -> None:
    """A study that was sent to a PACS, which keeps one object and not the other."""
    journal.revisions.finish(complete(journal), ["pacs"])
    delivery = journal.outgoing.claim("pacs", "node-1")
    assert delivery is not None
    journal.outgoing.sent(delivery, commitment=True)
    record = journal.commitments.due("pacs")
    assert record is not None
    transaction = journal.commitments.begin(record, ["1.2.3.9.1", "1.2.3.9.2"], "node-1", 60)
    assert transaction is not None
    report = CommitmentReport(transaction, frozenset(["1.2.3.9.1"]), {"1.2.3.9.2": 0x0122})
    journal.commitments.report(report, ["pacs"])
    record = journal.commitments.due("pacs")
    assert record is not None
    journal.commitments.end(record, "Destination pacs is not committed to all objects.")


def test_a_commitment_stands_beside_its_delivery_and_can_be_looked_for(journal: Journal) -> None:
    not_committed(journal)

    line = next(
        line for line in jobs("list", "--state", "not_committed").output.splitlines() if STUDY in line
    )

    assert "pacs sent (not_committed)" in line
    assert "is not committed to all objects" in line
    assert STUDY not in jobs("list", "--state", "committed").output


def test_show_names_each_object_that_is_not_committed_and_why(journal: Journal) -> None:
    not_committed(journal)

    lines = jobs("show", STUDY).output.splitlines()

    assert any("0x0122 SOP Class not supported" in line and "1.2.3.9.2" in line for line in lines)
    assert not any("1.2.3.9.1" in line for line in lines)


def test_retry_asks_again_where_a_destination_is_not_committed(journal: Journal, tmp_path: Path) -> None:
    not_committed(journal)
    make_results(tmp_path, journal.revisions.all()[0])

    assert "pacs is asked again to commit itself to revision 1" in jobs("retry", STUDY).output

    assert [item.state for item in journal.commitments.all()] == [CommitmentState.TO_ASK]
    assert [item.state for item in journal.outgoing.all()] == [DeliveryState.SENT]
