from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from cad_node.answers import AnswerDesk
from cad_node.domain import LesionClass, ReceivedInstance, Verdict
from cad_node.errors import JobError
from cad_node.settings import AnswerSettings, NodeSettings
from cad_node.store.inbox import Inbox
from cad_node.store.journal import Journal
from cad_node.store.results import ResultStore
from cad_node.store.schema import AnswerWay
from tests.answers import BENIGN, PATIENT, SEG, SR, key_objects, report
from tests.factories import write

STUDY, REVISION = "1.2.3", "ab" * 16
REPORT, SEG_1, SEG_2 = f"{STUDY}.9.3", f"{STUDY}.9.1", f"{STUDY}.9.2"
LESIONS = [
    {
        "name": "image 2, lesion 1",
        "image": "1.2.3.1.2",
        "tracking_uid": "1.5.2",
        "class": "malignant",
        "p_malignant": "0.9000",
    },
    {
        "name": "image 1, lesion 1",
        "image": "1.2.3.1.1",
        "tracking_uid": "1.5.1",
        "class": "benign",
        "p_malignant": "0.1000",
    },
]


class Door:
    """The answers' inbox and the desk behind it, as the node has them."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.journal = Journal.open(NodeSettings(data_dir=folder))
        self.results = ResultStore(folder / "results")
        answers = folder / "answers"
        self.desk = AnswerDesk(self.journal, self.results, AnswerSettings(**settings), answers)
        self.inbox = Inbox(answers, record=self.desk.record, reserve_bytes=0)

    def send(self, dataset: Dataset) -> None:
        path = write(dataset, self.folder / "sent")
        self.inbox.accept(
            ReceivedInstance(
                study_instance_uid=str(dataset.StudyInstanceUID),
                series_instance_uid=str(dataset.SeriesInstanceUID),
                sop_instance_uid=str(dataset.SOPInstanceUID),
                sop_class_uid=str(dataset.SOPClassUID),
                transfer_syntax_uid=str(dataset.file_meta.TransferSyntaxUID),
                calling_ae_title="WORKSTATION",
                part10=path.read_bytes(),
            )
        )

    def result(self, revision: str = REVISION, lesions: list[dict[str, str]] | None = None) -> None:
        """A stored result with a report and a SEG of each image."""
        content = {
            "lesions": LESIONS if lesions is None else lesions,
            "images": {REPORT: [], SEG_1: ["1.2.3.1.1"], SEG_2: ["1.2.3.1.2"]},
            "provenance": {"model_name": "breast-us", "model_version": "1.0.0"},
        }
        self.results.commit(
            STUDY, revision, lambda folder: (folder / "result.json").write_text(json.dumps(content)) and None
        )

    def said(self) -> list[tuple[int, str, str]]:
        return [(item.number, item.verdict.value, item.corrected) for item in self.journal.answers.all()]


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    door = Door(tmp_path)
    yield door
    door.journal.close()


def test_selecting_the_report_speaks_of_the_result_and_every_lesion(door: Door) -> None:
    door.result()

    door.send(key_objects(STUDY, {REPORT: SR}))

    first, *lesions = door.journal.answers.all()
    assert (first.revision, first.named, first.model) == (REVISION, "malignant", "breast-us 1.0.0")
    assert (first.calling_ae_title, first.title, first.way) == ("WORKSTATION", "113000", AnswerWay.CSTORE)
    assert [(item.number, item.named, item.tracking_uid) for item in lesions] == [
        (1, "malignant", "1.5.2"),
        (2, "benign", "1.5.1"),
    ]
    assert {item.verdict for item in door.journal.answers.all()} == {Verdict.ACCEPT}


def test_selecting_the_segmentation_of_an_image_speaks_of_its_lesions(door: Door) -> None:
    door.result()

    door.send(key_objects(STUDY, {SEG_1: SEG}, "113001"))

    assert door.said() == [(2, "reject", "")]


def test_selecting_the_segmentations_of_all_lesions_speaks_of_the_result(door: Door) -> None:
    door.result()

    door.send(key_objects(STUDY, {SEG_1: SEG, SEG_2: SEG}))

    assert door.said() == [(0, "accept", ""), (1, "accept", ""), (2, "accept", "")]


@pytest.mark.parametrize(("title", "verdict"), [("113000", "unclear"), ("113001", "reject")])
def test_a_picture_without_lesions_can_be_refused_and_accepts_nothing(
    title: str, verdict: str, door: Door
) -> None:
    door.result(lesions=LESIONS[:1])

    door.send(key_objects(STUDY, {SEG_1: SEG}, title))

    assert door.said() == [(0, verdict, "")]


def test_a_verified_report_accepts_corrects_and_rejects_lesions(door: Door) -> None:
    door.result()

    door.send(report(STUDY, REPORT, {"1.5.2": BENIGN}))

    assert door.said() == [(0, "correct", ""), (1, "correct", "benign"), (2, "reject", "")]


def test_a_verified_report_that_changes_nothing_accepts_the_result(door: Door) -> None:
    door.result()

    door.send(report(STUDY, REPORT, {"1.5.1": BENIGN, "1.5.2": None}))

    assert door.said() == [(0, "accept", ""), (1, "accept", ""), (2, "accept", "")]


def test_the_newest_result_that_has_the_object_is_meant(door: Door) -> None:
    door.result()
    door.result("cd" * 16)

    door.send(key_objects(STUDY, {REPORT: SR}))

    assert {item.revision for item in door.journal.answers.all()} == {"cd" * 16}


def test_an_answer_to_nothing_of_ours_is_kept_and_said_without_patient_data(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    door.result()

    with caplog.at_level(logging.INFO):
        door.send(key_objects(STUDY, {"1.7.7": SR}))

    (record,) = door.journal.answers.all()
    assert (record.revision, record.model) == ("", "")
    assert (door.folder / "answers" / record.path).is_file()
    assert "names no result of this node" in caplog.text
    assert PATIENT not in caplog.text + str(record)


def test_the_nodes_own_report_that_comes_back_is_no_answer(door: Door) -> None:
    door.result()
    own = report(STUDY, REPORT, {})
    own.SOPInstanceUID = own.file_meta.MediaStorageSOPInstanceUID = REPORT

    door.send(own)

    assert [item.revision for item in door.journal.answers.all()] == [""]


def test_the_same_answer_again_counts_once(door: Door) -> None:
    door.result()
    answer = key_objects(STUDY, {REPORT: SR})

    door.send(answer)
    door.send(answer)

    assert len(door.said()) == 3


def test_answers_of_other_ae_titles_do_not_count(tmp_path: Path) -> None:
    door = Door(tmp_path, calling_ae_titles=("READING",))
    door.result()

    door.send(key_objects(STUDY, {REPORT: SR}))

    assert [(item.verdict, item.revision) for item in door.journal.answers.all()] == [(Verdict.UNCLEAR, "")]
    door.journal.close()


def test_what_the_journal_missed_is_noted_at_the_next_start(door: Door) -> None:
    door.result()
    refuse = Inbox(door.folder / "answers", record=lambda _: False, reserve_bytes=0)
    door.inbox, working = refuse, door.inbox
    door.send(key_objects(STUDY, {REPORT: SR}))
    assert door.said() == []

    assert working.rescan(lambda _: door.journal.answers.stored_paths()) == 1
    assert working.rescan(lambda _: door.journal.answers.stored_paths()) == 0

    assert len(door.said()) == 3


def test_damage_is_noted_as_unclear(door: Door) -> None:
    door.result()
    broken = key_objects(STUDY, {REPORT: SR})
    del broken.ContentSequence[-1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID

    door.send(broken)

    assert door.said() == [(0, "unclear", "")]


def test_the_command_line_speaks_of_one_lesion_or_of_all(door: Door) -> None:
    door.result()

    assert len(door.desk.record_command(STUDY, Verdict.ACCEPT).lesions) == 2
    door.desk.record_command(STUDY, Verdict.CORRECT, lesion=2, corrected=LesionClass.MALIGNANT)

    assert door.said()[:3] == [(0, "accept", ""), (1, "accept", ""), (2, "accept", "")]
    assert door.said()[3:] == [(2, "correct", "malignant")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"verdict": Verdict.ACCEPT, "lesion": 3},
            r"1 \(image 2, lesion 1: malignant\); 2 \(image 1, lesion 1: benign\)",
        ),
        ({"verdict": Verdict.ACCEPT, "lesion": 0}, "no lesion 0"),
        ({"verdict": Verdict.CORRECT, "lesion": 1}, "--class benign"),
        ({"verdict": Verdict.CORRECT, "corrected": LesionClass.BENIGN}, "one lesion"),
        ({"verdict": Verdict.ACCEPT, "lesion": 1, "corrected": LesionClass.BENIGN}, "nothing else"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_next_step(
    options: dict[str, Any], words: str, door: Door
) -> None:
    door.result()

    with pytest.raises(JobError, match=words):
        door.desk.record_command(STUDY, **options)

    assert door.said() == []


def test_a_study_without_results_cannot_be_answered(door: Door) -> None:
    with pytest.raises(JobError, match="no result"):
        door.desk.record_command(STUDY, Verdict.ACCEPT)
