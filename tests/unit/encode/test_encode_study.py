from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from cad_node.domain import StudyResult
from cad_node.encode import EncodedObject, Templates, encode_study
from cad_node.errors import EncodeError
from cad_node.settings import ResultSettings
from cad_node.variants import KINDS, Variant
from tests.factories import us_cine, us_image
from tests.results import BENIGN, LARGE, MADE_AT, MALIGNANT, SMALL, analysed, provenance, refused, study
from tests.unit.encode.encoding import encode

SINGLE = us_image(instance_number=1)
CINE = us_cine(frames=3, study_instance_uid=SINGLE.StudyInstanceUID, instance_number=2)
LATE = us_image(study_instance_uid=SINGLE.StudyInstanceUID, instance_number=3)


def example() -> StudyResult:
    cine = analysed(CINE, {1: [(1, LARGE, BENIGN)], 2: [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]})
    return study(analysed(SINGLE, {1: [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]}), cine)


def written(objects: tuple[EncodedObject, ...]) -> list[bytes]:
    contents = []
    for one in objects:
        buffer = BytesIO()
        one.dataset.save_as(buffer, enforce_file_format=True)
        contents.append(buffer.getvalue())
    return contents


def uids(objects: tuple[EncodedObject, ...]) -> list[str]:
    return [str(one.dataset.SOPInstanceUID) for one in objects]


def test_a_study_gives_a_seg_an_image_with_lesions_and_one_sr(templates: Templates) -> None:
    objects = encode(example(), [SINGLE, CINE], templates)
    assert [(one.kind, one.sources) for one in objects] == [
        ("seg", (SINGLE.SOPInstanceUID,)),
        ("seg", (CINE.SOPInstanceUID,)),
        ("sr", ()),
    ]
    assert {one.dataset.StudyInstanceUID for one in objects} == {SINGLE.StudyInstanceUID}
    # Viewers show one SEG a series.
    assert len({one.dataset.SeriesInstanceUID for one in objects}) == 3
    assert [int(one.dataset.SeriesNumber) for one in objects] == [9001, 9001, 9002]


def test_the_same_input_gives_the_same_bytes(templates: Templates) -> None:
    first = written(encode(example(), [SINGLE, CINE], templates))
    assert first == written(encode(example(), [SINGLE, CINE], templates))


def test_another_time_changes_no_uid(templates: Templates) -> None:
    first = encode(example(), [SINGLE, CINE], templates)
    second = encode(example(), [SINGLE, CINE], templates, made_at=MADE_AT + timedelta(days=1))
    assert uids(first) == uids(second)
    assert written(first) != written(second)


def test_a_stored_object_is_reused_and_not_made_again(templates: Templates) -> None:
    stored = {
        str(one.dataset.SOPInstanceUID): one.dataset for one in encode(example(), [SINGLE, CINE], templates)
    }
    again = encode(
        example(), [SINGLE, CINE], templates, made_at=MADE_AT + timedelta(days=1), reuse=stored.get
    )
    assert all(one.dataset is stored[str(one.dataset.SOPInstanceUID)] for one in again)


def test_a_late_image_gives_a_new_report_that_names_the_old_one(templates: Templates) -> None:
    first = encode(example(), [SINGLE, CINE], templates)
    stored = {str(one.dataset.SOPInstanceUID): one.dataset for one in first}
    late = analysed(LATE, {1: [(1, SMALL, BENIGN)]})
    old = first[-1].dataset
    second = encode(
        study(*example().images, late), [SINGLE, CINE, LATE], templates, predecessor=old, reuse=stored.get
    )
    assert uids(second)[:2] == uids(first)[:2]
    new = second[-1].dataset
    assert new.SOPInstanceUID != old.SOPInstanceUID
    assert new.SeriesInstanceUID == old.SeriesInstanceUID
    assert int(new.InstanceNumber) == int(old.InstanceNumber) + 1
    named = new.PredecessorDocumentsSequence[0]
    assert named.StudyInstanceUID == old.StudyInstanceUID
    series = named.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == old.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == old.SOPInstanceUID


