from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from cad_node.domain import Answer, LesionClass, Verdict
from cad_node.errors import UnreadableDatasetError
from cad_node.read.answer import read_answer
from cad_node.settings import AnswerSettings
from tests.answers import BENIGN, SEG, SR, key_objects, report
from tests.factories import write

STUDY, REPORT = "1.2.3", "1.2.3.9.2"


def read(dataset: Dataset, tmp_path: Path, **settings: tuple[str, ...]) -> Answer:
    return read_answer(write(dataset, tmp_path), AnswerSettings(**settings))


@pytest.mark.parametrize(
    ("title", "verdict"),
    [
        ("113000", Verdict.ACCEPT),
        ("113020", Verdict.ACCEPT),
        ("113001", Verdict.REJECT),
        ("113037", Verdict.REJECT),
        ("113038", Verdict.REJECT),
        ("113004", Verdict.UNCLEAR),
    ],
)
def test_the_document_title_says_yes_or_no(title: str, verdict: Verdict, tmp_path: Path) -> None:
    answer = read(key_objects(STUDY, {REPORT: SR}, title), tmp_path)

    assert answer == Answer(verdict, frozenset({REPORT}), (STUDY,), title)


def test_the_settings_say_which_titles(tmp_path: Path) -> None:
    answer = read(
        key_objects(STUDY, {REPORT: SR}, "113000"), tmp_path, accept_titles=(), reject_titles=("113000",)
    )

    assert answer.verdict is Verdict.REJECT


def test_a_title_that_means_nothing_here_is_not_kept(tmp_path: Path) -> None:
    assert read(key_objects(STUDY, {REPORT: SR}, "DOE-JANE"), tmp_path).title == ""


def test_images_and_reports_are_both_selected(tmp_path: Path) -> None:
    answer = read(key_objects(STUDY, {REPORT: SR, "1.2.3.9.1": SEG}), tmp_path)

    assert answer.references == {REPORT, "1.2.3.9.1"}


def test_what_is_only_evidence_is_not_selected(tmp_path: Path) -> None:
    dataset = key_objects(STUDY, {REPORT: SR, "1.2.3.9.1": SEG})
    del dataset.ContentSequence[-1]

    assert read(dataset, tmp_path).references == {REPORT}


def test_a_verified_report_keeps_lesions_and_gives_classes(tmp_path: Path) -> None:
    answer = read(report(STUDY, REPORT, {"1.5.1": None, "1.5.2": BENIGN}), tmp_path)

    assert (answer.verdict, answer.references) == (Verdict.ACCEPT, {REPORT})
    assert answer.lesions == {"1.5.1": None, "1.5.2": LesionClass.BENIGN}


def test_a_report_that_nobody_verified_says_nothing(tmp_path: Path) -> None:
    answer = read(report(STUDY, REPORT, {"1.5.1": BENIGN}, verified=False), tmp_path)

    assert (answer.verdict, answer.lesions) == (Verdict.UNCLEAR, None)


def test_damage_is_an_error_without_a_word_of_the_content(tmp_path: Path) -> None:
    path = write(key_objects(STUDY, {REPORT: SR}), tmp_path)
    path.write_bytes(path.read_bytes()[:400])

    with pytest.raises(UnreadableDatasetError) as caught:
        read_answer(path, AnswerSettings())

    assert "DOE" not in str(caught.value)


def test_a_reference_that_is_no_uid_is_an_error(tmp_path: Path) -> None:
    dataset = key_objects(STUDY, {REPORT: SR})
    del dataset.ContentSequence[-1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID

    with pytest.raises(UnreadableDatasetError):
        read(dataset, tmp_path)


def test_an_object_far_larger_than_an_answer_is_not_read(tmp_path: Path) -> None:
    dataset = key_objects(STUDY, {REPORT: SR})
    dataset.add_new(0x00420011, "OB", b"\0" * 10_000_001)

    with pytest.raises(UnreadableDatasetError, match="too large"):
        read(dataset, tmp_path)


def test_more_items_than_an_answer_can_have_are_not_read(tmp_path: Path) -> None:
    dataset = key_objects(STUDY, {REPORT: SR})
    dataset.add_new(0x00091001, "UN", b"\xfe\xff\x00\xe0\0\0\0\0" * 50_001)

    with pytest.raises(UnreadableDatasetError, match="too many items"):
        read(dataset, tmp_path)


def test_a_tree_without_end_is_an_error(tmp_path: Path) -> None:
    dataset = key_objects(STUDY, {REPORT: SR})
    item = dataset
    for _ in range(70):
        child = Dataset()
        child.ValueType = "CONTAINER"
        item.ContentSequence = [child]
        item = child

    with pytest.raises(UnreadableDatasetError):
        read(dataset, tmp_path)
