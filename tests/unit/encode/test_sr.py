from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from highdicom.sr import Comprehensive3DSR
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    SecondaryCaptureImageStorage,
)

from cad_node.domain import Box, NotAnalysed, PixelSpacing, Status
from cad_node.encode import Templates
from cad_node.encode.sr_graphics import graphic_data
from cad_node.settings import ResultSettings
from tests.factories import us_cine, us_image
from tests.results import BENIGN, LARGE, MALIGNANT, SMALL, analysed, refused, study
from tests.unit.encode.encoding import encode


def report(*objects: Any) -> Comprehensive3DSR:
    return Comprehensive3DSR.from_dataset(objects[-1].dataset)


def values(group: Any) -> dict[str, tuple[float, str]]:
    return {one.name.meaning: (float(one.value), one.unit.value) for one in group.get_measurements()}


def texts(item: Dataset) -> list[str]:
    found = [item.TextValue] if item.get("ValueType") == "TEXT" else []
    return found + [text for child in item.get("ContentSequence", ()) for text in texts(child)]


def test_a_lesion_is_measured_outlined_and_linked_to_its_segment(templates: Templates) -> None:
    source = us_image()
    image = analysed(source, {1: [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]})
    objects = encode(study(image), [source], templates)
    groups = report(*objects).content.get_planar_roi_measurement_groups()
    assert len(groups) == 2
    segments = objects[0].dataset.SegmentSequence
    assert [str(group.tracking_uid) for group in groups] == [one.TrackingUID for one in segments]
    assert [group.tracking_identifier for group in groups] == [one.TrackingID for one in segments]
    first = groups[0]
    assert first.finding_type.value == "4147007"
    assert first.finding_category.value == "49755003"
    assert first.finding_sites[0].value.value == "76752008"
    assert first.finding_sites[0].laterality.meaning == "Right"
    numbers = values(first)
    assert numbers["Probability of cancer"] == (80.0, "%")
    assert numbers["Probability of benign lesion"] == (15.0, "%")
    assert numbers["Probability of normal tissue"] == (5.0, "%")
    # The drawn ellipse has half-axes of 45 and 30 pixels of 0.1 mm.
    assert numbers["Long axis"][0] == pytest.approx(9.0, abs=0.15)
    assert numbers["Short axis"][0] == pytest.approx(6.0, abs=0.15)
    assert numbers["Area"][0] == pytest.approx(np.pi * 4.5 * 3.0, rel=0.01)
    assert {numbers[name][1] for name in ("Long axis", "Short axis")} == {"mm"}
    assert numbers["Area"][1] == "mm2"


@pytest.mark.parametrize(
    ("sop_class", "frame"),
    [("1.2.840.10008.5.1.4.1.1.6", None), ("1.2.840.10008.5.1.4.1.1.3", 2)],
    ids=["image", "multi-frame"],
)
def test_an_image_of_a_retired_ultrasound_class_is_reported_on(
    sop_class: str, frame: int | None, templates: Templates
) -> None:
    source = us_cine(frames=3) if frame else us_image()
    source.SOPClassUID = sop_class
    image = analysed(source, {frame or 1: [(1, LARGE, MALIGNANT)]})
    (group,) = report(*encode(study(image), [source], templates)).content.get_planar_roi_measurement_groups()
    (reference,) = group.roi.ContentSequence[0].ReferencedSOPSequence
    assert reference.ReferencedSOPClassUID == sop_class
    assert reference.get("ReferencedFrameNumber") == frame


def test_the_outline_is_closed_and_counts_from_the_corner_of_the_first_pixel(templates: Templates) -> None:
    source = us_image()
    image = analysed(source, {1: [(1, LARGE, MALIGNANT)]})
    group = report(*encode(study(image), [source], templates)).content.get_planar_roi_measurement_groups()[0]
    points = group.roi.value
    np.testing.assert_array_equal(points[0], points[-1])
    # Columns 115 to 205 and rows 90 to 150 are inside, so that the edges are 115, 206, 90 and 151.
    assert points.min(axis=0) == pytest.approx([115, 90])
    assert points.max(axis=0) == pytest.approx([206, 151])


