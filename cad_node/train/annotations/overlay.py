"""Marks on tissue, with the truth about every pixel.

`draw` changes only pixels that the mark covers, and says which: `Canvas.changed`
holds each pixel that may differ from the tissue, `Canvas.kinds` what a pixel is,
with `UNSURE` on the anti-aliased rim, where neither answer is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cad_node.networks.annotation_bundle import KINDS
from cad_node.train.annotations import graphics
from cad_node.train.annotations.fonts import Faces
from cad_node.train.annotations.stamps import (
    CALIPERS,
    HELD_OUT_CALIPERS,
    Stamp,
    caliper,
    lone_character,
    text,
    words,
)

UNSURE = 255
# A pixel covered by more than this is the mark; by less, its rim.
COVERED = 0.35
# Dots of one pixel are lost in speckle where text of the same grey can still be read.
FAINTEST, FAINTEST_THIN = 14.0, 28.0
# A ruler lies at the rim of the picture, mostly.
_RULER_RIM_PX = 16
# How far around a mark the tissue is looked at to choose a grey.
_AROUND_PX = 3


@dataclass(frozen=True)
class Drawn:
    """One mark on a canvas: what, where (bool of the canvas), and how far above the tissue."""

    stamp: Stamp
    ink: NDArray[np.bool_] = field(repr=False)
    contrast: float


@dataclass
class Canvas:
    """A picture that marks are drawn on.

    `pixels` uint8 `(rows, columns)`; `kinds` uint8, an index of `KINDS` or `UNSURE`;
    `changed` bool.
    """

    pixels: NDArray[np.uint8]
    kinds: NDArray[np.uint8] = field(init=False, repr=False)
    changed: NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.pixels = self.pixels.copy()
        self.kinds = np.zeros(self.pixels.shape, np.uint8)
        self.changed = np.zeros(self.pixels.shape, dtype=bool)

    def draw(
        self, stamp: Stamp, top: int, left: int, contrast: float, halo_grey: float, opacity: float = 1.0
    ) -> Drawn | None:
        """Put a mark with its upper left corner at `top`, `left`; None where nothing of it is in the picture.

        The ink's grey is the tissue's beneath it plus `contrast`, kept within 0 and 255.
        """
        rows, columns = self.pixels.shape
        height, width = stamp.ink.shape
        box = (
            slice(max(0, top), min(rows, top + height)),
            slice(max(0, left), min(columns, left + width)),
        )
        if box[0].start >= box[0].stop or box[1].start >= box[1].stop:
            return None
        inside = (
            slice(box[0].start - top, box[0].stop - top),
            slice(box[1].start - left, box[1].stop - left),
        )
        ink = stamp.ink[inside] * np.float32(opacity)
        tissue = self.pixels[box].astype(np.float32)
        core = stamp.ink[inside] > COVERED
        if not core.any():
            return None
        grey = float(np.clip(tissue[core].mean() + contrast, 0, 255))
        value = tissue
        cover = ink
        if stamp.halo is not None:
            halo = stamp.halo[inside] * np.float32(opacity)
            value = value * (1 - halo) + np.float32(halo_grey) * halo
            cover = np.maximum(cover, halo)
        value = value * (1 - ink) + np.float32(grey) * ink
        touched = cover > 0
        np.copyto(self.pixels[box], np.round(value).astype(np.uint8), where=touched)
        self.changed[box] |= touched
        sure = cover > COVERED * opacity
        kinds = self.kinds[box]
        kinds[sure] = KINDS.index(stamp.kind)
        kinds[touched & ~sure & (kinds == 0)] = UNSURE
        whole = np.zeros(self.pixels.shape, dtype=bool)
        whole[box] = core
        return Drawn(stamp, whole, contrast)


def contrast(rng: np.random.Generator, ground: float, faintest: float = FAINTEST) -> float:
    """Grey levels from the tissue to the ink: half of them faint, few of them dark ink on bright tissue."""
    room = 255.0 - ground
    if ground > 90 and rng.random() < 0.08:
        return -float(rng.uniform(30, ground))
    if rng.random() < 0.5:
        return min(float(rng.uniform(faintest, 55)), room)
    return float(rng.uniform(min(50.0, room), max(room, 50.0)))


def annotate(canvas: Canvas, rng: np.random.Generator, faces: Faces) -> list[Drawn]:
    """Draw what a sonographer may leave on a picture: notes, measurements, graphics, or nothing."""
    if rng.random() < 0.12:
        return []
    drawn: list[Drawn | None] = []
    for _ in range(int(rng.integers(0, 4))):
        what = lone_character(rng) if rng.random() < 0.35 else words(rng)
        drawn.append(_anywhere(canvas, text(rng, what, faces), rng))
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.3, 0.35, 0.25, 0.1]))):
        drawn.extend(_measurement(canvas, rng, faces))
    for _ in range(int(rng.choice([0, 1, 2], p=[0.35, 0.45, 0.2]))):
        line = graphics.LINES[int(rng.integers(0, len(graphics.LINES)))]
        drawn.append(_anywhere(canvas, line(rng), rng))
    if rng.random() < 0.25:
        drawn.append(_at_rim(canvas, graphics.ruler(rng), rng))
    for _ in range(int(rng.choice([0, 1, 2], p=[0.5, 0.35, 0.15]))):
        number = int(rng.integers(0, len(graphics.PICTOGRAMS) + 1))
        if number < len(graphics.PICTOGRAMS):
            drawn.append(_anywhere(canvas, graphics.PICTOGRAMS[number](rng), rng))
        else:
            drawn.append(_anywhere(canvas, graphics.logo(rng, faces), rng))
    return [mark for mark in drawn if mark is not None]


def _anywhere(canvas: Canvas, stamp: Stamp, rng: np.random.Generator) -> Drawn | None:
    """Somewhere in the picture, now and then cut by its rim."""
    rows, columns = canvas.pixels.shape
    height, width = stamp.ink.shape
    over = 0.5 if rng.random() < 0.2 else 0.0
    top = _place(rng, rows, height, over)
    left = _place(rng, columns, width, over)
    return _put(canvas, stamp, top, left, rng)


def _at_rim(canvas: Canvas, stamp: Stamp, rng: np.random.Generator) -> Drawn | None:
    """Along the rim that the mark's longer side fits to."""
    rows, columns = canvas.pixels.shape
    height, width = stamp.ink.shape
    inset = int(rng.integers(-2, _RULER_RIM_PX))
    top, left = _place(rng, rows, height, 0.3), _place(rng, columns, width, 0.3)
    far = rng.random() < 0.5
    if height >= width:
        left = columns - width - inset if far else inset
    else:
        top = rows - height - inset if far else inset
    return _put(canvas, stamp, top, left, rng)


