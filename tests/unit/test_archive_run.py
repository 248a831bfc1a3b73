import csv
import json
import time as clock
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import Mock

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from cad_node.archive_run import ArchiveRun, write_report
from cad_node.encode import load_templates
from cad_node.errors import DestinationUnreachableError, StudyError
from cad_node.pipeline.run import Steps
from cad_node.process import Processor, StudyTask
from cad_node.resources import templates_dir
from cad_node.result_files import StudySummary
from cad_node.settings import NodeSettings
from cad_node.study_folder import EARLIER_FOLDER, OUTDATED_FOLDER
from tests import results as findings
from tests.factories import us_image


@dataclass
class _Process:
    """Writes a result as the real one does, or fails for the studies it is told to."""

    fails: Collection[str] = ()
    calls: list[str] = field(default_factory=list)

    def __call__(self, task: StudyTask) -> StudySummary:
        study = task.output.name.removeprefix(".").removesuffix(".unfinished")
        self.calls.append(study)
        if study in self.fails:
            raise StudyError("It cannot be read.", "Send it again.")
        row = {"study_instance_uid": study, "status": "analysed", "sr": "sr.dcm"}
        (task.output / "result.json").write_text(json.dumps({"rows": [row], "objects": []}))
        return StudySummary(study, (row,), (), {})


@dataclass
class _Destination:
    down: bool = False
    sent: list[str] = field(default_factory=list)

    def send(self, results: Path, already_sent: Collection[str], on_sent: Callable[[str], None]) -> None:
        if results.name in already_sent:
            return
        if self.down:
            raise DestinationUnreachableError("It is down.", "Wait.")
        self.sent.append(results.name)
        on_sent(results.name)

    def verify(self) -> None:
        return


@pytest.fixture
def studies(tmp_path: Path) -> dict[str, tuple[Path, ...]]:
    made = {}
    for number in range(3):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(b"x")
        made[f"1.2.{number}"] = (path,)
    return made


def test_a_bad_study_costs_only_itself(studies: dict[str, tuple[Path, ...]], tmp_path: Path) -> None:
    run = ArchiveRun(_Process(fails=["1.2.1"]), tmp_path / "out", "model", {})

    outcomes = list(run.run(studies, 2))

    assert {outcome.study_instance_uid: outcome.failed for outcome in outcomes} == {
        "1.2.0": False,
        "1.2.1": True,
        "1.2.2": False,
    }
    with write_report(tmp_path / "out", outcomes, unreadable=1).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["status"] for row in rows] == ["analysed", "failed", "analysed", "failed"]
    assert rows[0]["sr"] == "1.2.0/sr.dcm"
    assert rows[1]["reason"] == "It cannot be read."


def test_what_is_done_is_not_done_again(studies: dict[str, tuple[Path, ...]], tmp_path: Path) -> None:
    process = _Process()
    list(ArchiveRun(process, tmp_path / "out", "model", {}).run(studies, 1))

    outcomes = list(ArchiveRun(process, tmp_path / "out", "model", {}).run(studies, 1))

    assert len(process.calls) == 3
    assert all(outcome.done_before for outcome in outcomes)


@pytest.mark.parametrize("changed", ["model", "file"])
def test_another_model_or_file_makes_it_anew(
    studies: dict[str, tuple[Path, ...]], tmp_path: Path, changed: str
) -> None:
    process = _Process()
    list(ArchiveRun(process, tmp_path / "out", "model", {}).run(studies, 1))
    if changed == "file":
        studies["1.2.0"][0].write_bytes(b"longer")

    list(ArchiveRun(process, tmp_path / "out", "new" if changed == "model" else "model", {}).run(studies, 1))

    assert len(process.calls) == (6 if changed == "model" else 4)


def test_a_study_that_failed_is_tried_again(studies: dict[str, tuple[Path, ...]], tmp_path: Path) -> None:
    list(ArchiveRun(_Process(fails=["1.2.1"]), tmp_path / "out", "model", {}).run(studies, 1))
    again = _Process()

    outcomes = list(ArchiveRun(again, tmp_path / "out", "model", {}).run(studies, 1))

    assert again.calls == ["1.2.1"]
    assert not any(outcome.failed for outcome in outcomes)


