"""What typed strings mean, in five languages, and what must mean nothing."""

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cad_node.domain import Box, SonographerNotes
from cad_node.pipeline.clean.notes import TypedLine, code_notes, may_be_note
from tests.unit.pipeline.clean.typed_notes import (
    AROUND_NOTHING,
    CLOCKS,
    DISTANCES_MM,
    NIPPLE_MM,
    NOTHING,
    PLANES,
    QUADRANTS,
    SIDES,
    WHOLE_LINES,
    L,
    R,
)

BOX = Box(10, 24, 5, 90)


def notes(*texts: str, marked: bool = False, inside: bool = True) -> SonographerNotes:
    return code_notes([TypedLine(text, BOX, 0.9, inside) for text in texts], marked=marked)


def said(typed: SonographerNotes) -> dict[str, object]:
    """The fields of the notes that say something, distances as plain numbers."""
    found = {
        one.name: getattr(typed, one.name)
        for one in fields(typed)
        if one.name not in ("boxes", "confidence", "marked", "both_sides")
    }
    found["distances"] = tuple(one.millimetres for one in typed.distances)
    return {name: value for name, value in found.items() if value not in (None, ())}


@pytest.mark.parametrize("text", SIDES)
def test_the_side_is_read(text: str) -> None:
    assert said(notes(text)) == {"laterality": SIDES[text]}


@pytest.mark.parametrize("text", CLOCKS)
def test_the_clock_face_is_read(text: str) -> None:
    assert said(notes(text)) == {"clock_face": CLOCKS[text]}


@pytest.mark.parametrize("text", QUADRANTS)
def test_the_quadrant_is_read(text: str) -> None:
    assert said(notes(text)) == {"quadrant": QUADRANTS[text]}


@pytest.mark.parametrize("text", NIPPLE_MM)
def test_the_distance_from_the_nipple_is_read(text: str) -> None:
    assert said(notes(text)) == {"nipple_distance_mm": NIPPLE_MM[text]}


@pytest.mark.parametrize("text", PLANES)
def test_the_plane_is_read(text: str) -> None:
    assert said(notes(text)) == {"plane": PLANES[text]}


@pytest.mark.parametrize("text", DISTANCES_MM)
def test_caliper_distances_are_read_in_millimetres(text: str) -> None:
    typed = notes(text)

    assert tuple(one.millimetres for one in typed.distances) == DISTANCES_MM[text]
    assert all(one.box == BOX and one.confidence == 0.9 for one in typed.distances)
    assert typed.marked == bool(DISTANCES_MM[text])


@pytest.mark.parametrize("text", WHOLE_LINES)
def test_a_line_of_several_notes_gives_them_all(text: str) -> None:
    assert said(notes(text)) == WHOLE_LINES[text]


@pytest.mark.parametrize("text", NOTHING)
def test_names_dates_numbers_and_what_is_ambiguous_say_nothing(text: str) -> None:
    assert said(notes(text)) == {}
    assert notes(text).boxes == ()
    assert notes(text).confidence == 0.0


def test_lines_that_contradict_each_other_say_nothing() -> None:
    assert said(notes("RIGHT BREAST", "LEFT BREAST")) == {}
    assert said(notes("LEFT BREAST", "3:00", "9:00")) == {"laterality": L}


def test_lines_that_agree_say_it_once() -> None:
    assert said(notes("LT BREAST", "LEFT 3:00")) == {"laterality": L, "clock_face": 3}


def test_two_letters_for_a_side_count_where_the_screen_speaks_of_a_breast() -> None:
    assert said(notes("RT", "10:00")) == {"laterality": R, "clock_face": 10}
    assert said(notes("RT", "BREAST")) == {"laterality": R}


def test_a_lone_number_of_millimetres_is_a_distance_only_where_calipers_lie() -> None:
    assert said(notes("13.7 mm")) == {}
    assert said(notes("13.7 mm", marked=True)) == {"distances": (13.7,)}
    assert said(notes("D 12.3 mm", marked=True)) == {"distances": (12.3,)}
    assert said(notes("4.0 cm", marked=True)) == {}


