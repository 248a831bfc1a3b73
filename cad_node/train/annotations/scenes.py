"""Pictures to score on: marks of every kind and contrast side by side, none over another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.train.annotations import graphics
from cad_node.train.annotations.fonts import Faces
from cad_node.train.annotations.overlay import Canvas
from cad_node.train.annotations.stamps import (
    CALIPERS,
    HELD_OUT_CALIPERS,
    Stamp,
    caliper,
    lone_character,
    text,
    words,
)

# Grey levels that a mark stands above the tissue around it.
BANDS = ((100, 200), (50, 100), (25, 50), (15, 25))
LARGE_TEXT_PX = (28, 34)
_ROOM_PX = 12
_TRIES = 12


@dataclass(frozen=True)
class Scored:
    """One mark of a scene: the row of the table that it counts for, and its ink, bool of the scene."""

    row: str
    ink: NDArray[np.bool_] = field(repr=False)
    characters: int = 0


@dataclass(frozen=True)
class Scene:
    """`tissue` and `pixels` are uint8 `(rows, columns)`, `changed` is bool: where they differ by drawing."""

    tissue: NDArray[np.uint8] = field(repr=False)
    pixels: NDArray[np.uint8] = field(repr=False)
    changed: NDArray[np.bool_] = field(repr=False)
    marks: tuple[Scored, ...]


@dataclass
class _Board:
    canvas: Canvas
    taken: NDArray[np.bool_]
    rng: np.random.Generator
    marks: list[Scored]

    def put(self, row: str, stamp: Stamp, band: tuple[float, float], characters: int = 0) -> None:
        """Draw a mark where there is room and the contrast is possible; else leave it out."""
        height, width = stamp.ink.shape
        rows, columns = self.taken.shape
        if height >= rows or width >= columns:
            return
        for _ in range(_TRIES):
            top = int(self.rng.integers(0, rows - height))
            left = int(self.rng.integers(0, columns - width))
            box = np.s_[
                max(0, top - _ROOM_PX) : top + height + _ROOM_PX,
                max(0, left - _ROOM_PX) : left + width + _ROOM_PX,
            ]
            level = float(self.rng.uniform(*band))
            ground = self.canvas.pixels[top : top + height, left : left + width]
            if self.taken[box].any() or float(ground.mean()) + level > 255:
                continue
            drawn = self.canvas.draw(stamp, top, left, level, halo_grey=0.0)
            if drawn is not None:
                self.taken[box] = True
                self.marks.append(Scored(row, drawn.ink, characters))
            return


def scene(tissue: NDArray[np.uint8], rng: np.random.Generator, learned: Faces, unseen: Faces) -> Scene:
    """A scene on `tissue`, with about twenty marks; the same `rng` state draws the same scene."""
    board = _Board(Canvas(tissue), np.zeros(tissue.shape, dtype=bool), rng, [])
    # In random order, for the first ones find room more easily.
    todo = [*_texts(rng, learned, unseen), *_calipers(rng), *_graphics(rng, learned)]
    for index in rng.permutation(len(todo)):
        row, stamp, band, characters = todo[int(index)]
        board.put(row, stamp, band, characters)
    return Scene(tissue, board.canvas.pixels, board.canvas.changed, tuple(board.marks))


_Todo = tuple[str, Stamp, tuple[float, float], int]


def _texts(rng: np.random.Generator, learned: Faces, unseen: Faces) -> list[_Todo]:
    todo: list[_Todo] = []
    for band in BANDS:
        for faces, which in ((learned, ""), (unseen, ", unseen fonts")):
            what = words(rng)[:16]
            while len(what.strip()) < 2:
                what = words(rng)[:16]
            stamp = text(rng, what, faces)
            todo.append((f"strings, {_name(band)}{which}", stamp, band, len(what.replace(" ", ""))))
        todo.append((f"lone characters, {_name(band)}", text(rng, lone_character(rng), learned), band, 1))
    what = words(rng)[:8]
    large = text(rng, what, unseen, LARGE_TEXT_PX)
    todo.append(("strings of 28-34 px, 50-200", large, (50, 200), len(what.replace(" ", ""))))
    return todo


def _calipers(rng: np.random.Generator) -> list[_Todo]:
    learned = [style for style in CALIPERS if style not in HELD_OUT_CALIPERS]
    todo: list[_Todo] = []
    for band, count in (((50.0, 180.0), 3), ((25.0, 50.0), 1)):
        for _ in range(count):
            style = learned[int(rng.integers(0, len(learned)))]
            stamp = caliper(rng, style)
            todo.append((f"caliper {style}, {_name(band)}", stamp, band, 0))
        style = HELD_OUT_CALIPERS[int(rng.integers(0, len(HELD_OUT_CALIPERS)))]
        todo.append((f"caliper {style} (unseen), {_name(band)}", caliper(rng, style), band, 0))
    return todo


def _graphics(rng: np.random.Generator, faces: Faces) -> list[_Todo]:
    makers: tuple[Callable[[], Stamp], ...] = (
        lambda: graphics.body_mark(rng),
        lambda: graphics.ruler(rng),
        lambda: graphics.arrow(rng),
        lambda: graphics.measuring_line(rng, *(float(value) for value in rng.uniform(-90, 90, 2))),
        lambda: graphics.ellipse(rng),
        lambda: graphics.logo(rng, faces),
    )
    chosen = rng.choice(len(makers), 3, replace=False)
    stamps = [makers[int(number)]() for number in chosen]
    return [(f"{stamp.name}, 50-200", stamp, (50.0, 200.0), 0) for stamp in stamps]


def _name(band: tuple[float, float]) -> str:
    return f"{band[0]:g}-{band[1]:g}"


def coded(scene_pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """The picture after JPEG at `quality`."""
    _, code = cv2.imencode(".jpg", scene_pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), np.uint8)