def test_results_are_sent_once_and_only_what_is_missing_later(
    studies: dict[str, tuple[Path, ...]], tmp_path: Path
) -> None:
    destination = _Destination(down=True)
    process = _Process()
    assert all(
        o.failed for o in ArchiveRun(process, tmp_path / "out", "m", {"pacs": destination}).run(studies, 1)
    )

    destination.down = False
    for _ in range(2):
        outcomes = list(ArchiveRun(process, tmp_path / "out", "m", {"pacs": destination}).run(studies, 1))
        assert not any(outcome.failed for outcome in outcomes)

    assert sorted(destination.sent) == ["1.2.0", "1.2.1", "1.2.2"]
    assert len(process.calls) == 3


def test_a_file_that_is_gone_costs_only_its_study(
    studies: dict[str, tuple[Path, ...]], tmp_path: Path
) -> None:
    studies["1.2.1"][0].unlink()

    outcomes = {
        outcome.study_instance_uid: outcome
        for outcome in ArchiveRun(_Process(), tmp_path / "out", "model", {}).run(studies, 1)
    }

    assert [uid for uid, outcome in outcomes.items() if outcome.failed] == ["1.2.1"]
    error = outcomes["1.2.1"].error
    assert error is not None
    assert error.hint
    assert str(tmp_path) not in str(error)  # paths may hold names


@pytest.mark.parametrize("damaged", ["result.json", "sent-pacs.json"])
def test_what_a_power_cut_left_half_written_is_made_anew(
    studies: dict[str, tuple[Path, ...]], tmp_path: Path, damaged: str
) -> None:
    process, destination = _Process(), _Destination()
    list(ArchiveRun(process, tmp_path / "out", "m", {"pacs": destination}).run(studies, 1))
    (tmp_path / "out" / "1.2.1" / damaged).write_bytes(b"")

    outcomes = list(ArchiveRun(process, tmp_path / "out", "m", {"pacs": destination}).run(studies, 1))

    assert not any(outcome.failed for outcome in outcomes)
    assert destination.sent == ["1.2.0", "1.2.1", "1.2.2", "1.2.1"]


