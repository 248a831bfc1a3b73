from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from cad_node.errors import SeveralPatientsError
from cad_node.read import read_study
from cad_node.read.patient import of_one_patient
from tests.factories import us_image, write


def header(patient_id: str, birth_date: str, name: str) -> Dataset:
    dataset = Dataset()
    dataset.PatientID, dataset.PatientBirthDate, dataset.PatientName = patient_id, birth_date, name
    return dataset


ANNA = header("1001", "19600101", "ALPHA^ANNA")


@pytest.mark.parametrize(
    "other",
    [
        header("2002", "19850505", "BETA^BERTA"),
        header("2002", "19850505", "ALPHA^ANNA"),
        header("2002", "", "BETA^BERTA"),
        header("2002", "19600101", "ALPHA^BERTA"),
        header("2002", "", "ADAMS^EVE"),
    ],
    ids=["all", "ID and birth date", "ID and name", "ID and first name", "ID and a name of the same letter"],
)
def test_different_patients_are_told_apart(other: Dataset) -> None:
    assert not of_one_patient([ANNA, ANNA, other])


@pytest.mark.parametrize(
    "other",
    [
        ANNA,
        header("001001", "19600101", "Alpha ^ Anna"),
        header("H-77", "19600101", "ALPHA^ANNA=\u963f"),
        header("1001", "19600102", "ALFA^ANA"),
        header("H-77", "19600101", "ALPHA^ANNA"),
        header("", "19850505", "BETA^BERTA"),
        header("2002", "", ""),
    ],
    ids=["same", "spelling", "ideographic", "corrected", "other system", "no ID", "ID alone"],
)
def test_one_patient_may_be_written_in_many_ways(other: Dataset) -> None:
    assert of_one_patient([ANNA, other])


def test_a_study_of_two_patients_is_not_read_and_names_neither(tmp_path: Path) -> None:
    first = us_image(patient_id="1001", patient_name="ALPHA^ANNA", study_instance_uid="1.2.3")
    second = us_image(patient_id="2002", patient_name="BETA^BERTA", study_instance_uid="1.2.3")
    with pytest.raises(SeveralPatientsError, match="different patients") as caught:
        read_study([write(first, tmp_path), write(second, tmp_path)])
    assert caught.value.study_instance_uid == "1.2.3"
    assert not any(said in str(caught.value) for said in ("1001", "2002", "ANNA", "BERTA"))
