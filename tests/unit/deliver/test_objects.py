from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from cad_node.deliver.objects import ResultObject, result_objects
from cad_node.errors import DestinationRefusedError
from tests.unit.jobs.stubs import SEG_STORAGE, SR_STORAGE, write_object


def test_what_is_referred_to_comes_first(tmp_path: Path) -> None:
    for name in ("sr.dcm", "seg-002.dcm", "seg-001.dcm"):
        write_object(tmp_path / name, "1.2.3", "1.2.3.4", SEG_STORAGE)

    names = [item.path.name for item in result_objects(tmp_path)]

    assert names == ["seg-001.dcm", "seg-002.dcm", "sr.dcm"]


def test_an_object_is_known_by_its_file_meta_information(tmp_path: Path) -> None:
    path = write_object(tmp_path / "sr.dcm", "1.2.3", "1.2.3.4")

    assert result_objects(tmp_path) == [ResultObject(path, SR_STORAGE, "1.2.3.4", ExplicitVRLittleEndian)]


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 128 + b"DICM", b"\0" * 400])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sr.dcm").write_bytes(content)

    with pytest.raises(DestinationRefusedError, match=r"sr\.dcm is not a DICOM file"):
        result_objects(tmp_path)
