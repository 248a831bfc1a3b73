"""Both real OCR engines: what was typed is coded, and what would stay legible is taken or refused."""

import logging

import cv2
import numpy as np
import pytest

from cad_node.domain import Box, CleanFrame, Frame, ImageReference, Laterality, Quadrant, ScanPlane
from cad_node.errors import CleaningError
from cad_node.pipeline.clean import Cleaner, Surroundings
from cad_node.pipeline.clean.marks import Mark, Picture
from cad_node.pipeline.clean.read_text import TextReader
from cad_node.pipeline.clean.verify import SecondReader
from cad_node.settings import PipelineSettings
from tests.factories import ellipse, speckle

pytestmark = pytest.mark.ocr

REFERENCE = ImageReference("2.25.1", "2.25.2", "2.25.3", "1.2.840.10008.5.1.4.1.1.6.1", 400, 520, 1)
NAME = "DOE^JANE 1970-01-01"


class Blind:
    """A detector that finds nothing."""

    def describe(self) -> str:
        return "blind"

    def find(self, picture: Picture) -> list[Mark]:
        return []


def picture(*lines: str) -> np.ndarray:
    """Tissue with lines of text, one below the other."""
    grainy = speckle(400, 520, lesion=ellipse(200, 260, 60, 90), seed=3)
    drawn = cv2.GaussianBlur(grainy, (0, 0), 1.2)
    for number, text in enumerate(lines):
        place = (30, 40 + 34 * number)
        cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1, cv2.LINE_AA)
    return drawn


def clean(pixels: np.ndarray, subject: Cleaner | None = None) -> CleanFrame:
    subject = subject or Cleaner(PipelineSettings())
    return next(subject.clean_image([Frame(REFERENCE, 1, pixels, Box(0, 400, 0, 520))]))


def test_english_notes_are_coded_and_the_name_beside_them_is_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    cleaned = clean(picture(NAME, "RT BREAST 10:00 N+3", "UOQ RADIAL", "D1 12.3 mm"))

    notes = cleaned.notes
    assert notes.laterality is Laterality.RIGHT
    assert notes.clock_face == 10
    assert notes.quadrant is Quadrant.UPPER_OUTER
    assert notes.nipple_distance_mm == 30
    assert notes.plane is ScanPlane.RADIAL
    assert [one.millimetres for one in notes.distances] == [12.3]
    assert notes.marked
    assert 0.5 <= notes.confidence <= 1
    # The name's line stands at the top; no box of the notes does.
    assert all(box.row_start > 45 for box in notes.boxes)
    assert "JANE" not in repr(cleaned) + caplog.text


def test_portuguese_and_german_notes_are_coded() -> None:
    portuguese = clean(picture("MAMA ESQUERDA QSE", "2 H")).notes
    german = clean(picture("Mamma links 2 Uhr", "3 cm von der Mamille")).notes

    assert (portuguese.laterality, portuguese.quadrant) == (Laterality.LEFT, Quadrant.UPPER_OUTER)
    assert (german.laterality, german.clock_face) == (Laterality.LEFT, 2)
    assert german.nipple_distance_mm == 30


def test_what_stands_beside_the_picture_is_read_and_gone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    beside = Box(60, 340, 120, 500)
    pixels = np.zeros((400, 520), np.uint8)
    pixels[beside.slices] = np.minimum(picture()[beside.slices], 200)
    for text, column, row in [
        (NAME, 8, 20),
        ("10:30:12", 400, 20),
        ("Breast", 8, 80),
        ("2D 4.0 cm", 8, 110),
        ("RT BREAST 10:00 3 CM FN", 120, 365),
        ("1 D", 120, 390),
        ("12.3 mm", 200, 390),
    ]:
        cv2.putText(pixels, text, (column, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 220, 1, cv2.LINE_AA)
    subject = Cleaner(PipelineSettings(), surroundings=Surroundings(0.5))

    cleaned = next(subject.clean_image([Frame(REFERENCE, 1, pixels, beside)]))

    notes = cleaned.notes
    assert (notes.laterality, notes.clock_face, notes.nipple_distance_mm) == (Laterality.RIGHT, 10, 30)
    assert [one.millimetres for one in notes.distances] == [12.3]
    assert (notes.quadrant, notes.plane) == (None, None)
    assert all(box.row_start > 340 for box in notes.boxes)
    assert not cleaned.pixels[340:].any()
    assert "JANE" not in repr(cleaned) + caplog.text


def test_a_name_and_a_date_give_no_notes() -> None:
    notes = clean(picture(NAME, "ID 1234567")).notes

    assert notes.boxes == ()
    assert (notes.laterality, notes.clock_face, notes.distances) == (None, None, ())


def test_the_second_engine_reads_what_a_blind_search_leaves_and_has_it_removed() -> None:
    drawn = picture(NAME)
    reader = SecondReader(0.5)
    before = reader.legible(drawn)

    cleaned = clean(drawn, Cleaner(PipelineSettings(), detectors=[Blind()]))

    assert before
    assert cleaned.annotations
    assert reader.legible(cleaned.pixels) == []


def test_text_that_no_filling_takes_away_is_refused() -> None:
    class Untouched(Cleaner):
        """Removes nothing, whatever is found."""

        def _filled(self, part, marks):
            return part, np.zeros(part.shape, dtype=bool)

    with pytest.raises(CleaningError, match="still be read"):
        clean(picture(NAME), Untouched(PipelineSettings()))


@pytest.mark.parametrize("seed", range(3))
def test_the_second_engine_reads_nothing_in_clean_tissue(seed: int) -> None:
    grainy = speckle(400, 520, lesion=ellipse(200, 260, 60, 90), seed=seed)

    assert SecondReader(0.5).legible(cv2.GaussianBlur(grainy, (0, 0), 1.2)) == []


@pytest.mark.parametrize("seed", range(2))
def test_neither_engine_reads_the_sharp_rim_of_a_dark_ellipse(seed: int) -> None:
    phantom = speckle(240, 320, lesion=ellipse(), seed=seed)

    assert TextReader(0.5).find(Picture(phantom)) == []
    assert SecondReader(0.5).legible(phantom) == []
