"""The screen around the picture: which lines are looked at, and what is kept of them."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from cad_node.domain import Box, Frame, ImageReference, Laterality
from cad_node.errors import CleaningError
from cad_node.pipeline.clean import Cleaner
from cad_node.pipeline.clean.marks import Mark
from cad_node.pipeline.clean.screen_lines import find_screen_lines
from cad_node.pipeline.clean.surroundings import MOST_LINES, Surroundings
from cad_node.settings import PipelineSettings
from tests.factories import speckle

ROWS, COLUMNS = 240, 400
PICTURE = Box(40, 180, 100, 360)
REFERENCE = ImageReference("2.25.1", "2.25.2", "2.25.3", "1.2.840.10008.5.1.4.1.1.6.1", ROWS, COLUMNS, 1)
NAME = "DOE^JANE"


def screen(*lines: tuple[str, int, int], ground: int = 0, ink: int = 220, seed: int = 1) -> np.ndarray:
    """A picture on a screen of one grey, with lines of text at `(column, row)` of their feet."""
    pixels = np.full((ROWS, COLUMNS), ground, np.uint8)
    pixels[PICTURE.slices] = speckle(*PICTURE.shape, seed=seed)
    for text, column, row in lines:
        cv2.putText(pixels, text, (column, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, ink, 1, cv2.LINE_AA)
    return pixels


class Scripted:
    """A recogniser that gives its texts in the order of the lines, and keeps what it was shown."""

    def __init__(self, *texts: str, confidence: float = 0.9) -> None:
        self.shown: list[np.ndarray] = []
        self._texts = list(texts)
        self._confidence = confidence

    def __call__(self, crops: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        self.shown += crops
        return [(self._texts.pop(0), self._confidence) for _ in crops]


def texts(marks: Sequence[Mark]) -> list[str]:
    return [mark.text for mark in marks]


@pytest.mark.parametrize(("ground", "ink"), [(0, 220), (40, 120), (230, 20)])
def test_lines_on_a_flat_screen_are_found_whole_and_the_picture_gives_none(ground: int, ink: int) -> None:
    pixels = screen(("RT BREAST 10:00", 110, 200), ("MI 1.1", 5, 60), ground=ground, ink=ink)

    boxes = find_screen_lines(pixels, PICTURE)

    assert len(boxes) == 2
    for box, (text, column, foot) in zip(
        boxes, [("MI 1.1", 5, 60), ("RT BREAST 10:00", 110, 200)], strict=True
    ):
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
        assert abs(box.column_start - column) <= 3
        assert abs(box.column_stop - column - width) <= 4
        assert abs(box.row_stop - foot) <= 3
        assert abs(box.shape[0] - height) <= 4


def test_two_texts_with_a_wide_gap_are_two_lines() -> None:
    boxes = find_screen_lines(screen(("DOE", 5, 20), ("10:30", 200, 20)), PICTURE)

    assert len(boxes) == 2


def test_a_line_that_the_rim_of_the_picture_cuts_is_found_whole() -> None:
    dark = screen()
    dark[150:] = 0  # beside a sector there is no tissue
    cv2.putText(dark, "RT BREAST", (110, 186), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 220, 1, cv2.LINE_AA)

    (box,) = find_screen_lines(dark, PICTURE)

    assert box.row_start < PICTURE.row_stop < box.row_stop


def test_a_second_picture_beside_the_first_costs_no_reading() -> None:
    pixels = screen()
    other = Box(40, 180, 0, 90)
    pixels[other.slices] = speckle(*other.shape, seed=5)
    reader = Scripted(*[""] * MOST_LINES)

    Surroundings(0.5, read=reader).read(pixels, PICTURE)

    assert len(reader.shown) <= 2


def test_only_notes_are_kept_and_the_name_beside_them_is_not() -> None:
    pixels = screen((NAME, 5, 20), ("RT BREAST 10:00", 110, 205))

    marks = Surroundings(0.5, read=Scripted(NAME, "RT BREAST 10:00")).read(pixels, PICTURE)

    assert texts(marks) == ["RT BREAST 10:00"]
    assert "BREAST" not in repr(marks)


def test_what_is_read_unsurely_is_no_note() -> None:
    pixels = screen(("LEFT BREAST", 110, 205))

    assert Surroundings(0.5, read=Scripted("LEFT BREAST", confidence=0.4)).read(pixels, PICTURE) == ()


def test_a_line_that_says_nothing_is_read_once_for_all_images_of_a_scanner() -> None:
    reader = Scripted("MI 1.1", "LEFT BREAST", "RIGHT BREAST")
    subject = Surroundings(0.5, read=reader)

    first = subject.read(screen(("MI 1.1", 5, 60), ("LEFT BREAST", 110, 205)), PICTURE)
    second = subject.read(screen(("MI 1.1", 5, 60), ("RIGHT BREAST", 110, 205), seed=2), PICTURE)

    assert (texts(first), texts(second)) == (["LEFT BREAST"], ["RIGHT BREAST"])
    assert len(reader.shown) == 3


def test_what_was_read_of_a_line_without_a_note_is_not_kept() -> None:
    subject = Surroundings(0.5, read=Scripted(NAME))

    subject.read(screen((NAME, 5, 20)), PICTURE)

    assert "JANE" not in repr(vars(subject))


def test_a_number_in_a_column_of_its_own_is_read_with_its_label() -> None:
    pixels = screen(("1 D", 110, 205), ("12.3 mm", 190, 205))
    reader = Scripted("12.3 mm", "1 D 12.3 mm")

    marks = Surroundings(0.5, read=reader).read(pixels, PICTURE)

    assert "1 D 12.3 mm" in texts(marks)
    assert reader.shown[1].shape[1] > 1.5 * reader.shown[0].shape[1]


def test_of_a_page_of_text_only_so_many_lines_are_read() -> None:
    pixels = np.zeros((1600, COLUMNS), np.uint8)
    for row in range(20, 1600, 20):
        cv2.putText(pixels, f"WORD {row}", (5, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 220, 1, cv2.LINE_AA)
    reader = Scripted(*[""] * MOST_LINES)

    Surroundings(0.5, read=reader).read(pixels, Box(700, 900, 200, 400))

    assert len(reader.shown) == MOST_LINES


def test_without_a_screen_around_it_nothing_is_read() -> None:
    pixels = speckle(ROWS, COLUMNS, seed=1)

    assert Surroundings(0.5, read=Scripted()).read(pixels, Box(0, ROWS, 0, COLUMNS)) == ()


class Beside:
    """Gives a line for a screen whose corner is white."""

    def __init__(self) -> None:
        self.reads = 0

    def describe(self) -> str:
        return "beside"

    def read(self, grey: np.ndarray, region: Box) -> tuple[Mark, ...]:
        self.reads += 1
        if grey[0, 0] != 255:
            return ()
        box = Box(0, 20, 0, 90)
        marks = Surroundings(0.5, read=Scripted("LEFT BREAST"))._notes(grey, [box])
        return tuple(marks)


def cleaner(surroundings: object) -> Cleaner:
    return Cleaner(PipelineSettings(verify_cleaning=False), detectors=[], surroundings=surroundings)  # type: ignore[arg-type]


def typed_screen(seed: int, *, typed: bool) -> np.ndarray:
    pixels = screen(seed=seed)
    if typed:
        pixels[:10, :60] = 255
    return pixels


def test_a_note_beside_the_picture_is_coded_erased_and_counts_as_no_mark_on_it() -> None:
    pixels = typed_screen(1, typed=True)

    clean = cleaner(Beside()).clean_frame(Frame(REFERENCE, 1, pixels, PICTURE))

    assert clean.notes.laterality is Laterality.LEFT
    assert clean.notes.boxes == (Box(0, 20, 0, 90),)
    assert not clean.notes.marked
    assert clean.annotations == ()
    assert not clean.pixels[:20, :90].any()


def test_in_a_loop_the_screen_is_read_where_frames_are_searched_and_followed_in_between() -> None:
    typed = [True] * 9 + [False] * 17
    frames = [
        Frame(REFERENCE, number + 1, typed_screen(number, typed=here), PICTURE)
        for number, here in enumerate(typed)
    ]
    beside = Beside()

    cleaned = list(cleaner(beside).clean_image(frames))

    assert [clean.notes.laterality is Laterality.LEFT for clean in cleaned] == typed
    assert beside.reads == 4


def test_a_screen_that_cannot_be_read_lets_nothing_out() -> None:
    class Broken(Beside):
        def read(self, grey: np.ndarray, region: Box) -> tuple[Mark, ...]:
            raise RuntimeError(NAME)

    with pytest.raises(CleaningError) as caught:
        cleaner(Broken()).clean_frame(Frame(REFERENCE, 1, screen(), PICTURE))
    assert NAME not in str(caught.value)


def test_the_steps_say_that_the_screen_is_read() -> None:
    assert "beside" in cleaner(Beside()).describe()
    assert Surroundings(0.5).describe().startswith("beside the picture")
