"""The IHE Radiology profile AI Results (AIR), as its Evidence Creator has to follow it.

What is checked, by the profile's names for its result primitives and what holds for all:

Result objects and relations
    The root is one SR by TID 1500 in the study of the images, for the same patient; every
    object that it speaks of is in its evidence, with the SOP Class that it has; a SEG belongs
    to the same study and names the images that it was made of.
Device and algorithm identification
    The observer is a device with UID, manufacturer, model name and serial number (TID 1004);
    each group of findings names the algorithm and its version (TID 4019); the report is not
    verified by anybody.
Qualitative findings
    A coded name and a coded value (CODE), never text alone; "no finding" and "not analysed" are
    findings of their own.
Measurements
    A coded name, a value and a UCUM unit (NUM), inside a measurement group of TID 1410 or 1501.
Locations and regions
    A region is a SCOORD on a referenced image, closed and inside that image, and a segment in
    the SEG; the two have one tracking identifier.
Tracking identifiers
    Every group has a human-readable Tracking Identifier and a Tracking Unique Identifier; no two
    groups share one; the same lesion keeps it in the report of another model.
Image references
    Every image that was received is in the image library; every finding reaches an image, with
    the frame where there are several.

Parametric maps are not made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, Comprehensive3DSRStorage, SegmentationStorage

from cad_node.domain import Box, NotAnalysed, SonographerNotes, StudyResult, TypedDistance
from cad_node.encode import EncodedObject, Templates
from tests.factories import us_study
from tests.results import BENIGN, LARGE, MALIGNANT, SMALL, analysed, provenance, refused, study
from tests.unit.encode.encoding import encode

TRACKING_ID, TRACKING_UID = "112039", "112040"


def made(templates: Templates, **changes: object) -> tuple[list[Dataset], tuple[EncodedObject, ...]]:
    """A study with two lesions on an image, none on another, one not analysed, and a cine."""
    sources = us_study(images=3, cine_frames=3)
    for number, source in enumerate(sources, start=1):
        source.InstanceNumber = number
    first = analysed(sources[0], {1: [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]})
    notes = SonographerNotes(distances=(TypedDistance(9.0, Box(2, 8, 10, 60), 0.9),))
    first = replace(first, frames=tuple(replace(frame, notes=notes) for frame in first.frames))
    images = (
        first,
        analysed(sources[1]),
        refused(sources[2], NotAnalysed.M_MODE),
        analysed(sources[3], {2: [(1, LARGE, MALIGNANT)]}),
    )
    result = StudyResult(study(*images).study_instance_uid, images, provenance(**changes))
    return sources, encode(result, sources, templates)


@pytest.fixture(scope="module")
def study_and_results(templates: Templates) -> tuple[list[Dataset], list[Dataset], Dataset]:
    sources, objects = made(templates)
    return sources, [one.dataset for one in objects[:-1]], objects[-1].dataset


Made = tuple[list[Dataset], list[Dataset], Dataset]


def items(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        yield child
        yield from items(child)


def name(item: Dataset) -> str:
    concept = item.get("ConceptNameCodeSequence")
    return str(concept[0].CodeValue) if concept else ""


def groups(report: Dataset) -> list[Dataset]:
    found = [item for item in items(report) if name(item) == "125007"]
    assert found
    return found


def inside(group: Dataset, code: str) -> Dataset:
    return next(item for item in group.ContentSequence if name(item) == code)


def test_result_objects_and_relations(study_and_results: Made) -> None:
    sources, segs, report = study_and_results
    assert report.SOPClassUID == Comprehensive3DSRStorage
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    for result in (*segs, report):
        assert result.StudyInstanceUID == sources[0].StudyInstanceUID
        assert (result.PatientID, result.PatientName) == (sources[0].PatientID, sources[0].PatientName)
        assert result.SeriesInstanceUID not in {source.SeriesInstanceUID for source in sources}
    evidence = {
        str(one.ReferencedSOPInstanceUID): one.ReferencedSOPClassUID
        for series in report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert evidence == {str(source.SOPInstanceUID): source.SOPClassUID for source in sources}
    known = {str(source.SOPInstanceUID) for source in sources}
    for seg in segs:
        assert seg.SOPClassUID == SegmentationStorage
        named = {
            str(one.ReferencedSOPInstanceUID)
            for one in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        }
        assert named
        assert named <= known


def test_device_and_algorithm_identification(study_and_results: Made) -> None:
    _, _, report = study_and_results
    observer = {
        name(item): item for item in report.ContentSequence if item.RelationshipType == "HAS OBS CONTEXT"
    }
    assert observer["121005"].ConceptCodeSequence[0].CodeValue == "121007"
    assert UID(observer["121012"].UID).is_valid
    # Name, manufacturer, model name, serial number.
    assert all(observer[code].TextValue for code in ("121013", "121014", "121015", "121016"))
    for group in groups(report):
        assert inside(group, "111001").TextValue == "CAD Node breast-us"
        assert inside(group, "111003").TextValue
        parameters = [item.TextValue for item in group.ContentSequence if name(item) == "111002"]
        assert any(text.startswith("model_sha256=") for text in parameters)
    assert report.VerificationFlag == "UNVERIFIED"
    assert "VerifyingObserverSequence" not in report


def test_qualitative_findings(study_and_results: Made) -> None:
    _, _, report = study_and_results
    coded = [item for item in items(report) if item.ValueType == "CODE"]
    for item in coded:
        for code in (item.ConceptNameCodeSequence[0], item.ConceptCodeSequence[0]):
            assert code.CodeValue
            assert code.CodingSchemeDesignator
            assert code.CodeMeaning
    for group in groups(report):
        lesion = any(item.ValueType == "SCOORD" for item in group.ContentSequence)
        if lesion:
            assert inside(group, "121071").ValueType == "CODE"  # Finding
            assert inside(group, "363698007").ValueType == "CODE"  # Finding Site
            assert inside(group, "111005").ValueType == "CODE"
    # Summary of Detections: once "succeeded" without a finding, once "not attempted".
    detections = [item.ConceptCodeSequence[0].CodeValue for item in coded if name(item) == "111064"]
    assert sorted(detections) == ["111222", "111225"]


def test_measurements(study_and_results: Made) -> None:
    _, _, report = study_and_results
    numbers = [item for group in groups(report) for item in group.ContentSequence if item.ValueType == "NUM"]
    assert len(numbers) >= 3 * 6
    for item in numbers:
        value = item.MeasuredValueSequence[0]
        float(value.NumericValue)
        assert value.MeasurementUnitsCodeSequence[0].CodingSchemeDesignator == "UCUM"
    inside_groups = {id(item) for item in numbers}
    library = [item for item in items(report) if item.ValueType == "NUM" and id(item) not in inside_groups]
    assert {name(item) for item in library} == {"110910", "110911"}  # rows and columns of the images alone


def test_locations_and_regions(study_and_results: Made) -> None:
    sources, segs, report = study_and_results
    by_uid = {str(source.SOPInstanceUID): source for source in sources}
    tracked = {
        str(segment.TrackingUID): str(segment.TrackingID) for seg in segs for segment in seg.SegmentSequence
    }
    found = {}
    for group in groups(report):
        for item in group.ContentSequence:
            if item.ValueType == "SCOORD":
                assert item.GraphicType == "POLYLINE"
                points = [float(value) for value in item.GraphicData]
                columns, rows = points[::2], points[1::2]
                assert (columns[0], rows[0]) == (columns[-1], rows[-1])
                image = item.ContentSequence[0].ReferencedSOPSequence[0]
                source = by_uid[str(image.ReferencedSOPInstanceUID)]
                assert 0 <= min(columns) < max(columns) <= source.Columns
                assert 0 <= min(rows) < max(rows) <= source.Rows
                assert ("ReferencedFrameNumber" in image) == ("NumberOfFrames" in source)
                found[str(inside(group, TRACKING_UID).UID)] = inside(group, TRACKING_ID).TextValue
    assert len(found) == 3
    assert found == tracked


def test_tracking_identifiers(study_and_results: Made, templates: Templates) -> None:
    _, _, report = study_and_results
    uids = [str(inside(group, TRACKING_UID).UID) for group in groups(report)]
    assert all(UID(uid).is_valid for uid in uids)
    assert len(set(uids)) == len(uids)
    assert all(inside(group, TRACKING_ID).TextValue for group in groups(report))


def test_a_lesion_is_tracked_from_one_model_to_the_next(templates: Templates) -> None:
    sources, objects = made(templates)
    result = study(analysed(sources[0], {1: [(1, LARGE, MALIGNANT)]}), model_sha256="99" * 32)
    again = encode(result, sources, templates)
    first, second = (str(inside(groups(one[-1].dataset)[0], TRACKING_UID).UID) for one in (objects, again))
    assert first == second
    assert objects[-1].dataset.SOPInstanceUID != again[-1].dataset.SOPInstanceUID


def test_image_references(study_and_results: Made) -> None:
    sources, _, report = study_and_results
    library = next(item for item in items(report) if name(item) == "111028")
    listed = [
        str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in items(library)
        if item.ValueType == "IMAGE"
    ]
    assert listed == [str(source.SOPInstanceUID) for source in sources]
    for group in groups(report):
        assert any(item.ValueType == "IMAGE" for item in items(group))
    evaluations = report.ContentSequence[-1]
    not_analysed = [item for item in evaluations.ContentSequence if name(item) == "111064"]
    assert [name(child) for child in not_analysed[0].ContentSequence if child.ValueType == "IMAGE"]
