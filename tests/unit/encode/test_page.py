from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from cad_node.domain import Box, Laterality, Probabilities, SonographerNotes
from cad_node.encode import PageObject, Templates, claimed_sides, image_names, render_page
from cad_node.variants import Variant
from tests.factories import us_cine, us_image
from tests.results import BENIGN, LARGE, MALIGNANT, SMALL, UNCERTAIN, analysed, refused, study
from tests.unit.encode.encoding import encode
from tests.unit.encode.test_sr import texts

SINGLE = us_image(patient_name="SECRET^NAME", patient_id="SECRET-ID")
CINE = us_cine(frames=3, study_instance_uid=SINGLE.StudyInstanceUID)
DOPPLER = us_image(study_instance_uid=SINGLE.StudyInstanceUID)
SEG = Variant("seg", seg_type="binary", seg_scope="image")
SR = Variant("sr", sr_class="comprehensive-3d")


class Tags(HTMLParser):
    """Collects the tags of a page and checks that they close."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(templates: Templates) -> str:
    images = [
        analysed(SINGLE, {1: [(1, SMALL, BENIGN)]}),
        analysed(CINE, {2: [(1, LARGE, MALIGNANT)], 3: [(1, LARGE, BENIGN)]}, spacing=None),
        refused(DOPPLER),
    ]
    previews = {SINGLE.SOPInstanceUID: "preview 001.png", CINE.SOPInstanceUID: "preview-002.png"}
    objects = [PageObject(SEG, "seg-002.dcm", (CINE.SOPInstanceUID,)), PageObject(SR, "sr.dcm", ())]
    return render_page(study(*images), previews, templates, objects)


def test_the_most_suspicious_lesion_comes_first(templates: Templates) -> None:
    text = page(templates)
    assert text.index("Image 2, lesion 1") < text.index("Image 1, lesion 1")
    assert "Measured in frame 2; frames that show it: 2." in text
    assert "px²" in text
    assert "2 of 3" in text


def test_an_uncertain_lesion_is_not_given_a_class(templates: Templates) -> None:
    image = analysed(SINGLE, {1: [(1, SMALL, UNCERTAIN)]})
    text = render_page(study(image), {}, templates)
    assert '<article class="card lesion uncertain">' in text
    assert '<span class="tag">uncertain, rather benign</span>' in text
    assert "45.0 %" in text


def test_no_probability_on_the_page_is_a_certainty(templates: Templates) -> None:
    image = analysed(SINGLE, {1: [(1, SMALL, Probabilities(0.0002, 0.0001, 0.9997))]})
    text = render_page(study(image), {}, templates)
    assert "<dd>&lt; 0.1 % / &lt; 0.1 %</dd>" in text
    assert '<td class="number">&gt; 99.9 %</td>' in text


def test_it_says_what_was_not_analysed_and_by_what_it_was_made(templates: Templates) -> None:
    text = page(templates)
    assert "not analysed: Colour Doppler images are not analysed." in text
    assert "ab" * 32 in text
    assert templates.wording.product.disclaimer in text


def test_an_image_that_was_analysed_in_part_says_so(templates: Templates) -> None:
    image = analysed(SINGLE, {1: [(1, LARGE, MALIGNANT)]}, left_out=(Box(0, 9, 0, 9),))
    assert "Analysed in part: Other pictures" in render_page(study(image), {}, templates)
    assert "Analysed in part" not in page(templates)


def test_files_that_could_not_be_read_are_counted(templates: Templates) -> None:
    result = study(analysed(SINGLE))
    words = templates.sr.summary.unreadable.format(files=3)
    assert words in render_page(replace(result, unreadable=3), {}, templates)
    assert "could not be read" not in render_page(result, {}, templates)


def test_it_is_whole_html_with_nothing_from_elsewhere(templates: Templates) -> None:
    tags = Tags(page(templates))
    names = {name for name, _ in tags.seen}
    assert not names & {"script", "link", "iframe", "object", "embed", "form"}
    targets = {
        value for _, attributes in tags.seen for key, value in attributes.items() if key in {"src", "href"}
    }
    assert targets == {"preview%20001.png", "preview-002.png", "seg-002.dcm", "sr.dcm"}


def test_every_object_beside_it_is_named_and_no_other(templates: Templates) -> None:
    result = study(analysed(SINGLE, {1: [(1, SMALL, BENIGN)]}))
    objects = [
        PageObject(Variant("secondary_capture"), "sc.dcm", ()),
        PageObject(Variant("secondary_capture"), "sc-001.dcm", (SINGLE.SOPInstanceUID,)),
        PageObject(Variant("presentation_state"), "pr-001.dcm", (SINGLE.SOPInstanceUID,)),
        PageObject(Variant("pdf"), "pdf.dcm", ()),
    ]
    text = render_page(result, {}, templates, objects)
    for one in objects:
        assert text.count(f'href="{one.file}"') == 1
    for name in ("SEG", "DICOM SR", "Basic Text SR"):
        assert name not in text
    # What belongs to an image stands in its row, what belongs to the study below.
    assert text.index("pr-001.dcm") < text.index("pdf.dcm")


def test_two_forms_of_a_kind_are_called_by_their_form(templates: Templates) -> None:
    image = (SINGLE.SOPInstanceUID,)
    labelmap = replace(SEG, seg_type="labelmap")
    objects = [
        PageObject(SEG, "seg-001.dcm", image),
        PageObject(labelmap, "seg-labelmap-image-001.dcm", image),
        PageObject(replace(labelmap, transfer_syntax="rle"), "seg-labelmap-image-rle-001.dcm", image),
        PageObject(Variant("presentation_state"), "pr-001.dcm", image),
        PageObject(SR, "sr.dcm", ()),
        PageObject(replace(SR, sr_class="enhanced"), "sr-enhanced.dcm", ()),
    ]
    text = render_page(study(analysed(SINGLE, {1: [(1, SMALL, BENIGN)]})), {}, templates, objects)

    assert re.findall(r'href="([^"]+\.dcm)">([^<]+)</a>', text) == [
        ("seg-001.dcm", "SEG (binary)"),
        ("seg-labelmap-image-001.dcm", "SEG (label map)"),
        ("seg-labelmap-image-rle-001.dcm", "SEG (label map, RLE)"),
        ("pr-001.dcm", "PR"),
        ("sr.dcm", "DICOM SR (Comprehensive 3D)"),
        ("sr-enhanced.dcm", "DICOM SR (Enhanced)"),
    ]


def test_it_holds_no_patient_data(templates: Templates) -> None:
    text = re.sub(r"\d+(\.\d+){6,}", "", page(templates))  # any four digits may stand in a UID
    assert "SECRET" not in text
    assert not re.search(r"TEST|1970|A1\b", text)


def test_what_it_shows_is_escaped(templates: Templates) -> None:
    result = study(analysed(SINGLE), model_name="<script>alert(1)</script>")
    text = render_page(result, {}, templates)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ([analysed(SINGLE)], "No lesion was found"),
        ([refused(DOPPLER)], "None of the images could be analysed."),
    ],
)
def test_a_study_without_lesions_says_so(templates: Templates, images: list[object], says: str) -> None:
    text = render_page(study(*images), {}, templates)  # type: ignore[arg-type]
    assert says in text
    Tags(text)


def test_an_analysed_image_without_a_key_frame_is_listed(templates: Templates) -> None:
    text = render_page(study(replace(analysed(SINGLE), key_frame=None)), {}, templates)
    Tags(text)


def test_an_image_on_which_calipers_lie_says_so(templates: Templates) -> None:
    image = analysed(us_image())
    frame = replace(image.frames[0], notes=SonographerNotes(marked=True))
    marked = render_page(study(replace(image, frames=(frame,))), {}, templates)

    assert templates.page_words.text.marked in marked
    assert templates.page_words.text.marked not in render_page(study(image), {}, templates)


@pytest.mark.parametrize(("typed", "agrees"), [(Laterality.RIGHT, True), (Laterality.LEFT, False)])
def test_no_side_is_claimed_where_text_and_header_differ(
    typed: Laterality, agrees: bool, templates: Templates
) -> None:
    image = analysed(SINGLE, {1: [(1, SMALL, BENIGN)]})  # of the right breast, by its header
    notes = SonographerNotes(laterality=typed, clock_face=10.0)
    result = study(replace(image, frames=(replace(image.frames[0], notes=notes),)))
    words = templates.sr.position

    sides = claimed_sides(result, {SINGLE.SOPInstanceUID: SINGLE})
    text = render_page(result, {}, templates, sides=sides)

    # In the heading, and among what was typed.
    assert text.count(getattr(words, typed.value)) == (2 if agrees else 0)
    assert (words.conflict in text) != agrees
    assert "10" in text


def test_the_side_by_the_header_is_named_where_none_is_typed(templates: Templates) -> None:
    result = study(analysed(SINGLE, {1: [(1, SMALL, BENIGN)]}))
    text = render_page(result, {}, templates, sides=claimed_sides(result, {SINGLE.SOPInstanceUID: SINGLE}))
    assert text.count(templates.sr.position.right) == 1
    assert templates.page_words.text.place not in text


def test_images_have_the_names_of_the_report(templates: Templates) -> None:
    """The first image of a study need not be its image 1."""
    source = us_image(series_number=3, instance_number=12)
    result = study(analysed(source, {1: [(1, LARGE, MALIGNANT)]}))
    names = image_names(result, {str(source.SOPInstanceUID): source})
    (report,) = (one.dataset for one in encode(result, [source], templates) if one.kind == "sr")
    assert any(text.startswith("Image 3.12 lesion 1: ") for text in texts(report))
    text = render_page(result, {}, templates, names=names)
    assert templates.page_words.text.lesion.format(image="3.12", number=1) in text
    assert "<td>3.12<" in text
