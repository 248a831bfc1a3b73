from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian

from cad_node.encode import Templates
from cad_node.encode.source import read_source
from tests.factories import us_image
from tests.results import LARGE, MALIGNANT, analysed, reference, refused, study
from tests.unit.encode.encoding import encode


def as_read(dataset: Dataset) -> Dataset:
    """The data set after a way through a file, with values that no one has looked at yet."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer, stop_before_pixels=True)


def with_raw(dataset: Dataset, keyword: str, value: bytes) -> Dataset:
    """Put bytes into an attribute as a careless scanner would, not yet looked at."""
    tag = Tag(keyword)
    dataset[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)
    return dataset


def results(header: Dataset, templates: Templates) -> list[Dataset]:
    image = analysed(header, {1: [(1, LARGE, MALIGNANT)]})
    return [one.dataset for one in encode(study(image), [header], templates)]


def test_patient_and_study_are_repeated(templates: Templates) -> None:
    header = us_image(attributes={"PatientAge": "053Y", "OtherPatientIDs": "X2", "PatientComments": "none"})
    for dataset in results(as_read(header), templates):
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge"):
            assert dataset[keyword].value == header[keyword].value
        for keyword in ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"):
            assert dataset[keyword].value == header[keyword].value
        assert dataset.StudyDescription == "US breast"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientBirthDate", b"1970.01.01"),
        ("PatientBirthDate", b"unknown "),
        ("StudyDate", b"20241399"),
        ("StudyTime", b"25:61:61"),
        ("PatientSex", b"W "),
        ("PatientAge", b"53"),
        ("PatientSize", b"about 170 "),
        ("PatientWeight", b"heavy "),
    ],
)
def test_a_value_that_its_vr_does_not_allow_is_left_out(
    templates: Templates, keyword: str, value: bytes, recwarn: pytest.WarningsRecorder
) -> None:
    header = with_raw(us_image(), keyword, value)
    for dataset in results(header, templates):
        assert not dataset.get(keyword)
        assert dataset.PatientID == "TEST-0001"
    assert not recwarn.list


def _item(**attributes: str) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


CODE = {"CodeValue": "USBR", "CodingSchemeDesignator": "L", "CodeMeaning": "US breast"}
STUDY = "1.2.840.10008.3.1.2.3.1"


@pytest.mark.parametrize(
    ("keyword", "item"),
    [
        ("ReferencedStudySequence", _item(ReferencedSOPClassUID=STUDY, ReferencedSOPInstanceUID="")),
        ("ReferencedStudySequence", _item(ReferencedSOPClassUID=STUDY)),
        ("ReferencedStudySequence", Dataset()),
        ("ReferencedPatientSequence", _item(ReferencedSOPInstanceUID="1.2.3")),
        ("OtherPatientIDsSequence", _item(PatientID="X2")),
        *(("ProcedureCodeSequence", _item(**{**CODE, missing: ""})) for missing in CODE),
        ("ReferringPhysicianIdentificationSequence", _item(InstitutionName="here")),
        ("AdmittingDiagnosesCodeSequence", _item(CodeMeaning="lump")),
    ],
)
def test_an_item_that_is_not_whole_is_not_repeated_and_costs_no_result(
    keyword: str, item: Dataset, templates: Templates
) -> None:
    header = us_image()
    setattr(header, keyword, [item])
    for dataset in results(as_read(header), templates):
        assert keyword not in dataset


def test_whole_items_are_repeated_beside_those_that_are_not(templates: Templates) -> None:
    header = us_image()
    header.ProcedureCodeSequence = [_item(CodeValue="X"), _item(**CODE)]
    for dataset in results(as_read(header), templates):
        (code,) = dataset.ProcedureCodeSequence
        assert code.CodeMeaning == "US breast"


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("which", ["study_instance_uid", "series_instance_uid", "sop_instance_uid"])
def test_a_uid_with_leading_zeros_is_repeated_as_it_is(which: str, templates: Templates) -> None:
    header = us_image(**{which: "1.2.840.113619.20240102.08.05"})  # type: ignore[arg-type]
    seg, report = results(header, templates)
    assert seg.StudyInstanceUID == report.StudyInstanceUID == header.StudyInstanceUID
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == header.SeriesInstanceUID
    assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == header.SOPInstanceUID


def test_a_patient_id_that_is_too_long_is_repeated_all_the_same(templates: Templates) -> None:
    header = with_raw(us_image(), "PatientID", b"7" * 70)
    for dataset in results(header, templates):
        assert dataset.PatientID == "7" * 70


def test_missing_type_2_attributes_are_there_and_empty(templates: Templates) -> None:
    gone = dict.fromkeys(
        (
            "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
            "StudyID", "AccessionNumber", "ReferringPhysicianName", "Manufacturer", "SpecificCharacterSet",
        )
    )  # fmt: skip
    for dataset in results(us_image(attributes=gone), templates):
        for keyword in gone:
            if keyword not in {"Manufacturer", "SpecificCharacterSet"}:
                assert keyword in dataset
                assert dataset[keyword].is_empty


def test_a_study_whose_headers_are_lost_is_still_written_down(templates: Templates) -> None:
    header = us_image()
    image = analysed(header, {1: [(1, LARGE, MALIGNANT)]})
    objects = encode(study(image), [], templates)
    assert [one.kind for one in objects] == ["seg", "sr"]
    assert objects[0].dataset.StudyInstanceUID == header.StudyInstanceUID


def test_an_object_that_is_no_image_can_be_spoken_of(templates: Templates) -> None:
    header = us_image(attributes={"Rows": None, "Columns": None, "PixelData": None, "Modality": None})
    image = refused(us_image(study_instance_uid=header.StudyInstanceUID))
    encode(study(image), [header], templates)


@pytest.mark.parametrize(
    ("character_set", "name", "expected"),
    [
        ("ISO_IR 100", "Müller^Änne", "ISO_IR 100"),
        ("ISO_IR 192", "Müller^Änne", "ISO_IR 192"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎", "ISO_IR 192"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou", ["", "ISO 2022 IR 87"]),
        (None, "Mueller^Aenne", None),
    ],
)
def test_the_name_survives_whatever_its_character_set(
    templates: Templates, character_set: Any, name: str, expected: Any
) -> None:
    attributes = {"SpecificCharacterSet": character_set, "PatientName": name}
    for dataset in results(as_read(us_image(attributes=attributes)), templates):
        assert str(as_read(dataset).PatientName) == name
        assert dataset.get("SpecificCharacterSet") == expected


def test_letters_that_no_character_set_announced_are_written_as_utf8(templates: Templates) -> None:
    attributes = {"SpecificCharacterSet": None, "PatientName": "Müller"}
    for dataset in results(as_read(us_image(attributes=attributes)), templates):
        assert dataset.SpecificCharacterSet == "ISO_IR 192"
        assert str(as_read(dataset).PatientName) == "Müller"


def test_a_chinese_name_by_escape_sequences_is_repeated_without_them(templates: Templates) -> None:
    header = us_image(attributes={"SpecificCharacterSet": ["", "ISO 2022 IR 58"]})
    # PS3.5 K.3: each component of the second group begins with its own designation.
    encoded = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab"
    for dataset in results(as_read(with_raw(header, "PatientName", encoded + b" ")), templates):
        assert as_read(dataset).PatientName == "Zhang^XiaoDong=张^小东"


def test_private_and_image_attributes_are_not_repeated(templates: Templates) -> None:
    header = us_image()
    header.private_block(0x0009, "MAKER", create=True).add_new(0x01, "LO", "secret")
    header.ImageComments = "left breast, Mrs Doe"
    for dataset in results(header, templates):
        assert "ImageComments" not in dataset
        assert not any(element.tag.is_private for element in dataset)


def test_content_time_is_in_the_zone_that_the_source_declares(templates: Templates) -> None:
    for dataset in results(us_image(attributes={"TimezoneOffsetFromUTC": "-0330"}), templates):
        assert dataset.TimezoneOffsetFromUTC == "-0330"
        assert str(dataset.ContentTime).startswith("013607")


@pytest.mark.parametrize(
    ("attributes", "side"),
    [
        ({"Laterality": "L"}, "Left"),
        ({"Laterality": "R"}, "Right"),
        ({"Laterality": "L", "ImageLaterality": "R"}, "Right"),
        ({"Laterality": ""}, None),
        ({"Laterality": None}, None),
    ],
)
def test_laterality_is_read_where_the_header_tells_it(attributes: dict[str, Any], side: str | None) -> None:
    header = us_image(attributes=attributes)
    concept = read_source(reference(header), header).laterality
    assert (concept.meaning if concept else None) == side


def test_an_image_is_named_by_series_and_instance_number_or_the_end_of_its_uid() -> None:
    header = us_image(series_number=3, instance_number=12)
    assert read_source(reference(header), header).name == "3.12"
    del header.InstanceNumber
    assert read_source(reference(header), header).name == header.SOPInstanceUID[-8:]


def test_a_header_in_implicit_vr_gives_the_same_study(templates: Templates) -> None:
    header = as_read(us_image(transfer_syntax=ImplicitVRLittleEndian, attributes={"PatientAge": "053Y"}))
    for dataset in results(header, templates):
        assert dataset.PatientAge == "053Y"


def test_attributes_of_several_values_are_repeated(templates: Templates) -> None:
    several = {"SoftwareVersions": ["1.0", "2.0"], "PatientSex": ["F", "M"], "OtherPatientIDs": ["A", "B"]}
    for dataset in results(as_read(us_image(attributes=several)), templates):
        assert dataset.ContributingEquipmentSequence[0].SoftwareVersions == ["1.0", "2.0"]
        assert dataset.PatientSex == ""
