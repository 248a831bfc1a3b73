"""Many files: each once, resumable, and nothing that came in goes into the report."""

from __future__ import annotations

import csv
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cad_node.clean_copy import CopyResult, CopyStatus, CopyTask
from cad_node.clean_run import CleanRun, CopyOutcome, find_files, write_link, write_report
from cad_node.deidentify.pseudonyms import Pseudonyms
from cad_node.errors import SettingsError, StudyError
from tests.factories import us_image, write

NAMES = Pseudonyms(b"a secret of some length")


@dataclass
class _Copy:
    """Copies bytes, or does what it is told to for a file of some name."""

    fails: Collection[str] = ()
    refuses: Collection[str] = ()
    crashes: Collection[str] = ()
    output: str = ""
    calls: list[str] = field(default_factory=list)

    def __call__(self, task: CopyTask) -> CopyResult:
        name = task.path.stem
        self.calls.append(name)
        task.unfinished.write_bytes(b"half")
        if name in self.crashes:
            raise StudyError("The worker ended.", "Keep the file.")
        if name in self.fails:
            return CopyResult(CopyStatus.FAILED, "cleaning_failed")
        if name in self.refuses:
            return CopyResult(CopyStatus.REFUSED, "m_mode")
        return CopyResult(CopyStatus.CLEANED, "", self.output or f"patient/{task.name}.dcm", 1, 2, 0.5)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "DOE JANE"
    folder.mkdir()
    made = [folder / f"{name}.dcm" for name in ("first", "second", "third")]
    for path in made:
        path.write_text(path.stem)
    return made


def run(
    copy: _Copy, files: list[Path], output: Path, made_by: str = "model", names: Pseudonyms = NAMES
) -> list[CopyOutcome]:
    outcomes = list(CleanRun(copy, output, names, made_by).run(files, 2))
    return sorted(outcomes, key=lambda outcome: outcome.position)


def copies(output: Path) -> list[Path]:
    return sorted(output.rglob("*.dcm"))


def test_a_bad_file_costs_only_itself_and_leaves_nothing(files: list[Path], tmp_path: Path) -> None:
    outcomes = run(
        _Copy(fails=["first"], crashes=["third"]), [*files, tmp_path / "gone.dcm"], tmp_path / "out"
    )

    assert [(one.result.status, one.result.reason) for one in outcomes] == [
        ("failed", "cleaning_failed"),
        ("cleaned", ""),
        ("failed", "crashed"),
        ("failed", "unreadable_file"),
    ]
    assert len(copies(tmp_path / "out")) == 1
    assert not list(tmp_path.rglob("*.part"))


def test_what_is_done_is_not_done_again_and_what_failed_is(files: list[Path], tmp_path: Path) -> None:
    run(_Copy(fails=["first"], refuses=["second"]), files, tmp_path / "out")
    again = _Copy()

    outcomes = run(again, files, tmp_path / "out")

    assert again.calls == ["first"]
    assert [one.done_before for one in outcomes] == [False, True, True]
    assert [one.result.status for one in outcomes] == ["cleaned", "refused", "cleaned"]


@pytest.mark.parametrize("changed", ["settings", "file", "copy"])
def test_other_settings_another_file_or_a_lost_copy_make_it_anew(
    changed: str, files: list[Path], tmp_path: Path
) -> None:
    run(_Copy(), files, tmp_path / "out")
    if changed == "file":
        files[0].write_text("another")
    if changed == "copy":
        copies(tmp_path / "out")[0].unlink()
    again = _Copy()

    run(again, files, tmp_path / "out", "new" if changed == "settings" else "model")

    assert len(again.calls) == (3 if changed == "settings" else 1)


@pytest.mark.parametrize("how", ["fails", "refuses", "crashes"])
def test_a_copy_that_would_not_be_made_any_more_is_removed(
    files: list[Path], tmp_path: Path, how: str
) -> None:
    output = tmp_path / "out"
    first = run(_Copy(), files, output)
    assert len(copies(output)) == 3

    stricter = _Copy(**{how: ["second"]})  # type: ignore[arg-type]
    run(stricter, files, output, made_by="newer")

    assert {path.name for path in copies(output)} == {f"{first[index].name}.dcm" for index in (0, 2)}


def test_another_secret_is_not_mixed_in(files: list[Path], tmp_path: Path) -> None:
    run(_Copy(), files, tmp_path / "out")

    with pytest.raises(SettingsError, match="another secret"):
        run(_Copy(), files, tmp_path / "out", names=Pseudonyms(b"another secret of some length"))


def test_the_same_content_is_copied_once(files: list[Path], tmp_path: Path) -> None:
    files[2].write_text(files[0].stem)
    copy = _Copy()

    outcomes = run(copy, files, tmp_path / "out")

    assert len(copy.calls) == 2
    assert sorted(one.result.reason for one in outcomes) == ["", "", "duplicate"]


def test_a_copy_of_one_image_never_takes_the_place_of_another(files: list[Path], tmp_path: Path) -> None:
    outcomes = run(_Copy(output="patient/same.dcm"), files, tmp_path / "out")
    later = run(_Copy(output="patient/same.dcm"), files, tmp_path / "out", "new settings")

    assert sorted(one.result.reason for one in outcomes) == [
        "",
        "same_sop_instance_uid",
        "same_sop_instance_uid",
    ]
    assert [one.result.reason for one in later] == [one.result.reason for one in outcomes]
    assert len(copies(tmp_path / "out")) == 1


def test_the_report_holds_no_path_and_the_link_does(files: list[Path], tmp_path: Path) -> None:
    outcomes = run(_Copy(fails=["second"]), files, tmp_path / "out")

    report = write_report(tmp_path / "out", outcomes, unreadable=1)
    link = write_link(tmp_path / "link.csv", outcomes)

    with report.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["status"] for row in rows] == ["cleaned", "failed", "cleaned", "failed"]
    assert rows[0]["marks_removed"] == "2"
    assert (tmp_path / "out" / rows[0]["output"]).is_file()
    for path in (tmp_path / "out").rglob("*"):
        assert "DOE" not in path.name
        assert path.is_dir() or b"DOE" not in path.read_bytes()
    with link.open(newline="") as stream:
        assert [row["path"] for row in csv.DictReader(stream)] == [str(path) for path in files]


def test_the_secret_is_kept_nowhere(files: list[Path], tmp_path: Path) -> None:
    run(_Copy(), files, tmp_path / "out")

    assert not [
        one for one in (tmp_path / "out").rglob("*") if one.is_file() and b"a secret" in one.read_bytes()
    ]


def test_dicom_and_pictures_are_found_and_one_s_own_output_is_not(tmp_path: Path) -> None:
    write(us_image(), tmp_path / "in", "a.dcm")
    (tmp_path / "in" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "in" / "c.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "in" / "notes.txt").write_text("Doe")
    write(us_image(), tmp_path / "in" / "out", "d.dcm")
    (tmp_path / "in" / "e.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"torn")

    found = find_files([tmp_path / "in"], [tmp_path / "in" / "out"])

    assert [path.name for path in found.files] == ["a.dcm", "b.png", "c.jpg"]
    assert [path.name for path, _ in found.unreadable] == ["e.dcm"]
    assert found.ignored == 1
