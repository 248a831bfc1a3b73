"""What a report says of a lesion, coded and in words: place, outline, likelihood, printed measurements."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from cad_node.domain import (
    Box,
    Calibration,
    Description,
    ImageResult,
    Laterality,
    LesionKey,
    LesionOrientation,
    LesionShape,
    Probabilities,
    Quadrant,
    ScanPlane,
    SizeComparison,
    SonographerNotes,
    TypedDistance,
)
from cad_node.encode import Templates, load_templates
from cad_node.errors import TemplateError
from cad_node.pipeline.compare import compare_sizes
from cad_node.resources import templates_dir
from tests.factories import us_cine, us_image
from tests.results import BENIGN, LARGE, MALIGNANT, SMALL, analysed, study
from tests.unit.encode.encoding import encode
from tests.unit.encode.test_sr import report, texts, values

NOTES = SonographerNotes(
    laterality=Laterality.RIGHT,
    clock_face=2.0,
    quadrant=Quadrant.UPPER_INNER,
    nipple_distance_mm=30.0,
    plane=ScanPlane.RADIAL,
)
OUTLINE = Description(LesionOrientation.NOT_PARALLEL, LesionShape.IRREGULAR, 7.25)


def image(
    source: Dataset,
    notes: SonographerNotes = NOTES,
    description: Description = OUTLINE,
    probabilities: Probabilities = MALIGNANT,
    compared: SizeComparison | None = None,
) -> ImageResult:
    found = analysed(source, {1: [(1, LARGE, probabilities)]})
    frame = found.frames[0]
    lesions = tuple(replace(lesion, description=description) for lesion in frame.lesions)
    frame = replace(frame, notes=notes, lesions=lesions, size_comparison=compared)
    return replace(found, frames=(frame,))


@pytest.mark.parametrize(
    ("probability", "written"),
    [(0.0, "< 0.1"), (0.0009, "< 0.1"), (0.001, "0.1"), (0.096, "9.6"), (0.999, "99.9"), (0.9996, "> 99.9")],
)
def test_no_probability_is_written_as_a_certainty(
    templates: Templates, probability: float, written: str
) -> None:
    assert templates.wording.percent(probability) == written


def test_the_report_does_not_call_cancer_impossible(templates: Templates) -> None:
    source = us_image()
    sure = image(source, probabilities=Probabilities(0.0001, 0.9998, 0.0001))
    said = "\n".join(texts(encode(study(sure), [source], templates)[-1].dataset))
    assert "probability of cancer < 0.1 %" in said
    assert " 0.0 %" not in said


def group_of(templates: Templates, source: Dataset, found: ImageResult) -> tuple[Any, list[str]]:
    """The lesion's measurement group and every text of the report."""
    objects = encode(study(found), [source], templates)
    group = report(*objects).content.get_planar_roi_measurement_groups()[0]
    return group, texts(objects[-1].dataset)


def coded(group: Any) -> dict[str, tuple[str, str]]:
    """Coded statements by name, each with its meaning and the method it was come to by."""
    found = {}
    for item in group[0].ContentSequence:
        if item.ValueType == "CODE" and item.RelationshipType == "CONTAINS":
            how = [child.ConceptCodeSequence[0].CodeValue for child in item.get("ContentSequence", ())]
            name = item.ConceptNameCodeSequence[0].CodeMeaning
            found[name] = (item.ConceptCodeSequence[0].CodeValue, *how, "")[:2]
    return found


def test_the_place_is_what_was_typed_on_the_image(templates: Templates) -> None:
    source = us_image(instance_number=1)
    group, said = group_of(templates, source, image(source))
    site = group.finding_sites[0]
    assert site.value.value == "77831004"
    assert site.laterality.meaning == "Right"
    assert values(group)["Distance from nipple"] == (30.0, "mm")
    assert coded(group)["Clockface or region"] == ("129773009", "printed-text")
    place = "right breast; upper inner quadrant; 2 o'clock; 30 mm from the nipple; radial plane."
    assert f"Typed on the image, read by software: {place}" in said


