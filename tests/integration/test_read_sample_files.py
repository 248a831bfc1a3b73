"""Every ultrasound file that pydicom, pydicom-data and deid-data bring, and DCMTK's encoders."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from cad_node.domain import Box, NotAnalysed, UltrasoundImage
from cad_node.errors import StudyError
from cad_node.read import gate_image, read_study, scan_files
from cad_node.read.headers import load_header, text
from tests.factories import Text, draw_texts, ellipse, speckle, us_cine, us_image, us_study, write


def package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def ultrasound_files() -> list[Path]:
    folders = [package_folder("pydicom"), package_folder("data_store"), package_folder("deid_data")]
    scan = scan_files([folder for folder in folders if folder])
    found = []
    for paths in scan.studies.values():
        for path in paths:
            try:
                header = load_header(path).dataset
            except StudyError:
                continue
            if text(header, "Modality") == "US" or text(header, "SOPClassUID").startswith(
                ("1.2.840.10008.5.1.4.1.1.3.1", "1.2.840.10008.5.1.4.1.1.6")
            ):
                found.append(path)
    return sorted(found, key=lambda path: path.name)


FILES = {path.name: path for path in ultrasound_files()}


def read(name: str) -> UltrasoundImage:
    if name not in FILES:
        pytest.skip(f"{name} is in a package that is not installed")
    (image,) = read_study([FILES[name]]).images
    return image


@pytest.mark.parametrize("name", FILES)
def test_each_file_gives_plausible_frames_or_a_reason(name: str) -> None:
    image = read(name)
    if image.refusal is not None:
        assert image.refusal.reason in NotAnalysed
        assert len(image.frames) == 0
        return
    assert len(image.frames) == image.reference.number_of_frames
    for frame in image.frames:
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels.shape[:2] == (image.reference.rows, image.reference.columns)
        assert 3 < frame.pixels.mean() < 200
        assert frame.pixels.std() > 10
    gate_image(image)


# Regions and deltas as `dcmdump` prints them; brightness by DCMTK's dcm2pnm where it can.
FACTS: dict[str, tuple[int, Box | None, float | None]] = {
    "GREYSCALE_IMAGE.dcm": (1, Box(38, 759, 14, 1011), 0.0649047),
    "RGB_IMAGE.dcm": (1, Box(60, 765, 0, 1009), 0.2378717),
    "JPGLosslessP14SV1_1s_1f_8b.dcm": (1, Box(38, 759, 14, 1011), 0.2547670),
    "color3d_jpeg_baseline.dcm": (120, Box(31, 415, 84, 596), 0.5104970),
    "OBXXXX1A.dcm": (1, Box(60, 519, 120, 800), 0.2622879),
    "OBXXXX1A_rle_2frame.dcm": (2, Box(60, 519, 120, 800), 0.2622879),
    "gdcm-US-ALOKA-16.dcm": (1, Box(24, 416, 32, 640), 0.3826531),  # two pictures of one scale
    "examples_ybr_color.dcm": (30, None, None),  # halved, its regions were not
    "US1_UNCR.dcm": (1, None, None),
}


@pytest.mark.parametrize("name", FACTS)
def test_known_files_are_known(name: str) -> None:
    frames, box, spacing = FACTS[name]
    image = read(name)
    assert image.refusal is None
    assert image.reference.number_of_frames == frames
    frame = image.frames[0]
    assert frame.tissue == box
    if spacing is None:
        assert frame.spacing is None
    else:
        assert frame.spacing is not None
        assert frame.spacing.row_mm == pytest.approx(spacing, rel=1e-5)
        assert frame.spacing.column_mm == pytest.approx(spacing, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("color-px.dcm", NotAnalysed.COLOUR_DOPPLER),
        ("color-pl.dcm", NotAnalysed.COLOUR_DOPPLER),
        ("US1_UNCR.dcm", NotAnalysed.COLOUR_DOPPLER),
        ("US1_J2KI.dcm", NotAnalysed.COLOUR_DOPPLER),
        ("examples_rgb_color.dcm", NotAnalysed.COLOUR_DOPPLER),
        ("ultrasound-multiframe.dcm", NotAnalysed.COLOUR_DOPPLER),
        ("OBXXXX1A.dcm", None),
        ("RGB_IMAGE.dcm", None),
        ("GREYSCALE_IMAGE.dcm", None),
        ("gdcm-US-ALOKA-16.dcm", None),
        ("color3d_jpeg_baseline.dcm", None),
    ],
)
def test_colour_is_found_where_it_is_and_nowhere_else(name: str, expected: NotAnalysed | None) -> None:
    refusal = gate_image(read(name))
    assert (refusal.reason if refusal else None) == expected


@pytest.mark.parametrize(
    ("one", "other", "tolerance"),
    [
        ("OBXXXX1A.dcm", "OBXXXX1A_expb.dcm", 0),
        ("OBXXXX1A.dcm", "OBXXXX1A_rle.dcm", 0),
        ("gdcm-US-ALOKA-16.dcm", "gdcm-US-ALOKA-16_big.dcm", 0),
        ("color-px.dcm", "color-pl.dcm", 0),
        ("US1_UNCR.dcm", "US1_J2KR.dcm", 0),
        ("US1_UNCI.dcm", "US1_J2KI.dcm", 3),
    ],
)
def test_the_same_picture_in_two_encodings_is_the_same(one: str, other: str, tolerance: float) -> None:
    from cad_node.read import decode_frames
    from cad_node.read.headers import read_with_pixels

    if one not in FILES or other not in FILES:
        pytest.skip("pydicom-data is not installed")
    first, second = (decode_frames(read_with_pixels(FILES[name]))[0] for name in (one, other))
    assert np.abs(first.astype(int) - second.astype(int)).mean() <= tolerance


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.mark.dcmtk
@pytest.mark.parametrize("frames", [None, 3])
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "RGB"])
@pytest.mark.parametrize(
    ("program", "options", "tolerance"),
    [
        ("dcmcjpeg", ["+e1"], 0),
        ("dcmcjpeg", ["+el"], 0),
        ("dcmcjpeg", ["+eb", "+q", "95"], 5),
        ("dcmcjpeg", ["+eb", "+cr", "+q", "95"], 5),
        ("dcmcjpeg", ["+eb", "+s2", "+q", "95"], 5),
        ("dcmcjpls", ["+el"], 0),
        ("dcmcjpls", ["+en"], 3),
        ("dcmcrle", [], 0),
        ("dcmconv", ["+tb"], 0),
        ("dcmconv", ["+td"], 0),
        ("dcmconv", ["+ti"], 0),
    ],
)
def test_what_dcmtk_encodes_is_decoded(
    tmp_path: Path,
    program: str,
    options: list[str],
    tolerance: float,
    photometric: str,
    frames: int | None,
) -> None:
    pixels = speckle(lesion=ellipse())
    pixels[0, :2] = 0, 255  # dcmcjpeg stretches grey to the full range before it compresses with loss
    if photometric == "RGB":
        pixels = draw_texts(np.repeat(pixels[..., None], 3, -1), [Text("L BREAST", 4, 6, 20, (255, 220, 0))])
    expected = np.stack([pixels] * (frames or 1))
    source = write(us_image(pixels=expected if frames else pixels, photometric=photometric), tmp_path)
    target = tmp_path / "target.dcm"
    subprocess.run([tool(program), *options, source, target], check=True, capture_output=True)
    (image,) = read_study([target]).images
    assert image.refusal is None
    shown = np.stack([frame.pixels for frame in image.frames])
    assert shown.shape == expected.shape
    assert np.abs(shown.astype(int) - expected.astype(int)).mean() <= tolerance


@pytest.mark.dcmtk
def test_twelve_bit_jpeg_is_decoded(tmp_path: Path) -> None:
    source = write(us_image(lesion=ellipse(), bits_stored=12), tmp_path)
    target = tmp_path / "target.dcm"
    subprocess.run([tool("dcmcjpeg"), "+ee", "+q", "95", source, target], check=True, capture_output=True)
    plain, compressed = (read_study([path]).images[0].frames[0].pixels for path in (source, target))
    assert np.abs(plain.astype(int) - compressed.astype(int)).mean() <= 5


@pytest.mark.dicom3tools
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"photometric": "RGB", "dummy_first_region": True},
        {"photometric": "PALETTE COLOR", "transfer_syntax": ExplicitVRBigEndian},
        {"photometric": "YBR_FULL_422", "transfer_syntax": JPEGBaseline8Bit, "lesion": ellipse()},
        {"photometric": "RGB", "transfer_syntax": RLELossless, "burnt_in": "DOE^JANE"},
    ],
)
def test_synthetic_objects_have_no_error_by_dciodvfy(tmp_path: Path, options: dict[str, Any]) -> None:
    for dataset in (us_image(**options), us_cine(**options)):
        checked = subprocess.run(
            [tool("dciodvfy"), write(dataset, tmp_path)], capture_output=True, text=True, check=False
        )
        report = checked.stdout + checked.stderr
        assert not [line for line in report.splitlines() if line.startswith("Error")]


@pytest.mark.dcmtk
def test_a_dicomdir_made_by_dcmtk_is_followed(tmp_path: Path) -> None:
    for number, dataset in enumerate(us_study(images=3)):
        write(dataset, tmp_path / "IMAGES", f"IM{number}")
    subprocess.run(
        [tool("dcmmkdir"), "+r", "+D", "DICOMDIR", "+I", "-Pgp", "-W", "IMAGES"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    scan = scan_files([tmp_path / "DICOMDIR"])
    assert [len(paths) for paths in scan.studies.values()] == [3]
    assert scan.unreadable == ()


def test_a_native_and_a_deflated_file_give_the_same_frames(tmp_path: Path) -> None:
    native, deflated = (
        us_image(transfer_syntax=syntax, lesion=ellipse())
        for syntax in (ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
    )
    pictures = [read_study([write(one, tmp_path)]).images[0].frames[0].pixels for one in (native, deflated)]
    assert np.array_equal(*pictures)