def test_around_the_picture_half_past_ten_may_be_the_time_of_day() -> None:
    assert said(notes("10:30", inside=False)) == {}
    assert said(notes("RT 10:30", inside=False)) == {"laterality": R, "clock_face": 10.5}


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("text", [*AROUND_NOTHING, *NOTHING])
def test_around_the_picture_names_menus_and_scales_say_nothing(text: str, marked: bool) -> None:
    assert said(notes(text, marked=marked, inside=False)) == {}


@pytest.mark.parametrize("text", [text for text in WHOLE_LINES if text != "Mamma re. 2 Uhr"])
def test_around_the_picture_a_line_of_several_notes_is_read_as_on_it(text: str) -> None:
    assert said(notes(text, inside=False)) == WHOLE_LINES[text]
    assert may_be_note(text)


def test_around_the_picture_a_distance_needs_its_name_or_calipers_on_the_picture() -> None:
    assert said(notes("D1 12.3 mm", inside=False)) == {"distances": (12.3,)}
    assert said(notes("+ Dist 1.23 cm", inside=False)) == {"distances": (12.3,)}
    assert said(notes("+ 1.23 cm", inside=False)) == {}
    assert said(notes("+ 1.23 cm", inside=False, marked=True)) == {"distances": (12.3,)}


def test_what_stands_on_the_picture_and_around_it_must_agree() -> None:
    inside = TypedLine("RIGHT BREAST 10:00", BOX, 0.9)
    around = TypedLine("LEFT BREAST 10:00", BOX, 0.9, inside=False)

    assert said(code_notes([inside, around], marked=False)) == {"clock_face": 10}


def test_a_distance_printed_on_the_picture_and_around_it_is_one() -> None:
    lines = [TypedLine("D1 12.3 mm", BOX, 0.9), TypedLine("1 D 12.3 mm", BOX, 0.9, inside=False)]

    assert said(code_notes(lines, marked=False)) == {"distances": (12.3,)}


def test_the_language_of_the_menus_is_not_the_sonographers() -> None:
    lines = [TypedLine("UIQ", BOX, 0.9), TypedLine("RIGHT BREAST MASS", BOX, 0.9, inside=False)]

    assert said(code_notes(lines, marked=False)) == {"laterality": R}


def test_confidence_and_boxes_are_those_of_the_lines_that_were_kept() -> None:
    other = Box(50, 64, 5, 90)
    lines = [
        TypedLine("DOE^JANE", BOX, 0.51),
        TypedLine("RIGHT BREAST", BOX, 0.97),
        TypedLine("10:00", other, 0.8),
    ]

    typed = code_notes(lines, marked=False)

    assert typed.confidence == 0.8
    assert typed.boxes == (BOX, other)


def test_calipers_alone_mark_the_image() -> None:
    assert notes("RIGHT BREAST", marked=True).marked
    assert not notes("RIGHT BREAST").marked


def test_what_was_typed_stands_in_no_repr() -> None:
    line = TypedLine("DOE^JANE", BOX, 0.9)

    assert "JANE" not in repr(line)
    assert "RIGHT BREAST" not in repr(notes("RIGHT BREAST"))


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789.,:+-xX*'hHnNfFoOlIcCmMdDaAsSeErRtT /Üß", max_size=60), st.booleans())
def test_any_text_is_survived_and_gives_believable_values_only(text: str, marked: bool) -> None:
    typed = notes(text, marked=marked)

    assert typed.clock_face is None or 1 <= typed.clock_face <= 12.5
    assert typed.nipple_distance_mm is None or 0 <= typed.nipple_distance_mm <= 200
    assert all(0.5 <= one.millimetres <= 200 for one in typed.distances)


def test_a_hostile_line_does_not_keep_the_reader_busy() -> None:
    for text in ("ALA" * 20, "1 " * 30, "D1" * 30, "1.2 x " * 10, "+ " * 30, "MAMA" * 15 + "X"):
        assert said(notes(text)) == {}


@pytest.mark.parametrize(
    ("typed", "both"),
    [
        (("RT BREAST 10:00", "LT BREAST 2:00"), True),
        (("RT BREAST 10:00", "RT BREAST 9:00"), False),
        (("RT BREAST 10:00",), False),
        (("R", "L"), False),
        ((), False),
    ],
)
def test_two_sides_on_one_image_are_known_as_two(typed: tuple[str, ...], both: bool) -> None:
    found = notes(*typed)
    assert found.both_sides is both
    assert not (both and found.laterality)