def test_results_are_on_the_disk_before_they_count_as_made(
    studies: dict[str, tuple[Path, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[str] = set()
    monkeypatch.setattr("os.fsync", lambda file: synced.add(Path(f"/proc/self/fd/{file}").readlink().name))

    list(ArchiveRun(_Process(), tmp_path / "out", "model", {}).run(studies, 1))

    assert {"result.json", "input.sha256", ".1.2.1.unfinished"} <= synced


def test_the_report_does_not_show_older_results_of_a_study_that_failed(
    studies: dict[str, tuple[Path, ...]], tmp_path: Path
) -> None:
    list(ArchiveRun(_Process(), tmp_path / "out", "old", {}).run(studies, 1))
    outcomes = list(ArchiveRun(_Process(fails=["1.2.1"]), tmp_path / "out", "new", {}).run(studies, 1))

    with write_report(tmp_path / "out", outcomes, unreadable=0).open(newline="") as stream:
        rows = {row["study_instance_uid"]: row for row in csv.DictReader(stream)}
    assert [row["status"] for row in rows.values()] == ["analysed", "failed", "analysed"]
    assert rows["1.2.1"]["reason"] == "It cannot be read."


class _Archive:
    """One study, processed by one model after another into the same folder, with real objects."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.source = us_image()
        self.uid = str(self.source.StudyInstanceUID)
        self.file, self.output = folder / "image.dcm", folder / "out"
        self.source.save_as(self.file, enforce_file_format=True)
        self.templates = load_templates(templates_dir())
        self._settings = NodeSettings(data_dir=folder / "data")
        self._patch = monkeypatch

    def processor(self, model: str) -> Processor:
        image = findings.analysed(self.source, {1: [(1, findings.LARGE, findings.MALIGNANT)]})
        found = findings.study(image, model_sha256=model * 64)
        self._patch.setattr("cad_node.process.analyse", lambda *_: found)
        unused = Steps(lambda _: None, lambda _: iter(()), Mock(), found.provenance)
        return Processor(self._settings, self.templates, unused, model)

    def process(self, model: str) -> dict[str, Dataset]:
        """The study's objects, by UID."""
        run = ArchiveRun(self.processor(model).process, self.output, model, {})
        (outcome,) = run.run({self.uid: (self.file,)}, 1)
        assert not outcome.failed
        objects = [dcmread(path) for path in (self.output / self.uid).glob("*.dcm")]
        return {str(one.SOPInstanceUID): one for one in objects}


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Archive:
    return _Archive(tmp_path, monkeypatch)


def _report(objects: dict[str, Dataset]) -> Dataset:
    (report,) = (one for one in objects.values() if one.Modality == "SR")
    return report


def _predecessor(report: Dataset) -> str:
    (named,) = report.PredecessorDocumentsSequence
    return str(named.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)


def test_a_uid_names_one_object_however_often_models_take_turns(archive: _Archive) -> None:
    seen: dict[str, Dataset] = {}
    reports: list[str] = []
    for model in "abaab":
        objects = archive.process(model)
        for uid, dataset in objects.items():
            assert seen.setdefault(uid, dataset) == dataset
        report = _report(objects)
        if report.SOPInstanceUID not in reports:
            assert not reports or _predecessor(report) == reports[-1]
            reports.append(report.SOPInstanceUID)
        assert reports[-1] == report.SOPInstanceUID

    # Two models, each with its segmentation; four turns, each with its report.
    assert len(reports) == 4
    assert len(seen) == 6


def test_what_was_replaced_is_kept_where_it_is_not_sent(archive: _Archive) -> None:
    first = archive.process("a")
    archive.process("b")

    kept = (archive.output / archive.uid / EARLIER_FOLDER / "0001").glob("*.dcm")
    assert {str(dcmread(path).SOPInstanceUID) for path in kept} == set(first)


def test_a_replacement_that_was_cut_short_loses_nothing(archive: _Archive) -> None:
    first = _report(archive.process("a"))
    folder = archive.output / archive.uid
    folder.rename(archive.output / f".{archive.uid}.replaced")

    assert _predecessor(_report(archive.process("b"))) == first.SOPInstanceUID
    assert not list(archive.output.glob(".*"))


def _change(archive: _Archive, **attributes: str) -> None:
    """Correct the header of the source file, under the same SOP Instance UID."""
    for keyword, value in attributes.items():
        setattr(archive.source, keyword, value)
    archive.source.save_as(archive.file, enforce_file_format=True)


def test_a_corrected_patient_is_in_every_object(archive: _Archive, caplog: pytest.LogCaptureFixture) -> None:
    before = archive.process("a")
    archive.process("b")
    _change(archive, PatientID="CORRECTED", PatientName="Right^Patient")

    after = archive.process("b")
    again = archive.process("a")

    assert {str(one.PatientID) for one in (*after.values(), *again.values())} == {"CORRECTED"}
    assert {str(one.PatientName) for one in again.values()} == {"Right^Patient"}
    assert "delete the former ones" in caplog.text
    assert "Right" not in caplog.text
    outdated = list((archive.output / archive.uid / OUTDATED_FOLDER).rglob("*.dcm"))
    assert {str(dcmread(path).PatientID) for path in outdated} == {str(next(iter(before.values())).PatientID)}
    assert len(outdated) == 4  # two models, a segmentation and a report each


def test_a_file_elsewhere_with_the_same_content_is_no_change(archive: _Archive) -> None:
    before = archive.process("a")
    moved = archive.file.with_name("moved.dcm")
    archive.file.rename(moved)
    archive.file = moved

    assert archive.process("a") == before
    assert not (archive.output / archive.uid / OUTDATED_FOLDER).exists()


@pytest.mark.parametrize(
    ("declared", "date", "time"), [("", "20260304", "140607"), ("-0600", "20260303", "230607")]
)
def test_content_time_is_the_hospital_s_unless_the_image_declares_its_zone(
    archive: _Archive,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    declared: str,
    date: str,
    time: str,
) -> None:
    _change(archive, **({"TimezoneOffsetFromUTC": declared} if declared else {}))
    monkeypatch.setenv("TZ", "JST-9")
    clock.tzset()
    try:
        archive.processor("a").process(StudyTask((archive.file,), tmp_path, findings.MADE_AT))
    finally:
        monkeypatch.undo()
        clock.tzset()

    report = dcmread(tmp_path / "sr.dcm")
    assert (report.ContentDate, report.ContentTime) == (date, time)
