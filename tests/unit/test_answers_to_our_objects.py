"""Answers to objects that the encoders really made: what they say is found in them again."""

from __future__ import annotations

from pathlib import Path

import pytest
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from cad_node.domain import LesionClass, StudyResult, Verdict
from cad_node.encode import encode_study, load_templates
from cad_node.encode.report import lesion_rows
from cad_node.read.answer import read_answer
from cad_node.resources import templates_dir
from cad_node.settings import AnswerSettings, ResultSettings
from tests.answers import BENIGN, code
from tests.factories import us_study, write
from tests.results import BENIGN as PROBABLY_BENIGN
from tests.results import LARGE, MADE_AT, MALIGNANT, SMALL, analysed, study


@pytest.fixture(scope="module")
def made() -> tuple[StudyResult, list[Dataset]]:
    """Two images, three lesions, and the objects made of them; the report comes last."""
    sources = us_study(images=2)
    drawn = {1: [(1, SMALL, PROBABLY_BENIGN), (2, LARGE, MALIGNANT)]}
    result = study(analysed(sources[0], drawn), analysed(sources[1], {1: [(1, LARGE, PROBABLY_BENIGN)]}))
    objects = encode_study(
        result,
        {str(source.SOPInstanceUID): source for source in sources},
        templates=load_templates(templates_dir()),
        settings=ResultSettings(),
        made_at=MADE_AT,
    )
    return result, [item.dataset for item in objects]


def test_lesions_are_numbered_from_the_most_suspicious_on(made: tuple[StudyResult, list[Dataset]]) -> None:
    rows = lesion_rows(made[0])

    assert [row["class"] for row in rows] == ["malignant", "benign", "benign"]
    assert [row["name"] for row in rows] == ["image 1, lesion 2", "image 1, lesion 1", "image 2, lesion 1"]
    assert rows[0]["image"] == rows[1]["image"] == made[0].images[0].reference.sop_instance_uid
    assert len({row["tracking_uid"] for row in rows}) == 3


def test_a_key_object_selection_as_workstations_make_it_names_our_objects(
    made: tuple[StudyResult, list[Dataset]], tmp_path: Path
) -> None:
    objects = made[1]
    selection = KeyObjectSelectionDocument(
        evidence=objects,
        content=KeyObjectSelection(codes.DCM.RejectedForPatientSafetyReasons, objects),
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
    )

    answer = read_answer(write(selection, tmp_path), AnswerSettings())

    assert answer.verdict is Verdict.REJECT
    assert answer.references == {item.SOPInstanceUID for item in objects}
    assert answer.study_instance_uids == (made[0].study_instance_uid,)


def test_a_verified_copy_of_our_report_keeps_its_lesions_and_corrects_one(
    made: tuple[StudyResult, list[Dataset]], tmp_path: Path
) -> None:
    report = made[1][-1]
    rows = lesion_rows(made[0])
    copy = dcmread(write(report, tmp_path))
    copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    copy.VerificationFlag = "VERIFIED"
    copy.PredecessorDocumentsSequence = [_reference_to(report)]
    container = next(
        item
        for item in copy.ContentSequence[-2].ContentSequence
        if any(child.get("UID") == rows[0]["tracking_uid"] for child in item.ContentSequence)
    )
    judged = Dataset()
    judged.RelationshipType, judged.ValueType = "CONTAINS", "CODE"
    judged.ConceptNameCodeSequence = [code("121071", meaning="Finding")]
    judged.ConceptCodeSequence = [code(*BENIGN)]
    container.ContentSequence.append(judged)

    answer = read_answer(write(copy, tmp_path), AnswerSettings())

    assert answer.references == {report.SOPInstanceUID}
    assert answer.lesions is not None
    assert {row["tracking_uid"]: answer.lesions[row["tracking_uid"]] for row in rows} == {
        rows[0]["tracking_uid"]: LesionClass.BENIGN,
        rows[1]["tracking_uid"]: None,
        rows[2]["tracking_uid"]: None,
    }


def _reference_to(report: Dataset) -> Dataset:
    instance = Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = (
        report.SOPClassUID,
        report.SOPInstanceUID,
    )
    series = Dataset()
    series.SeriesInstanceUID = report.SeriesInstanceUID
    series.ReferencedSOPSequence = [instance]
    item = Dataset()
    item.StudyInstanceUID = report.StudyInstanceUID
    item.ReferencedSeriesSequence = [series]
    return item
