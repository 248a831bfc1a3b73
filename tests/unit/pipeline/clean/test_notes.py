"""What typed strings mean, in five languages, and what must mean nothing."""

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cad_node.domain import Box, Laterality, Quadrant, ScanPlane, SonographerNotes
from cad_node.pipeline.clean.notes import TypedLine, code_notes, may_be_note

BOX = Box(10, 24, 5, 90)
R, L = Laterality.RIGHT, Laterality.LEFT
UO, UI, LO, LI = (
    Quadrant.UPPER_OUTER,
    Quadrant.UPPER_INNER,
    Quadrant.LOWER_OUTER,
    Quadrant.LOWER_INNER,
)
RAD, ARAD, SAG, TRANS = (
    ScanPlane.RADIAL,
    ScanPlane.ANTIRADIAL,
    ScanPlane.SAGITTAL,
    ScanPlane.TRANSVERSE,
)


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


SIDES = {
    "RIGHT BREAST": R,
    "LEFT": L,
    "RT BREAST": R,
    "Lt Breast": L,
    "R BREAST": R,
    "LEFTBREAST": L,
    "MAMA DIREITA": R,
    "MAMA DIREIGA": R,
    "MAMADIREITA": R,
    "MAMA DIREI": R,
    "SQUERDA": L,
    "MAMA ESO.": L,
    "MAMA ESQUERDA": L,
    "MAMA ESQ": L,
    "MAMA ESQ.": L,
    "MAMA D": R,
    "MAMA E": L,
    "MAMA DER": R,
    "MAMA IZQUIERDA": L,
    "mama izq": L,
    "MAMA DERECHA": R,
    "SEIN DROIT": R,
    "SEIN G": L,
    "sein gauche": L,
    "Mamma rechts": R,
    "Mamma li": L,
    "LINKE BRUST": L,
    "Brust re": R,
}


@pytest.mark.parametrize("text", SIDES)
def test_the_side_is_read(text: str) -> None:
    assert said(notes(text)) == {"laterality": SIDES[text]}


CLOCKS = {
    "3 O'CLOCK": 3,
    "12 o’clock": 12,
    "11 OCLOCK": 11,
    "12O'CLOCK": 12,
    "2 0'CLOCK": 2,
    "10:00": 10,
    "1O:OO": 10,
    "10:30": 10.5,
    "12:30": 12.5,
    "3h": 3,
    "10 h": 10,
    "h 10": 10,
    "10h30": 10.5,
    "às 3h": 3,
    "HORA 3": 3,
    "9 HORAS": 9,
    "a las 10": 10,
    "10 Uhr": 10,
    "10.30 Uhr": 10.5,
    "à 2 heures": 2,
    "l0:00": 10,
}


@pytest.mark.parametrize("text", CLOCKS)
def test_the_clock_face_is_read(text: str) -> None:
    assert said(notes(text)) == {"clock_face": CLOCKS[text]}


QUADRANTS = {
    "UOQ": UO,
    "UPPER OUTER QUADRANT": UO,
    "upper inner": UI,
    "LOQ": LO,
    "LOWER INNER": LI,
    "QSE": UO,
    "QSL": UO,
    "QSM": UI,
    "QII": LI,
    "quadrante superior externo": UO,
    "Quadrante ínfero-lateral": LO,
    "CUADRANTE SUPEROEXTERNO": UO,
    "CSI": UI,
    "quadrant supéro-interne": UI,
    "quadrant inférieur externe": LO,
    "oben außen": UO,
    "unterer äußerer Quadrant": LO,
    "OAQ": UO,
    "RETROAREOLAR": Quadrant.CENTRAL,
    "Retro-areolar": Quadrant.CENTRAL,
    "rétroaréolaire": Quadrant.CENTRAL,
}


@pytest.mark.parametrize("text", QUADRANTS)
def test_the_quadrant_is_read(text: str) -> None:
    assert said(notes(text)) == {"quadrant": QUADRANTS[text]}


NIPPLE_MM = {
    "3 CM FN": 30,
    "3CMFN": 30,
    "3FN": 30,
    "FN 4": 40,
    "FN: 2.5 cm": 25,
    "N+3": 30,
    "N + 2,5 cm": 25,
    "35 mm FN": 35,
    "4 cm from nipple": 40,
    "3 cm from the nipple": 30,
    "3 cm do mamilo": 30,
    "3,5 cm da papila": 35,
    "Dist. mamilo: 3,0 cm": 30,
    "2 cm del pezón": 20,
    "3 cm du mamelon": 30,
    "4 cm von der Mamille": 40,
    "Mamillenabstand 4 cm": 40,
}


@pytest.mark.parametrize("text", NIPPLE_MM)
def test_the_distance_from_the_nipple_is_read(text: str) -> None:
    assert said(notes(text)) == {"nipple_distance_mm": NIPPLE_MM[text]}


PLANES = {
    "RADIAL": RAD,
    "RAD": RAD,
    "radiär": RAD,
    "ANTIRADIAL": ARAD,
    "ANTI-RADIAL": ARAD,
    "anti rad": ARAD,
    "AR": ARAD,
    "A-RAD": ARAD,
    "antirradial": ARAD,
    "antiradiär": ARAD,
    "antiradiaire": ARAD,
    "SAG": SAG,
    "Longitudinal": SAG,
    "LONG": SAG,
    "sagittale": SAG,
    "TRANS": TRANS,
    "TRV": TRANS,
    "transversal": TRANS,
    "quer": TRANS,
}


