from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from pydicom.dataset import Dataset
from pydicom.uid import (
    ColorSoftcopyPresentationStateStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    UltrasoundMultiFrameImageStorage,
)

from cad_node.encode import Templates, derive_uid
from cad_node.encode.icc import srgb_input_profile
from cad_node.settings import ResultSettings
from cad_node.variants import Variant
from tests.factories import Ellipse, us_cine, us_image
from tests.results import BENIGN, LARGE, MALIGNANT, SMALL, Drawn, analysed, study
from tests.unit.encode.encoding import encode

VARIANT = Variant("presentation_state")
TWO = {1: [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]}


def state(source: Dataset, drawn: Drawn, templates: Templates) -> Dataset:
    (made,) = encode(study(analysed(source, drawn)), [source], templates, variants=[VARIANT])
    return made.dataset


@pytest.mark.parametrize(
    ("photometric", "sop_class"),
    [
        ("MONOCHROME2", GrayscaleSoftcopyPresentationStateStorage),
        ("RGB", ColorSoftcopyPresentationStateStorage),
        ("YBR_FULL", ColorSoftcopyPresentationStateStorage),
        ("PALETTE COLOR", ColorSoftcopyPresentationStateStorage),
    ],
)
def test_a_colour_source_has_a_colour_presentation_state(
    photometric: str, sop_class: str, templates: Templates
) -> None:
    made = state(us_image(photometric=photometric), TWO, templates)
    assert made.SOPClassUID == sop_class
    assert ("ICCProfile" in made) == (sop_class == ColorSoftcopyPresentationStateStorage)


def test_each_lesion_has_a_layer_with_its_outline_and_its_label(templates: Templates) -> None:
    source = us_image()
    made = state(source, TWO, templates)
    assert [layer.GraphicLayer for layer in made.GraphicLayerSequence] == ["LESION_1", "LESION_2"]
    first, second = made.GraphicAnnotationSequence
    assert (first.GraphicLayer, second.GraphicLayer) == ("LESION_1", "LESION_2")
    assert first.TextObjectSequence[0].UnformattedTextValue == "Lesion 1: malignant, 80.0 %\r\n9.1 x 6.1 mm"
    outline = first.GraphicObjectSequence[0]
    assert outline.TrackingUID == derive_uid("lesion", source.SOPInstanceUID, "1")
    points = np.array(outline.GraphicData).reshape(-1, 2)
    # The drawn ellipse, in coordinates that count from the corner of the first pixel.
    assert points.mean(axis=0) == pytest.approx([LARGE.column + 0.5, LARGE.row + 0.5], abs=0.5)
    assert np.ptp(points, axis=0) == pytest.approx([2 * LARGE.column_radius, 2 * LARGE.row_radius], abs=1.5)


def test_in_a_loop_each_frame_has_the_outlines_that_it_shows(templates: Templates) -> None:
    source = us_cine(frames=4)
    drawn = {1: [(1, LARGE, BENIGN)], 3: [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]}
    made = state(source, drawn, templates)
    shown = [
        (item.GraphicLayer, item.ReferencedImageSequence[0].ReferencedFrameNumber)
        for item in made.GraphicAnnotationSequence
    ]
    assert shown == [("LESION_1", 1), ("LESION_1", 3), ("LESION_2", 3)]
    classes = {
        item.ReferencedImageSequence[0].ReferencedSOPClassUID for item in made.GraphicAnnotationSequence
    }
    assert classes == {UltrasoundMultiFrameImageStorage}


@pytest.mark.parametrize(
    "shape", [Ellipse(5, 160, 5, 60), Ellipse(234, 310, 5, 9), Ellipse(119, 159, 118, 158)]
)
def test_a_label_stays_inside_the_image(shape: Ellipse, templates: Templates) -> None:
    made = state(us_image(), {1: [(1, shape, MALIGNANT)]}, templates)
    text = made.GraphicAnnotationSequence[0].TextObjectSequence[0]
    left, top = text.BoundingBoxTopLeftHandCorner
    right, bottom = text.BoundingBoxBottomRightHandCorner
    assert 0 <= left < right <= 320
    assert 0 <= top < bottom <= 240


def test_the_source_is_shown_as_it_asks_to_be(templates: Templates) -> None:
    attributes: dict[str, Any] = {
        "WindowCenter": [100, 50], "WindowWidth": [180, 60], "PixelAspectRatio": [2, 1],
        "RescaleSlope": 2, "RescaleIntercept": -4,
    }  # fmt: skip
    made = state(us_image(attributes=attributes), TWO, templates)
    window = made.SoftcopyVOILUTSequence[0]
    assert (window.WindowCenter, window.WindowWidth) == (100, 180)
    assert (made.RescaleSlope, made.RescaleIntercept) == (2, -4)
    assert made.DisplayedAreaSelectionSequence[0].PresentationPixelAspectRatio == [2, 1]
    assert made.PresentationLUTShape == "IDENTITY"


