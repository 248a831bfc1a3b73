"""`cad-node prune`: what is finished goes from the disk, and what became of it stays known."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cad_node.cli import app
from cad_node.domain import MadeBy
from cad_node.errors import JobError
from cad_node.reanalysis import Decision, choose
from cad_node.retention import Pruned, prune
from cad_node.store.inbox import INBOX_FOLDER, Inbox
from cad_node.store.journal import Journal
from cad_node.store.results import RESULTS_FOLDER
from cad_node.store.retention import Standing
from tests.unit.jobs.stubs import Clock
from tests.unit.store.test_inbox import _received

DAY = 86400.0


@pytest.fixture
def inbox(tmp_path: Path, journal: Journal) -> Inbox:
    return Inbox(tmp_path / INBOX_FOLDER, journal.record_instance, 0)


def analysed(journal: Journal, inbox: Inbox, study: str, images: int = 2) -> None:
    """A study of so many images, complete, analysed, and of use to no destination."""
    for number in range(images):
        inbox.accept(_received(study, f"{study}.4", f"{study}.4.{number}"))
    revision = journal.close_study(study)
    assert revision is not None
    record = journal.revisions.get(study, revision)
    assert record is not None
    journal.revisions.begin(record, "node-1")
    journal.revisions.finish(record, [], (), MadeBy())
    folder = inbox.root.parent / RESULTS_FOLDER / study / f"0001-{revision}"
    folder.mkdir(parents=True)
    (folder / "sr.dcm").write_bytes(b"report")


def prune_a_month_later(data_dir: Path, journal: Journal, inbox: Inbox, clock: Clock) -> None:
    """Study 1.2.3, analysed a month ago, its files removed."""
    analysed(journal, inbox, "1.2.3")
    clock.forward(31 * DAY)
    list(prune(journal, data_dir, 30))


def sizes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.dcm"))


def test_received_files_go_and_results_stay(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock
) -> None:
    analysed(journal, inbox, "1.2.3")
    clock.forward(20 * DAY)
    analysed(journal, inbox, "1.2.4")
    clock.forward(15 * DAY)
    size = sizes(inbox.root / "studies" / "1.2.3")

    pruned = list(prune(journal, tmp_path, 30))

    assert pruned == [Pruned("1.2.3", Standing.FINISHED, size), Pruned("1.2.4", Standing.RECENT)]
    assert size > 0
    assert not inbox.files_of("1.2.3")
    assert len(inbox.files_of("1.2.4")) == 2
    assert len(list((tmp_path / RESULTS_FOLDER).rglob("sr.dcm"))) == 2
    assert list(prune(journal, tmp_path, 30)) == [Pruned("1.2.4", Standing.RECENT)]


def test_results_go_when_they_are_to(tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock) -> None:
    prune_a_month_later(tmp_path, journal, inbox, clock)

    (pruned,) = prune(journal, tmp_path, 30, results=True)

    assert pruned == Pruned("1.2.3", Standing.FINISHED, len(b"report"))
    assert list((tmp_path / RESULTS_FOLDER).iterdir()) == []


def test_a_dry_run_says_the_same_and_changes_nothing(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock
) -> None:
    analysed(journal, inbox, "1.2.3")
    clock.forward(31 * DAY)
    said = list(prune(journal, tmp_path, 30, results=True, dry_run=True))
    assert len(inbox.files_of("1.2.3")) == 2
    assert said == list(prune(journal, tmp_path, 30, results=True))


def test_a_removed_study_that_is_sent_again_is_not_analysed_again(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock
) -> None:
    prune_a_month_later(tmp_path, journal, inbox, clock)

    for number in range(2):
        inbox.accept(_received("1.2.3", "1.2.3.4", f"1.2.3.4.{number}"))

    assert journal.open_studies() == []
    assert journal.is_idle()
    assert [one.standing for one in prune(journal, tmp_path, 30)] == [Standing.FINISHED]


def test_a_removed_study_is_known_whoever_sends_it_again_to_whichever_version_of_the_node(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    prune_a_month_later(tmp_path, journal, inbox, clock)

    monkeypatch.setattr("cad_node.receive.part10.IMPLEMENTATION_VERSION_NAME", "CADNODE_9.9")
    for number in range(2):
        inbox.accept(_received("1.2.3", "1.2.3.4", f"1.2.3.4.{number}", calling="PACS"))

    assert journal.open_studies() == []
    assert [one.standing for one in prune(journal, tmp_path, 30)] == [Standing.FINISHED]
    assert not inbox.files_of("1.2.3")


def test_a_study_that_an_older_node_noted_is_known_again_too(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock
) -> None:
    analysed(journal, inbox, "1.2.3")
    with journal._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE instances SET dataset_sha256 = ''")
    clock.forward(31 * DAY)
    list(prune(journal, tmp_path, 30))
    inbox.accept(_received("1.2.3", "1.2.3.4", "1.2.3.4.0", calling="PACS"))
    assert journal.open_studies() == []


def test_the_journal_of_a_removed_study_is_short_and_finds_its_files_when_they_are_sent_again(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock
) -> None:
    analysed(journal, inbox, "1.2.3")
    analysed(journal, inbox, "1.2.4")
    (record,) = journal.revisions.of_study("1.2.3")
    before = journal.files_of("1.2.3", record.revision)
    clock.forward(31 * DAY)
    list(prune(journal, tmp_path, 30))

    assert journal.stored_paths(["1.2.3", "1.2.4"]) == frozenset()
    with journal._engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM revision_files").scalar_one() == 0
    assert [(inbox.root / path).is_file() for path in journal.files_of("1.2.3", record.revision)] == [
        False
    ] * 2

    for number in range(2):
        inbox.accept(_received("1.2.3", "1.2.3.4", f"1.2.3.4.{number}"))
    assert journal.files_of("1.2.3", record.revision) == before
    assert journal.stored_paths(["1.2.3"]) == set(map(str, before))


def test_a_removed_study_is_analysed_again_once_it_was_sent_again(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock
) -> None:
    prune_a_month_later(tmp_path, journal, inbox, clock)
    making = MadeBy("b" * 64, "breast-us 2", "2" * 64)
    (gone,) = choose(journal, inbox.root, making, journal.reanalysis.latest())
    assert gone.decision is Decision.GONE
    assert gone.problem.startswith("2 of 2 files")

    for number in range(2):
        inbox.accept(_received("1.2.3", "1.2.3.4", f"1.2.3.4.{number}"))
    (chosen,) = choose(journal, inbox.root, making, journal.reanalysis.latest())
    assert chosen.last is not None
    assert journal.reanalysis.order(chosen.last, making.digest)
    # A late image is the next revision's: the order is over what it was made for.
    inbox.accept(_received("1.2.3", "1.2.3.4", "1.2.3.4.9"))
    _, ordered = journal.revisions.of_study("1.2.3")
    assert {path.name for path in journal.files_of("1.2.3", ordered.revision)} == {
        "1.2.3.4.0.dcm",
        "1.2.3.4.1.dcm",
    }


def test_a_late_image_of_a_removed_study_is_analysed_with_the_others_once_they_are_sent_again(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock
) -> None:
    prune_a_month_later(tmp_path, journal, inbox, clock)
    inbox.accept(_received("1.2.3", "1.2.3.4", "1.2.3.4.9"))
    revision = journal.close_study("1.2.3")
    assert revision is not None

    def there() -> list[bool]:
        return [(inbox.root / path).is_file() for path in journal.files_of("1.2.3", revision)]

    assert sorted(there()) == [False, False, True]
    for number in range(2):
        inbox.accept(_received("1.2.3", "1.2.3.4", f"1.2.3.4.{number}", calling="PACS"))
    assert journal.open_studies() == []
    assert there() == [True] * 3


def test_another_content_that_came_that_moment_for_a_removed_image_is_not_lost(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock
) -> None:
    prune_a_month_later(tmp_path, journal, inbox, clock)
    # Stored, and the node has not recorded it yet.
    Inbox(inbox.root, lambda _: True, 0).accept(
        _received("1.2.3", "1.2.3.4", "1.2.3.4.0", dataset=b"another")
    )
    list(prune(journal, tmp_path, 30))
    assert len(inbox.files_of("1.2.3")) == 1


def test_a_journal_that_was_not_shortened_is_by_the_next_command(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock
) -> None:
    analysed(journal, inbox, "1.2.3")
    clock.forward(31 * DAY)
    shutil.rmtree(inbox.root / "studies" / "1.2.3")  # as a kill after the removal leaves it

    list(prune(journal, tmp_path, 30, dry_run=True))
    assert len(journal.stored_paths(["1.2.3"])) == 2
    list(prune(journal, tmp_path, 30))
    assert journal.stored_paths(["1.2.3", "1.2.4"]) == frozenset()


def test_a_late_image_of_a_removed_study_keeps_what_is_there_until_it_is_analysed(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock
) -> None:
    prune_a_month_later(tmp_path, journal, inbox, clock)

    inbox.accept(_received("1.2.3", "1.2.3.4", "1.2.3.4.9"))
    clock.forward(31 * DAY)
    assert [one.standing for one in prune(journal, tmp_path, 30)] == [Standing.UNDER_WAY]
    journal.close_study("1.2.3")
    clock.forward(31 * DAY)
    assert [one.standing for one in prune(journal, tmp_path, 30)] == [Standing.UNDER_WAY]
    assert len(inbox.files_of("1.2.3")) == 1


def test_what_cannot_be_removed_is_said_and_costs_no_other_study(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysed(journal, inbox, "1.2.3")
    analysed(journal, inbox, "1.2.4")
    clock.forward(31 * DAY)
    remove = shutil.rmtree

    def broken(path: Path) -> None:
        if path.name == "1.2.3":
            raise PermissionError(13, "Permission denied")
        remove(path)

    monkeypatch.setattr("cad_node.retention.shutil.rmtree", broken)
    first, second = prune(journal, tmp_path, 30, results=True)

    assert first.problem == "Permission denied"
    assert (second.problem, second.standing) == ("", Standing.FINISHED)
    assert not (tmp_path / RESULTS_FOLDER / "1.2.4").exists()


def test_a_second_command_waits_for_nobody(tmp_path: Path, journal: Journal) -> None:
    with (tmp_path / "prune.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(JobError, match="Another cad-node prune"):
            list(prune(journal, tmp_path, 30))


def test_the_command_says_what_was_freed_and_why_the_rest_stays(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysed(journal, inbox, "1.2.3")
    clock.forward(31 * DAY)
    inbox.accept(_received("1.2.5", "1.2.5.4", "1.2.5.4.1"))
    monkeypatch.setenv("CADNODE_DATA_DIR", str(tmp_path))

    # By this machine's clock, which is far ahead of the one of the fixture.
    dry = CliRunner().invoke(app, ["prune", "--older-than", "30", "--dry-run"])
    real = CliRunner().invoke(app, ["prune", "--older-than", "30"])

    assert (dry.exit_code, real.exit_code) == (0, 0)
    assert "Nothing was changed" in dry.output
    assert "kept: received, analysed or sent at the moment" in real.output
    assert "MB were freed" in real.output
    assert not inbox.files_of("1.2.3")
    assert len(inbox.files_of("1.2.5")) == 1


def failed_dismissed_and_removed(data_dir: Path, journal: Journal, inbox: Inbox, clock: Clock) -> None:
    """Study 1.2.3 of two images, which failed, was seen to, and lost its files a month later."""
    for number in range(2):
        inbox.accept(_received("1.2.3", "1.2.3.4", f"1.2.3.4.{number}"))
    journal.close_study("1.2.3")
    (record,) = journal.revisions.of_study("1.2.3")
    journal.revisions.fail(record, "StudyError", "No.")
    clock.forward(31 * DAY)
    assert [one.standing for one in prune(journal, data_dir, 30)] == [Standing.FAILED]
    journal.dismissals.dismiss(journal.dismissals.standing_open([]), "anna", "ticket 7")
    assert [one.standing for one in prune(journal, data_dir, 30)] == [Standing.RECENT]
    clock.forward(31 * DAY)
    assert [one.standing for one in prune(journal, data_dir, 30)] == [Standing.FINISHED]
    assert not inbox.files_of("1.2.3")


def files_of_newest(journal: Journal, inbox: Inbox) -> list[bool]:
    newest = journal.revisions.of_study("1.2.3")[-1]
    return [(inbox.root / path).is_file() for path in journal.files_of("1.2.3", newest.revision)]


def test_a_dismissed_study_that_was_removed_is_analysed_when_it_is_sent_again(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock
) -> None:
    failed_dismissed_and_removed(tmp_path, journal, inbox, clock)
    for number in range(2):
        inbox.accept(_received("1.2.3", "1.2.3.4", f"1.2.3.4.{number}", calling="PACS"))
    assert journal.close_study("1.2.3") is not None
    (startable,) = journal.revisions.startable()
    assert (startable.number, startable.run) == (1, 2)
    assert files_of_newest(journal, inbox) == [True, True]


def test_a_dismissed_study_that_was_removed_may_come_again_with_other_contents(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock
) -> None:
    failed_dismissed_and_removed(tmp_path, journal, inbox, clock)
    for number in range(2):
        inbox.accept(_received("1.2.3", "1.2.3.4", f"1.2.3.4.{number}", dataset=b"corrected"))
    assert journal.close_study("1.2.3") is not None
    assert [record.number for record in journal.revisions.startable()] == [2]
    assert files_of_newest(journal, inbox) == [True, True]


def test_a_clock_that_is_ahead_for_a_while_removes_nothing(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock
) -> None:
    journal.lifetime.note_alive()
    analysed(journal, inbox, "1.2.3")
    clock.forward(365 * DAY)
    journal.lifetime.note_alive()

    assert [one.standing for one in prune(journal, tmp_path, 30)] == [Standing.RECENT]
    assert len(inbox.files_of("1.2.3")) == 2


def test_the_command_says_what_it_does_not_count_and_counts_it_when_told(
    tmp_path: Path, journal: Journal, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.lifetime.note_alive()
    analysed(journal, inbox, "1.2.3")
    monkeypatch.setenv("CADNODE_DATA_DIR", str(tmp_path))

    # By this machine's clock, which is far ahead of the one of the fixture.
    kept = CliRunner().invoke(app, ["prune", "--older-than", "30"])
    assert "days are not counted" in kept.output
    assert len(inbox.files_of("1.2.3")) == 2
    gone = CliRunner().invoke(app, ["prune", "--older-than", "30", "--by-clock"])
    assert "days are not counted" not in gone.output
    assert not inbox.files_of("1.2.3")


def test_days_are_asked_for(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["prune"]).exit_code == 2
    assert CliRunner().invoke(app, ["prune", "--older-than", "0"]).exit_code == 2