def test_half_hours_have_no_code_and_stand_in_words(templates: Templates) -> None:
    source = us_image()
    group, said = group_of(templates, source, image(source, replace(NOTES, clock_face=2.5)))
    assert "Clockface or region" not in coded(group)
    assert any("2:30 o'clock" in text for text in said)


@pytest.mark.parametrize(
    ("header", "typed", "side"),
    [
        ("R", Laterality.RIGHT, "Right"),
        ("R", None, "Right"),
        ("", Laterality.LEFT, "Left"),
        ("B", Laterality.LEFT, "Left"),
        ("R", Laterality.LEFT, None),
        ("", None, None),
    ],
)
def test_a_side_is_named_unless_text_and_header_contradict_each_other(
    templates: Templates, header: str, typed: Laterality | None, side: str | None
) -> None:
    source = us_image(attributes={"Laterality": header})
    group, said = group_of(templates, source, image(source, SonographerNotes(laterality=typed)))
    laterality = group.finding_sites[0].laterality
    assert (laterality.meaning if laterality else None) == side
    assert (templates.sr.position.conflict in said) == (side is None and typed is not None)
    assert not (side is None and any("left breast" in text for text in said))


@pytest.mark.parametrize(("header", "side"), [("R", None), ("L", None), ("B", "Right and left"), ("", None)])
def test_no_side_is_claimed_where_both_are_typed(templates: Templates, header: str, side: str | None) -> None:
    source = us_image(attributes={"Laterality": header})
    group, said = group_of(templates, source, image(source, SonographerNotes(both_sides=True)))
    laterality = group.finding_sites[0].laterality
    assert (laterality.meaning if laterality else None) == side
    assert (templates.sr.position.conflict in said) == (header in {"L", "R"})


def test_what_was_not_typed_is_not_said(templates: Templates) -> None:
    source = us_image()
    group, said = group_of(templates, source, image(source, SonographerNotes()))
    assert group.finding_sites[0].value.value == "76752008"
    assert "Distance from nipple" not in values(group)
    assert not any(text.startswith("Typed on the image") for text in said)


@pytest.mark.parametrize(
    ("header", "word"), [("R", "right breast"), ("L", "left breast"), ("B", ""), ("", "")]
)
def test_the_sentence_names_the_side_by_the_header_too(templates: Templates, header: str, word: str) -> None:
    source = us_image(attributes={"Laterality": header})
    _, said = group_of(templates, source, image(source, SonographerNotes()))
    (sentence,) = (text for text in said if text.startswith("Image 1.1 lesion 1: "))
    assert sentence.endswith(f"; {word}.") if word else "breast" not in sentence


@pytest.mark.parametrize("cut", [True, False])
def test_of_a_lesion_that_the_picture_cuts_it_is_said(templates: Templates, cut: bool) -> None:
    source = us_image()
    _, said = group_of(templates, source, image(source, description=Description(cut=cut)))
    (sentence,) = (text for text in said if text.startswith("Image 1.1 lesion 1: "))
    assert ("reaches the edge of the picture, may be larger than measured" in sentence) is cut


def test_the_outline_speaks_where_it_can(templates: Templates) -> None:
    source = us_image()
    group, said = group_of(templates, source, image(source))
    assert values(group)["Distance from skin"] == (7.2, "mm")
    assert coded(group)["Orientation"] == ("111356", "")
    assert coded(group)["Shape"] == ("49608001", "")
    assert any(
        "7.2 mm below the top of the tissue shown; not parallel to the skin; irregular" in t for t in said
    )
    group, _ = group_of(templates, source, image(source, description=Description()))
    assert not {"Orientation", "Shape"} & set(coded(group))
    assert "Distance from skin" not in values(group)