@pytest.mark.parametrize("text", PLANES)
def test_the_plane_is_read(text: str) -> None:
    assert said(notes(text)) == {"plane": PLANES[text]}


DISTANCES_MM = {
    "D1 12.3 mm": (12.3,),
    "1 L 1.23 cm": (12.3,),
    "1L1.23cm": (12.3,),
    "+ 0.8cm": (8.0,),
    "+ 0,8 cm": (8.0,),
    "X13.7mm": (13.7,),
    "* 13.7mm": (13.7,),
    "Dist 1.23 cm": (12.3,),
    "Dist A 1.23 cm": (),
    "1: 12.3mm": (12.3,),
    "1 D 1O.3mm": (10.3,),
    "+1 12.3mm": (12.3,),
    "D1 12.3 mm D2 8.1 mm": (12.3, 8.1),
    "1.2 x 0.8 x 1.0 cm": (12.0, 8.0, 10.0),
    "12,3 x 8,1 mm": (12.3, 8.1),
    "Distanz 1 8,4 mm": (8.4,),
    "D1 12.3 rnm": (12.3,),
}


@pytest.mark.parametrize("text", DISTANCES_MM)
def test_caliper_distances_are_read_in_millimetres(text: str) -> None:
    typed = notes(text)

    assert tuple(one.millimetres for one in typed.distances) == DISTANCES_MM[text]
    assert all(one.box == BOX and one.confidence == 0.9 for one in typed.distances)
    assert typed.marked == bool(DISTANCES_MM[text])


WHOLE_LINES = {
    "RT BREAST 10:00 N+3 RADIAL": {
        "laterality": R,
        "clock_face": 10,
        "nipple_distance_mm": 30,
        "plane": RAD,
    },
    "LT 3:00 4CM FN TRANS": {
        "laterality": L,
        "clock_face": 3,
        "nipple_distance_mm": 40,
        "plane": TRANS,
    },
    "LT 2 O'CLOCK N3": {"laterality": L, "clock_face": 2, "nipple_distance_mm": 30},
    "RUOQ": {"laterality": R, "quadrant": UO},
    "QSE MAMA ESQ": {"laterality": L, "quadrant": UO},
    "MAMA D QSE": {"laterality": R, "quadrant": UO},
    "Mamma re. 2 Uhr": {"laterality": R, "clock_face": 2},
    "SEIN G. QSE": {"laterality": L, "quadrant": UO},
    "MAMA DER QSE A LAS 10": {"laterality": R, "quadrant": UO, "clock_face": 10},
    "RIGHT BREAST MASS 10 O'CLOCK": {"laterality": R, "clock_face": 10},
    "LEFT UIQ": {"laterality": L, "quadrant": UI},
    "Mamma links UIQ": {"laterality": L, "quadrant": LI},
}


@pytest.mark.parametrize("text", WHOLE_LINES)
def test_a_line_of_several_notes_gives_them_all(text: str) -> None:
    assert said(notes(text)) == WHOLE_LINES[text]


NOTHING = [
    "DOE^JANE",
    "DOE, JANE",
    "MARIA DA SILVA",
    "SILVA MARIA E",
    "JOSE DE LA ROCHA",
    "LINKE, MAX",
    "DIRE STRAITS",
    "MAMA ES",
    "ESO",
    "LINKE",
    "WRIGHT JOHN",
    "RIGHT, JOHN",
    "D. LEFTWICH",
    "DR. E. MEDIAL",
    "JOHN DOE MD",
    "SMITH 10:00",
    "1970-01-01",
    "01/02/1970",
    "03.05.68",
    "12/03/2020 10:30:00",
    "10:32:15",
    "10:30 AM",
    "ID 123456",
    "ID: 10.11.12",
    "R 4711 2",
    "555-1234",
    "+55 21 98765-4321",
    "(030) 123 45 67",
    "ACC 12345678",
    "HOSPITAL SANTA CASA",
    "L12-5 BREAST",
    "LOGIQ E9",
    "FR 32Hz",
    "MI 1.2 TIS 0.3",
    "GN 50 DR 63",
    "4.0 cm",
    "Depth 4.0 cm",
    "12 cm/s",
    "Area 1.2 cm2",
    "3",
    "10",
    "13 O'CLOCK",
    "10'CLOCK",
    "10-11 O'CLOCK",
    "13:00",
    "10:15",
    "3 cm",
    "RT",
    "LT",
    "R",
    "D",
    "MAMA E AXILA",
    "RT/LT BREAST",
    "RADIAL/ANTIRADIAL",
    "QSE/QSI",
    "UIQ",
    "D112.3mm",
    "D 4.0 cm",
    "D1 900 mm",
    "40 cm FN",
    "",
]


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


# What stands around the picture in the same letters as a note. On it, some of these are one.
AROUND_NOTHING = [
    "RT",
    "AR 2",
    "LONG",
    "LONG, RITA",
    "IZQUIERDO",
    "LINKE",
    "GAUCHE MARIE",
    "UOQ",
    "SON: CSI",
    "TECH: LT",
    "N+3",
    "FN 4",
    "H 5",
    "10H",
    "10 Uhr",
    "Breast",
    "Breast 10:30",
    "Breast R 12",
    "Adv Breast",
    "US BREAST COMPLETE",
    "12L5 / Breast",
    "2D 4.0 cm",
    "1 4.0 cm",
    "x3 4.0cm",
    "+4.0cm",
    "3.8 x 4.0 cm",
    "Width 3.8 cm",
    "A1 1.2 cm",
]


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
