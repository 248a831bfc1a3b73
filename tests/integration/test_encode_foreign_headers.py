"""Results of images whose headers were written by many makers, some of them badly."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from cad_node.domain import Box, CleanFrame, FrameResult, ImageReference, ImageResult, Lesion, Status
from cad_node.encode import Templates, encode_study, load_templates, read_back
from cad_node.pipeline.measure import measure
from cad_node.resources import templates_dir
from cad_node.settings import ResultSettings
from tests.factories import Ellipse
from tests.results import MADE_AT, MALIGNANT, study

# The files that come with pydicom itself: charsets, truncated values, odd sequences, old syntaxes.
FOLDER = Path(pydicom.__file__).parent / "data"
FILES = sorted(
    path.relative_to(FOLDER).as_posix()
    for pattern in ("charset_files/*.dcm", "test_files/*.dcm", "test_files/dicomdirtests/77654033/CR*/*")
    for path in FOLDER.glob(pattern)
)


@pytest.fixture(scope="module")
def templates() -> Templates:
    return load_templates(templates_dir())


def header(name: str) -> Dataset:
    try:
        return dcmread(FOLDER / name, stop_before_pixels=True, force=True)
    except (InvalidDicomError, EOFError, ValueError, NotImplementedError, AttributeError, TypeError) as error:
        pytest.skip(f"not even pydicom reads it: {type(error).__name__}")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", FILES)
def test_results_are_valid_whatever_the_header_says(name: str, templates: Templates) -> None:
    found = header(name)
    reference = ImageReference("1.2.3", "1.2.3.4", "1.2.3.4.5", "1.2.840.10008.5.1.4.1.1.6.1", 64, 48, 1)
    mask = Ellipse(30, 20, 12, 9).mask(64, 48)
    lesion = Lesion(1, 1, mask, MALIGNANT, measure(mask, None))
    frame = FrameResult(1, MALIGNANT, (lesion,), 0)
    pixels = mask.astype("uint8")
    clean = CleanFrame(1, pixels, Box(0, 64, 0, 48), None, (), ~mask)
    image = ImageResult(reference, Status.ANALYSED, None, (frame,), clean)
    # Whatever is not valid is refused by encode_study itself.
    objects = encode_study(
        study(image),
        {"1.2.3.4.5": found},
        templates=templates,
        settings=ResultSettings(),
        made_at=MADE_AT,
    )
    assert len(read_back([one.dataset for one in objects]).lesions) == 1
    for one in objects:
        one.dataset.save_as(Path("/dev/null"), enforce_file_format=True, overwrite=True)
