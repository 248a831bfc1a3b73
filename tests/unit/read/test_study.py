from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cad_node.domain import Box, NotAnalysed, PixelSpacing
from cad_node.encode import encode_study, load_templates
from cad_node.errors import NoUsableFramesError, PixelDecodeError, StudyError
from cad_node.read import gate_image, read_study, scan_files
from cad_node.resources import templates_dir
from cad_node.settings import ResultSettings
from cad_node.variants import Variant
from tests import results
from tests.factories import paint_flow, region, speckle, us_cine, us_image, us_study, write


def test_a_study_is_read_with_region_and_spacing(tmp_path: Path) -> None:
    datasets = us_study(images=2, cine_frames=3, delta_y_cm=0.02, tissue_box=(28, 236, 20, 300))
    study = read_study([write(dataset, tmp_path) for dataset in datasets])
    assert study.study_instance_uid == datasets[0].StudyInstanceUID
    assert [image.reference.number_of_frames for image in study.images] == [1, 1, 3]
    for image in study.images:
        assert image.refusal is None
        for number, frame in enumerate(image.frames, start=1):
            assert frame.frame_number == number
            assert frame.pixels.shape == (240, 320)
            assert frame.tissue == Box(28, 236, 20, 300)
            assert frame.spacing == PixelSpacing(0.2, 0.1)
            assert frame.reference is image.reference


def test_an_image_names_the_pictures_that_are_left_out(tmp_path: Path) -> None:
    regions = [region((20, 220, 0, 156)), region((20, 220, 160, 320), delta_x_cm=0.02, delta_y_cm=0.02)]
    split = us_cine(frames=2, regions=regions)
    (image,) = read_study([write(split, tmp_path)]).images
    assert image.left_out == (Box(20, 220, 0, 156),)
    assert {(frame.tissue, frame.left_out) for frame in image.frames} == {
        (Box(20, 220, 160, 320), image.left_out)
    }


def test_images_come_in_the_order_of_series_and_instance_numbers(tmp_path: Path) -> None:
    common = {"study_instance_uid": "1.2.3", "series_instance_uid": "1.2.4"}
    datasets = [
        us_image(series_number=2, instance_number=1, **common),
        us_image(series_number=1, instance_number=10, **common),
        us_image(series_number=1, instance_number=9, **common),
        us_image(series_number=1, attributes={"InstanceNumber": None}, **common),
        us_image(attributes={"SeriesNumber": None}, **common),
    ]
    paths = [write(dataset, tmp_path) for dataset in datasets]
    expected = [datasets[index].SOPInstanceUID for index in (2, 1, 3, 0, 4)]
    for order in (paths, paths[::-1]):
        images = read_study(order).images
        assert [image.reference.sop_instance_uid for image in images] == expected


def test_of_two_files_with_one_uid_the_first_is_kept(tmp_path: Path) -> None:
    common = {"study_instance_uid": "1.2.3", "sop_instance_uid": "1.2.5"}
    first = write(us_image(rows=100, **common), tmp_path, "first")
    second = write(us_image(rows=200, **common), tmp_path, "second")
    (image,) = read_study([first, second]).images
    assert image.reference.rows == 100


@pytest.mark.parametrize(("seed", "is_said"), [(1, True), (0, False)])
def test_another_picture_under_the_same_uid_is_not_dropped_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int, is_said: bool
) -> None:
    common = {"study_instance_uid": "1.2.3", "sop_instance_uid": "1.2.5"}
    first = write(us_image(**common), tmp_path, "first")
    again = write(us_image(**common, series_number=7, seed=seed), tmp_path, "again")
    assert len(read_study([first, again]).images) == 1
    assert ("another picture under the UID 1.2.5" in caplog.text) is is_said


