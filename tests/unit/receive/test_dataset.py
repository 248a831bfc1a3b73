import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from cad_node.domain import is_valid_uid
from cad_node.errors import UnreadableDatasetError
from cad_node.receive.dataset import Identity, read_identity
from tests.factories import us_image
from tests.receiving import dataset_bytes, without_meta

MAXIMUM = 50_000_000
SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
]


def _image(**options):
    return us_image(rows=32, columns=48, **options)


def _identity(image: Dataset) -> Identity:
    return Identity(image.SOPClassUID, image.SOPInstanceUID, image.StudyInstanceUID, image.SeriesInstanceUID)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_uids_are_read_in_every_encoding(syntax):
    image = _image(transfer_syntax=syntax)

    assert read_identity(dataset_bytes(image), syntax, MAXIMUM) == _identity(image)


@pytest.mark.parametrize("missing", [1, 2, 7, 8, 9, 40, 150])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_a_data_set_cut_within_its_pixels_is_refused(syntax, missing):
    encoded = dataset_bytes(_image(transfer_syntax=syntax))
    # A deflate stream may be followed by one byte that is no part of it (PS3.5 A.5).
    missing += syntax == DeflatedExplicitVRLittleEndian

    with pytest.raises(UnreadableDatasetError):
        read_identity(encoded[:-missing], syntax, MAXIMUM)


@pytest.mark.parametrize(
    "name", ["bad_sequence.dcm", "UN_sequence.dcm", "nested_priv_SQ.dcm", "MR_truncated.dcm", "CT_small.dcm"]
)
def test_odd_files_of_pydicom_end_in_uids_or_in_a_refusal(name):
    path = Path(get_testdata_file(name))
    content = path.read_bytes()
    syntax = dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID

    if name == "CT_small.dcm":
        assert read_identity(without_meta(content), syntax, MAXIMUM).sop_instance_uid.startswith("1.")
    else:
        with pytest.raises(UnreadableDatasetError):
            read_identity(without_meta(content), syntax, MAXIMUM)


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES[:3], ids=lambda uid: uid.name)
def test_nested_sequences_are_stepped_over_without_taking_their_uids(syntax, undefined):
    image = _image(transfer_syntax=syntax)
    inner, outer = Dataset(), Dataset()
    inner.StudyInstanceUID = "1.2.3.4"
    outer.ReferencedImageSequence = Sequence([inner, inner])
    image.ReferencedStudySequence = Sequence([outer])
    for dataset, keyword in ((outer, "ReferencedImageSequence"), (image, "ReferencedStudySequence")):
        dataset[keyword].is_undefined_length = undefined
        for item in dataset[keyword].value:
            item.is_undefined_length_sequence_item = undefined

    assert read_identity(dataset_bytes(image), syntax, MAXIMUM) == _identity(image)


def test_unknown_vr_of_undefined_length_holds_implicit_vr():
    image = _image()
    item = struct.pack("<HHI", 0x0008, 0x0100, 4) + b"ABCD"
    private = struct.pack("<HH2sHI", 0x0009, 0x1010, b"UN", 0, 0xFFFFFFFF)
    private += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + item
    private += struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)

    assert read_identity(private + dataset_bytes(image), ExplicitVRLittleEndian, MAXIMUM) == _identity(image)


@pytest.mark.parametrize(
    "keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
)
def test_a_missing_uid_is_named_in_the_refusal(keyword):
    image = _image()
    encoded = dataset_bytes(image)
    value = str(image[keyword].value)
    padded = value.encode() + b"\0" * (len(value) % 2)

    broken = encoded.replace(padded, b"x" * len(padded), 1)
    with pytest.raises(UnreadableDatasetError, match="UID is not a valid UID"):
        read_identity(broken, ExplicitVRLittleEndian, MAXIMUM)

    delattr(image, "SeriesInstanceUID")
    with pytest.raises(UnreadableDatasetError, match="lacks Series Instance UID"):
        read_identity(dataset_bytes(image), ExplicitVRLittleEndian, MAXIMUM)


@pytest.mark.parametrize(
    "uid",
    [
        "",
        "1.",
        ".1",
        "1..2",
        "-1.2",
        "1.2a",
        "../../etc",
        "1.2/3",
        "1.2\n",
        "١.٢",
        "1." + "2" * 63,
        "1.2 ",
    ],
)
def test_what_is_no_uid_is_not_taken_for_one(uid):
    assert not is_valid_uid(uid)


@pytest.mark.parametrize("uid", ["1.2", "0.0", "2.25.123", "1." + "2" * 62])
def test_uids_of_the_standard_are_valid(uid):
    assert is_valid_uid(uid)


@pytest.mark.parametrize("uid", ["1.02", "02.25.1", "3.1", "1", "1.2.840.0113619.2.05"])
def test_uids_that_only_break_a_rule_are_taken_as_they_are(uid):
    assert is_valid_uid(uid)


def test_file_meta_information_within_the_data_set_is_refused():
    meta = struct.pack("<HH2sHI", 2, 0, b"UL", 4, 0)

    with pytest.raises(UnreadableDatasetError):
        read_identity(meta + dataset_bytes(_image()), ExplicitVRLittleEndian, MAXIMUM)


def test_a_deflated_data_set_may_not_grow_beyond_the_limit():
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    image = _image(transfer_syntax=DeflatedExplicitVRLittleEndian)
    plain = zlib.decompress(dataset_bytes(image), -zlib.MAX_WBITS)
    bomb = compressor.compress(plain + bytes(60_000_000)) + compressor.flush()

    assert len(bomb) < 200_000
    with pytest.raises(UnreadableDatasetError, match="larger"):
        read_identity(bomb, DeflatedExplicitVRLittleEndian, MAXIMUM)


def test_nesting_without_end_is_refused():
    sequence = struct.pack("<HHI", 0x0008, 0x1110, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )

    with pytest.raises(UnreadableDatasetError, match="nested"):
        read_identity(sequence * 5000, ImplicitVRLittleEndian, MAXIMUM)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(SYNTAXES))
def test_any_bytes_end_in_a_refusal(content, syntax):
    with pytest.raises(UnreadableDatasetError):
        read_identity(content, syntax, MAXIMUM)


_WHOLE = {syntax: dataset_bytes(_image(transfer_syntax=syntax)) for syntax in SYNTAXES}


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(SYNTAXES),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_a_damaged_data_set_ends_in_uids_or_in_a_refusal(syntax, damages):
    content = bytearray(_WHOLE[syntax])
    for place, value in damages:
        content[int(place * min(len(content), 1200))] = value

    try:
        identity = read_identity(bytes(content), syntax, MAXIMUM)
    except UnreadableDatasetError:
        return
    assert all(is_valid_uid(uid) for uid in vars(identity).values())