def test_a_report_is_not_its_own_predecessor(templates: Templates) -> None:
    old = encode(example(), [SINGLE, CINE], templates)[-1].dataset
    new = encode(example(), [SINGLE, CINE], templates, predecessor=old)[-1].dataset
    assert new.SOPInstanceUID == old.SOPInstanceUID
    assert "PredecessorDocumentsSequence" not in new


def test_another_model_gives_new_objects_but_the_same_tracking_uids(templates: Templates) -> None:
    first = encode(example(), [SINGLE, CINE], templates)
    other = StudyResult(example().study_instance_uid, example().images, provenance(model_sha256="99" * 32))
    second = encode(other, [SINGLE, CINE], templates, predecessor=first[-1].dataset)
    assert not set(uids(first)) & set(uids(second))
    assert [one.TrackingUID for one in first[0].dataset.SegmentSequence] == [
        one.TrackingUID for one in second[0].dataset.SegmentSequence
    ]
    assert "PredecessorDocumentsSequence" in second[-1].dataset


def test_going_back_to_a_model_says_again_what_it_said_and_supersedes_in_turn(templates: Templates) -> None:
    other = StudyResult(example().study_instance_uid, example().images, provenance(model_sha256="99" * 32))
    stored: dict[str, Dataset] = {}
    reports: list[Dataset] = []

    def made(result: StudyResult) -> list[str]:
        objects = encode_study(
            result,
            {str(source.SOPInstanceUID): source for source in (SINGLE, CINE)},
            templates=templates,
            settings=ResultSettings(),
            predecessors=reports,
            made_at=MADE_AT + timedelta(days=len(reports)),
            reuse=stored.get,
        )
        stored.update({str(one.dataset.SOPInstanceUID): one.dataset for one in objects})
        reports.append(objects[-1].dataset)
        return uids(objects)

    first, second, third = made(example()), made(other), made(example())

    assert third[:-1] == first[:-1]
    assert third[-1] not in (first[-1], second[-1])
    named = reports[2].PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert named.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == second[-1]
    assert reports[2].ContentSequence == reports[0].ContentSequence
    assert reports[2].SeriesInstanceUID == reports[0].SeriesInstanceUID
    assert [int(report.InstanceNumber) for report in reports] == [1, 1, 2]
    # What says the newest report already is not said once more.
    assert made(example()) == third
    # Away and back again: each is a report of its own.
    assert len({uid for uid in (first[-1], second[-1], third[-1], made(other)[-1], made(example())[-1])}) == 5


def test_a_setting_that_changes_an_object_changes_its_uid(templates: Templates) -> None:
    first = encode(example(), [SINGLE, CINE], templates)
    second = encode(example(), [SINGLE, CINE], templates, settings=ResultSettings(sr_class="enhanced"))
    assert first[-1].dataset.SOPInstanceUID != second[-1].dataset.SOPInstanceUID


def test_sources_are_left_as_they_were(templates: Templates) -> None:
    before = [one.to_json() for one in (SINGLE, CINE)]
    objects = encode(example(), [SINGLE, CINE], templates)
    objects[0].dataset.PatientName = "CHANGED"
    assert [one.to_json() for one in (SINGLE, CINE)] == before


def test_a_study_in_which_nothing_was_analysed_has_a_report(templates: Templates) -> None:
    objects = encode(study(refused(SINGLE), refused(CINE)), [SINGLE, CINE], templates)
    assert [one.kind for one in objects] == ["sr"]


def test_a_study_without_images_is_an_error_of_ours(templates: Templates) -> None:
    with pytest.raises(EncodeError, match="without images"):
        encode(StudyResult("1.2.3", (), provenance()), [], templates)


def test_a_predecessor_that_is_no_report_is_an_error_of_ours_without_its_words(templates: Templates) -> None:
    predecessor = Dataset()
    predecessor.SOPInstanceUID = "1.2.3"
    predecessor.PatientName = "Secret"
    with pytest.raises(EncodeError, match=r"could not be written down \(AttributeError\)") as caught:
        encode(example(), [SINGLE, CINE], templates, predecessor=predecessor)
    assert "Secret" not in str(caught.value)


def all_kinds(settings: ResultSettings) -> list[Variant]:
    return [Variant.of(kind, settings) for kind in KINDS]