def test_captures_of_the_node_that_come_back_are_no_images_of_the_study(tmp_path: Path) -> None:
    scanned = us_image()
    settings = ResultSettings()
    captures = encode_study(
        results.study(results.analysed(scanned, {1: [(1, results.LARGE, results.MALIGNANT)]})),
        {str(scanned.SOPInstanceUID): scanned},
        templates=load_templates(templates_dir()),
        settings=settings,
        variants=[Variant.of("secondary_capture", settings)],
        made_at=results.MADE_AT,
    )
    paths = [write(scanned, tmp_path), *(write(one.dataset, tmp_path) for one in captures)]
    assert len(paths) == 3

    images = read_study(paths).images
    assert [image.reference.sop_instance_uid for image in images] == [scanned.SOPInstanceUID]
    assert scan_files([tmp_path]).studies == {scanned.StudyInstanceUID: (paths[0],)}

    # Alone they are answered like every object that is not ultrasound.
    (image,) = read_study(paths[1:2]).images
    assert image.refusal is not None
    assert image.refusal.reason == NotAnalysed.NOT_ULTRASOUND


def test_a_refused_image_keeps_its_place_and_has_no_frames(tmp_path: Path) -> None:
    datasets = us_study(images=2)
    datasets[0].ImageType = ["ORIGINAL", "PRIMARY", "BREAST", "0011"]
    first, second = read_study([write(dataset, tmp_path) for dataset in datasets]).images
    assert first.refusal is not None
    assert first.refusal.reason == NotAnalysed.COLOUR_DOPPLER
    assert len(first.frames) == 0
    assert second.refusal is None


def test_an_image_without_pixels_is_refused(tmp_path: Path) -> None:
    (image,) = read_study([write(us_image(attributes={"PixelData": None}), tmp_path)]).images
    assert image.refusal is not None
    assert image.refusal.reason == NotAnalysed.NO_PIXEL_DATA


def test_an_image_too_large_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    image = us_cine(attributes={"NumberOfFrames": 10_000_000})
    (read,) = read_study([write(image, tmp_path)]).images
    assert read.refusal is not None
    assert read.refusal.reason == NotAnalysed.UNDECODABLE


def test_a_corrupt_file_among_good_ones_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = tmp_path / "DOE_JANE.dcm"
    bad.write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 50)
    study = read_study([bad, write(us_image(), tmp_path)])
    assert (len(study.images), study.unreadable) == (1, 1)
    assert "left out" in caplog.text
    assert "DOE" not in caplog.text


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoUsableFramesError):
        read_study([tmp_path / "absent"])
    with pytest.raises(NoUsableFramesError):
        read_study([])


def test_files_of_two_studies_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="2 studies"):
        read_study([write(us_image(), tmp_path), write(us_image(), tmp_path)])


def test_breast_only_refuses_another_body_part(tmp_path: Path) -> None:
    path = write(us_image(attributes={"BodyPartExamined": "KIDNEY"}), tmp_path)
    assert read_study([path]).images[0].refusal is None
    refusal = read_study([path], breast_only=True).images[0].refusal
    assert refusal is not None
    assert refusal.reason == NotAnalysed.OTHER_BODY_PART


def test_colour_that_only_the_pixels_show_is_found_in_a_cine(tmp_path: Path) -> None:
    plain = write(us_cine(photometric="RGB"), tmp_path)
    flow = write(us_cine(photometric="RGB", flow_box=(80, 160, 80, 200)), tmp_path)
    assert gate_image(read_study([plain]).images[0]) is None
    refusal = gate_image(read_study([flow]).images[0])
    assert refusal is not None
    assert refusal.reason == NotAnalysed.COLOUR_DOPPLER


def test_gate_image_repeats_the_refusal_of_the_header(tmp_path: Path) -> None:
    (image,) = read_study([write(us_image(attributes={"PixelData": None}), tmp_path)]).images
    assert gate_image(image) is image.refusal


def test_undecodable_pixels_do_not_spoil_the_reading_of_the_study(tmp_path: Path) -> None:
    datasets = us_study(images=2)
    datasets[0].PixelData = b"\0\0"
    first, second = read_study([write(dataset, tmp_path) for dataset in datasets]).images
    for _ in range(2):
        with pytest.raises(PixelDecodeError):
            first.frames[0]
    assert second.frames[0].pixels.mean() > 10


def test_one_coloured_frame_refuses_the_cine(tmp_path: Path) -> None:
    stack = np.repeat(np.stack([speckle(seed=seed) for seed in range(4)])[..., None], 3, axis=-1)
    stack[2] = paint_flow(stack[2], (80, 160, 80, 200))
    path = write(us_image(pixels=stack, photometric="RGB"), tmp_path)
    assert gate_image(read_study([path]).images[0]) is not None
