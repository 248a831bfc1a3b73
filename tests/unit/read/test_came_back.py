"""What a PACS sends back is told from what a scanner or a radiologist sends."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from cad_node.codes import PRIVATE_SCHEME
from cad_node.domain import ReceivedInstance
from cad_node.read.came_back import is_own_capture, is_verified
from tests.answers import report
from tests.factories import us_image, write


def capture(*, own: bool) -> Dataset:
    dataset = us_image()
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    if own:
        scheme = Dataset()
        scheme.CodingSchemeDesignator = PRIVATE_SCHEME
        dataset.CodingSchemeIdentificationSequence = [scheme]
    return dataset


def received(content: bytes | Path, sop_class: str, syntax: str = ExplicitVRLittleEndian) -> ReceivedInstance:
    return ReceivedInstance("1.2", "1.2.3", "1.2.3.4", sop_class, syntax, "PACS", content)


def asked(dataset: Dataset, folder: Path) -> bool:
    path = write(dataset, folder)
    syntax = dataset.file_meta.TransferSyntaxUID
    answers = {
        is_own_capture(received(given, dataset.SOPClassUID, syntax)) for given in (path, path.read_bytes())
    }
    assert len(answers) == 1
    return answers.pop()


def test_a_capture_that_declares_the_scheme_of_the_node_is_its_own(tmp_path: Path) -> None:
    assert asked(capture(own=True), tmp_path)
    assert not asked(capture(own=False), tmp_path)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_it_is_found_in_every_transfer_syntax(syntax: UID, tmp_path: Path) -> None:
    dataset = capture(own=True)
    dataset.file_meta.TransferSyntaxUID = syntax
    assert asked(dataset, tmp_path)


def test_of_a_bomb_only_the_beginning_is_unpacked(tmp_path: Path) -> None:
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 200_000
    sequence = b"\0" * 144 + struct.pack("<HH2sHI", 0x0008, 0x0110, b"SQ", 0, len(items)) + items
    deflated = capture(own=True)
    deflated.PixelData = bytes(50_000_000)
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = write(deflated, tmp_path)
    tracemalloc.start()
    try:
        assert not is_own_capture(received(sequence, SecondaryCaptureImageStorage))
        assert is_own_capture(received(path, SecondaryCaptureImageStorage, DeflatedExplicitVRLittleEndian))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("flag", ["VERIFIED", "UNVERIFIED"])
def test_a_report_is_verified_by_its_flag(flag: str, tmp_path: Path) -> None:
    dataset = report("1.2.3", "1.2.3.9.2", {}, verified=flag == "VERIFIED")
    assert is_verified(received(write(dataset, tmp_path), dataset.SOPClassUID)) is (flag == "VERIFIED")


def test_an_ultrasound_image_is_never_its_own(tmp_path: Path) -> None:
    dataset = capture(own=True)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = us_image().SOPClassUID
    assert not asked(dataset, tmp_path)


@pytest.mark.parametrize("damage", [b"", b"no DICOM", b"\0" * 128 + b"DICM" + b"\xff" * 40])
def test_what_cannot_be_read_is_nothing_of_its_own(damage: bytes) -> None:
    assert not is_own_capture(received(damage, SecondaryCaptureImageStorage))
    assert not is_verified(received(damage, ComprehensiveSRStorage))