def test_non_square_pixels_give_the_axes_of_the_body(templates: Templates) -> None:
    source = us_image()
    spacing = PixelSpacing(row_mm=0.3, column_mm=0.1)
    image = analysed(source, {1: [(1, LARGE, MALIGNANT)]}, spacing=spacing)
    group = report(*encode(study(image), [source], templates)).content.get_planar_roi_measurement_groups()[0]
    numbers = values(group)
    assert numbers["Long axis"][0] == pytest.approx(18.0, abs=0.4)
    assert numbers["Short axis"][0] == pytest.approx(9.0, abs=0.2)
    assert numbers["Area"][0] == pytest.approx(np.pi * 9 * 4.5, rel=0.01)


def test_without_a_scale_sizes_are_in_pixels_and_the_report_says_so(templates: Templates) -> None:
    source = us_image()
    image = analysed(source, {1: [(1, LARGE, MALIGNANT)]}, spacing=None)
    objects = encode(study(image), [source], templates)
    numbers = values(report(*objects).content.get_planar_roi_measurement_groups()[0])
    assert {numbers[name][1] for name in ("Long axis", "Short axis", "Area")} == {"{pixels}"}
    assert numbers["Area"][0] == LARGE.mask(240, 320).sum()
    assert templates.sr.lesion.uncalibrated in texts(objects[-1].dataset)


def test_a_lesion_of_a_cine_has_one_group_for_its_most_suspicious_frame(templates: Templates) -> None:
    source = us_cine(frames=3)
    drawn = {1: [(1, LARGE, BENIGN)], 2: [(1, SMALL, MALIGNANT)], 3: [(1, LARGE, BENIGN)]}
    objects = encode(study(analysed(source, drawn)), [source], templates)
    groups = report(*objects).content.get_planar_roi_measurement_groups()
    assert len(groups) == 1
    assert groups[0].roi.ContentSequence[0].referenced_frame_numbers == [2]
    assert "Measured in frame 2, the most suspicious of 3 frame(s) that show this lesion." in texts(
        objects[-1].dataset
    )


def test_an_image_without_a_lesion_says_so(templates: Templates) -> None:
    source = us_image()
    objects = encode(study(analysed(source)), [source], templates)
    assert [one.kind for one in objects] == ["sr"]
    groups = report(*objects).content.get_image_measurement_groups()
    assert len(groups) == 1
    assert groups[0].source_images[0].referenced_sop_instance_uid == source.SOPInstanceUID
    assert values(groups[0])["Probability of cancer"] == (3.0, "%")
    assert groups[0].get_qualitative_evaluations()[0].value.meaning == "Succeeded"
    assert templates.sr.image.no_finding in texts(objects[-1].dataset)


@pytest.mark.parametrize("reason", list(NotAnalysed))
def test_an_image_that_was_not_analysed_says_why(templates: Templates, reason: NotAnalysed) -> None:
    source = us_image()
    objects = encode(study(refused(source, reason)), [source], templates)
    group = report(*objects).content.get_image_measurement_groups()[0]
    outcome, why = group.get_qualitative_evaluations()
    assert outcome.value.meaning == "Not Attempted"
    assert why.value.meaning == templates.wording.reasons[reason]
    assert any(templates.wording.reasons[reason] in text for text in texts(objects[-1].dataset))


def test_an_image_without_a_lesion_names_the_region_that_was_looked_at(templates: Templates) -> None:
    source = us_image()
    objects = encode(study(analysed(source)), [source], templates)
    group = report(*objects).content.get_image_measurement_groups()[0]
    region = group.get_measurements()[0].referenced_coordinates[0].value
    # Rows 10 to 230, columns 20 to 300, half-open.
    assert region.min(axis=0).tolist() == [20, 10]
    assert region.max(axis=0).tolist() == [300, 230]


def test_a_refused_image_beside_analysed_ones_has_no_group_but_an_evaluation(templates: Templates) -> None:
    first, second = us_image(), us_image()
    second.StudyInstanceUID = first.StudyInstanceUID
    images = analysed(first, {1: [(1, LARGE, MALIGNANT)]}), refused(second, NotAnalysed.M_MODE)
    objects = encode(study(*images), [first, second], templates)
    content = report(*objects).content
    # OHIF shows nothing of a report with a group that has no coordinates.
    assert not content.get_image_measurement_groups()
    assert len(content.get_planar_roi_measurement_groups()) == 1
    said = next(
        one
        for one in objects[-1].dataset.ContentSequence[-1].ContentSequence
        if one.ConceptNameCodeSequence[0].CodeMeaning == "Summary of Detections"
    )
    assert said.ConceptCodeSequence[0].CodeMeaning == "Not Attempted"
    why, words, image = said.ContentSequence
    assert why.ConceptCodeSequence[0].CodeValue == "m-mode"
    assert words.TextValue == "Not analysed: M-mode images are not analysed."
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == second.SOPInstanceUID


