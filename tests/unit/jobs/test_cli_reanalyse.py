from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cad_node.cli import app
from cad_node.domain import MadeBy
from cad_node.errors import JobError
from cad_node.settings import NodeSettings
from cad_node.store.journal import Journal
from cad_node.store.schema import RevisionRecord
from tests.unit.jobs.stubs import stored

OLD = MadeBy("a" * 64, "breast-us 1", "1" * 64)
NEW = MadeBy("b" * 64, "breast-us 2", "2" * 64)
OTHER_SETTINGS = MadeBy("c" * 64, "breast-us 2", "2" * 64)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    monkeypatch.setenv("CADNODE_DATA_DIR", str(tmp_path))
    journal = Journal.open(NodeSettings(data_dir=tmp_path))
    yield journal
    journal.close()


@pytest.fixture(autouse=True)
def making(monkeypatch: pytest.MonkeyPatch) -> dict[str, MadeBy]:
    """By what results are made now; a test may put something else there."""
    now = {"now": NEW}
    monkeypatch.setattr("cad_node.process.making", lambda _: now["now"])
    return now


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def analysed(journal: Journal, folder: Path, study: str, made: MadeBy = OLD) -> RevisionRecord:
    instance = stored(study)
    path = folder / "inbox" / instance.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"dicom")
    journal.record_instance(instance)
    journal.close_study(study)
    journal.revisions.finish(journal.revisions.of_study(study)[-1], ["pacs"], (), made)
    return journal.revisions.of_study(study)[-1]


def test_what_another_model_made_is_queued_once(journal: Journal, tmp_path: Path) -> None:
    for study, made in (("1.1", OLD), ("1.2", NEW), ("1.3", OTHER_SETTINGS)):
        analysed(journal, tmp_path, study, made)

    first, second = run("reanalyse", "--all"), run("reanalyse", "--all")

    assert (first.exit_code, second.exit_code) == (0, 0), first.output
    assert "2 studies are queued" in first.output
    assert "Nothing was queued" in second.output
    assert journal.reanalysis.waiting() == {NEW.digest: 2}
    assert [len(journal.revisions.of_study(study)) for study in ("1.1", "1.2", "1.3")] == [2, 1, 2]


def test_a_dry_run_says_it_and_does_nothing(journal: Journal, tmp_path: Path) -> None:
    analysed(journal, tmp_path, "1.1")

    answer = run("reanalyse", "--all", "--dry-run")

    assert "1 studies would be queued. Nothing was changed." in answer.output
    assert "breast-us 1" in answer.output
    assert "another model" in answer.output
    assert journal.reanalysis.waiting() == {}


def test_only_the_studies_that_are_named_are_queued(journal: Journal, tmp_path: Path) -> None:
    for study in ("1.1", "1.2", "1.3"):
        analysed(journal, tmp_path, study)

    answer = run("reanalyse", "--study", "1.1", "--study", "1.3")

    assert "1.1: queued" in answer.output
    assert [len(journal.revisions.of_study(study)) for study in ("1.1", "1.2", "1.3")] == [2, 1, 2]


def test_only_what_was_received_since_a_day_is_queued(journal: Journal, tmp_path: Path) -> None:
    analysed(journal, tmp_path, "1.1")
    today = datetime.now().astimezone()
    tomorrow = today + timedelta(days=1)

    assert "Nothing was queued" in run("reanalyse", "--since", tomorrow.strftime("%Y-%m-%d")).output
    assert "1 studies are queued" in run("reanalyse", "--since", today.strftime("%Y-%m-%d")).output


def test_a_study_without_its_files_is_refused(journal: Journal, tmp_path: Path) -> None:
    analysed(journal, tmp_path, "1.1")
    analysed(journal, tmp_path, "1.2")
    (tmp_path / "inbox" / stored("1.1").path).unlink()

    answer = run("reanalyse", "--all")

    assert answer.exit_code == 1
    assert "1.1: 1 of 1 files are no longer in the inbox. Have the study sent again" in answer.output
    assert [len(journal.revisions.of_study(study)) for study in ("1.1", "1.2")] == [1, 2]


def test_a_study_that_failed_is_for_retry(journal: Journal) -> None:
    journal.record_instance(stored("1.1"))
    journal.close_study("1.1")
    journal.revisions.fail(journal.revisions.all()[0], "StudyError", "No.")

    answer = run("reanalyse", "--study", "1.1")

    assert answer.exit_code == 1
    assert "jobs retry" in answer.output


