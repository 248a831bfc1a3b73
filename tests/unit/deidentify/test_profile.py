"""What of a header a de-identified copy repeats, and what it must not."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.tag import Tag

from cad_node.deidentify.options import Dates, Keep
from cad_node.deidentify.profile import declare_clean, deidentify
from cad_node.deidentify.pseudonyms import Pseudonyms
from cad_node.read.headers import read_header
from tests.factories import us_cine, us_image, us_study, write

NAMES = Pseudonyms(b"a secret of some length")
BASIC = Keep()
EVERYTHING = Keep(device=True, patient=True, side=True, dates=Dates.SHIFTED)

# A value for each VR that a person could hide in, each with the same word where letters are allowed.
PLANTED = {
    "AE": "ZEBRAFINK", "AS": "053Y", "CS": "ZEBRAFINK", "DA": "19991231", "DS": "19991231", "DT": "19991231",
    "IS": "19991231", "LO": "ZebraFink", "LT": "ZebraFink", "PN": "ZebraFink^Jane", "SH": "ZebraFink",
    "ST": "ZebraFink", "TM": "123456", "UC": "ZebraFink", "UI": "1.2.840.99999.19991231", "UR": "ZebraFink",
    "UT": "ZebraFink", "OB": b"ZebraFink ", "OW": b"ZebraFink ", "UN": b"ZebraFink ",
}  # fmt: skip
LISTED = sorted(
    {tag for tag in dicom_anonymization_database_selector("dicomfields_2026c")["ALL_TAGS"] if len(tag) == 2}
)


def header_of(dataset: Dataset, folder: Path) -> Dataset:
    return read_header(write(dataset, folder))


def copied(folder: Path, keep: Keep = BASIC, **attributes: Any) -> Dataset:
    return deidentify(header_of(us_image(attributes=attributes), folder), keep, NAMES)


def as_bytes(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def planted_element(tag: tuple[int, int]) -> DataElement | None:
    keyword = keyword_for_tag(Tag(tag))
    vr = dictionary_VR(Tag(tag)).split(" or ")[-1] if keyword else ""
    return DataElement(Tag(tag), vr, PLANTED[vr]) if vr in PLANTED and tag[0] > 0x0002 else None


def test_nothing_that_the_table_of_the_standard_names_stays_at_any_depth(tmp_path: Path) -> None:
    dataset = us_image()
    region = dataset.SequenceOfUltrasoundRegions[0]
    planted = 0
    for tag in LISTED:
        element = planted_element(tag)
        if element is None or element.keyword in {"SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"}:
            continue
        planted += 1
        dataset[element.tag] = element
        region[element.tag] = DataElement(element.tag, element.VR, element.value)

    copy = deidentify(header_of(dataset, tmp_path), Keep(), NAMES)

    assert planted > 400
    written = as_bytes(copy)
    for trace in (b"ZebraFink", b"ZEBRAFINK", b"19991231", b"123456", b"053Y"):
        assert trace not in written


UNLISTED = {
    "SelectorAEValue": "ZEBRAFINK", "SelectorDAValue": "19991231", "SelectorDTValue": "19991231",
    "SelectorLTValue": "ZebraFink", "SelectorPNValue": "ZebraFink", "SelectorSTValue": "ZebraFink",
    "SelectorTMValue": "123456", "SelectorURValue": "ZebraFink", "SelectorUTValue": "ZebraFink",
    "StageName": "ZebraFink", "StrainAdditionalInformation": "ZebraFink", "StrainDescription": "ZebraFink",
    "TriggerSourceOrType": "ZebraFink", "PatientBirthDateInAlternativeCalendar": "ZebraFink",
    "WindowCenterWidthExplanation": "ZebraFink", "TimeSource": "ZebraFink", "ResponsiblePersonRole": "OWNER",
}  # fmt: skip


@pytest.mark.parametrize("keyword", UNLISTED)
def test_texts_dates_and_persons_that_no_table_names_go_all_the_same(keyword: str, tmp_path: Path) -> None:
    assert keyword not in copied(tmp_path, EVERYTHING, **{keyword: UNLISTED[keyword]})


def test_a_planted_name_survives_nowhere(tmp_path: Path) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99X", "Breast of Zebra Fink"
    request = Dataset()
    request.RequestedProcedureDescription = "Zebra Fink"
    dataset = us_image(
        patient_name="Fink^Zebra",
        attributes={
            "SoftwareVersions": "Zebra 4",
            "TransducerData": ["L12-5", "fink"],
            "AnatomicRegionSequence": [code],
            "RequestAttributesSequence": [request],
            "ImageType": ["ORIGINAL", "PRIMARY", "ZEBRA", "0001"],
            "BodyPartExamined": "FINK",
        },
    )
    dataset.add_new(0x00091001, "LO", "Zebra")
    dataset.add_new(0x60000010, "US", 1)
    dataset.add_new(0x60003000, "OW", b"Zebra Fink")
    dataset.add_new(0x60004000, "LT", "Zebra Fink")

    copy = deidentify(header_of(dataset, tmp_path), EVERYTHING, NAMES)

    written = as_bytes(copy).lower()
    assert b"zebra" not in written
    assert b"fink" not in written
    assert copy.Manufacturer == "Synthetic"
    assert not any(tag.is_private or tag.group >= 0x5000 for tag in copy.keys())  # noqa: SIM118


def test_what_the_picture_needs_stays(tmp_path: Path) -> None:
    source = us_cine(frames=4, attributes={"MechanicalIndex": "0.8", "TransducerData": "L12-5"})

    copy = deidentify(header_of(source, tmp_path), Keep(), NAMES)

    assert copy.SequenceOfUltrasoundRegions == source.SequenceOfUltrasoundRegions
    assert (copy.NumberOfFrames, copy.FrameTime, copy.FrameIncrementPointer) == (4, 50, 0x00181063)
    assert (copy.MechanicalIndex, copy.TransducerData) == (0.8, "L12-5")
    assert copy.SOPClassUID == source.SOPClassUID
    assert copy.ImageType == ["DERIVED", "PRIMARY", "BREAST", "0001"]


def test_a_pointer_to_a_private_attribute_goes_with_it(tmp_path: Path) -> None:
    dataset = us_cine(attributes={"FrameIncrementPointer": 0x00091001})

    assert "FrameIncrementPointer" not in deidentify(header_of(dataset, tmp_path), Keep(), NAMES)


def test_the_copy_says_how_it_was_made_and_clean_only_when_told(tmp_path: Path) -> None:
    copy = copied(tmp_path, BurnedInAnnotation="NO", RecognizableVisualFeatures="NO")

    assert copy.PatientIdentityRemoved == "YES"
    assert [item.CodeValue for item in copy.DeidentificationMethodCodeSequence] == ["113100", "113101"]
    assert copy.LongitudinalTemporalInformationModified == "REMOVED"
    assert "BurnedInAnnotation" not in copy
    assert "RecognizableVisualFeatures" not in copy
    declare_clean(copy)
    assert copy.BurnedInAnnotation == "NO"


@pytest.mark.parametrize(
    ("keep", "code", "kept"),
    [
        (
            Keep(device=True),
            "113109",
            {"DeviceSerialNumber": "7", "StationName": "US1", "DeviceUID": "1.2.9"},
        ),
        (Keep(patient=True), "113108", {"PatientAge": "053Y", "PatientSex": "F", "PatientWeight": 61}),
        (Keep(side=True), None, {"BodyPartExamined": "BREAST", "ImageLaterality": "R"}),
        (Keep(dates=Dates.SHIFTED), "113107", {"StudyTime": "101500", "ContentTime": "101502"}),
    ],
)
def test_an_option_keeps_its_attributes_and_is_named(
    keep: Keep, code: str | None, kept: dict[str, Any], tmp_path: Path
) -> None:
    given = {"StationName": "US1", "DeviceUID": "1.2.9", "PatientAge": "053Y", "PatientWeight": "61"}
    given |= {"ImageLaterality": "R", "DeviceSerialNumber": "7"}

    without, copy = copied(tmp_path, **given), copied(tmp_path, keep, **given)

    for keyword, value in kept.items():
        assert copy[keyword].value == value
        assert without.get(keyword) in (None, "") or without[keyword].value != value
    codes = [item.CodeValue for item in copy.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113101", *([code] if code else [])]


def test_an_age_over_89_is_not_told(tmp_path: Path) -> None:
    assert copied(tmp_path, Keep(patient=True), PatientAge="097Y").PatientAge == "090Y"
    assert copied(tmp_path, Keep(patient=True), PatientAge="089Y").PatientAge == "089Y"


@pytest.mark.filterwarnings("ignore:Invalid value for VR AS")
@pytest.mark.parametrize("age", ["97Y", "97", "097", "97 years"])
def test_an_age_in_no_valid_form_is_not_told(tmp_path: Path, age: str) -> None:
    assert not copied(tmp_path, Keep(patient=True), PatientAge=age).PatientAge


def test_uids_stay_together_across_files_and_differ_from_the_old_ones(tmp_path: Path) -> None:
    study = us_study(images=2)
    reference = Dataset()
    study[1].FrameOfReferenceUID = study[0].SOPInstanceUID
    study[1].SourceImageSequence = [reference]

    first, second = (deidentify(header_of(one, tmp_path), Keep(), NAMES) for one in study)

    assert first.StudyInstanceUID == second.StudyInstanceUID != study[0].StudyInstanceUID
    assert first.SeriesInstanceUID == second.SeriesInstanceUID != study[0].SeriesInstanceUID
    assert second.FrameOfReferenceUID == first.SOPInstanceUID != second.SOPInstanceUID
    assert first.PatientID == second.PatientID == first.PatientName != study[0].PatientID
    other = deidentify(header_of(study[0], tmp_path), Keep(), Pseudonyms(b"another secret of a length"))
    assert other.StudyInstanceUID != first.StudyInstanceUID
    assert other.PatientID != first.PatientID


def test_dates_of_a_patient_keep_their_distance_and_lie_in_the_past(tmp_path: Path) -> None:
    keep = Keep(dates=Dates.SHIFTED)

    early = copied(tmp_path, keep, StudyDate="20240102")
    late = copied(tmp_path, keep, StudyDate="20240401", PatientBirthDate="19500101")
    other = deidentify(header_of(us_image(patient_id="OTHER"), tmp_path), keep, NAMES)

    def day(value: str) -> date:
        return date(int(value[:4]), int(value[4:6]), int(value[6:8]))

    assert day(late.StudyDate) - day(early.StudyDate) == date(2024, 4, 1) - date(2024, 1, 2)
    assert (date(2024, 1, 2) - day(early.StudyDate)).days > 365
    assert other.StudyDate != early.StudyDate
    assert early.AcquisitionDateTime == early.SeriesDate + "101502"
    assert late.PatientBirthDate == ""
    assert early.LongitudinalTemporalInformationModified == "MODIFIED"


def test_the_offset_of_a_date_time_does_not_tell_the_place(tmp_path: Path) -> None:
    copy = copied(tmp_path, Keep(dates=Dates.SHIFTED), AcquisitionDateTime="20240102101502.5-0500")

    assert copy.AcquisitionDateTime.endswith("101502.5")


def test_patients_without_a_number_are_not_joined(tmp_path: Path) -> None:
    one, other = (deidentify(header_of(us_image(patient_id=""), tmp_path), Keep(), NAMES) for _ in range(2))

    assert one.PatientID != other.PatientID


def test_a_code_that_lost_a_part_goes_as_a_whole(tmp_path: Path) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "76752008", "SCT", "Breast"

    kept = copied(tmp_path, Keep(side=True), AnatomicRegionSequence=[code])
    assert kept.AnatomicRegionSequence[0].CodeMeaning == "Breast"

    dataset = us_image(patient_name="Breast^A", attributes={"AnatomicRegionSequence": [code]})
    assert "AnatomicRegionSequence" not in deidentify(header_of(dataset, tmp_path), Keep(side=True), NAMES)