@pytest.mark.parametrize("found", [True, False])
def test_an_image_of_which_a_picture_was_left_out_says_so_wherever_it_is_spoken_of(
    templates: Templates, found: bool
) -> None:
    source = us_image(instance_number=4)
    image = analysed(source, {1: [(1, LARGE, MALIGNANT)]} if found else None, left_out=(Box(0, 200, 0, 8),))
    objects = encode(study(image), [source], templates)
    dataset = objects[-1].dataset
    partly = "Analysed in part: Other pictures of tissue in the same image are not analysed."
    groups = next(
        one for one in dataset.ContentSequence if "Measurements" in one.ConceptNameCodeSequence[0].CodeMeaning
    )
    assert partly in texts(groups)
    assert templates.sr.image.no_finding not in texts(dataset)
    assert (templates.sr.image.no_finding_partly in texts(dataset)) is not found
    evaluations = dataset.ContentSequence[-1].ContentSequence
    with_or_without = "with" if found else "without"
    assert (
        evaluations[0].ConceptCodeSequence[0].CodeMeaning
        == f"Not all algorithms succeeded; {with_or_without} findings"
    )
    assert templates.sr.summary.partly.format(images="1.4") in texts(dataset)
    said = next(
        one for one in evaluations if one.ConceptNameCodeSequence[0].CodeMeaning == "Summary of Detections"
    )
    assert said.ConceptCodeSequence[0].CodeMeaning == "Partially Succeeded"
    why, words, named = said.ContentSequence
    assert why.ConceptCodeSequence[0].CodeValue == "other-picture"
    assert words.TextValue == partly
    assert named.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID


@pytest.mark.parametrize("image", [analysed, refused])
def test_files_that_could_not_be_read_are_counted_under_a_uid_of_its_own(
    templates: Templates, image: Any
) -> None:
    source = us_image()
    whole = study(image(source))
    short = replace(whole, unreadable=2)
    told, silent = (encode(one, [source], templates)[-1].dataset for one in (short, whole))
    words = templates.sr.summary.unreadable.format(files=2)
    assert words in texts(told)
    assert words not in texts(silent)
    assert told.SOPInstanceUID != silent.SOPInstanceUID
    outcome = told.ContentSequence[-1].ContentSequence[0].ConceptCodeSequence[0].CodeMeaning
    assert not outcome.startswith("All algorithms succeeded")


def test_an_image_whose_analysis_failed_says_so(templates: Templates) -> None:
    source = us_image()
    image = refused(source, NotAnalysed.UNDECODABLE, Status.FAILED)
    group = report(*encode(study(image), [source], templates)).content.get_image_measurement_groups()[0]
    assert group.get_qualitative_evaluations()[0].value.meaning == "Failed"


@pytest.mark.parametrize(
    ("setting", "sop_class"),
    [
        ("comprehensive-3d", Comprehensive3DSRStorage),
        ("comprehensive", ComprehensiveSRStorage),
        ("enhanced", EnhancedSRStorage),
    ],
)
def test_the_sr_class_is_a_setting(templates: Templates, setting: Any, sop_class: UID) -> None:
    source = us_image()
    image = analysed(source, {1: [(1, LARGE, MALIGNANT)]})
    objects = encode(study(image), [source], templates, settings=ResultSettings(sr_class=setting))
    assert objects[-1].dataset.SOPClassUID == sop_class
    assert objects[-1].dataset.file_meta.MediaStorageSOPClassUID == sop_class


