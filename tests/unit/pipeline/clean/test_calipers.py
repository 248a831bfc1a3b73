import cv2
import numpy as np
import pytest

from cad_node.pipeline.clean.calipers import CaliperCrosses, find_crosses
from cad_node.pipeline.clean.marks import Picture, paint
from tests.factories import ellipse, speckle

PLUS = (((-1, 0), (1, 0)), ((0, -1), (0, 1)))
X = (((-1, -1), (1, 1)), ((-1, 1), (1, -1)))
PLACES = ((60, 80), (150, 230))


def draw(pixels: np.ndarray, strokes, place: tuple[int, int], reach: int, grey: int = 230) -> np.ndarray:
    """A mark of lines from its centre outwards, drawn by other code than the templates."""
    drawn = pixels.copy()
    row, column = place
    for start, stop in strokes:
        cv2.line(
            drawn,
            (column + reach * start[1], row + reach * start[0]),
            (column + reach * stop[1], row + reach * stop[0]),
            grey,
            2 if reach >= 7 else 1,
            cv2.LINE_AA,
        )
    return drawn


def tissue(seed: int = 0) -> np.ndarray:
    return np.asarray(speckle(lesion=ellipse(120, 160, 40, 60), seed=seed) * 0.6).astype(np.uint8)


@pytest.mark.parametrize("strokes", [PLUS, X, (*X, PLUS[0]), (*X, PLUS[1])], ids=["+", "x", "*", "lying *"])
@pytest.mark.parametrize("reach", [5, 6])
def test_a_pair_of_small_marks_is_found_where_it_was_drawn(strokes, reach: int) -> None:
    picture = tissue()
    for place in PLACES:
        picture = draw(picture, strokes, place, reach)

    found = {(cross.row, cross.column) for cross in find_crosses(picture)}

    for row, column in PLACES:
        assert any(abs(row - r) <= 1 and abs(column - c) <= 1 for r, c in found)
    assert len(found) == 2


@pytest.mark.parametrize("reach", [7, 8, 9])
def test_large_plus_signs_are_found(reach: int) -> None:
    picture = tissue()
    for place in PLACES:
        picture = draw(picture, PLUS, place, reach)

    assert len(find_crosses(picture)) == 2


@pytest.mark.parametrize("seed", range(6))
def test_speckle_holds_no_calipers(seed: int) -> None:
    assert CaliperCrosses().find(Picture(speckle(seed=seed))) == []
    assert CaliperCrosses().find(Picture(tissue(seed))) == []


def test_the_ink_of_a_mark_is_covered_and_little_else() -> None:
    clean = tissue()
    drawn = draw(clean, PLUS, PLACES[0], 6)

    mask = paint(CaliperCrosses().find(Picture(drawn)), drawn.shape)

    changed = cv2.absdiff(clean, drawn) > 20
    near = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert not (changed & ~near).any()
    assert mask.sum() <= 17 * 17


def test_a_dotted_line_between_two_marks_is_found() -> None:
    picture = tissue()
    for place in PLACES:
        picture = draw(picture, PLUS, place, 8)
    (row, column), (row_end, column_end) = PLACES
    dots = [
        (round(row + share * (row_end - row)), round(column + share * (column_end - column)))
        for share in np.arange(0, 1, 0.025)
    ]
    for dot in dots:
        picture[dot[0], dot[1] : dot[1] + 2] = 230

    marks = CaliperCrosses().find(Picture(picture))

    assert "caliper line" in {mark.annotation.kind for mark in marks}
    near = cv2.dilate(paint(marks, picture.shape).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert all(near[dot] for dot in dots)


def test_no_line_is_seen_between_marks_that_none_joins() -> None:
    picture = tissue()
    for place in PLACES:
        picture = draw(picture, PLUS, place, 8)

    kinds = {mark.annotation.kind for mark in CaliperCrosses().find(Picture(picture))}

    assert "caliper line" not in kinds


def test_a_picture_smaller_than_the_marks_is_no_failure() -> None:
    assert CaliperCrosses().find(Picture(np.zeros((6, 300), np.uint8))) == []
