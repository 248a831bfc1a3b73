"""What dciodvfy and DCMTK say of a report that says all it can, in every language and SR class."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from cad_node.domain import (
    Box,
    Calibration,
    ImageResult,
    Laterality,
    Quadrant,
    ScanPlane,
    SizeComparison,
    SonographerNotes,
    TypedDistance,
)
from cad_node.encode import encode_study, languages, load_templates
from cad_node.pipeline.describe import describe
from cad_node.pipeline.join import join_lesions
from cad_node.resources import templates_dir
from cad_node.settings import ResultSettings, SrClass
from tests.factories import us_cine, us_image, write
from tests.integration.test_encode_validators import (
    Case,
    cine_with_two_tracked_lesions,
    errors,
    no_lesion,
    nothing_analysed,
    poor_header,
    uncalibrated,
)
from tests.results import BENIGN, LARGE, MADE_AT, MALIGNANT, SMALL, Drawn, analysed, refused, study

pytestmark = [
    pytest.mark.dicom3tools,
    pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed"),
]

CLASSES: tuple[SrClass, ...] = ("comprehensive-3d", "comprehensive", "enhanced")
NOTES = SonographerNotes(
    laterality=Laterality.RIGHT,
    clock_face=2.0,
    quadrant=Quadrant.UPPER_INNER,
    nipple_distance_mm=30.0,
    distances=(TypedDistance(21.4, Box(2, 8, 10, 60), 0.9), TypedDistance(6.1, Box(10, 16, 10, 60), 0.8)),
    marked=True,
)


def noted(source: Dataset, drawn: Drawn, notes: SonographerNotes) -> ImageResult:
    """An image with lesions that are described, and with what was typed on it."""
    found = analysed(source, drawn)
    key = found.key_frame
    assert key is not None
    frames = tuple(
        replace(
            frame,
            notes=notes,
            size_comparison=SizeComparison(1, 21.4, 9.1, differs=True) if notes.distances else None,
            lesions=tuple(replace(one, description=describe(one.measurements, key)) for one in frame.lesions),
        )
        for frame in found.frames
    )
    return replace(found, frames=frames)


def everything() -> Case:
    """All that a report can say: joined lesions, typed places, contradicting sides, a cine, a refusal."""
    first, second, third = (us_image(instance_number=number) for number in (1, 2, 3))
    cine = us_cine(frames=3, instance_number=4)
    sources = [first, second, third, cine]
    for source in sources[1:]:
        source.StudyInstanceUID = first.StudyInstanceUID
    crossed = replace(NOTES, plane=ScanPlane.ANTIRADIAL, distances=())
    other = SonographerNotes(laterality=Laterality.LEFT, clock_face=9.5)
    images = (
        noted(first, {1: [(1, LARGE, MALIGNANT)]}, replace(NOTES, plane=ScanPlane.RADIAL)),
        noted(second, {1: [(1, LARGE, BENIGN)]}, crossed),
        refused(third),
        noted(cine, {2: [(1, SMALL, BENIGN)], 3: [(1, SMALL, MALIGNANT)]}, other),
    )
    result = study(*images, calibration=Calibration(0.985, 0.024, 532))
    joined = join_lesions(images)
    assert joined
    return replace(result, same_lesions=joined), sources


def report(case: Case, folder: Path, language: str = "en", sr_class: SrClass = "comprehensive-3d") -> Path:
    result, sources = case
    objects = encode_study(
        result,
        {str(one.SOPInstanceUID): one for one in sources},
        templates=load_templates(templates_dir(), language),
        settings=ResultSettings(language=language, sr_class=sr_class),
        made_at=MADE_AT,
    )
    return write(objects[-1].dataset, folder)


@pytest.mark.parametrize("sr_class", CLASSES)
@pytest.mark.parametrize(
    "case",
    [everything, no_lesion, nothing_analysed, cine_with_two_tracked_lesions, uncalibrated, poor_header],
    ids=lambda case: case.__name__,
)
def test_every_report_is_valid_in_every_class(
    case: Callable[[], Case], sr_class: SrClass, tmp_path: Path
) -> None:
    assert errors("dciodvfy", report(case(), tmp_path, sr_class=sr_class)) == []


@pytest.mark.parametrize("language", languages(templates_dir()))
@pytest.mark.parametrize("case", [everything, no_lesion, nothing_analysed], ids=lambda case: case.__name__)
def test_every_report_is_valid_in_every_language(
    case: Callable[[], Case], language: str, tmp_path: Path
) -> None:
    assert errors("dciodvfy", report(case(), tmp_path, language)) == []


@pytest.mark.dcmtk
@pytest.mark.skipif(shutil.which("dsr2html") is None, reason="DCMTK is not installed")
@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "30 mm from the nipple; radial plane."),
        ("de", "Am verdächtigsten: Bild 1.1 Läsion 1, bösartig, Krebswahrscheinlichkeit 80,0 %"),
        ("fr", "quadrant supéro-interne"),
        ("es", "probabilidad de cáncer 80,0 %"),
        ("pt", "Imagem 1.1 lesão 1"),
    ],
)
def test_dcmtk_shows_what_a_reader_wants_to_know(language: str, sentence: str, tmp_path: Path) -> None:
    file = report(everything(), tmp_path, language)
    done = subprocess.run(
        ["dsr2html", "+U8", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert sentence in done.stdout.replace("&nbsp;", " ")
    assert not [line for line in done.stderr.splitlines() if line.startswith(("E:", "F:"))]