def test_every_kind_of_object_is_made_of_the_same_study_and_is_the_same_every_time(
    templates: Templates,
) -> None:
    variants = all_kinds(ResultSettings())
    first = encode(example(), [SINGLE, CINE], templates, variants=variants)
    second = encode(example(), [SINGLE, CINE], templates, variants=variants)
    assert written(first) == written(second)
    assert {one.kind for one in first} == set(KINDS)
    assert len(set(uids(first))) == len(first)
    for name in ("StudyInstanceUID", "PatientID", "PatientName", "StudyDate", "AccessionNumber"):
        assert {str(one.dataset[name].value) for one in first} == {str(SINGLE[name].value)}
    # Each kind has its own series number, and one description.
    numbers = {one.kind: (one.dataset.SeriesNumber, one.dataset.SeriesDescription) for one in first}
    assert len({number for number, _ in numbers.values()}) == len(KINDS)


def test_every_reference_is_to_an_image_of_the_study(templates: Templates) -> None:
    objects = encode(example(), [SINGLE, CINE], templates, variants=all_kinds(ResultSettings()))
    classes = {one.SOPInstanceUID: one.SOPClassUID for one in (SINGLE, CINE)}
    for one in objects:
        found = list(references(one.dataset))
        assert found, one.kind
        for item in found:
            assert item.ReferencedSOPClassUID == classes[item.ReferencedSOPInstanceUID], one.kind
            frames = item.get("ReferencedFrameNumber")
            if frames is not None:
                assert item.ReferencedSOPInstanceUID == CINE.SOPInstanceUID


def references(dataset: Dataset) -> Iterator[Dataset]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                if "ReferencedSOPInstanceUID" in item:
                    yield item
                yield from references(item)


def test_a_setting_of_one_kind_leaves_the_others_as_they_are(templates: Templates) -> None:
    changed = ResultSettings(sr_class="enhanced", pdf_series_number=5)
    first, second = (
        encode(example(), [SINGLE, CINE], templates, variants=all_kinds(settings), settings=settings)
        for settings in (ResultSettings(), changed)
    )
    differ = {one.kind for one, other in zip(first, second, strict=True) if uids((one,)) != uids((other,))}
    assert differ == {"sr", "pdf"}


def test_two_forms_of_a_kind_are_two_objects(templates: Templates) -> None:
    forms = [ResultSettings(), ResultSettings(sr_class="enhanced", seg_type="fractional")]
    variants = [Variant.of(kind, form) for kind in ("seg", "sr") for form in forms]  # type: ignore[arg-type]
    objects = encode(example(), [SINGLE, CINE], templates, variants=variants)
    assert len(set(uids(objects))) == len(objects) == 6
    assert len({one.dataset.SeriesInstanceUID for one in objects}) == 6


def test_a_report_supersedes_the_one_of_its_own_class(templates: Templates) -> None:
    variants = [Variant("sr", sr_class="comprehensive-3d"), Variant("sr", sr_class="enhanced")]
    old = [one.dataset for one in encode(example(), [SINGLE, CINE], templates, variants=variants)]
    new = encode_study(
        study(*example().images, analysed(LATE)),
        {str(one.SOPInstanceUID): one for one in (SINGLE, CINE, LATE)},
        templates=templates,
        settings=ResultSettings(),
        variants=variants,
        predecessors=old,
        made_at=MADE_AT,
    )
    for one, before in zip(new, old, strict=True):
        named = one.dataset.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
        assert named.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == before.SOPInstanceUID


def test_an_object_that_fails_the_check_is_kept_and_not_handed_out(
    templates: Templates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = us_image()

    def refuse(dataset: Dataset) -> None:
        raise EncodeError("An attribute is absent.")

    monkeypatch.setattr("cad_node.encode.validate", refuse)
    with pytest.raises(EncodeError, match="absent"):
        encode_study(
            study(analysed(source, {1: [(1, LARGE, MALIGNANT)]})),
            {str(source.SOPInstanceUID): source},
            templates=templates,
            settings=ResultSettings(),
            made_at=MADE_AT,
            invalid_dir=tmp_path / "invalid",
        )
    (kept,) = (tmp_path / "invalid").iterdir()
    assert dcmread(kept).Modality == "SEG"
