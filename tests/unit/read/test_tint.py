from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cad_node.domain import Box, NotAnalysed
from cad_node.read import gate_pixels
from tests.factories import Text, draw_texts, paint_flow, speckle
from tests.pixel_data import jpeg

TISSUE = Box(48, 472, 40, 600)


def picture(seed: int = 0) -> NDArray[np.uint8]:
    grey = speckle(480, 640, tissue_box=(48, 472, 40, 600), seed=seed)
    return np.repeat(grey[..., None], 3, axis=-1)


def overlay(share: float) -> NDArray[np.uint8]:
    """B-mode with a rainbow map over the given share of the tissue's height."""
    pixels = picture()
    part = pixels[48 : 48 + int(424 * share), 40:600]
    stiffness = np.tile(np.linspace(0, 255, part.shape[1]), (part.shape[0], 1)).astype(np.uint8)
    rainbow = cv2.applyColorMap(stiffness, cv2.COLORMAP_JET)[..., ::-1]
    part[:] = (part * 0.4 + rainbow * 0.6).astype(np.uint8)
    return pixels


@pytest.mark.parametrize("tissue", [TISSUE, None])
def test_grey_pictures_pass(tissue: Box | None) -> None:
    assert gate_pixels(picture(), tissue) is None
    assert gate_pixels(picture()[..., 0], tissue) is None


@pytest.mark.parametrize("tissue", [TISSUE, None])
@pytest.mark.parametrize("height", [60, 160, 400])
def test_flow_is_colour_doppler(height: int, tissue: Box | None) -> None:
    pixels = paint_flow(picture(), (60, 60 + height, 200, 360))
    refusal = gate_pixels(pixels, tissue)
    assert refusal is not None
    assert refusal.reason == NotAnalysed.COLOUR_DOPPLER


def test_a_single_small_vessel_is_found() -> None:
    pixels = picture()
    pixels[200:224, 300:324] = paint_flow(pixels, (200, 224, 300, 324), seed=2)[200:224, 300:324]
    pixels[200:224, 300:324][np.ptp(pixels[200:224, 300:324], axis=-1) < 30] = (200, 60, 20)
    assert gate_pixels(pixels, TISSUE) is not None


def test_flow_outside_the_tissue_is_no_reason() -> None:
    assert gate_pixels(paint_flow(picture(), (0, 40, 0, 640)), TISSUE) is None


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_rainbow_over_tissue_is_an_elastogram(share: float) -> None:
    refusal = gate_pixels(overlay(share), TISSUE)
    assert refusal is not None
    assert refusal.reason == NotAnalysed.ELASTOGRAPHY


def test_coloured_callipers_and_texts_are_no_reason() -> None:
    pixels = draw_texts(
        picture(),
        [
            Text("RT BREAST 10:00 5 CM FN", 400, 60, 28, (255, 255, 0)),
            Text("+ Dist 1.24 cm", 440, 60, 24, (0, 255, 0)),
            Text("x", 200, 300, 24, (0, 255, 255)),
        ],
    ).copy()
    cv2.line(pixels, (200, 200), (330, 260), (0, 255, 0), 2)
    cv2.rectangle(pixels, (150, 100), (450, 380), (255, 255, 0), 2)
    assert gate_pixels(pixels, TISSUE) is None
    assert gate_pixels(pixels, None) is None


@pytest.mark.parametrize("gain", [(1.0, 0.85, 0.55), (0.55, 0.8, 1.0), (1.0, 0.7, 0.3)])
def test_a_tinted_grey_scale_is_no_reason(gain: tuple[float, float, float]) -> None:
    tinted = (picture() * np.array(gain)).astype(np.uint8)
    assert gate_pixels(tinted, TISSUE) is None


def test_flow_in_a_tinted_picture_is_found() -> None:
    tinted = (picture() * np.array((1.0, 0.85, 0.55))).astype(np.uint8)
    assert gate_pixels(paint_flow(tinted, (100, 200, 200, 360)), TISSUE) is not None


def test_a_coloured_banner_is_no_reason_where_the_tissue_is_not_known() -> None:
    pixels = picture()
    pixels[:44] = (58, 94, 150)
    assert gate_pixels(draw_texts(pixels, [Text("SCANNER", 8, 10, 24)]), None) is None


def test_jpeg_noise_is_no_reason() -> None:
    import io

    from PIL import Image

    noisy = np.asarray(Image.open(io.BytesIO(jpeg(picture(), quality=40))))
    assert gate_pixels(noisy, TISSUE) is None
