from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from cad_node.domain import NotAnalysed
from cad_node.read import gate
from cad_node.read.gate import LARGEST_PIXELS
from tests.factories import (
    CM_PER_SECOND,
    COLOUR_FLOW,
    CW_SPECTRAL,
    ECG_TRACE,
    M_MODE,
    PW_SPECTRAL,
    SECONDS,
    SPECTRAL,
    WAVEFORM,
    region,
    us_cine,
    us_image,
)

BOX = (28, 236, 20, 300)


def reason(dataset: Dataset, **options: Any) -> NotAnalysed | None:
    refusal = gate(dataset, **options)
    return refusal.reason if refusal else None


@pytest.mark.parametrize("dummy", [False, True])
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "RGB"])
def test_a_plain_b_mode_image_passes(photometric: str, *, dummy: bool) -> None:
    assert gate(us_image(photometric=photometric, dummy_first_region=dummy)) is None
    assert gate(us_cine(photometric=photometric, dummy_first_region=dummy)) is None


def test_an_image_without_regions_passes() -> None:
    assert gate(us_image(regions=())) is None


def test_an_image_with_nothing_but_a_dummy_region_passes() -> None:
    assert gate(us_image(regions=(), dummy_first_region=True)) is None


@pytest.mark.parametrize("uid", ["1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.3"])
def test_the_retired_ultrasound_classes_pass(uid: str) -> None:
    assert gate(us_image(attributes={"SOPClassUID": uid})) is None


def test_secondary_capture_passes_only_as_ultrasound() -> None:
    capture = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}
    assert gate(us_image(attributes=capture)) is None
    assert reason(us_image(attributes={**capture, "Modality": "OT"})) == NotAnalysed.NOT_ULTRASOUND
    assert reason(us_image(attributes={**capture, "Modality": None})) == NotAnalysed.NOT_ULTRASOUND


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, NotAnalysed.NOT_ULTRASOUND),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33"}, NotAnalysed.NOT_ULTRASOUND),
        ({"Modality": "IVUS"}, NotAnalysed.NOT_ULTRASOUND),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.2"}, NotAnalysed.NOT_TWO_DIMENSIONAL),
        ({"Modality": "CD"}, NotAnalysed.COLOUR_DOPPLER),
        ({"Modality": "DD"}, NotAnalysed.SPECTRAL_DOPPLER),
        ({"PixelData": None}, NotAnalysed.NO_PIXEL_DATA),
        ({"PixelData": b""}, NotAnalysed.NO_PIXEL_DATA),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "BREAST", "0011"]}, NotAnalysed.COLOUR_DOPPLER),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "BREAST", "0100"]}, NotAnalysed.COLOUR_DOPPLER),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "BREAST", "0003"]}, NotAnalysed.M_MODE),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "BREAST", "0009"]}, NotAnalysed.SPECTRAL_DOPPLER),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "BREAST", "0019"]}, NotAnalysed.SPECTRAL_DOPPLER),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "BREAST", "0040"]}, NotAnalysed.NOT_TWO_DIMENSIONAL),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "BREAST", "0201"]}, NotAnalysed.ELASTOGRAPHY),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "ELASTO"]}, NotAnalysed.ELASTOGRAPHY),
        ({"SeriesDescription": "Breast shear-wave"}, NotAnalysed.ELASTOGRAPHY),
        ({"SeriesDescription": "SWE left"}, NotAnalysed.ELASTOGRAPHY),
        ({"Rows": 0}, NotAnalysed.UNDECODABLE),
        ({"Columns": None}, NotAnalysed.UNDECODABLE),
        ({"NumberOfFrames": 0}, NotAnalysed.UNDECODABLE),
        ({"NumberOfFrames": LARGEST_PIXELS}, NotAnalysed.UNDECODABLE),
        ({"SamplesPerPixel": 4}, NotAnalysed.UNDECODABLE),
        ({"BitsAllocated": 64}, NotAnalysed.UNDECODABLE),
    ],
)
def test_a_header_is_refused_for_its_reason(attributes: dict[str, Any], expected: NotAnalysed) -> None:
    assert reason(us_image(attributes=attributes)) == expected


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "SMALL PARTS", "0401"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "BREAST", "SCAN"]},
        {"ImageType": ["ORIGINAL"]},
        {"UltrasoundColorDataPresent": 1},  # set for a blue banner as well
        {
            "SeriesDescription": "US breast with elastography",
            "StudyDescription": "US breast with elastography",
        },
        {"SeriesDescription": "Restrained, sweet"},
        {"Modality": None},
        {"NumberOfFrames": None},
    ],
)
def test_what_only_resembles_a_reason_passes(attributes: dict[str, Any]) -> None:
    assert gate(us_image(attributes=attributes)) is None


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"data_type": COLOUR_FLOW}, NotAnalysed.COLOUR_DOPPLER),
        (
            {"spatial_format": SPECTRAL, "data_type": PW_SPECTRAL, "units_y": CM_PER_SECOND},
            NotAnalysed.SPECTRAL_DOPPLER,
        ),
        ({"spatial_format": SPECTRAL, "data_type": CW_SPECTRAL}, NotAnalysed.SPECTRAL_DOPPLER),
        ({"spatial_format": M_MODE, "units_x": SECONDS}, NotAnalysed.M_MODE),
    ],
)
def test_a_mixed_image_is_refused_although_a_b_mode_picture_is_there(
    extra: dict[str, Any], expected: NotAnalysed
) -> None:
    other = region((150, 236, 20, 300), **extra)
    assert reason(us_image(regions=[region((28, 140, 20, 300)), other])) == expected


