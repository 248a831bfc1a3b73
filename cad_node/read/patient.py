"""Whether the images of a study are of one patient, as far as their headers tell.

Two patients come under one Study Instance UID when an examination goes on after
the wrong patient was chosen, or a converter makes UIDs anew. A report on such a
study would stand in one patient's record and speak of the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

from pydicom.dataset import Dataset

from cad_node.read.headers import text

# Patient ID, birth date and name, as far as they can be compared.
_Patient = tuple[str, str, str]


def of_one_patient(headers: Iterable[Dataset]) -> bool:
    """Whether no two headers name different patients.

    They do where the Patient IDs differ, and the birth date or the name as well:
    one person may have two IDs (of two systems, or with zeros before), and a name
    is spelled anew without another ID. What is not said contradicts nothing.
    """
    return not any(_differ(one, other) for one, other in combinations({*map(_patient, headers)}, 2))


def _patient(header: Dataset) -> _Patient:
    # Ideographic and phonetic spellings come and go with the sender (PS3.5 section 6.2.1.1).
    name = text(header, "PatientName").partition("=")[0].casefold()
    return (
        text(header, "PatientID").casefold().lstrip("0"),
        text(header, "PatientBirthDate"),
        "".join(letter for letter in name if letter.isalnum()),
    )


def _differ(one: _Patient, other: _Patient) -> bool:
    same_id, same_birth, same_name = (
        not (left and right) or left == right for left, right in zip(one, other, strict=True)
    )
    return not same_id and not (same_birth and same_name)
