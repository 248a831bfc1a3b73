"""What a pixel network marks becomes marks, if it has the shape of something drawn."""

import cv2
import numpy as np

from cad_node.pipeline.clean.drawn import DrawnMarks, believable, marks_in
from cad_node.pipeline.clean.marks import Picture, paint


class Painted:
    """Takes every bright pixel for drawn: 255 for text, 200 for a caliper."""

    kinds = ("tissue", "text", "caliper")
    threshold = 0.8
    spread = 0.4

    def describe(self):
        return "painted 1.0"

    def predict(self, grey):
        text, caliper = (grey == 255) * 0.95, (grey == 200) * 0.95
        return np.stack([1 - text - caliper, text, caliper]).astype(np.float32)


def canvas():
    return np.zeros((200, 300), np.uint8)


def test_letters_of_a_line_become_one_mark_with_exactly_their_pixels():
    grey = canvas()
    cv2.putText(grey, "LT UOQ", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 2)

    marks = DrawnMarks(Painted()).find(Picture(grey))

    assert [mark.annotation.kind for mark in marks] == ["text"]
    assert (paint(marks, grey.shape) == (grey == 255)).all()
    assert marks[0].annotation.confidence == 0.95


def test_marks_that_lie_apart_keep_their_kinds():
    grey = canvas()
    cv2.putText(grey, "RT", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 2)
    cv2.drawMarker(grey, (200, 120), 200, cv2.MARKER_CROSS, 15, 1)

    kinds = {mark.annotation.kind for mark in DrawnMarks(Painted()).find(Picture(grey))}

    assert kinds == {"text", "caliper"}


def test_round_and_large_areas_are_left_to_the_tissue():
    grey = canvas()
    cv2.circle(grey, (80, 80), 18, 255, -1)
    cv2.ellipse(grey, (200, 120), (60, 35), 0, 0, 360, 255, -1)

    assert DrawnMarks(Painted()).find(Picture(grey)) == []


def test_filled_boxes_and_bold_lines_are_taken():
    drawn = np.zeros((200, 300), np.float32)
    drawn[20:44, 30:130] = 0.9
    drawn[100:170, 280:294] = 0.9

    assert (believable(drawn, 0.8, 0.4) == (drawn > 0)).all()


def test_plate_of_a_body_mark_is_taken_and_a_cyst_of_its_size_is_not():
    drawn = np.zeros((200, 300), np.float32)
    drawn[30:120, 20:105] = 0.9
    plate = drawn > 0
    cv2.ellipse(drawn, (220, 90), (45, 40), 0, 0, 360, 0.9, -1)

    assert (believable(drawn, 0.8, 0.4) == plate).all()


def test_a_mark_needs_a_sure_pixel_and_then_reaches_as_far_as_its_spread():
    drawn = np.zeros((40, 60), np.float32)
    drawn[10, 5:25] = 0.5
    drawn[30, 5:25] = 0.5
    drawn[30, 12] = 0.9

    kept = believable(drawn, 0.8, 0.4)

    assert not kept[10].any()
    assert kept[30, 5:25].all()


def test_specks_are_no_marks():
    grey = canvas()
    grey[50:52, 50:52] = 255

    assert DrawnMarks(Painted()).find(Picture(grey)) == []


def test_bright_line_at_the_rim_is_tissue_and_a_cut_letter_is_not():
    drawn = np.zeros((100, 120), np.float32)
    drawn[:3, 20:90] = 0.95
    drawn[90:, 50:53] = 0.95

    kept = believable(drawn, 0.8, 0.4)

    assert not kept[:3].any()
    assert kept[90:, 50:53].all()


def test_line_along_a_whole_side_is_tissue_and_a_note_of_its_height_is_not():
    drawn = np.zeros((100, 120), np.float32)
    drawn[:7] = 0.95
    drawn[93:, 20:60] = 0.95

    kept = believable(drawn, 0.8, 0.4)

    assert not kept[:7].any()
    assert kept[93:, 20:60].all()


def test_unsure_letter_beside_a_sure_one_is_taken_and_a_lone_one_is_not():
    drawn = np.zeros((60, 120), np.float32)
    drawn[20:32, 20:23] = 0.97
    drawn[20:32, 30:33] = 0.6
    drawn[20:32, 90:93] = 0.6

    kept = believable(drawn, 0.95, 0.4)

    assert kept[20:32, 20:23].all()
    assert kept[20:32, 30:33].all()
    assert not kept[:, 90:].any()


def test_crosses_joined_by_lines_are_one_mark_and_a_stalked_cyst_is_none():
    drawn = np.zeros((200, 260), np.float32)
    drawn[100:104, 30:150] = 0.97
    drawn[90:114, 26:46] = 0.97
    drawn[92:112, 140:160] = 0.97
    cyst = np.zeros((200, 260), np.uint8)
    cv2.circle(cyst, (215, 60), 26, 1, -1)
    drawn[cyst > 0] = 0.97
    drawn[60:64, 160:195] = 0.97

    kept = believable(drawn, 0.9, 0.4)

    assert kept[100:104, 30:150].all()
    assert kept[90:114, 26:46].all()
    assert not kept[cyst > 0].any()


def body_mark():
    """A picture with a ring and a bar on dark ground, and a network that is sure of all within the ring."""
    grey = np.full((200, 240), 40, np.uint8)
    strokes = np.zeros((200, 240), np.uint8)
    cv2.circle(strokes, (120, 100), 36, 1, 2)
    cv2.line(strokes, (110, 90), (130, 84), 1, 3)
    grey[strokes > 0] = 200
    sure = np.zeros((200, 240), np.uint8)
    cv2.circle(sure, (120, 100), 38, 1, -1)
    return grey, strokes > 0, sure * np.float32(0.97)


def test_strokes_of_a_sure_disc_are_taken_and_its_ground_stays():
    grey, strokes, drawn = body_mark()

    assert not believable(drawn, 0.94, 0.2).any()
    assert (marks_in(drawn, grey, 0.94, 0.2) == strokes).all()


def test_nothing_is_taken_of_a_disc_that_is_not_sure_or_holds_no_strokes():
    grey, _, drawn = body_mark()
    cyst = np.full_like(grey, 90)
    cyst[drawn > 0] = 12

    assert not marks_in(drawn * np.float32(0.9), grey, 0.94, 0.2).any()
    assert not marks_in(drawn, cyst, 0.94, 0.2).any()
