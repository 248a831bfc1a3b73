import cv2
import numpy as np
import pytest

from cad_node.pipeline.clean.colour import ColouredGraphics
from cad_node.pipeline.clean.glyphs import stroke_mask
from cad_node.pipeline.clean.marks import Picture, paint
from tests.factories import speckle


def written(clean: np.ndarray, grey: int, outline: bool = False) -> np.ndarray:
    drawn = clean.copy()
    if outline:
        cv2.putText(drawn, "MAMA 12.3mm", (40, 100), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 0, 3, cv2.LINE_AA)
    cv2.putText(drawn, "MAMA 12.3mm", (40, 100), cv2.FONT_HERSHEY_SIMPLEX, 0.5, grey, 1, cv2.LINE_AA)
    return drawn


CORNERS = np.array([(38, 86), (140, 86), (140, 106), (38, 106)], float)


@pytest.mark.parametrize(("grey", "outline"), [(255, False), (255, True), (5, False)])
def test_the_strokes_of_a_line_are_marked_not_its_box(grey: int, outline: bool) -> None:
    clean = (speckle() * 0.5 + (0 if grey > 128 else 100)).astype(np.uint8)
    drawn = written(clean, grey, outline)

    found = stroke_mask(drawn, CORNERS)

    assert found is not None
    box, mask = found
    ink = np.zeros(drawn.shape, bool)
    ink[box.slices] = mask
    # The inpainting widens the ink by two pixels.
    near = cv2.dilate(ink.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    changed = cv2.absdiff(drawn, clean) > 25
    assert (changed & near).sum() >= 0.98 * changed.sum()
    assert mask.mean() < 0.5


def test_a_flat_box_has_no_ink() -> None:
    assert stroke_mask(np.full((200, 200), 90, np.uint8), CORNERS) is None


def test_a_box_at_the_rim_stays_inside_the_picture() -> None:
    drawn = written(speckle() // 2, 255)[:, :90]

    found = stroke_mask(np.ascontiguousarray(drawn), CORNERS)

    assert found is not None
    assert found[0].column_stop <= 90
    assert found[1].shape == found[0].shape


def test_coloured_strokes_are_marked_in_a_grey_picture() -> None:
    grey = speckle()
    colour = np.repeat(grey[..., None], 3, axis=2)
    colour[50:52, 60:90] = (255, 255, 0)
    colour[120:123, 200:230] = (0, 255, 0)

    marks = ColouredGraphics().find(Picture(grey, colour))

    assert len(marks) == 2
    assert paint(marks, grey.shape).sum() == 2 * 30 + 3 * 30


def test_a_tinted_picture_is_not_a_mark() -> None:
    grey = speckle()
    tinted = np.stack([grey, grey // 2, grey // 4], axis=2)

    assert ColouredGraphics().find(Picture(grey, tinted)) == []
    assert ColouredGraphics().find(Picture(grey)) == []
