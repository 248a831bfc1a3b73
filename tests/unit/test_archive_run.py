import csv
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cad_node.archive_run import ArchiveRun, write_report
from cad_node.errors import DestinationUnreachableError, StudyError
from cad_node.process import StudyTask
from cad_node.result_files import StudySummary


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