@pytest.mark.parametrize(
    ("malignant", "code"),
    [
        (0.0, "397143007"),
        (0.0194, "397143007"),
        (0.0196, "MA.II.A.5.4A"),  # said as 2.0 %
        (0.099, "MA.II.A.5.4A"),
        (0.1, "MA.II.A.5.4B"),
        (0.499, "MA.II.A.5.4B"),
        (0.5, "MA.II.A.5.4C"),
        (0.949, "MA.II.A.5.4C"),
        (0.95, "397145000"),
        (1.0, "397145000"),
    ],
)
def test_the_band_is_that_of_the_probability_and_never_a_readers_category(
    templates: Templates, malignant: float, code: str
) -> None:
    source = us_image()
    found = image(source, probabilities=Probabilities(0.0, 1.0 - malignant, malignant))
    group, said = group_of(templates, source, found)
    assert coded(group)["Assessment Category"] == (code, "likelihood-band")
    assert templates.sr.summary.bands in said


def test_bands_can_be_edited_and_left_out(tmp_path: Path, templates: Templates) -> None:
    folder = Path(shutil.copytree(templates_dir(), tmp_path / "templates"))
    file = folder / "sr_tid1500.toml"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if 'label = "3"' not in line]
    file.write_text("".join(kept).replace("from_percent = 2,", "from_percent = 3,"), encoding="utf-8")
    source = us_image()
    found = image(source, probabilities=Probabilities(0.0, 0.975, 0.025))
    group, said = group_of(load_templates(folder), source, found)
    assert "Assessment Category" not in coded(group)
    assert any("likelihood band -" in text for text in said)


def test_bands_out_of_order_are_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(templates_dir(), tmp_path / "templates"))
    file = folder / "sr_tid1500.toml"
    text = file.read_text(encoding="utf-8").replace("from_percent = 10,", "from_percent = 60,")
    file.write_text(text, encoding="utf-8")
    with pytest.raises(
        TemplateError, match=r"line \d+, assessment: from_percent must rise from band to band"
    ):
        load_templates(folder)


def test_a_wrong_percentage_is_named_with_the_line_of_its_band(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(templates_dir(), tmp_path / "templates"))
    file = folder / "sr_tid1500.toml"
    text = file.read_text(encoding="utf-8").replace("from_percent = 10,", "from_percent = 101,")
    file.write_text(text, encoding="utf-8")
    line = text[: text.index("from_percent = 101,")].count("\n") + 1
    with pytest.raises(
        TemplateError, match=rf"line {line}, assessment\.bands\.2\.from_percent: a number from 0"
    ):
        load_templates(folder)


def test_printed_distances_stand_beside_the_nodes_own_where_they_were_printed(templates: Templates) -> None:
    source = us_image(instance_number=1)
    printed = TypedDistance(21.4, Box(2, 8, 10, 60), 0.9), TypedDistance(12.0, Box(10, 16, 10, 60), 0.8)
    compared = SizeComparison(lesion_number=1, typed_mm=21.4, measured_mm=9.1, differs=True)
    objects = encode(
        study(image(source, SonographerNotes(distances=printed), compared=compared)), [source], templates
    )
    group = report(*objects).content.get_image_measurement_groups()[0]
    assert group.tracking_identifier == "Image 1.1 printed measurements"
    numbers = group.get_measurements()
    assert [(one.name.value, one.value, one.unit.value, one.method.value) for one in numbers] == [
        ("121206", 21.4, "mm", "printed-caliper"),
        ("121206", 12.0, "mm", "printed-caliper"),
    ]
    region = numbers[0].referenced_coordinates[0].value
    assert (region.min(axis=0).tolist(), region.max(axis=0).tolist()) == ([10, 2], [60, 8])
    said = texts(objects[-1].dataset)
    sentence = "The longest distance printed on the image is 21.4 mm; the long axis of Image 1.1 lesion 1 was"
    assert sum(text.startswith(sentence) for text in said) == 2  # beside the figures, and in the summary


def test_distances_that_agree_need_no_sentence(templates: Templates) -> None:
    source = us_image()
    printed = SonographerNotes(distances=(TypedDistance(9.0, Box(2, 8, 10, 60), 0.9),))
    compared = SizeComparison(1, 9.0, 9.1, differs=False)
    _, said = group_of(templates, source, image(source, printed, compared=compared))
    assert not any("differ much" in text for text in said)


