"""The document of a study: as PDF, and as plain text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage, EncapsulatedPDFStorage

from cad_node.domain import Box, Laterality, NotAnalysed, SonographerNotes
from cad_node.encode import Templates, load_templates
from cad_node.encode.documents import Line, Style
from cad_node.encode.pdf import render_pdf
from cad_node.resources import templates_dir
from cad_node.variants import Variant
from tests.factories import us_image
from tests.results import BENIGN, LARGE, MALIGNANT, SMALL, analysed, refused, study
from tests.unit.encode.encoding import encode

FIRST = us_image(instance_number=1)
SECOND = us_image(instance_number=2, study_instance_uid=FIRST.StudyInstanceUID)


def document(kind: str, templates: Templates) -> Dataset:
    result = study(
        analysed(FIRST, {1: [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]}),
        refused(SECOND, NotAnalysed.M_MODE),
    )
    (made,) = encode(result, [FIRST, SECOND], templates, variants=[Variant(kind)])  # type: ignore[arg-type]
    return made.dataset


def sentences(made: Dataset) -> list[tuple[str, str]]:
    return [
        (item.ConceptNameCodeSequence[0].CodeMeaning, item.TextValue)
        for item in made.ContentSequence
        if item.ValueType == "TEXT"
    ]


def test_the_plain_report_says_what_was_found_and_what_was_not_looked_at(templates: Templates) -> None:
    made = document("text_sr", templates)
    said = sentences(made)
    assert made.SOPClassUID == BasicTextSRStorage
    findings = [text for name, text in said if name == "Finding"]
    assert [text.split(":")[0] for text in findings] == [
        "Image 1.1 lesion 1",
        "Image 1.1 lesion 2",
        "Image 1.2",
    ]
    assert findings[2].endswith(templates.wording.reasons[NotAnalysed.M_MODE])
    assert any(name == "Summary" and "80.0 %" in text for name, text in said)
    assert any(name == "Comment" and "ab" * 32 in text for name, text in said)


def test_the_plain_report_names_an_image_that_was_analysed_in_part(templates: Templates) -> None:
    source = us_image()
    result = study(analysed(source, left_out=(Box(0, 9, 0, 9),)))
    made = encode(result, [source], templates, variants=[Variant("text_sr")])[0].dataset
    assert (
        "Finding",
        "Image 1.1: Analysed in part: Other pictures of tissue in the same image are not analysed.",
    ) in (sentences(made))


@pytest.mark.parametrize(("header", "agrees"), [("R", True), ("L", False)])
def test_the_plain_report_says_where_text_and_header_name_different_sides(
    templates: Templates, header: str, agrees: bool
) -> None:
    source = us_image(attributes={"Laterality": header})
    found = analysed(source, {1: [(1, LARGE, MALIGNANT)]})
    notes = SonographerNotes(laterality=Laterality.RIGHT)
    result = study(replace(found, frames=(replace(found.frames[0], notes=notes),)))
    (made,) = encode(result, [source], templates, variants=[Variant("text_sr")])
    (said,) = (text for name, text in sentences(made.dataset) if name == "Finding")
    assert ("right breast" in said, templates.sr.position.conflict in said) == (agrees, not agrees)


def test_the_plain_report_speaks_the_language_of_the_templates() -> None:
    german = load_templates(templates_dir(), "de")
    made = document("text_sr", german)
    assert any(german.wording.reasons[NotAnalysed.M_MODE] in text for _, text in sentences(made))
    assert made.ContentSequence[0].ConceptCodeSequence[0].CodeValue == "de"


def test_the_pdf_is_one_and_names_no_patient(templates: Templates) -> None:
    made = document("pdf", templates)
    content = made.EncapsulatedDocument[: made.EncapsulatedDocumentLength]
    assert made.SOPClassUID == EncapsulatedPDFStorage
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert made.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert [item.ReferencedSOPInstanceUID for item in made.SourceInstanceSequence] == [
        FIRST.SOPInstanceUID,
        SECOND.SOPInstanceUID,
    ]
    assert str(FIRST.PatientName).encode() not in content


def test_the_pdf_is_the_same_every_time(templates: Templates) -> None:
    first, second = (document("pdf", templates).EncapsulatedDocument for _ in range(2))
    assert first == second


def test_a_long_document_goes_on_on_the_next_page(templates: Templates) -> None:
    short, long = (
        render_pdf([Line("Title", Style.TITLE)] + [Line("Words " * 40)] * count, {}, templates)
        for count in (1, 60)
    )
    assert short.count(b"/Type /Page\n") == 1
    assert long.count(b"/Type /Page\n") > 2
