"""What is bright and thin and yet tissue: it must stay, so the network learns it as such.

Drawn into the background before the marks; none of it counts as a mark.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

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
        # Layers that lie straight and shine evenly come nearest to a line that was drawn.
        calm = 0.25 if rng.random() < 0.5 else 1.0
        length, tilt = float(rng.uniform(40, 260)), float(rng.normal(0, 0.5 * calm))
        bend = sum(
            float(rng.normal(0, 0.16 * calm / wave)) * np.sin(wave * np.pi * along + rng.uniform(0, 6))
            for wave in (1, 2, 3)
        )
        column = rng.uniform(-20, columns) + length * (along * math.cos(tilt) - bend * math.sin(tilt))
        row = rng.uniform(0, rows) + length * (along * math.sin(tilt) + bend * math.cos(tilt))
        strength = 1 + 0.4 * calm * np.sin(along * rng.uniform(3, 14) + rng.uniform(0, 6))
        if rng.random() < 0.7:  # an echo fades at its ends
            strength = strength * np.clip(np.minimum(along, 1 - along) * rng.uniform(2, 8), 0, 1)
        level, width = float(rng.uniform(70, 230)), int(rng.integers(1, 4))
        points = np.round(16 * np.stack([column, row], axis=1)).astype(int)
        for number in range(len(points) - 1):
            ends = (tuple(points[number].tolist()), tuple(points[number + 1].tolist()))
            cv2.line(
                layer, ends[0], ends[1], float(level * strength[number] / 1.4), width, cv2.LINE_8, shift=4
            )
    soft = np.asarray(cv2.GaussianBlur(layer, (0, 0), float(rng.uniform(0.8, 1.8))), np.float32)
    if rng.random() < 0.4:  # with an echo beneath that fades away
        depth = int(rng.integers(3, 12))
        fade = np.linspace(1, 0, depth, dtype=np.float32) ** 2
        below = np.concatenate([np.zeros(depth - 1, np.float32), fade])[::-1].copy()
        soft = np.maximum(soft, cv2.filter2D(soft, -1, below[:, None]) * np.float32(rng.uniform(0.1, 0.4)))
    return _brightened(
        grey, np.asarray(np.clip(soft, 0, 255), np.uint8), rng, grain=float(rng.uniform(0, 0.4))
    )


def sector(grey: Grey, rng: np.random.Generator) -> Grey:
    """What a curved probe leaves black: wedges beside the fan, a cap above it, a bow beneath it.

    The edge is hard, soft or fringed, and sometimes bright. A patch is a part of a picture, so the fan's
    middle lies anywhere and an edge may cross the patch at any angle and place.
    """
    rows, columns = grey.shape
    row, column = np.mgrid[:rows, :columns].astype(np.float32)
    # The point that all beams start from, and how far the tissue is from there.
    apex = -float(rng.uniform(0.02, 0.8)) * rows, float(rng.uniform(-0.3, 1.3)) * columns
    away = np.hypot(row - np.float32(apex[0]), column - np.float32(apex[1]))
    angle = np.arctan2(column - np.float32(apex[1]), row - np.float32(apex[0]))
    # Pixels into the fan, of the nearest of its edges; below zero is outside.
    edges: list[NDArray[np.floating[Any]]] = []
    draw = rng.random()
    if draw < 0.75:
        half, turn = float(rng.uniform(0.25, 0.75)), float(rng.normal(0, 0.15))
        edges.append((half - np.abs(angle - turn)) * away)
    if draw > 0.45:
        edges.append(float(rng.uniform(0.75, 1.1)) * (rows - apex[0]) - away)
    if rng.random() < 0.4:
        edges.append(away + apex[0] - float(rng.uniform(0.0, 0.15)) * rows)
    inside = np.minimum.reduce(edges) if len(edges) > 1 else edges[0]
    if rng.random() < 0.4:  # beams end at steps, or in grain
        step = int(rng.integers(1, 5))
        fringe = rng.normal(0, float(rng.uniform(0.3, 2.0)), (rows // step + 1, columns // step + 1))
        inside = inside + np.kron(fringe, np.ones((step, step)))[:rows, :columns]
    soft = float(rng.uniform(0.1, 5.0)) if rng.random() < 0.5 else 0.1
    shown = np.clip(inside / soft + 0.5, 0, 1)
    black = float(rng.choice([0, 0, 0, rng.uniform(1, 24)]))
    lit = grey.astype(np.float32)
    if rng.random() < 0.3:  # a bright rim of even or uneven level
        width, level = float(rng.uniform(0.6, 2.5)), float(rng.uniform(20, 120))
        wave = 1 + 0.4 * np.sin(away / rng.uniform(4, 40)) * (rng.random() < 0.5)
        lit = lit + level * wave * np.exp(-np.square((inside - width) / width) / 2)
    return np.asarray(np.clip(lit * shown + black * (1 - shown), 0, 255), np.uint8)


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
    sector,
    calcifications,
    flow,
    grain,
    # Twice, for these are mistaken most.
    membranes,
)


def _brightened(grey: Grey, layer: NDArray[np.uint8], rng: np.random.Generator, grain: float) -> Grey:
    """Add echoes, rough as tissue is and not even as ink."""
    noise = cv2.GaussianBlur(rng.standard_normal(grey.shape).astype(np.float32), (0, 0), 1.0)
    rough = 1 + grain * noise / (float(noise.std()) + 1e-6)
    return np.clip(grey + layer * rough, 0, 255).astype(np.uint8)
