from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from cad_node.deliver.objects import ResultObject, result_objects
from cad_node.errors import DestinationRefusedError
from cad_node.variants import Variant
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


SEG, SR, PDF = Variant("seg"), Variant("sr", sr_class="enhanced"), Variant("pdf")


def made(folder: Path, *variants: Variant) -> None:
    """Results as the encoder leaves them: an object of each variant but the PDF."""
    objects = []
    for number, variant in enumerate((SEG, SR), start=1):
        write_object(folder / f"{variant.kind}.dcm", "1.2.3", f"1.2.3.{number}")
        objects.append({"file": f"{variant.kind}.dcm", "variant": variant.name})
    content = {"variants": [variant.name for variant in variants], "objects": objects}
    (folder / "result.json").write_text(json.dumps(content))


def test_only_what_is_wanted_is_sent(tmp_path: Path) -> None:
    made(tmp_path, SEG, SR)
    assert [item.path.name for item in result_objects(tmp_path, [SR])] == ["sr.dcm"]
    assert [item.path.name for item in result_objects(tmp_path)] == ["seg.dcm", "sr.dcm"]


def test_a_kind_that_a_study_has_none_of_is_nothing_to_send(tmp_path: Path) -> None:
    made(tmp_path, SEG, SR, PDF)
    assert result_objects(tmp_path, [PDF]) == []


def test_what_was_not_made_is_named(tmp_path: Path) -> None:
    made(tmp_path, SEG, SR)
    with pytest.raises(DestinationRefusedError, match="without 'pdf'"):
        result_objects(tmp_path, [PDF, SR])
