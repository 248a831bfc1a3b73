"""`cad-node jobs dismiss`: an operator says that a study was seen to, and can take that back."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cad_node.cli import app
from cad_node.cli.dismiss import Dismissable, whoami
from cad_node.errors import JobError
from cad_node.store.dismissals import DISMISSABLE
from cad_node.store.journal import Journal
from cad_node.store.schema import DeliveryState, RevisionState
from tests.unit.jobs.test_cli_jobs import STUDY, complete, journal, make_results

__all__ = ["journal"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def dismiss(*arguments: str) -> Result:
    return run("jobs", "dismiss", "--reason", "ticket 7", *arguments)


def failed(journal: Journal, study: str = STUDY) -> None:
    journal.revisions.fail(complete(journal, study), "StudyError", "Bad pixels.")


def test_the_command_knows_the_states_of_the_journal() -> None:
    assert [state.value for state in Dismissable] == list(DISMISSABLE)


def test_a_dismissed_study_is_shown_as_that_with_who_and_why(journal: Journal) -> None:
    failed(journal)

    answer = dismiss(STUDY, "--by", "anna")

    assert (answer.exit_code, "1 study dismissed." in answer.output) == (0, True)
    assert STUDY not in run("jobs", "list", "--state", "failed").output
    line = next(line for line in run("jobs", "list").output.splitlines() if STUDY in line)
    assert "dismissed" in line
    assert "ticket 7" in line
    shown = run("jobs", "show", STUDY).output
    assert all(word in shown for word in ("anna", "ticket 7", "failed", "Bad pixels."))


def test_retry_takes_it_back(journal: Journal) -> None:
    failed(journal)
    dismiss(STUDY)

    output = run("jobs", "retry", STUDY).output

    assert "It is no longer dismissed." in output
    assert "Revision 1 is processed again." in output
    assert journal.revisions.all()[0].state is RevisionState.WAITING
    assert "jobs retry" in run("jobs", "show", STUDY).output


def test_retry_sends_what_was_refused_and_dismissed(journal: Journal, tmp_path: Path) -> None:
    record = complete(journal)
    make_results(tmp_path, record)
    journal.revisions.finish(record, ["pacs"])
    delivery = journal.outgoing.claim("pacs", "node-1")
    assert delivery is not None
    journal.outgoing.refused(delivery, "E", "No.")
    dismiss(STUDY)
    assert "pacs dismissed" in run("jobs", "list").output

    run("jobs", "retry", STUDY)

    assert [item.state for item in journal.outgoing.all()] == [DeliveryState.WAITING]


def test_all_of_a_state_and_age_are_dismissed(journal: Journal) -> None:
    failed(journal, "1.1")
    failed(journal, "1.2")
    journal.revisions.finish(complete(journal, "1.3"), [])

    assert "0 studies dismissed." in dismiss("--state", "failed", "--older-than", "1").output
    would = dismiss("--state", "failed", "--older-than", "0", "--dry-run").output
    assert "2 studies would be dismissed. Nothing was changed." in would
    assert len(journal.revisions.all(RevisionState.FAILED)) == 2
    dismiss("--state", "failed", "--older-than", "0")
    assert [item.study_instance_uid for item in journal.revisions.all(RevisionState.DISMISSED)] == [
        "1.1",
        "1.2",
    ]


@pytest.mark.parametrize(
    "arguments",
    [[], ["--state", "failed"], ["--older-than", "30"], ["--state", "done", "--older-than", "1"]],
    ids=["nothing", "no age", "no state", "nothing to see to"],
)
def test_not_everything_is_dismissed_by_a_slip(journal: Journal, arguments: list[str]) -> None:
    failed(journal)
    assert dismiss(*arguments).exit_code == 2
    assert journal.dismissals.standing() == []


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, "a\x00b"])
def test_a_reason_is_a_short_line(journal: Journal, reason: str) -> None:
    failed(journal)
    assert run("jobs", "dismiss", STUDY, "--reason", reason).exit_code == 2


def test_what_cannot_be_dismissed_is_said(journal: Journal) -> None:
    complete(journal)
    for uid, message in ((STUDY, "can be dismissed"), ("9.9", "No study 9.9")):
        answer = dismiss(uid)
        assert isinstance(answer.exception, JobError)
        assert message in str(answer.exception)


def test_the_reason_is_in_no_log(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    failed(journal)
    dismiss(STUDY)
    assert "ticket 7" not in caplog.text


def test_the_user_behind_sudo_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "anna")
    assert whoami().startswith("anna@")
