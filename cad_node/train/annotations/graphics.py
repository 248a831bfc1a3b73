"""Lines and pictograms: dotted lines, traces, boxes, arrows, rulers, body marks, bars, logos."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.train.annotations.fonts import Faces
from cad_node.train.annotations.stamps import Cover, Stamp, outlined, text

Points = NDArray[np.float64]


def dotted(rng: np.random.Generator, points: Points, shape: tuple[int, int]) -> Cover:
    """A dotted, dashed or solid line along `points`, `(n, 2)` as `(row, column)`, on a canvas of `shape`."""
    canvas = np.zeros(shape, np.uint8)
    smooth = cv2.LINE_AA if rng.random() < 0.5 else cv2.LINE_8
    draw = rng.random()
    thickness = 1 if rng.random() < 0.7 else 2
    if draw < 0.2:
        line = np.round(points[:, ::-1] * 16).astype(np.int32)
        cv2.polylines(canvas, [line.reshape(-1, 1, 2)], False, 255, thickness, smooth, shift=4)
        return canvas.astype(np.float32) / np.float32(255)
    steps = np.hypot(*np.diff(points, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    dash = 0.0 if draw < 0.75 else float(rng.uniform(2, 6))
    gap = dash + float(rng.uniform(2.2, 9))
    size = int(rng.integers(1, 4)) if gap > 4 else int(rng.integers(1, 3))
    for start in np.arange(0, along[-1], gap):
        row, column = (float(np.interp(start, along, points[:, axis])) for axis in (0, 1))
        if dash:
            row_end, column_end = (float(np.interp(start + dash, along, points[:, axis])) for axis in (0, 1))
            ends = [(round(16 * c), round(16 * r)) for r, c in ((row, column), (row_end, column_end))]
            cv2.line(canvas, ends[0], ends[1], 255, thickness, smooth, shift=4)
        else:
            top, left = round(row), round(column)
            canvas[max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)] = 255
    return canvas.astype(np.float32) / np.float32(255)


def measuring_line(rng: np.random.Generator, rows: float, columns: float) -> Stamp:
    """A line from one end of a distance to the other, over `rows` and `columns` (either sign)."""
    shape = (int(abs(rows)) + 7, int(abs(columns)) + 7)
    start = [3.0 if rows >= 0 else shape[0] - 4.0, 3.0 if columns >= 0 else shape[1] - 4.0]
    points = np.array([start, [start[0] + rows, start[1] + columns]])
    return Stamp("line", "measuring line", dotted(rng, points, shape))


def ellipse(rng: np.random.Generator) -> Stamp:
    """The outline of an area: an ellipse or a trace drawn by hand."""
    height, width = (float(value) for value in rng.uniform(20, 130, 2))
    angle = np.linspace(0, 2 * np.pi, 80)
    radius = np.ones_like(angle)
    if rng.random() < 0.5:
        for wave in range(2, 6):
            radius += rng.normal(0, 0.2 / wave) * np.cos(wave * angle + rng.uniform(0, 6))
    if rng.random() < 0.15:  # an arc only
        angle, radius = angle[:45], radius[:45]
    shape = (int(height * 1.5) + 8, int(width * 1.5) + 8)
    points = np.stack(
        [
            shape[0] / 2 + radius * np.sin(angle) * height / 2,
            shape[1] / 2 + radius * np.cos(angle) * width / 2,
        ],
        axis=1,
    )
    return Stamp("line", "trace", dotted(rng, points, shape))


def region_box(rng: np.random.Generator) -> Stamp:
    """The thin frame of a region of interest, or a corner of it."""
    height, width = (int(value) for value in rng.integers(24, 240, 2))
    canvas = np.zeros((height + 4, width + 4), np.uint8)
    slant = int(rng.integers(-20, 21)) if rng.random() < 0.15 else 0
    corners = np.array([[2, 2], [width + 1, 2], [width + 1 - slant, height + 1], [2 - slant, height + 1]])
    cv2.polylines(canvas, [corners.astype(np.int32)], True, 255, 1 if rng.random() < 0.8 else 2)
    return Stamp("line", "region box", canvas.astype(np.float32) / np.float32(255))


def guide(rng: np.random.Generator) -> Stamp:
    """A biopsy guide or an M-mode cursor: a long dotted line."""
    length, angle = float(rng.uniform(60, 260)), float(rng.uniform(-math.pi / 2, math.pi / 2))
    if rng.random() < 0.4:
        angle = math.pi / 2
    stamp = measuring_line(rng, length * math.sin(angle), length * math.cos(angle))
    return Stamp("line", "guide", stamp.ink)


def arrow(rng: np.random.Generator) -> Stamp:
    """An arrow, open or filled, or the pointer of the screen."""
    length = int(rng.integers(10, 48))
    side = 2 * length + 12
    canvas = np.zeros((side, side), np.uint8)
    middle = side // 2
    if rng.random() < 0.25:  # the pointer
        size = length / 2
        shape = np.array([[0, 0], [0, 1], [0.25, 0.75], [0.45, 1.15], [0.6, 1.05], [0.42, 0.7], [0.75, 0.7]])
        corners = np.round(shape * size + middle).astype(np.int32)
        if rng.random() < 0.5:
            cv2.fillPoly(canvas, [corners], 255, cv2.LINE_AA)
        else:
            cv2.polylines(canvas, [corners], True, 255, 1, cv2.LINE_AA)
    else:
        angle = float(rng.uniform(0, 2 * math.pi))
        end = (round(middle + length * math.cos(angle)), round(middle + length * math.sin(angle)))
        thickness = int(rng.integers(1, 4))
        if rng.random() < 0.7:
            tip = float(rng.uniform(0.2, 0.5))
            cv2.arrowedLine(canvas, (middle, middle), end, 255, thickness, cv2.LINE_AA, tipLength=tip)
        else:  # a head only: a filled or open triangle
            turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            head = np.array([[0, 0], [-0.5, 0.28], [-0.5, -0.28]]) * min(length, 26) @ turn.T + middle
            corners = np.round(head).astype(np.int32)
            if rng.random() < 0.6:
                cv2.fillPoly(canvas, [corners], 255, cv2.LINE_AA)
            else:
                cv2.polylines(canvas, [corners], True, 255, thickness, cv2.LINE_AA)
    cover = _cropped(canvas.astype(np.float32) / np.float32(255))
    return Stamp("graphic", "arrow", cover, _maybe_outline(rng, cover))


def ruler(rng: np.random.Generator) -> Stamp:
    """Ticks or dots at equal distances, every few of them longer, upright or lying."""
    distance = float(rng.uniform(6, 40))
    count = int(rng.integers(3, 30))
    each = int(rng.choice([2, 5, 10]))
    short, long = int(rng.integers(1, 5)), int(rng.integers(4, 12))
    length = int(distance * count) + 6
    canvas = np.zeros((length, long + 6), np.uint8)
    thickness = 1 if rng.random() < 0.7 else 2
    right = rng.random() < 0.5
    for number in range(count + 1):
        row = round(3 + number * distance)
        reach = long if number % each == 0 else short
        start, stop = (long + 3 - reach, long + 3) if right else (3, 3 + reach)
        canvas[row : row + thickness, start : stop + (reach == 1)] = 255
    if rng.random() < 0.3:
        canvas[3 : length - 3, long + 2 if right else 3] = 255
    if rng.random() < 0.4:
        canvas = canvas.T
    return Stamp("graphic", "ruler", np.ascontiguousarray(canvas).astype(np.float32) / np.float32(255))


def body_mark(rng: np.random.Generator) -> Stamp:
    """Where the probe lay: a breast or a pair of them, the nipple and the probe."""
    radius = int(rng.integers(12, 42))
    side = 2 * radius + 16
    pair = rng.random() < 0.35
    canvas = np.zeros((side, side * (2 if pair else 1)), np.uint8)
    thickness = 1 if radius < 20 or rng.random() < 0.6 else 2
    middle = side // 2
    for centre in (middle, middle + side) if pair else (middle,):
        style = rng.random()
        if style < 0.6:
            cv2.circle(canvas, (centre, middle), radius, 255, thickness, cv2.LINE_AA)
        else:  # a torso's outline: arcs
            cv2.ellipse(canvas, (centre, middle), (radius, radius), 0, 20, 200, 255, thickness, cv2.LINE_AA)
            cv2.line(
                canvas, (centre - radius, middle), (centre - radius // 2, 4), 255, thickness, cv2.LINE_AA
            )
        nipple = max(1, radius // int(rng.integers(5, 10)))
        cv2.circle(canvas, (centre, middle), nipple, 255, -1 if rng.random() < 0.5 else 1, cv2.LINE_AA)
        if rng.random() < 0.3:
            cv2.line(canvas, (centre - radius, middle), (centre + radius, middle), 255, 1)
            cv2.line(canvas, (centre, middle - radius), (centre, middle + radius), 255, 1)
        if rng.random() < 0.3:  # the axilla's tail
            tail = (centre + radius // 2, max(0, middle - radius - 4))
            cv2.line(canvas, (centre + radius, middle - radius // 3), tail, 255, thickness, cv2.LINE_AA)
    angle, away = float(rng.uniform(0, 2 * math.pi)), float(rng.uniform(0, radius))
    at = np.array([middle + away * math.cos(angle), middle + away * math.sin(angle)])
    turn = float(rng.uniform(0, math.pi))
    half = np.array([math.cos(turn), math.sin(turn)]) * rng.uniform(4, 10)
    ends = [tuple(int(value) for value in np.round(at + sign * half)) for sign in (-1, 1)]
    cv2.line(canvas, ends[0], ends[1], 255, int(rng.integers(2, 5)))
    cover = _cropped(canvas.astype(np.float32) / np.float32(255))
    draw = rng.random()
    if draw < 0.25:
        return Stamp("graphic", "body mark", cover, np.ones_like(cover))
    return Stamp("graphic", "body mark", cover, _maybe_outline(rng, cover))


def grey_bar(rng: np.random.Generator) -> Stamp:
    """The scale of greys: a bar that fades from bright to dark."""
    height, width = int(rng.integers(40, 180)), int(rng.integers(5, 16))
    fade = np.linspace(1, 0, height, dtype=np.float32) ** float(rng.uniform(0.6, 1.6))
    canvas = np.repeat(fade[:, None], width, axis=1)
    if rng.random() < 0.5:
        canvas[[0, -1]], canvas[:, [0, -1]] = 1, 1
    # Black where the ink is thin: the bar hides what lies beneath it.
    return Stamp("graphic", "grey bar", canvas, np.ones_like(canvas))


def logo(rng: np.random.Generator, faces: Faces) -> Stamp:
    """A maker's sign: letters, in a ring, or cut out of a disc."""
    sign = str(
        rng.choice(["GE", "LOGIQ", "TOSHIBA", "PHILIPS", "S", "mindray", "P", "U", "hp", "V", "E9", "G"])
    )
    letters = text(rng, sign, faces, (10, 24), "logo").ink
    draw = rng.random()
    margin = 4 if draw < 0.6 else 1
    letters = np.pad(letters, margin)
    rows, columns = letters.shape
    middle, axes = (columns // 2, rows // 2), (columns // 2 - 1, rows // 2 - 1)
    ring = np.zeros(letters.shape, np.uint8)
    if draw < 0.35:
        cv2.ellipse(ring, middle, axes, 0, 0, 360, 255, 1, cv2.LINE_AA)
        letters = np.maximum(letters, ring.astype(np.float32) / np.float32(255))
    elif draw < 0.5:
        cv2.ellipse(ring, middle, axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
        letters = np.clip(ring.astype(np.float32) / np.float32(255) - letters, 0, 1)
    halo = outlined(np.pad(letters, 2), 1 if rng.random() < 0.5 else 2) if rng.random() < 0.6 else None
    return Stamp("graphic", "logo", np.pad(letters, 2), halo)


def sign(rng: np.random.Generator) -> Stamp:
    """Small things: focus triangles, text cursors, dots of a grid, hollow squares."""
    size = int(rng.integers(4, 13))
    canvas = np.zeros((size * 2 + 4, size * 2 + 4), np.uint8)
    middle = size + 2
    draw = rng.random()
    if draw < 0.4:
        turn = int(rng.integers(0, 4))
        corners = np.array([[0, 0], [1, 0.6], [1, -0.6]]) * size
        for _ in range(turn):
            corners = corners @ np.array([[0, 1], [-1, 0]])
        cv2.fillPoly(canvas, [np.round(corners + middle).astype(np.int32)], 255)
    elif draw < 0.6:
        cv2.line(canvas, (middle, 2), (middle, 2 * size), 255, 1)
    elif draw < 0.85:
        dot = int(rng.integers(1, 4))
        canvas[middle : middle + dot, middle : middle + dot] = 255
    else:
        cv2.rectangle(
            canvas, (middle - size // 2, middle - size // 2), (middle + size // 2, middle + size // 2), 255, 1
        )
    cover = _cropped(canvas.astype(np.float32) / np.float32(255))
    return Stamp("graphic", "sign", cover, _maybe_outline(rng, cover))


LINES: tuple[Callable[[np.random.Generator], Stamp], ...] = (ellipse, region_box, guide)
PICTOGRAMS: tuple[Callable[[np.random.Generator], Stamp], ...] = (arrow, ruler, body_mark, grey_bar, sign)


def _maybe_outline(rng: np.random.Generator, cover: Cover) -> Cover | None:
    return outlined(cover, 1) if rng.random() < 0.3 else None


def _cropped(cover: Cover) -> Cover:
    rows, columns = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
    part = cover[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.pad(part, 2)