def test_every_image_is_in_the_library_and_in_the_evidence(templates: Templates) -> None:
    first, second = us_image(), us_cine()
    second.StudyInstanceUID = first.StudyInstanceUID
    retired = us_image(study_instance_uid=first.StudyInstanceUID)
    retired.SOPClassUID = "1.2.840.10008.5.1.4.1.1.6"
    capture = us_image(study_instance_uid=first.StudyInstanceUID, attributes={"Modality": "OT"})
    capture.SOPClassUID = SecondaryCaptureImageStorage
    sources = [first, second, retired, capture]
    images = [analysed(first, {1: [(1, LARGE, MALIGNANT)]}), *map(refused, sources[1:])]
    dataset = encode(study(*images), sources, templates)[-1].dataset
    evidence = {
        (one.ReferencedSOPInstanceUID, one.ReferencedSOPClassUID)
        for series in dataset.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert evidence == {(one.SOPInstanceUID, one.SOPClassUID) for one in sources}
    library = next(
        item
        for item in dataset.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Image Library"
    )
    entries = library.ContentSequence[0].ContentSequence
    assert [one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for one in entries] == [
        one.SOPInstanceUID for one in sources
    ]
    assert [one.ContentSequence[0].ConceptCodeSequence[0].CodeValue for one in entries] == ["US"] * 3 + ["OT"]


def test_the_report_follows_tid_1500_and_says_by_whom_it_was_made(templates: Templates) -> None:
    source = us_image()
    dataset = encode(study(analysed(source, {1: [(1, LARGE, MALIGNANT)]})), [source], templates)[-1].dataset
    assert dataset.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert dataset.CompletionFlag == "COMPLETE"
    assert dataset.VerificationFlag == "UNVERIFIED"
    observer = report_observer(dataset)
    assert observer.name == "CAD Node breast-us"
    said = texts(dataset)
    assert f"model_sha256={'ab' * 32}" in said
    assert templates.sr.document.disclaimer in said


def report_observer(dataset: Dataset) -> Any:
    contexts = Comprehensive3DSR.from_dataset(dataset).content.get_observer_contexts()
    return contexts[0].observer_identifying_attributes


def test_the_summary_names_the_most_suspicious_lesion(templates: Templates) -> None:
    first, second = us_image(instance_number=1), us_image(instance_number=2)
    second.StudyInstanceUID = first.StudyInstanceUID
    images = [
        analysed(first, {1: [(1, LARGE, BENIGN)]}),
        analysed(second, {1: [(1, SMALL, BENIGN), (2, LARGE, MALIGNANT)]}),
    ]
    said = texts(encode(study(*images), [first, second], templates)[-1].dataset)
    assert "3 lesion(s) outlined in 2 analysed image(s); 0 image(s) not analysed." in said
    first = (
        "Most suspicious: Image 1.2 lesion 2, malignant, probability of cancer 80.0 %, likelihood band 4C."
    )
    second = "2. Image 1.1 lesion 1, benign, probability of cancer 20.0 %, likelihood band 4B."
    third = "3. Image 1.2 lesion 1, benign, probability of cancer 20.0 %, likelihood band 4B."
    assert said.index(first) < said.index(second) < said.index(third)  # of equals the larger first


@pytest.mark.parametrize(
    ("found", "missed", "meaning"),
    [
        (True, False, "All algorithms succeeded; with findings"),
        (False, False, "All algorithms succeeded; without findings"),
        (True, True, "Not all algorithms succeeded; with findings"),
        (False, True, "Not all algorithms succeeded; without findings"),
        (None, True, "No algorithms succeeded; without findings"),
    ],
)
def test_the_outcome_of_the_study_is_coded(
    templates: Templates, found: bool | None, missed: bool, meaning: str
) -> None:
    first, second = us_image(), us_image()
    second.StudyInstanceUID = first.StudyInstanceUID
    images = []
    if found is not None:
        images.append(analysed(first, {1: [(1, LARGE, MALIGNANT)]} if found else None))
    if missed:
        images.append(refused(second))
    dataset = encode(study(*images), [first, second], templates)[-1].dataset
    evaluations = dataset.ContentSequence[-1].ContentSequence
    assert evaluations[0].ConceptCodeSequence[0].CodeMeaning == meaning


def test_an_outline_of_very_many_points_still_fits_its_attribute() -> None:
    angle = np.linspace(0, 2 * np.pi, 30_000)
    points = graphic_data(np.stack([500 + 400 * np.sin(angle), 500 + 400 * np.cos(angle)], axis=1))
    # FL is written with a 16-bit length: PS3.5 table 7.1-2.
    assert points.size * 4 < 2**16
    np.testing.assert_array_equal(points[0], points[-1])
    assert points[:, 0].max() == pytest.approx(900.5, abs=0.1)
