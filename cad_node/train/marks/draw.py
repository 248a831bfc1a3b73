"""Marks as a sonographer leaves them: calipers at the edges of the lesion, a note, a body mark, an arrow.

Unlike the scenes that the cleaning is scored on, where marks stand is not left to
chance: what may mislead a lesion network lies on the lesion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cad_node.pipeline.measure import measure
from cad_node.train.annotations import graphics
from cad_node.train.annotations.fonts import Faces
from cad_node.train.annotations.overlay import Canvas
from cad_node.train.annotations.scenes import Scene, Scored
from cad_node.train.annotations.stamps import CALIPERS, Stamp, caliper, text, words

# One grey a picture, as on a screen; a mark always stands this far above the tissue beneath it.
GREYS = (150, 256)
LEAST_CONTRAST = 40.0
_ROOM_PX = 6
_TRIES = 30
_LONGEST_NOTE = 14

Point = tuple[float, float]


@dataclass
class _Board:
    canvas: Canvas
    taken: NDArray[np.bool_]
    rng: np.random.Generator
    grey: float
    marks: list[Scored]

    def put(self, row: str, stamp: Stamp, top: int, left: int) -> None:
        """Draw a mark here, over whatever is there."""
        rows, columns = self.taken.shape
        height, width = stamp.ink.shape
        box = np.s_[max(0, top) : min(rows, top + height), max(0, left) : min(columns, left + width)]
        ground = self.canvas.pixels[box]
        if not ground.size:
            return
        contrast = max(LEAST_CONTRAST, self.grey - float(ground.mean()))
        drawn = self.canvas.draw(stamp, top, left, contrast, halo_grey=0.0)
        if drawn is not None:
            self.taken[box] = True
            self.marks.append(Scored(row, drawn.ink))

    def put_free(self, row: str, stamp: Stamp, near: Point | None = None) -> None:
        """Draw a mark where nothing is: anywhere, or of some such places the one nearest to a point."""
        height, width = stamp.ink.shape
        rows, columns = self.taken.shape
        if height >= rows or width >= columns:
            return
        free: list[tuple[float, int, int]] = []
        for _ in range(_TRIES):
            top = int(self.rng.integers(0, rows - height))
            left = int(self.rng.integers(0, columns - width))
            around = np.s_[
                max(0, top - _ROOM_PX) : top + height + _ROOM_PX,
                max(0, left - _ROOM_PX) : left + width + _ROOM_PX,
            ]
            if not self.taken[around].any():
                middle = (top + height / 2, left + width / 2)
                away = 0.0 if near is None else float(np.hypot(middle[0] - near[0], middle[1] - near[1]))
                free.append((away, top, left))
                if near is None:
                    break
        if free:
            _, top, left = min(free)
            self.put(row, stamp, top, left)


def draw_marks(
    tissue: NDArray[np.uint8], lesions: Sequence[NDArray[np.bool_]], rng: np.random.Generator, faces: Faces
) -> Scene:
    """A picture as it might have been saved after measuring; the same `rng` state draws the same marks.

    Parameters
    ----------
    tissue
        The picture without marks, uint8 `(rows, columns)`.
    lesions
        Each is measured at its long and short axis. Without any, something that is
        none is measured, at a place and size drawn by chance.
    rng
        Draws styles, greys and places.
    faces
        Fonts to write in.
    """
    taken = np.zeros(tissue.shape, dtype=np.bool_)
    for lesion in lesions:
        taken |= lesion
    board = _Board(Canvas(tissue), taken, rng, float(rng.integers(*GREYS)), [])
    pairs = [axis for lesion in lesions for axis in _axes(lesion)] or _axes_by_chance(tissue.shape, rng)
    style = list(CALIPERS)[int(rng.integers(0, len(CALIPERS)))]
    mark = caliper(rng, style)
    for number, (start, end) in enumerate(pairs, start=1):
        _measure(board, mark, start, end, text(rng, str(number % 10), faces, (8, 14), "caliper label"))
    board.put_free("arrow", graphics.arrow(rng), near=pairs[0][0])
    board.put_free("body mark", graphics.body_mark(rng))
    for _ in range(2):
        board.put_free("text", text(rng, _note(rng), faces, (10, 20)))
    return Scene(tissue, board.canvas.pixels, board.canvas.changed, tuple(board.marks))


def _axes(lesion: NDArray[np.bool_]) -> list[tuple[Point, Point]]:
    size = measure(lesion, None)
    return [(axis.start, axis.end) for axis in (size.long_axis, size.short_axis)]


def _axes_by_chance(shape: tuple[int, ...], rng: np.random.Generator) -> list[tuple[Point, Point]]:
    side = min(shape)
    middle = np.array(shape[:2]) * rng.uniform(0.3, 0.7, 2)
    angle = float(rng.uniform(0, np.pi))
    along, across = np.array([np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), -np.sin(angle)])
    pairs = []
    for direction, share in ((along, rng.uniform(0.08, 0.2)), (across, rng.uniform(0.05, 0.12))):
        start, end = middle - direction * share * side, middle + direction * share * side
        pairs.append(((float(start[0]), float(start[1])), (float(end[0]), float(end[1]))))
    return pairs


def _measure(board: _Board, mark: Stamp, start: Point, end: Point, label: Stamp) -> None:
    """Two calipers with a line between them, and the number of the measurement beside the first."""
    line = graphics.measuring_line(board.rng, end[0] - start[0], end[1] - start[1])
    board.put("line", line, round(min(start[0], end[0]) - 3), round(min(start[1], end[1]) - 3))
    half = mark.ink.shape[0] // 2
    for at in (start, end):
        board.put("caliper", mark, round(at[0]) - half, round(at[1]) - half)
    # On the side away from the other end, where it hides nothing of the lesion.
    away = np.array(start) - np.array(end)
    centre = np.array(start) + away / max(1.0, float(np.hypot(*away))) * (half + label.ink.shape[0] / 2)
    top, left = np.round(centre - np.array(label.ink.shape) / 2).astype(int)
    board.put("caliper label", label, int(top), int(left))


def _note(rng: np.random.Generator) -> str:
    note = words(rng)[:_LONGEST_NOTE]
    while len(note.strip()) < 2:
        note = words(rng)[:_LONGEST_NOTE]
    return note
