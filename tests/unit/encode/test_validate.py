from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
from pydicom.dataset import Dataset

from cad_node.encode import Templates, validate
from cad_node.errors import EncodeError
from tests.factories import us_image
from tests.results import LARGE, MALIGNANT, analysed, study
from tests.unit.encode.encoding import encode


@pytest.fixture(scope="module")
def objects(templates: Templates) -> tuple[Dataset, Dataset]:
    source = us_image()
    made = encode(study(analysed(source, {1: [(1, LARGE, MALIGNANT)]})), [source], templates)
    return made[0].dataset, made[1].dataset


def test_what_the_encoders_make_is_valid(objects: tuple[Dataset, Dataset]) -> None:
    for dataset in objects:
        validate(dataset)


def _segment(dataset: Dataset) -> Dataset:
    item: Dataset = dataset.SegmentSequence[0]
    return item


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: d.pop("PatientID"), "PatientID is missing"),
        (lambda d: d.pop("StudyDate"), "StudyDate is missing"),
        (lambda d: setattr(d, "Modality", ""), "Modality is empty"),
        (lambda d: setattr(d, "SegmentationType", None), "SegmentationType is empty"),
        (lambda d: d.pop("SegmentSequence"), "SegmentSequence is missing"),
        (lambda d: _segment(d).pop("SegmentLabel"), "SegmentSequence.SegmentLabel is missing"),
        (
            lambda d: _segment(d).SegmentedPropertyTypeCodeSequence[0].pop("CodeMeaning"),
            "SegmentedPropertyTypeCodeSequence.CodeMeaning is missing",
        ),
        (lambda d: setattr(_segment(d), "TrackingUID", ""), "TrackingUID is not a UID"),
    ],
)
def test_a_seg_that_lacks_something_is_refused(
    objects: tuple[Dataset, Dataset], spoil: Callable[[Dataset], object], says: str
) -> None:
    seg = deepcopy(objects[0])
    spoil(seg)
    with pytest.raises(EncodeError) as caught:
        validate(seg)
    assert says in str(caught.value)
    assert caught.value.study_instance_uid == seg.StudyInstanceUID


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: d.pop("CompletionFlag"), "CompletionFlag is missing"),
        (lambda d: d.ContentSequence[0].pop("ValueType"), "unexpected value type ''"),
        (lambda d: d.ContentSequence[0].pop("RelationshipType"), "lacks RelationshipType"),
        (lambda d: d.ContentSequence[0].pop("ConceptCodeSequence"), "lacks ConceptCodeSequence"),
        (lambda d: d.pop("CurrentRequestedProcedureEvidenceSequence"), "is not listed as evidence"),
    ],
)
def test_an_sr_that_lacks_something_is_refused(
    objects: tuple[Dataset, Dataset], spoil: Callable[[Dataset], object], says: str
) -> None:
    report = deepcopy(objects[1])
    spoil(report)
    with pytest.raises(EncodeError) as caught:
        validate(report)
    assert says in str(caught.value)


def test_an_object_of_an_unknown_class_is_refused() -> None:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.3.4"
    with pytest.raises(EncodeError, match=r"1\.2\.3\.4"):
        validate(dataset)
