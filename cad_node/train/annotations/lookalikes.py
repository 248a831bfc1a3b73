"""What is bright and thin and yet tissue: it must stay, so the network learns it as such.

Drawn into the background before the marks; none of it counts as a mark.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]


def needle(grey: Grey, rng: np.random.Generator) -> Grey:
    """A biopsy needle: a straight, soft-edged bright line with fading echoes beneath it."""
    rows, columns = grey.shape
    angle = float(rng.uniform(-0.7, 0.7))
    start = (float(rng.uniform(-10, columns / 2)), float(rng.uniform(0, rows)))
    length = float(rng.uniform(40, 160))
    layer = np.zeros(grey.shape, np.uint8)
    width = int(rng.integers(1, 4))
    gap = float(rng.uniform(5, 12))
    for echo in range(int(rng.integers(1, 4))):
        row = start[1] + echo * gap
        stop = (round(start[0] + length * math.cos(angle)), round(row + length * math.sin(angle)))
        cv2.line(
            layer, (round(start[0]), round(row)), stop, round(230 / (1 + 1.3 * echo)), width, cv2.LINE_AA
        )
    soft = cv2.GaussianBlur(layer, (0, 0), float(rng.uniform(0.8, 1.6)))
    return _brightened(grey, np.asarray(soft, np.uint8), rng, grain=0.35)


def reflections(grey: Grey, rng: np.random.Generator) -> Grey:
    """Specular echoes: short, curved, mostly lying streaks."""
    layer = np.zeros(grey.shape, np.uint8)
    rows, columns = grey.shape
    for _ in range(int(rng.integers(1, 7))):
        centre = (int(rng.integers(0, columns)), int(rng.integers(0, rows)))
        axes = (int(rng.integers(6, 50)), int(rng.integers(1, 12)))
        tilt = float(rng.normal(0, 15))
        begin = float(rng.uniform(180, 260))
        level = int(rng.integers(60, 220))
        cv2.ellipse(
            layer,
            centre,
            axes,
            tilt,
            begin,
            begin + float(rng.uniform(30, 110)),
            level,
            int(rng.integers(1, 4)),
            cv2.LINE_AA,
        )
    soft = cv2.GaussianBlur(
        layer, (0, 0), sigmaX=float(rng.uniform(1.0, 2.5)), sigmaY=float(rng.uniform(0.7, 1.3))
    )
    return _brightened(grey, np.asarray(soft, np.uint8), rng, grain=float(rng.uniform(0, 0.4)))


def membranes(grey: Grey, rng: np.random.Generator) -> Grey:
    """Long bright echoes of a capsule, a fascia or an implant: smooth, soft-edged, of uneven level."""
    rows, columns = grey.shape
    layer = np.zeros(grey.shape, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        along = np.linspace(0, 1, 60)
        length, tilt = float(rng.uniform(40, 260)), float(rng.normal(0, 0.5))
        bend = sum(
            float(rng.normal(0, 0.16 / wave)) * np.sin(wave * np.pi * along + rng.uniform(0, 6))
            for wave in (1, 2, 3)
        )
        column = rng.uniform(-20, columns) + length * (along * math.cos(tilt) - bend * math.sin(tilt))
        row = rng.uniform(0, rows) + length * (along * math.sin(tilt) + bend * math.cos(tilt))
        strength = 1 + 0.4 * np.sin(along * rng.uniform(3, 14) + rng.uniform(0, 6))
        level, width = float(rng.uniform(70, 230)), int(rng.integers(1, 4))
        points = np.round(16 * np.stack([column, row], axis=1)).astype(int)
        for number in range(len(points) - 1):
            ends = (tuple(points[number].tolist()), tuple(points[number + 1].tolist()))
            cv2.line(
                layer, ends[0], ends[1], float(level * strength[number] / 1.4), width, cv2.LINE_8, shift=4
            )
    soft = cv2.GaussianBlur(layer, (0, 0), float(rng.uniform(0.8, 1.8)))
    return _brightened(
        grey, np.asarray(np.clip(soft, 0, 255), np.uint8), rng, grain=float(rng.uniform(0, 0.4))
    )


def calcifications(grey: Grey, rng: np.random.Generator) -> Grey:
    """Bright soft specks in a group."""
    layer = np.zeros(grey.shape, np.uint8)
    rows, columns = grey.shape
    middle = rng.uniform(0.1, 0.9, 2) * (columns, rows)
    for _ in range(int(rng.integers(2, 12))):
        column, row = (round(float(value)) for value in middle + rng.normal(0, 14, 2))
        cv2.circle(layer, (column, row), int(rng.integers(0, 3)), int(rng.integers(90, 255)), -1, cv2.LINE_AA)
    soft = cv2.GaussianBlur(layer, (0, 0), float(rng.uniform(0.8, 1.4)))
    return _brightened(grey, np.asarray(soft, np.uint8), rng, grain=0.2)


def flow(grey: Grey, rng: np.random.Generator) -> Grey:
    """Colour flow seen in grey: blocky patches of an even, brighter level."""
    rows, columns = grey.shape
    coarse = rng.standard_normal((rows // 12 + 2, columns // 12 + 2)).astype(np.float32)
    smooth = cv2.resize(cv2.GaussianBlur(coarse, (0, 0), 1.2), (columns, rows), interpolation=cv2.INTER_CUBIC)
    inside = smooth > np.quantile(smooth, float(rng.uniform(0.85, 0.97)))
    block = int(rng.integers(1, 4))
    cells = rng.normal(float(rng.uniform(70, 190)), 14, (rows // block + 1, columns // block + 1))
    level = np.kron(cells, np.ones((block, block)))[:rows, :columns]
    return np.where(inside, np.clip(level, 0, 255), grey).astype(np.uint8)


def grain(grey: Grey, rng: np.random.Generator) -> Grey:
    """Coarse, strong speckle, as an old scanner at high gain shows it."""
    rows, columns = grey.shape
    width, height = float(rng.uniform(0.8, 2.6)), float(rng.uniform(0.6, 1.6))
    rough = rng.standard_normal((rows, columns)).astype(np.float32)
    noise = np.asarray(cv2.GaussianBlur(rough, (0, 0), sigmaX=width, sigmaY=height), np.float32)
    noise /= np.float32(float(noise.std()) + 1e-6)
    factor = np.exp(float(rng.uniform(0.15, 0.5)) * noise)
    return np.asarray(np.clip(grey * factor, 0, 255), np.uint8)


LOOKALIKES: tuple[Callable[[Grey, np.random.Generator], Grey], ...] = (
    needle,
    reflections,
    membranes,
    calcifications,
    flow,
    grain,
)


def _brightened(grey: Grey, layer: NDArray[np.uint8], rng: np.random.Generator, grain: float) -> Grey:
    """Add echoes, rough as tissue is and not even as ink."""
    noise = cv2.GaussianBlur(rng.standard_normal(grey.shape).astype(np.float32), (0, 0), 1.0)
    rough = 1 + grain * noise / (float(noise.std()) + 1e-6)
    return np.clip(grey + layer * rough, 0, 255).astype(np.uint8)