def test_marks_on_images_are_said_to_bias_a_reader(templates: Templates) -> None:
    first, second = us_image(instance_number=1), us_image(instance_number=2)
    second.StudyInstanceUID = first.StudyInstanceUID
    images = image(first, SonographerNotes(marked=True)), image(second, SonographerNotes())
    said = texts(encode(study(*images), [first, second], templates)[-1].dataset)
    assert "Calipers or a trace mark the image, which may bias a reader: 1.1." in said


def test_joined_lesions_are_named_and_others_are_not_claimed(templates: Templates) -> None:
    first, second = us_image(instance_number=1), us_image(instance_number=2)
    second.StudyInstanceUID = first.StudyInstanceUID
    images = image(first), image(second, probabilities=BENIGN)
    group = tuple(LesionKey(one.reference.sop_instance_uid, 1) for one in images)
    apart = study(*images)
    joined = replace(apart, same_lesions=(group,))
    names = "Image 1.1 lesion 1, Image 1.2 lesion 1"
    assert any(names in text for text in texts(encode(joined, [first, second], templates)[-1].dataset))
    assert not any(names in text for text in texts(encode(apart, [first, second], templates)[-1].dataset))


def test_the_calibration_is_stated(templates: Templates) -> None:
    source = us_image()
    measured = study(image(source), calibration=Calibration(0.985, 0.024, 532))
    said = texts(encode(measured, [source], templates)[-1].dataset)
    assert any("(0.985); expected calibration error 2.4 % on 532 test images." in text for text in said)
    plain = study(image(source), calibration=Calibration(1.2))
    said = texts(encode(plain, [source], templates)[-1].dataset)
    assert any("(1.200); the calibration error was not measured." in text for text in said)
    group, _ = group_of(templates, source, image(source))
    assert group.get_measurements()[3].method.value == "calibrated-prob"


def loop(notes_from: int = 1) -> tuple[Dataset, ImageResult]:
    """A loop whose lesion is most suspicious in frame 3, with a distance typed from some frame on."""
    source = us_cine(frames=3)
    found = analysed(source, {1: [(1, SMALL, BENIGN)], 3: [(1, LARGE, MALIGNANT)]})
    typed = SonographerNotes(distances=(TypedDistance(20.0, Box(0, 20, 200, 300), 0.9),))
    frames = tuple(
        replace(
            frame,
            notes=typed if frame.frame_number >= notes_from else frame.notes,
            size_comparison=compare_sizes(typed, frame.lesions),
        )
        for frame in found.frames
    )
    return source, replace(found, frames=frames)


def test_in_a_loop_the_size_that_differs_is_the_one_that_is_reported(templates: Templates) -> None:
    source, found = loop()
    group, said = group_of(templates, source, found)
    measured = f"{values(group)['Long axis'][0]:.1f}"
    (sentence,) = {text for text in said if "longest distance printed" in text}
    assert f"lesion 1 was measured as {measured} mm" in sentence


def test_a_typed_distance_lies_on_a_frame_that_shows_it(templates: Templates) -> None:
    source, found = loop(notes_from=2)
    objects = encode(study(found), [source], templates)
    typed = report(*objects).content.get_image_measurement_groups()[-1]
    (distance,) = typed.get_measurements()
    (reference,) = distance.referenced_coordinates[0].ContentSequence[0].ReferencedSOPSequence
    assert reference.ReferencedFrameNumber == 2


def test_images_of_two_machines_with_the_same_numbers_are_told_apart(templates: Templates) -> None:
    first = us_image()
    second, third = (
        us_image(study_instance_uid=first.StudyInstanceUID, instance_number=number) for number in (1, 2)
    )
    images = [analysed(one, {1: [(1, LARGE, MALIGNANT)]}) for one in (first, second, third)]
    objects = encode(study(*images), [first, second, third], templates)
    content = report(*objects).content
    names = [str(one.tracking_identifier) for one in content.get_planar_roi_measurement_groups()]
    ends = [str(one.SOPInstanceUID)[-8:] for one in (first, second)]
    assert names == [*(f"Image 1.1 ({end}) lesion 1" for end in ends), "Image 1.2 lesion 1"]
    segments = [one.dataset.SegmentSequence[0].TrackingID for one in objects if one.kind == "seg"]
    assert segments == names
