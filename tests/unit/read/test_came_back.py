"""What a PACS sends back is told from what a scanner or a radiologist sends."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, SecondaryCaptureImageStorage

from cad_node.codes import PRIVATE_SCHEME
from cad_node.read.came_back import is_own_capture, is_verified
from tests.factories import us_image, write


def capture(*, own: bool) -> Dataset:
    dataset = us_image()
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    if own:
        scheme = Dataset()
        scheme.CodingSchemeDesignator = PRIVATE_SCHEME
        dataset.CodingSchemeIdentificationSequence = [scheme]
    return dataset


def asked(dataset: Dataset, folder: Path) -> bool:
    path = write(dataset, folder)
    answers = {is_own_capture(dataset.SOPClassUID, given) for given in (path, path.read_bytes())}
    assert len(answers) == 1
    return answers.pop()


def test_a_capture_that_declares_the_scheme_of_the_node_is_its_own(tmp_path: Path) -> None:
    assert asked(capture(own=True), tmp_path)
    assert not asked(capture(own=False), tmp_path)


def test_it_is_found_in_a_deflated_data_set_too(tmp_path: Path) -> None:
    dataset = capture(own=True)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert asked(dataset, tmp_path)


def test_an_ultrasound_image_is_never_its_own(tmp_path: Path) -> None:
    dataset = capture(own=True)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = us_image().SOPClassUID
    assert not asked(dataset, tmp_path)


@pytest.mark.parametrize("damage", [b"", b"no DICOM", b"\0" * 128 + b"DICM" + b"\xff" * 40])
def test_what_cannot_be_read_is_nothing_of_its_own(damage: bytes) -> None:
    assert not is_own_capture(SecondaryCaptureImageStorage, damage)
    assert not is_verified(damage)