def test_an_ecg_beside_the_picture_is_no_reason() -> None:
    ecg = region((200, 236, 20, 300), spatial_format=WAVEFORM, data_type=ECG_TRACE, units_x=SECONDS)
    assert gate(us_image(regions=[region(BOX), ecg])) is None


def test_regions_without_any_tissue_are_a_reason() -> None:
    ecg = region(BOX, spatial_format=WAVEFORM, data_type=ECG_TRACE, units_x=SECONDS)
    assert reason(us_image(regions=[ecg])) == NotAnalysed.NO_TISSUE_REGION


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.1.2.4.100",
        "1.2.840.10008.1.2.4.102",
        "1.2.840.10008.1.2.4.106.1",
        "1.2.840.10008.1.2.4.107",
        "1.2.840.10008.1.2.7.1",
    ],
)
def test_video_is_refused_as_video(uid: str) -> None:
    image = us_cine()
    image.file_meta.TransferSyntaxUID = UID(uid)
    assert reason(image) == NotAnalysed.VIDEO


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.1.2.4.94",  # JPIP
        "1.2.840.10008.1.2.4.110",  # JPEG XL lossless
        "1.2.3.4",
    ],
)
def test_a_transfer_syntax_without_decoder_is_undecodable(uid: str) -> None:
    image = us_image()
    image.file_meta.TransferSyntaxUID = UID(uid)
    assert reason(image) == NotAnalysed.UNDECODABLE


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"BodyPartExamined": "BREAST"}, None),
        ({"BodyPartExamined": "AXILLA"}, None),
        ({"BodyPartExamined": None}, None),
        ({"BodyPartExamined": "KIDNEY"}, NotAnalysed.OTHER_BODY_PART),
        (
            {"BodyPartExamined": None, "ImageType": ["ORIGINAL", "PRIMARY", "RENAL"]},
            NotAnalysed.OTHER_BODY_PART,
        ),
        ({"BodyPartExamined": None, "ImageType": ["ORIGINAL", "PRIMARY", "SMALL PARTS"]}, None),
    ],
)
def test_other_body_parts_are_refused_only_when_asked(
    attributes: dict[str, Any], expected: NotAnalysed | None
) -> None:
    image = us_image(attributes=attributes)
    assert reason(image, breast_only=True) == expected
    assert reason(image) is None


def test_a_coded_body_part_is_understood() -> None:
    for code, expected in (("76752008", None), ("64033007", NotAnalysed.OTHER_BODY_PART)):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "SCT", "a part"
        image = us_image(attributes={"BodyPartExamined": None, "AnatomicRegionSequence": [item]})
        assert reason(image, breast_only=True) == expected


def test_a_refusal_quotes_nothing_that_was_typed_in() -> None:
    for keyword in ("SeriesDescription", "BodyPartExamined"):
        refusal = gate(us_image(attributes={keyword: "DOE ELASTO"}), breast_only=True)
        assert refusal is not None
        assert "DOE" not in refusal.detail
