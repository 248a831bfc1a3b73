"""Pixels that are not square: the network sees the proportions of the body, results those of the pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from cad_node.domain import Box, CleanFrame, PixelSpacing, Probabilities
from cad_node.pipeline.segment import find_lesions
from cad_node.pipeline.square import SquarePixels


@dataclass
class _Looking:
    """A network that calls bright pixels lesion, and keeps what it was shown."""

    threshold: float = 0.5
    normal_veto: float = 0.8
    veto_image_share: float = 0.0
    seen: list[NDArray[np.uint8]] = field(default_factory=list)
    masks: list[NDArray[np.bool_]] = field(default_factory=list)

    def predict(self, pixels: NDArray[np.uint8]) -> _Looking:
        self.seen.append(pixels)
        return self

    @property
    def probability(self) -> NDArray[np.float32]:
        return self.seen[-1].astype(np.float32) / 255

    def classify(self, mask: NDArray[np.bool_]) -> Probabilities:
        self.masks.append(mask)
        return Probabilities(0.1, 0.2, 0.7)


def disc(pixel_height: float, radius: float = 40) -> CleanFrame:
    """A round lesion in the body, `radius` pixel widths large; its pixels are higher or lower than wide."""
    rows, columns = round(200 / max(pixel_height, 1)), round(300 * min(pixel_height, 1))
    r, c = np.mgrid[:rows, :columns].astype(float)
    high, wide = (pixel_height, 1.0) if pixel_height > 1 else (1.0, 1 / pixel_height)
    inside = np.hypot((r + 0.5) * high - 100, (c + 0.5) * wide - 150) <= radius
    pixels = np.where(inside, 255, 10).astype(np.uint8)
    spacing = PixelSpacing(0.1 * high, 0.1 * wide)
    return CleanFrame(1, pixels, Box(0, rows, 0, columns), spacing, (), np.zeros(pixels.shape, bool))


@pytest.mark.parametrize("pixel_height", [0.4, 0.5, 0.8, 0.9, 1.1, 1.5, 2.0])
def test_a_round_lesion_is_round_to_the_network_and_comes_back_to_its_pixels(pixel_height: float) -> None:
    frame, network = disc(pixel_height), _Looking()

    (finding,), _ = find_lesions(frame, network, 0)

    for shown in (network.seen[0] > 127, *network.masks):
        assert shown.shape == (200, 300)
        high, wide = np.ptp(np.nonzero(shown)[0]) + 1, np.ptp(np.nonzero(shown)[1]) + 1
        assert high == pytest.approx(80, abs=3)
        assert wide == pytest.approx(80, abs=3)
    expected = frame.pixels > 127
    common = np.count_nonzero(finding.mask & expected)
    assert 2 * common / (np.count_nonzero(finding.mask) + np.count_nonzero(expected)) > 0.98


@pytest.mark.parametrize("pixel_height", [0.98, 1.0, 1.02])
def test_nearly_square_pixels_are_shown_as_they_are(pixel_height: float) -> None:
    frame, network = disc(1.0), _Looking()
    spacing = PixelSpacing(0.1 * pixel_height, 0.1)

    find_lesions(CleanFrame(1, frame.pixels, frame.region, spacing, (), frame.removed), network, 0)

    assert np.array_equal(network.seen[0], frame.pixels)


def test_the_aspect_of_an_image_without_a_scale_counts_too() -> None:
    frame, network = disc(2.0), _Looking()

    find_lesions(CleanFrame(1, frame.pixels, frame.region, None, (), frame.removed, aspect=2.0), network, 0)

    assert network.seen[0].shape == (200, 300)


def test_a_finding_of_one_row_is_not_lost_on_its_way_to_the_network() -> None:
    mask = np.zeros((60, 40), bool)
    mask[30, 5:35] = True
    for pixel_height in (0.3, 0.7, 1.4, 3.7):
        stretched = SquarePixels(60, 40, pixel_height).apply_mask(mask)
        assert np.count_nonzero(stretched) >= np.count_nonzero(mask)


def test_a_calibration_is_believed_before_an_aspect() -> None:
    frame = CleanFrame(
        1, np.zeros((9, 9), np.uint8), Box(0, 9, 0, 9), PixelSpacing(0.3, 0.1), (), np.zeros((9, 9), bool),
        aspect=0.5,
    )  # fmt: skip

    assert frame.pixel_height == pytest.approx(3)
    assert math.isclose(frame.pixel_size.row_mm, 0.3)
