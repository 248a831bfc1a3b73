"""Marks as a sonographer leaves them, and pictures in their treatments."""

import cv2
import numpy as np
import pytest

from cad_node.domain import CleanFrame
from cad_node.pipeline.measure import measure
from cad_node.train.marks import treat
from cad_node.train.marks.draw import LEAST_CONTRAST, draw_marks
from tests.unit.train.annotations.grounds import STROKES_ONLY, tissue


def _lesion(rows=420, columns=560):
    mask = np.zeros((rows, columns), np.uint8)
    cv2.ellipse(mask, (300, 190), (80, 45), 20, 0, 360, 1, -1)
    return mask > 0


def _drawn(seed=4, lesions=None):
    ground = tissue(7, 420, 560)
    lesions = [_lesion()] if lesions is None else lesions
    return ground, draw_marks(ground, lesions, np.random.default_rng(seed), STROKES_ONLY)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_but_the_drawing_differs_from_the_tissue(seed):
    ground, scene = _drawn(seed)
    assert (scene.pixels == ground)[~scene.changed].all()
    assert (scene.pixels != ground)[scene.changed].mean() > 0.5


@pytest.mark.parametrize("seed", range(6))
def test_calipers_stand_at_the_ends_of_the_axes(seed):
    _, scene = _drawn(seed)
    size = measure(_lesion(), None)
    ends = [end for axis in (size.long_axis, size.short_axis) for end in (axis.start, axis.end)]
    calipers = [mark.ink for mark in scene.marks if mark.row == "caliper"]
    assert len(calipers) == 4
    for row, column in ends:
        boxes = [np.argwhere(ink) for ink in calipers]
        centres = [(box.min(axis=0) + box.max(axis=0)) / 2 for box in boxes]
        assert min(np.hypot(*(centre - (row, column))) for centre in centres) < 3


def test_notes_and_body_mark_stand_beside_the_lesion():
    _, scene = _drawn()
    rows = [mark.row for mark in scene.marks]
    assert rows.count("text") == 2
    assert {"arrow", "body mark", "line", "caliper label"} <= set(rows)
    for mark in scene.marks:
        if mark.row in ("text", "body mark", "arrow"):
            assert not (mark.ink & _lesion()).any()


def test_ink_stands_above_the_tissue():
    ground, scene = _drawn()
    for mark in scene.marks:
        if mark.row == "text":
            above = scene.pixels[mark.ink].astype(float) - ground[mark.ink]
            assert above.mean() > 0.6 * LEAST_CONTRAST


def test_normal_image_is_measured_somewhere():
    _, scene = _drawn(lesions=[])
    assert [mark.row for mark in scene.marks].count("caliper") == 4


def test_same_seed_draws_the_same_marks():
    assert (_drawn(3)[1].pixels == _drawn(3)[1].pixels).all()
    assert (_drawn(3)[1].pixels != _drawn(5)[1].pixels).any()


class _TakesOff:
    """A cleaner that knows where the marks are: what is as bright as 250."""

    def describe(self):
        return ("what is as bright as 250",)

    def clean_frame(self, frame):
        plain = treat.left_in(frame)
        removed = plain.pixels >= 250
        pixels = np.where(removed, 70, plain.pixels).astype(np.uint8)
        return CleanFrame(1, pixels, plain.region, None, (), removed)


def test_treatments_differ_where_marks_were_found_and_nowhere_else():
    pixels = tissue(2)
    pixels[20:24, 30:60] = 255
    treated = treat.treat_real(_TakesOff(), treat.frame_of(pixels))
    mark = pixels >= 250
    assert (treated[treat.LEFT_IN].pixels == pixels).all()
    assert not treated[treat.BLACK].pixels[mark].any()
    assert (treated[treat.INPAINTED].pixels[mark] == 70).all()
    for name in (treat.BLACK, treat.INPAINTED):
        assert (treated[name].pixels == pixels)[~mark].all()


def test_every_treatment_is_cut_to_the_tissue_region():
    pixels = np.zeros((300, 400), np.uint8)
    pixels[40:260, 50:350] = tissue(3, 220, 300)
    pixels[5:15, 5:60] = 200
    frame = treat.left_in(treat.frame_of(pixels))
    assert not frame.pixels[5:15, 5:60].any()
    assert frame.region.row_start >= 38
    assert (frame.pixels[frame.region.slices] == pixels[frame.region.slices]).all()


def test_known_drawing_is_filled_and_the_rest_of_the_tissue_kept():
    ground, scene = _drawn()
    treated = treat.treat_drawn(_TakesOff(), scene)
    known = treated[treat.ADDED_KNOWN]
    assert (treated[treat.CLEAN].pixels == ground).all()
    assert (treated[treat.ADDED].pixels == scene.pixels).all()
    assert known.removed[scene.changed].all()
    assert (known.pixels == ground)[~known.removed].all()
    ink = np.any([mark.ink for mark in scene.marks], axis=0)
    drawn_apart = np.abs(scene.pixels[ink].astype(float) - ground[ink]).mean()
    assert np.abs(known.pixels[ink].astype(float) - ground[ink]).mean() < 0.3 * drawn_apart


def test_coloured_picture_is_read_in_colour(tmp_path):
    picture = np.dstack([tissue(1)] * 3)
    picture[:20, :20] = (0, 0, 255)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    frame = treat.read_frame(tmp_path / "a.png")
    assert frame.pixels.shape == (240, 300, 3)
    assert tuple(frame.pixels[5, 5]) == (255, 0, 0)
