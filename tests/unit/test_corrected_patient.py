"""A study of an emergency ID and a real one: analysed once the PACS has sent it with one of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from cad_node.domain import MadeBy
from cad_node.errors import SeveralPatientsError
from cad_node.node import Node
from cad_node.read import read_study
from cad_node.store.schema import RevisionRecord, RevisionState
from tests.factories import us_image
from tests.unit.jobs.stubs import made_by
from tests.unit.test_node import node_of, send

__all__ = ["node_of"]

STUDY = "1.2.3"
EMERGENCY = {"patient_id": "EMERGENCY-7", "patient_name": "UNKNOWN", "patient_birth_date": ""}
REAL = {"patient_id": "1001", "patient_name": "ALPHA^ANNA", "patient_birth_date": "19600101"}


def image(number: int, patient: dict[str, str], seed: int | None = None, **more: str) -> Dataset:
    """Image of that number of the study, with the pixels of `seed`."""
    return us_image(
        study_instance_uid=STUDY,
        series_instance_uid=f"{STUDY}.1",
        sop_instance_uid=f"{STUDY}.1.{number}",
        seed=number if seed is None else seed,
        **patient,
        **more,
    )


def analyse(node: Node) -> RevisionRecord:
    """As the engine would, as far as reading: the newest revision afterwards."""
    revision = node.journal.close_study(STUDY)
    if revision is not None:
        record = node.journal.revisions.get(STUDY, revision)
        assert record is not None
        try:
            read_study([node.inbox.root / path for path in node.journal.files_of(STUDY, revision)])
        except SeveralPatientsError as error:
            node.journal.revisions.fail(record, type(error).__name__, str(error))
        else:
            node.journal.revisions.finish(record, [])
    return node.journal.revisions.of_study(STUDY)[-1]


@pytest.fixture
def node(node_of: Callable[[MadeBy], Node], tmp_path: Path) -> Node:
    """It has an image under each of two IDs, and has refused them."""
    node = node_of(made_by("1"))
    send(node, image(1, EMERGENCY), tmp_path)
    send(node, image(2, REAL), tmp_path)
    assert analyse(node).state is RevisionState.FAILED
    return node


def aside(node: Node) -> list[Path]:
    return sorted((node.inbox.root / "conflicts").rglob("*.dcm"))


def test_it_is_analysed_once_all_images_name_one_patient(node: Node, tmp_path: Path) -> None:
    first = node.inbox.files_of(STUDY)[0].read_bytes()

    for number in (1, 2):
        send(node, image(number, REAL), tmp_path)

    assert (analyse(node).state, analyse(node).number) == (RevisionState.DONE, 2)
    assert [path.read_bytes() for path in aside(node)] == [first]


def test_a_correction_that_comes_in_two_parts_is_taken_whole(node: Node, tmp_path: Path) -> None:
    corrected = {**REAL, "patient_name": "ALPHA^ANNA^MARIA", "patient_id": "2002"}
    send(node, image(1, corrected), tmp_path)
    assert analyse(node).state is RevisionState.FAILED
    send(node, image(2, corrected), tmp_path)
    assert (analyse(node).state, analyse(node).number) == (RevisionState.DONE, 3)


def test_the_second_part_may_come_while_the_first_is_analysed(node: Node, tmp_path: Path) -> None:
    corrected = {**REAL, "patient_name": "ALPHA^ANNA^MARIA", "patient_id": "2002"}
    send(node, image(1, corrected), tmp_path)
    node.journal.close_study(STUDY)
    send(node, image(2, corrected), tmp_path)
    assert analyse(node).state is RevisionState.DONE


def test_another_picture_is_no_correction(node: Node, tmp_path: Path) -> None:
    before = node.inbox.files_of(STUDY)[0].read_bytes()
    send(node, image(1, REAL, seed=9), tmp_path)
    assert node.inbox.files_of(STUDY)[0].read_bytes() == before
    assert node.journal.open_studies() == []
    assert len(aside(node)) == 1


def test_the_same_picture_in_another_transfer_syntax_is_none(node: Node, tmp_path: Path) -> None:
    send(node, image(1, REAL, transfer_syntax=ImplicitVRLittleEndian), tmp_path)
    assert node.journal.open_studies() == []


def test_a_study_that_was_analysed_keeps_its_first_headers(
    node_of: Callable[[MadeBy], Node], tmp_path: Path
) -> None:
    node = node_of(made_by("1"))
    send(node, image(1, EMERGENCY), tmp_path)
    analyse(node)
    send(node, image(1, REAL), tmp_path)
    assert node.journal.open_studies() == []
    assert len(aside(node)) == 1


def test_once_corrected_it_keeps_its_headers(node: Node, tmp_path: Path) -> None:
    send(node, image(1, REAL), tmp_path)
    analyse(node)
    send(node, image(1, EMERGENCY), tmp_path)
    assert node.journal.open_studies() == []
    assert analyse(node).state is RevisionState.DONE


def test_a_dismissed_one_is_analysed_when_it_comes_corrected(node: Node, tmp_path: Path) -> None:
    journal = node.journal
    journal.dismissals.dismiss(journal.dismissals.standing_open([]), "anna", "two patients")
    send(node, image(1, REAL), tmp_path)
    assert analyse(node).state is RevisionState.DONE
    states = [record.state for record in journal.revisions.of_study(STUDY)]
    assert states == [RevisionState.DISMISSED, RevisionState.DONE]


def test_no_patient_is_named_in_the_log(node: Node, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    send(node, image(1, REAL), tmp_path)
    assert "came again with new headers" in caplog.text
    assert not any(said in caplog.text for said in ("1001", "ALPHA", "EMERGENCY-7"))
