from __future__ import annotations

from dataclasses import replace

from cad_node.domain import (
    Box,
    Laterality,
    Quadrant,
    ScanPlane,
    SizeComparison,
    SonographerNotes,
    TypedDistance,
)
from cad_node.encode import REPORT_COLUMNS, report_rows
from tests.factories import us_cine, us_image
from tests.results import BENIGN, LARGE, MALIGNANT, SMALL, UNCERTAIN, analysed, refused, study


def test_the_columns_are_those_that_were_promised() -> None:
    assert ", ".join(REPORT_COLUMNS) == (
        "study_instance_uid, series_instance_uid, sop_instance_uid, frame, status, reason, class, p_normal, "
        "p_benign, p_malignant, lesions, long_axis_mm, short_axis_mm, area_mm2, annotations_removed, marked, typed, "
        "size_differs, seg, sr, preview, seconds"
    )


def test_an_analysed_image_gives_a_row_a_frame_with_its_most_suspicious_lesion() -> None:
    single, cine = us_image(), us_cine(frames=2)
    images = [
        analysed(single, {1: [(1, SMALL, BENIGN), (2, LARGE, MALIGNANT)]}),
        analysed(cine, {2: [(1, LARGE, BENIGN)]}),
    ]
    seg = {single.SOPInstanceUID: "a/seg-001.dcm"}
    picture = {single.SOPInstanceUID: "a/preview-001.png"}
    rows = report_rows(study(*images), segs=seg, sr="a/sr.dcm", previews=picture)
    assert all(tuple(row) == REPORT_COLUMNS for row in rows)
    assert [(row["frame"], row["lesions"]) for row in rows] == [("1", "2"), ("1", "0"), ("2", "1")]
    first, second, third = rows
    assert first["class"] == "malignant"
    assert (first["p_normal"], first["p_benign"], first["p_malignant"]) == ("0.0500", "0.1500", "0.8000")
    assert abs(float(first["long_axis_mm"]) - 9.1) < 0.1
    assert first["area_mm2"] == f"{LARGE.mask(240, 320).sum() * 0.01:.2f}"
    assert (first["seg"], first["sr"], first["preview"]) == ("a/seg-001.dcm", "a/sr.dcm", "a/preview-001.png")
    assert (first["annotations_removed"], first["seconds"]) == ("1", "0.500")
    assert (second["long_axis_mm"], second["seg"], second["class"]) == ("", "", "normal")
    assert third["sr"] == "a/sr.dcm"


def test_an_abstention_stands_in_place_of_the_class_and_keeps_the_probabilities() -> None:
    image = analysed(us_image(), {1: [(1, LARGE, UNCERTAIN)]})
    row = report_rows(study(image), segs={}, sr="", previews={})[0]
    assert (row["class"], row["p_benign"], row["p_malignant"]) == ("uncertain", "0.5000", "0.4500")


def test_what_was_typed_stands_in_the_row_of_its_frame() -> None:
    box = Box(0, 10, 0, 40)
    notes = SonographerNotes(
        laterality=Laterality.LEFT,
        clock_face=2.0,
        quadrant=Quadrant.UPPER_OUTER,
        plane=ScanPlane.RADIAL,
        distances=(TypedDistance(12.3, box, 0.9), TypedDistance(8.0, box, 0.9)),
        marked=True,
    )
    image = analysed(us_image(), {1: [(1, LARGE, MALIGNANT)]})
    frame = replace(image.frames[0], notes=notes, size_comparison=SizeComparison(1, 12.3, 9.1, differs=True))
    row, plain = (
        report_rows(study(one), segs={}, sr="", previews={})[0]
        for one in (replace(image, frames=(frame,)), image)
    )
    assert row["typed"] == "side=left clock=2 quadrant=upper_outer plane=radial calipers_mm=12.3/8"
    assert (row["marked"], row["size_differs"]) == ("yes", "yes")
    assert (plain["marked"], plain["typed"], plain["size_differs"]) == ("no", "", "")


def test_without_a_scale_no_millimetres_are_given() -> None:
    image = analysed(us_image(), {1: [(1, LARGE, MALIGNANT)]}, spacing=None)
    row = report_rows(study(image), segs={}, sr="", previews={})[0]
    assert (row["long_axis_mm"], row["short_axis_mm"], row["area_mm2"]) == ("", "", "")


def test_an_image_that_was_not_analysed_gives_one_row_with_the_reason() -> None:
    row, *others = report_rows(study(refused(us_cine(frames=3))), segs={}, sr="sr.dcm", previews={})
    assert not others
    assert (row["status"], row["reason"]) == ("not_analysed", "colour_doppler")
    assert (row["frame"], row["class"], row["lesions"]) == ("", "", "")


def test_an_image_that_was_analysed_in_part_says_why() -> None:
    image = analysed(us_image(), left_out=(Box(0, 9, 0, 9),))
    (row,) = report_rows(study(image), segs={}, sr="", previews={})
    assert (row["status"], row["reason"]) == ("analysed", "other_picture")
