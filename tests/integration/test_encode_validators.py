"""What David Clunie's validators, DCMTK and highdicom say of the results."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, JPEGBaseline8Bit, SegmentationStorage

from cad_node.domain import NotAnalysed, Status, StudyResult
from cad_node.encode import encode_study, load_templates, read_back
from cad_node.resources import templates_dir
from cad_node.settings import ObjectKind, ResultSettings
from cad_node.variants import KINDS, Variant
from tests.factories import us_cine, us_image, us_study, write
from tests.results import BENIGN, LARGE, MADE_AT, MALIGNANT, SMALL, analysed, refused, study

pytestmark = [
    pytest.mark.dicom3tools,
    pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed"),
]

READABLE = {SegmentationStorage, Comprehensive3DSRStorage}
Case = tuple[StudyResult, Sequence[Dataset]]
ONE, TWO = [(1, LARGE, MALIGNANT)], [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]


def grey_with_two_lesions() -> Case:
    source = us_image(attributes={"PatientAge": "053Y", "PatientSize": "1.7"})
    return study(analysed(source, {1: TWO})), [source]


def colour() -> Case:
    source = us_image(photometric="RGB")
    return study(analysed(source, {1: ONE})), [source]


def lossy_colour() -> Case:
    source = us_image(photometric="YBR_FULL_422", transfer_syntax=JPEGBaseline8Bit)
    return study(analysed(source, {1: ONE})), [source]


def cine_with_two_tracked_lesions() -> Case:
    source = us_cine(frames=5)
    drawn = {1: ONE, 2: TWO, 3: TWO, 5: [(2, SMALL, BENIGN)]}
    return study(analysed(source, drawn)), [source]


def cine_of_one_frame() -> Case:
    source = us_cine(frames=1)
    return study(analysed(source, {1: ONE})), [source]


def no_lesion() -> Case:
    source = us_image()
    return study(analysed(source)), [source]


def nothing_analysed() -> Case:
    sources = us_study(images=2, cine_frames=2)
    reasons = [NotAnalysed.COLOUR_DOPPLER, NotAnalysed.UNDECODABLE, NotAnalysed.VIDEO]
    return study(*(refused(one, why) for one, why in zip(sources, reasons, strict=True))), sources


def several_images() -> Case:
    sources = us_study(images=3, cine_frames=3)
    for number, source in enumerate(sources, start=1):
        source.InstanceNumber = number
    images = [
        analysed(sources[0], {1: TWO}),
        analysed(sources[1]),
        refused(sources[2], NotAnalysed.M_MODE),
        analysed(sources[3], {2: ONE}),
    ]
    return study(*images), sources


def uncalibrated() -> Case:
    source = us_image(regions=())
    return study(analysed(source, {1: TWO}, spacing=None)), [source]


def poor_header() -> Case:
    attributes: dict[str, Any] = {
        "PatientBirthDate": "", "PatientSex": "", "StudyTime": "", "AccessionNumber": "", "StudyID": "",
        "Laterality": "", "StudyDescription": None,
    }  # fmt: skip
    source = us_image(attributes=attributes)
    return study(analysed(source, {1: ONE})), [source]


CASES: list[Callable[[], Case]] = [
    grey_with_two_lesions,
    colour,
    lossy_colour,
    cine_with_two_tracked_lesions,
    cine_of_one_frame,
    no_lesion,
    nothing_analysed,
    several_images,
    uncalibrated,
    poor_header,
]


def encoded(
    case: Case, folder: Path, kinds: Sequence[ObjectKind] = ("seg", "sr"), **choice: Any
) -> list[Path]:
    """Encode a study, write the objects, and return their paths; the report is the last."""
    result, sources = case
    settings = ResultSettings(**choice)
    objects = encode_study(
        result,
        {str(one.SOPInstanceUID): one for one in sources},
        templates=load_templates(templates_dir()),
        settings=settings,
        variants=[Variant.of(kind, settings) for kind in kinds],
        made_at=MADE_AT,
    )
    return [write(one.dataset, folder) for one in objects]


def errors(command: str, *files: Path) -> list[str]:
    """Lines in which the validator speaks of an error; it exits 0 in spite of them."""
    done = subprocess.run(
        [command, *map(str, files)], capture_output=True, text=True, timeout=60, check=False
    )
    said = (done.stdout + done.stderr).splitlines()
    return [line for line in said if "Error" in line or "Abort" in line]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_no_validator_finds_an_error_and_highdicom_reads_the_numbers_back(
    case: Callable[[], Case], tmp_path: Path
) -> None:
    made = case()
    files = encoded(made, tmp_path / "results", KINDS)
    for file in files:
        assert errors("dciodvfy", file) == []
    sources = [write(source, tmp_path / "sources") for source in made[1]]
    assert errors("dcentvfy", *sources, *files) == []
    read = read_back([file for file in files if dcmread(file).SOPClassUID in READABLE])
    lesions = sum(len({lesion.number for lesion in image.lesions}) for image in made[0].images)
    groups = lesions + sum(not one.lesions and one.status is Status.ANALYSED for one in made[0].images)
    # An image that was not analysed has a group only where there would be none at all.
    assert (read.segments, read.measurement_groups) == (lesions, groups or len(made[0].images))


@pytest.mark.parametrize("sr_class", ["comprehensive-3d", "comprehensive", "enhanced"])
def test_every_sr_class_is_valid(sr_class: str, tmp_path: Path) -> None:
    files = encoded(several_images(), tmp_path, sr_class=sr_class)
    assert errors("dciodvfy", files[-1]) == []
    assert read_back(files).measurement_groups == 4


@pytest.mark.parametrize("scope", ["image", "series"])
@pytest.mark.parametrize(
    "case", [several_images, cine_with_two_tracked_lesions], ids=lambda one: one.__name__
)
@pytest.mark.parametrize("seg_type", ["binary", "fractional", "labelmap"])
def test_every_type_of_segmentation_is_valid(
    seg_type: str, case: Callable[[], Case], scope: str, tmp_path: Path
) -> None:
    found = [
        line
        for file in encoded(case(), tmp_path, ["seg"], seg_type=seg_type, seg_scope=scope)
        for line in errors("dciodvfy", file)
    ]
    # Validators from before 2024 do not know label maps, nor that their background is segment 0.
    unknown = (
        "Information Object Not found",
        "SegmentSequence item number 1 (from one) with SegmentNumber of 0",
    )
    assert [line for line in found if seg_type != "labelmap" or not line.endswith(unknown)] == []


@pytest.mark.parametrize("syntax", ["rle", "jpeg-ls", "jpeg-2000"])
def test_what_is_compressed_is_valid(syntax: str, tmp_path: Path) -> None:
    kinds: list[ObjectKind] = ["seg", "secondary_capture"]
    files = encoded(several_images(), tmp_path, kinds, seg_type="fractional", transfer_syntax=syntax)
    for file in files:
        assert errors("dciodvfy", file) == []


def test_a_report_with_a_predecessor_is_valid(tmp_path: Path) -> None:
    result, sources = several_images()
    templates, settings = load_templates(templates_dir()), ResultSettings()
    headers = {str(one.SOPInstanceUID): one for one in sources}
    first, second = (
        encode_study(
            StudyResult(result.study_instance_uid, images, result.provenance),
            headers,
            templates=templates,
            settings=settings,
            made_at=MADE_AT,
        )[-1].dataset
        for images in (result.images[:2], result.images)
    )
    assert first.SOPInstanceUID != second.SOPInstanceUID
    new = encode_study(
        result, headers, templates=templates, settings=settings, predecessors=[first], made_at=MADE_AT
    )[-1].dataset
    assert new.SOPInstanceUID == second.SOPInstanceUID
    files = [write(one, tmp_path) for one in (first, new)]
    assert errors("dciodvfy", files[1]) == []
    assert errors("dcentvfy", *files) == []


@pytest.mark.dcmtk
@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="DCMTK is not installed")
def test_dcmtk_reads_the_report(tmp_path: Path) -> None:
    files = encoded(several_images(), tmp_path)
    # dsr2html leaves the names of measurements out.
    for command, shown in (("dsrdump", "Probability of cancer"), ("dsr2html", "80.0 %")):
        done = subprocess.run(
            [command, str(files[-1])], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0
        assert shown in done.stdout
        assert "M-mode images are not analysed." in done.stdout
        assert not [line for line in done.stderr.splitlines() if line.startswith(("E:", "F:"))]


@pytest.mark.dcmtk
@pytest.mark.skipif(shutil.which("dcmpschk") is None, reason="DCMTK is not installed")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_dcmtk_passes_every_presentation_state(case: Callable[[], Case], tmp_path: Path) -> None:
    for file in encoded(case(), tmp_path, ["presentation_state"]):
        done = subprocess.run(
            ["dcmpschk", str(file)], capture_output=True, text=True, timeout=60, check=False
        )
        said = done.stdout + done.stderr
        assert "Test passed." in said
        assert not [line for line in said.splitlines() if line.startswith(("E:", "F:"))]


@pytest.mark.dcmtk
@pytest.mark.skipif(shutil.which("dcmp2pgm") is None, reason="DCMTK is not installed")
@pytest.mark.parametrize(
    ("case", "frame", "shown"),
    [
        (grey_with_two_lesions, 1, ["LESION_1", "LESION_2"]),
        # It lists the layers of a file's first frame, whatever frame it draws; which frames the others
        # name is tested in tests/unit/encode/test_presentation_state.py.
        (cine_with_two_tracked_lesions, 1, ["LESION_1"]),
    ],
    ids=["still", "loop"],
)
def test_dcmtk_shows_the_outlines_and_labels_of_a_frame(
    case: Callable[[], Case], frame: int, shown: list[str], tmp_path: Path
) -> None:
    made = case()
    (state,) = encoded(made, tmp_path / "state", ["presentation_state"])
    source = write(made[1][0], tmp_path / "source")
    done = subprocess.run(
        ["dcmp2pgm", "-v", "-f", str(frame), "-p", str(state), str(source), str(tmp_path / "shown.pgm")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0
    layers = re.split(r"Graphic Layer #\d+ ", said)[1:]
    with_graphics = [layer for layer in layers if "Number of graphic objects: 1" in layer]
    assert [layer.partition("]")[0].lstrip("[") for layer in with_graphics] == shown
    for layer in with_graphics:
        assert "type=polyline" in layer
        assert re.search(r'text 1: "Lesion \d: (malignant|benign), \d+\.\d %', layer)
