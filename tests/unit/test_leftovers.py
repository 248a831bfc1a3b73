"""What lies beside the studies goes with time, and not before its study is finished."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cad_node.answers import ANSWERS_FOLDER
from cad_node.cli import app
from cad_node.domain import Verdict
from cad_node.leftovers import Leftover, Swept, sweep
from cad_node.store.inbox import RETURNED_FOLDER, Inbox
from cad_node.store.journal import Journal
from cad_node.store.results import INVALID_FOLDER
from cad_node.store.schema import AnswerRecord, AnswerWay
from tests.unit.jobs.stubs import Clock
from tests.unit.store.test_inbox import _received
from tests.unit.test_retention import DAY, analysed, inbox

__all__ = ["inbox"]

STUDY = "1.2.3"


def made_old(folder: Path, days: float) -> None:
    """As if everything in it had come so long ago."""
    then = time.time() - days * DAY
    for path in folder.rglob("*.dcm"):
        os.utime(path, (then, then))


def swept(journal: Journal, data_dir: Path, what: Leftover, **how: bool) -> Swept:
    return next(one for one in sweep(journal, data_dir, 30, **how) if one.what is what)


def conflict(inbox: Inbox) -> Path:
    """Another content under the UIDs of its first image."""
    inbox.accept(_received(STUDY, f"{STUDY}.4", f"{STUDY}.4.0", dataset=b"other"))
    (path,) = (inbox.root / "conflicts" / STUDY).rglob("*.dcm")
    return path


def answered(journal: Journal, data_dir: Path, study: str, *, noted: bool = True, days: float = 31) -> Path:
    """A key object selection of a study as the answers' own spool keeps it."""

    def note(stored: object) -> bool:
        record = AnswerRecord(
            sop_instance_uid=f"{study}.8.1",
            number=0,
            study_instance_uid=study,
            revision="",
            verdict=Verdict.UNCLEAR,
            named="",
            corrected="",
            lesions=0,
            tracking_uid="",
            model="",
            title="",
            way=AnswerWay.CSTORE,
            calling_ae_title="READER",
            path=f"studies/{study}/{study}.8/{study}.8.1.dcm",
            received_at=time.time() - days * DAY,
        )
        return journal.answers.record([record]) if noted else False

    spool = Inbox(data_dir / ANSWERS_FOLDER, note, 0)
    spool.accept(_received(study, f"{study}.8", f"{study}.8.1"))
    return spool.files_of(study)[0]


def test_another_content_goes_with_its_study(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock
) -> None:
    analysed(journal, inbox, STUDY)
    path = conflict(inbox)
    size = path.stat().st_size
    clock.forward(31 * DAY)
    assert swept(journal, tmp_path, Leftover.CONFLICTS).kept == 1

    made_old(inbox.root / "conflicts", 31)
    said = swept(journal, tmp_path, Leftover.CONFLICTS, dry_run=True)
    assert path.exists()
    assert swept(journal, tmp_path, Leftover.CONFLICTS) == said
    assert said == Swept(Leftover.CONFLICTS, 1, size, 0)
    assert list((inbox.root / "conflicts").iterdir()) == []


def test_another_content_of_a_study_that_is_not_finished_stays_however_old(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock
) -> None:
    inbox.accept(_received(STUDY, f"{STUDY}.4", f"{STUDY}.4.0"))
    path = conflict(inbox)
    made_old(inbox.root / "conflicts", 1000)
    clock.forward(1000 * DAY)

    assert swept(journal, tmp_path, Leftover.CONFLICTS) == Swept(Leftover.CONFLICTS, 0, 0, 1)
    assert path.exists()


def test_another_content_stays_where_the_journal_was_lost_and_the_study_was_not(
    tmp_path: Path, journal: Journal, inbox: Inbox
) -> None:
    lost = Inbox(inbox.root, lambda _: True, 0)
    lost.accept(_received(STUDY, f"{STUDY}.4", f"{STUDY}.4.0"))
    conflict(lost)
    made_old(inbox.root / "conflicts", 31)
    assert swept(journal, tmp_path, Leftover.CONFLICTS).kept == 1