@pytest.mark.parametrize(
    "attributes",
    [
        {"WindowCenter": 100},
        {"WindowCenter": [], "WindowWidth": []},
        {"WindowCenter": 100, "WindowWidth": 0},
        {"RescaleSlope": 2},
        {"RescaleSlope": 0, "RescaleIntercept": 1},
    ],
)
def test_half_a_window_is_none(attributes: dict[str, Any], templates: Templates) -> None:
    made = state(us_image(attributes=attributes), TWO, templates)
    assert "SoftcopyVOILUTSequence" not in made
    assert "RescaleSlope" not in made


@pytest.mark.parametrize(
    "attributes",
    [
        {"PixelAspectRatio": [1]},
        {"PixelAspectRatio": ["2", ""]},
        {"WindowCenter": ["", "100"], "WindowWidth": ["", "200"]},
        {"RescaleSlope": ["1", "1"], "RescaleIntercept": ["0", "0"]},
    ],
)
def test_a_value_too_few_or_too_many_costs_no_state(attributes: dict[str, Any], templates: Templates) -> None:
    made = state(us_image(attributes=attributes), TWO, templates)
    assert made.DisplayedAreaSelectionSequence[0].PresentationPixelAspectRatio == [1, 1]


def test_a_source_of_reversed_grey_stays_reversed(templates: Templates) -> None:
    source = us_image()
    source.PhotometricInterpretation = "MONOCHROME1"
    assert state(source, TWO, templates).PresentationLUTShape == "INVERSE"


def _table(entries: list[int], bits: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), 0, bits])
    item.add_new("LUTData", "US", entries)
    item.ModalityLUTType = "US"
    return item


def test_tables_of_the_source_are_repeated(templates: Templates) -> None:
    source = us_image(
        attributes={
            "ModalityLUTSequence": [_table(list(range(255, -1, -1)), 8)],
            "VOILUTSequence": [_table([16 * one for one in range(256)], 12)],
            "WindowCenter": 100, "WindowWidth": 50,
        }
    )  # fmt: skip
    made = state(source, TWO, templates)
    modality, voi = made.ModalityLUTSequence[0], made.SoftcopyVOILUTSequence[0].VOILUTSequence[0]
    assert list(modality.LUTDescriptor) == [256, 0, 8]
    assert list(modality.LUTData[:3]) == [255, 254, 253]
    assert list(voi.LUTDescriptor) == [256, 0, 16]
    assert np.frombuffer(voi.LUTData, "<u2")[[0, 255]].tolist() == [0, round(16 * 255 * 65535 / 4095)]
    assert "WindowCenter" not in made.SoftcopyVOILUTSequence[0]


@pytest.mark.parametrize("function", ["SIGMOID", "LINEAR_EXACT"])
def test_the_function_of_a_window_is_repeated(function: str, templates: Templates) -> None:
    attributes = {"WindowCenter": "0.5", "WindowWidth": "0.75", "VOILUTFunction": function}
    (window,) = state(us_image(attributes=attributes), TWO, templates).SoftcopyVOILUTSequence
    assert (window.WindowWidth, window.VOILUTFunction) == (0.75, function)


def test_a_source_that_asks_for_reversed_grey_is_shown_so(templates: Templates) -> None:
    source = us_image(attributes={"PresentationLUTShape": "INVERSE"})
    assert state(source, TWO, templates).PresentationLUTShape == "INVERSE"


def test_all_states_of_a_study_are_one_series(templates: Templates) -> None:
    first = us_image(instance_number=1)
    second = us_image(instance_number=2, study_instance_uid=first.StudyInstanceUID)
    made = encode(
        study(*(analysed(one, TWO) for one in (first, second))),
        [first, second],
        templates,
        variants=[VARIANT],
        settings=ResultSettings(presentation_state_series_number=77),
    )
    assert len({one.dataset.SeriesInstanceUID for one in made}) == 1
    assert [(one.dataset.SeriesNumber, one.dataset.InstanceNumber) for one in made] == [(77, 1), (77, 2)]


def test_the_profile_is_an_input_profile_that_changes_no_colour_of_srgb() -> None:
    content = srgb_input_profile()
    assert int.from_bytes(content[:4], "big") == len(content)
    profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
    assert profile.profile.device_class == "scnr"  # type: ignore[attr-defined]
    colours = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    moved = ImageCms.profileToProfile(
        Image.fromarray(colours),
        profile,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert np.abs(np.asarray(moved).astype(int) - colours).max() <= 1