def test_a_study_that_failed_and_was_dismissed_is_left_alone(journal: Journal) -> None:
    journal.record_instance(stored("1.1"))
    journal.close_study("1.1")
    journal.revisions.fail(journal.revisions.all()[0], "StudyError", "No.")
    journal.dismissals.dismiss(journal.dismissals.standing_open([]), "anna", "phantom")

    answer = run("reanalyse", "--all")

    assert answer.exit_code == 0
    assert "it failed and was dismissed" in answer.output


def test_a_study_that_is_still_received_is_left_alone(journal: Journal, tmp_path: Path) -> None:
    analysed(journal, tmp_path, "1.1")
    journal.record_instance(stored("1.1", 2))

    assert "being received or analysed" in run("reanalyse", "--all").output
    assert len(journal.revisions.of_study("1.1")) == 1


def test_a_failure_under_another_model_says_nothing_of_this_one(
    journal: Journal, tmp_path: Path, making: dict[str, MadeBy]
) -> None:
    analysed(journal, tmp_path, "1.1")
    run("reanalyse", "--all")
    journal.revisions.fail(journal.revisions.of_study("1.1")[1], "ModelError", "No.")
    assert run("reanalyse", "--all").exit_code == 1

    making["now"] = OTHER_SETTINGS
    assert "1 studies are queued" in run("reanalyse", "--all").output
    making["now"] = OLD
    assert "1 orders for another model were withdrawn" in run("reanalyse", "--all").output
    assert journal.reanalysis.waiting() == {}


def test_going_back_before_the_node_was_started_withdraws_the_order(
    journal: Journal, tmp_path: Path, making: dict[str, MadeBy]
) -> None:
    analysed(journal, tmp_path, "1.1")
    run("reanalyse", "--all")
    making["now"] = OLD

    answer = run("reanalyse", "--all")

    assert "1 orders for another model were withdrawn" in answer.output
    assert len(journal.revisions.of_study("1.1")) == 1


def test_a_node_that_still_has_the_old_model_is_spoken_of(journal: Journal, tmp_path: Path) -> None:
    journal.reanalysis.announce("node-1", OLD)
    analysed(journal, tmp_path, "1.1")

    assert "last started with breast-us 1" in run("reanalyse", "--all").output
    assert "to be analysed again by another model" in run("jobs", "list").output
    journal.reanalysis.announce("node-1", NEW)
    assert "last started with" not in run("reanalyse", "--all").output


@pytest.mark.parametrize("arguments", [[], ["--all", "--study", "1.1"], ["--since", "2026-01-01", "--all"]])
def test_one_choice_of_studies_is_asked_for(arguments: list[str]) -> None:
    assert run("reanalyse", *arguments).exit_code == 2


def test_an_unknown_study_is_said_in_words(journal: Journal) -> None:
    answer = run("reanalyse", "--study", "9.9")

    assert isinstance(answer.exception, JobError)
    assert "No study 9.9" in str(answer.exception)


def test_jobs_tell_how_many_results_were_made_otherwise(journal: Journal, tmp_path: Path) -> None:
    for study, made in (("1.1", OLD), ("1.2", NEW), ("1.3", OTHER_SETTINGS)):
        analysed(journal, tmp_path, study, made)
    journal.reanalysis.announce("node-1", NEW)

    listed = run("jobs", "list").output

    assert "2 of 3 results were made otherwise than breast-us 2 would make them now" in listed
    assert "1 by breast-us 1, 1 by breast-us 2 under other settings" in listed
    assert "breast-us 1 (another model now)" in run("jobs", "show", "1.1").output
    assert "now)" not in run("jobs", "show", "1.2").output


def test_jobs_are_silent_where_nothing_is_older(journal: Journal, tmp_path: Path) -> None:
    analysed(journal, tmp_path, "1.1", NEW)
    journal.reanalysis.announce("node-1", NEW)

    assert "otherwise" not in run("jobs", "list").output


def test_check_tells_how_many_results_were_made_otherwise(journal: Journal, tmp_path: Path) -> None:
    from cad_node.cli.check import _results

    settings = NodeSettings(data_dir=tmp_path)
    assert _results(settings) == "0 stored, none made otherwise than now"
    analysed(journal, tmp_path, "1.1")
    assert "1 of 1 results were made otherwise than breast-us 2 would make them now" in _results(settings)
    run("reanalyse", "--all")
    assert "1 studies wait to be analysed again" in _results(settings)
    assert _results(NodeSettings(data_dir=tmp_path / "none")) == "none yet"