def test_an_answer_goes_once_it_is_noted_and_its_study_is_finished(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock
) -> None:
    analysed(journal, inbox, STUDY)
    clock.forward(31 * DAY)
    done = answered(journal, tmp_path, STUDY)
    young = answered(journal, tmp_path, "1.2.5", days=1)
    unknown = answered(journal, tmp_path, "1.2.6", noted=False)
    inbox.accept(_received("1.2.7", "1.2.7.4", "1.2.7.4.1"))
    under_way = answered(journal, tmp_path, "1.2.7")
    foreign = answered(journal, tmp_path, "1.2.8")

    said = swept(journal, tmp_path, Leftover.ANSWERS)

    assert (said.removed, said.kept) == (2, 3)
    assert not done.exists()
    assert not foreign.exists()
    assert young.exists()
    assert unknown.exists()
    assert under_way.exists()


def test_an_answer_whose_file_is_gone_is_not_noted_a_second_time(
    tmp_path: Path, journal: Journal, inbox: Inbox, clock: Clock
) -> None:
    analysed(journal, inbox, STUDY)
    clock.forward(31 * DAY)
    answered(journal, tmp_path, STUDY)
    swept(journal, tmp_path, Leftover.ANSWERS)

    again = answered(journal, tmp_path, STUDY, days=0)

    assert len(journal.answers.all()) == 1
    assert swept(journal, tmp_path, Leftover.ANSWERS).removed == 1
    assert not again.exists()


@pytest.mark.parametrize(
    ("folder", "what"), [(RETURNED_FOLDER, Leftover.RETURNED), (INVALID_FOLDER, Leftover.INVALID)]
)
def test_what_the_node_made_itself_goes_by_its_age(
    tmp_path: Path, journal: Journal, folder: str, what: Leftover
) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "1.2.3.dcm").write_bytes(b"object")
    assert swept(journal, tmp_path, what) == Swept(what, 0, 0, 1)
    made_old(tmp_path / folder, 31)
    assert swept(journal, tmp_path, what) == Swept(what, 1, 6, 0)
    assert (tmp_path / folder).is_dir()


def test_what_cannot_be_removed_is_said_and_costs_nothing_else(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / INVALID_FOLDER).mkdir()
    for name in ("1.2.3", "1.2.4"):
        (tmp_path / INVALID_FOLDER / f"{name}.dcm").write_bytes(b"object")
    made_old(tmp_path, 31)
    unlink = Path.unlink

    def broken(path: Path) -> None:
        if path.name == "1.2.3.dcm":
            raise PermissionError(13, "Permission denied")
        unlink(path)

    monkeypatch.setattr(Path, "unlink", broken)
    said = swept(journal, tmp_path, Leftover.INVALID)
    assert (said.removed, said.kept) == (1, 1)
    assert said.problems == ("1.2.3.dcm: Permission denied",)


def test_the_command_says_what_goes_beside_the_studies(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / INVALID_FOLDER).mkdir()
    (tmp_path / INVALID_FOLDER / "1.2.3.dcm").write_bytes(b"x" * 1_000_000)
    made_old(tmp_path, 31)
    monkeypatch.setenv("CADNODE_DATA_DIR", str(tmp_path))

    dry = CliRunner().invoke(app, ["prune", "--older-than", "30", "--dry-run"])
    assert "objects that failed the node's own check (invalid)" in dry.output
    assert "1.0 MB would be freed" in dry.output
    real = CliRunner().invoke(app, ["prune", "--older-than", "30"])
    assert "1.0 MB were freed" in real.output
    assert list((tmp_path / INVALID_FOLDER).iterdir()) == []


def test_a_file_that_vanished_costs_no_other_one(tmp_path: Path, journal: Journal) -> None:
    folder = tmp_path / RETURNED_FOLDER
    folder.mkdir()
    (folder / "there.dcm").write_bytes(b"report")
    made_old(folder, 31)
    (folder / "gone.dcm").symlink_to(folder / "nowhere")

    found = swept(journal, tmp_path, Leftover.RETURNED)
    assert (found.removed, found.kept) == (1, 1)
    assert not (folder / "there.dcm").exists()
