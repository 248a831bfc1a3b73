from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from cad_node.errors import StudyError
from cad_node.read import headers, read_header, read_headers
from tests.factories import us_image, write


def test_header_has_no_pixels_private_or_overlay_elements(tmp_path: Path) -> None:
    image = us_image()
    image.private_block(0x0011, "Vendor", create=True).add_new(1, "LO", "secret")
    image.add_new(0x60000010, "US", 240)
    header = read_header(write(image, tmp_path))
    assert "PixelData" not in header
    assert not any(element.tag.is_private or element.tag.group >= 0x5000 for element in header)


def test_header_tells_whether_pixels_follow(tmp_path: Path) -> None:
    assert headers.load_header(write(us_image(), tmp_path)).has_pixel_data
    without = us_image(attributes={"PixelData": None})
    assert not headers.load_header(write(without, tmp_path)).has_pixel_data
    empty = us_image(attributes={"PixelData": b""})
    assert not headers.load_header(write(empty, tmp_path)).has_pixel_data


@pytest.mark.parametrize(
    ("written", "read"),
    [("1997.04.24", "19970424"), ("19970424", "19970424"), ("yesterday", ""), ("", "")],
)
def test_dates_are_dates_or_empty(tmp_path: Path, written: str, read: str) -> None:
    path = write(us_image(attributes={"StudyDate": "19990101"}), tmp_path)
    _replace(path, b"DA\x08\x0019990101", b"DA" + struct.pack("<H", _even(written)) + _padded(written))
    assert read_header(path).StudyDate == read


@pytest.mark.parametrize(
    ("written", "read"), [("11:20:00", "112000"), ("112000.123", "112000.123"), ("noon", "")]
)
def test_times_are_times_or_empty(tmp_path: Path, written: str, read: str) -> None:
    path = write(us_image(attributes={"StudyTime": "010203"}), tmp_path)
    _replace(path, b"TM\x06\x00010203", b"TM" + struct.pack("<H", _even(written)) + _padded(written))
    assert read_header(path).StudyTime == read


def test_attributes_that_cannot_be_converted_are_dropped_without_a_warning(tmp_path: Path) -> None:
    path = write(us_image(series_number=7777), tmp_path)
    _replace(path, b"IS\x04\x007777", b"IS\x04\x00A\xff/7")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        header = read_header(path)
    assert "SeriesNumber" not in header


def test_a_date_that_is_none_is_not_quoted_in_a_warning(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = write(us_image(patient_birth_date="19700101"), tmp_path)
    _replace(path, b"DA\x08\x0019700101", b"DA\x08\x00JANE DOE")
    assert read_header(path).PatientBirthDate == ""
    assert len(recwarn) == 0


def test_patient_data_is_kept_as_it_is(tmp_path: Path) -> None:
    header = read_header(write(us_image(patient_name="Müller^Änne", patient_id=" 0 1"), tmp_path))
    assert header.PatientName == "Müller^Änne"
    assert header.PatientID == " 0 1"


@pytest.mark.parametrize(
    "keyword", ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"]
)
@pytest.mark.parametrize("value", [b"../../../etc/passwd ", b"1.2.a", b""])
def test_identifiers_that_are_no_uids_are_refused(tmp_path: Path, keyword: str, value: bytes) -> None:
    image = us_image()
    path = write(image, tmp_path)
    uid = str(image[keyword].value).encode()
    content = path.read_bytes()
    padded = uid + b"\0" * (len(uid) % 2)
    new = value.ljust(len(padded), b"/" if value else b"\0")
    path.write_bytes(content.replace(padded, new))  # in the meta information as well
    with pytest.raises(StudyError, match=keyword):
        read_header(path)


def test_identifiers_missing_in_the_data_set_are_taken_from_the_meta_information(tmp_path: Path) -> None:
    image = us_image(sop_instance_uid="1.2.3.4")
    del image.SOPInstanceUID
    path = write(image, tmp_path, "without.dcm")
    assert read_header(path).SOPInstanceUID == "1.2.3.4"


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_file_without_meta_information_is_read(tmp_path: Path, syntax: str) -> None:
    image = us_image(transfer_syntax=syntax)
    path = write(image, tmp_path)
    content = path.read_bytes()
    length = struct.unpack_from("<I", content, 140)[0]
    path.write_bytes(content[144 + length :])
    header = read_header(path)
    assert header.SOPInstanceUID == image.SOPInstanceUID
    assert headers.transfer_syntax_of(header) == syntax


def test_a_deflated_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "LARGEST_INFLATED_BYTES", 2**20)
    path = write(us_image(transfer_syntax=DeflatedExplicitVRLittleEndian), tmp_path)
    assert read_header(path).Rows == 240
    content = path.read_bytes()
    length = struct.unpack_from("<I", content, 140)[0]
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = deflate.compress(b"\0" * 2**22) + deflate.flush()
    path.write_bytes(content[: 144 + length] + bomb)
    with pytest.raises(StudyError, match="too large"):
        read_header(path)


@pytest.mark.parametrize("content", [b"", b"DICM", b"%PDF-1.7", b"\0" * 128 + b"DICM"])
def test_what_is_no_dicom_file_is_a_study_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(StudyError):
        read_header(path)


def test_headers_are_keyed_by_instance_and_unreadable_files_left_out(tmp_path: Path) -> None:
    first, second = us_image(), us_image()
    bad = tmp_path / "bad.dcm"
    bad.write_bytes(b"no")
    read = read_headers([write(first, tmp_path), bad, tmp_path / "absent", write(second, tmp_path)])
    assert list(read) == [first.SOPInstanceUID, second.SOPInstanceUID]


def test_accessors_answer_for_broken_values() -> None:
    image = us_image(attributes={"Rows": None, "ImageType": ["A", " B "]})
    assert headers.integer(image, "Rows") is None
    assert headers.number(image, "PatientName") is None
    assert headers.items(image, "PatientName") == []
    assert headers.texts(image, "ImageType") == ["A", "B"]
    assert headers.text(image, "Rows") == ""


def _even(value: str) -> int:
    return len(value) + len(value) % 2


def _padded(value: str) -> bytes:
    return value.encode().ljust(_even(value))


def _replace(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