def _place(rng: np.random.Generator, side: int, length: int, over: float) -> int:
    low, high = -over * length, side - length + over * length
    return round(float(rng.uniform(min(low, high), max(low, high))))


def _put(
    canvas: Canvas,
    stamp: Stamp,
    top: int,
    left: int,
    rng: np.random.Generator,
    level: float | None = None,
    halo_grey: float | None = None,
) -> Drawn | None:
    near = canvas.pixels[
        max(0, top - _AROUND_PX) : max(1, top + stamp.ink.shape[0] + _AROUND_PX),
        max(0, left - _AROUND_PX) : max(1, left + stamp.ink.shape[1] + _AROUND_PX),
    ]
    ground = float(near.mean()) if near.size else 0.0
    if level is None:
        thin = stamp.kind == "line" or stamp.name == "ruler"
        level = contrast(rng, ground, FAINTEST_THIN if thin else FAINTEST)
    if halo_grey is None:
        # Outlines are dark under bright ink; a box may be of any darker grey.
        halo_grey = 0.0 if rng.random() < 0.7 else float(rng.uniform(0, max(1.0, ground)))
        if level < 0:
            halo_grey = 255.0
    opacity = 1.0 if rng.random() < 0.85 else float(rng.uniform(0.6, 1.0))
    return canvas.draw(stamp, top, left, level, halo_grey, opacity)


def _measurement(canvas: Canvas, rng: np.random.Generator, faces: Faces) -> list[Drawn | None]:
    """Two marks of one style, mostly both in the picture, with or without a line and a label."""
    styles = [name for name in CALIPERS if name not in HELD_OUT_CALIPERS]
    style = styles[int(rng.integers(0, len(styles)))]
    rows, columns = canvas.pixels.shape
    first = caliper(rng, style)
    half = first.ink.shape[0] // 2
    reach, angle = float(rng.uniform(20, 150)), float(rng.uniform(0, 2 * np.pi))
    row, column = float(rng.uniform(0, rows)), float(rng.uniform(0, columns))
    rise, run = reach * float(np.sin(angle)), reach * float(np.cos(angle))
    ground = float(
        canvas.pixels[max(0, int(row) - 9) : int(row) + 9, max(0, int(column) - 9) : int(column) + 9].mean()
    )
    level, halo_grey = contrast(rng, ground), 0.0 if rng.random() < 0.8 else 40.0
    drawn: list[Drawn | None] = []
    if rng.random() < 0.7:
        line = graphics.measuring_line(rng, rise, run)
        top, left = min(row, row + rise) - 3, min(column, column + run) - 3
        drawn.append(_put(canvas, line, round(top), round(left), rng, level * float(rng.uniform(0.6, 1.0))))
    for at in ((row, column), (row + rise, column + run)):
        # Each is drawn into its own surroundings: the level is that of the first, as screens have one grey.
        drawn.append(_put(canvas, first, round(at[0]) - half, round(at[1]) - half, rng, level, halo_grey))
        if rng.random() < 0.4:
            what = lone_character(rng) if rng.random() < 0.8 else str(rng.choice(["D1", "1D", "A1", "L2"]))
            label = text(rng, what, faces, (8, 14), "caliper label")
            away = half + float(rng.uniform(0, 6))
            side = float(rng.choice([-1, 1])), float(rng.choice([-1, 1]))
            top = at[0] + side[0] * away - label.ink.shape[0] / 2
            left = at[1] + side[1] * away - label.ink.shape[1] / 2
            drawn.append(_put(canvas, label, round(top), round(left), rng, level, halo_grey))
    return drawn
