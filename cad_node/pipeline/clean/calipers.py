"""Find caliper marks by their shape, and the dotted lines drawn between them.

Scanners mark the ends of a distance with small crosses of a handful of styles.
Each style is a list of strokes, drawn here at several sizes and compared with
the picture; a find is believed only where every stroke stands out from the gaps
beside it, which speckle does not do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Annotation, Box
from cad_node.pipeline.clean.marks import Mark, Picture, mark_from_mask

Stroke = tuple[float, float, float, float]


def _turned(strokes: Iterable[Stroke], shrink: float) -> tuple[Stroke, ...]:
    """Strokes turned by 45 degrees."""
    half = shrink / math.sqrt(2)
    return tuple(
        (half * (r + c), half * (c - r), half * (r_end + c_end), half * (c_end - r_end))
        for r, c, r_end, c_end in strokes
    )


# Strokes in a square from -1 to 1, as (row, column, row, column).
_PLUS: tuple[Stroke, ...] = ((-1, 0, 1, 0), (0, -1, 0, 1))
_X: tuple[Stroke, ...] = ((-0.92, -0.92, 0.92, 0.92), (-0.92, 0.92, 0.92, -0.92))
_OPEN: tuple[Stroke, ...] = ((-1, 0, -0.45, 0), (0.45, 0, 1, 0), (0, -1, 0, -0.45), (0, 0.45, 0, 1))
_BARS: tuple[Stroke, ...] = (
    (-1, -0.25, -1, 0.25),
    (1, -0.25, 1, 0.25),
    (-0.25, -1, 0.25, -1),
    (-0.25, 1, 0.25, 1),
)


@dataclass(frozen=True)
class Style:
    """How one kind of mark is drawn; those of a `family` occur together on a screen.

    `certain` is the evidence that proves a mark by itself: the more strokes a
    style has, the less often speckle looks like it.
    """

    family: str
    strokes: tuple[Stroke, ...]
    sizes_px: tuple[int, ...]
    certain: float = 0.82


# The families are those of plain crosses (most scanners) and of two GE Logiq cursor sets.
STYLES: dict[str, Style] = {
    "plus": Style("plain", _PLUS, (9, 11, 13, 15, 17, 20)),
    "x": Style("plain", _X, (11, 13, 15, 17)),
    "upright asterisk": Style("asterisk", (*_X, (-1, 0, 1, 0)), (11, 13)),
    "lying asterisk": Style("asterisk", (*_X, (0, -1, 0, 1)), (11, 13)),
    "barred plus": Style("barred", (*_PLUS, *_BARS), (11, 13), 0.76),
    "open barred plus": Style("barred", (*_OPEN, *_BARS), (11, 13), 0.76),
    "barred x": Style("barred", _turned((*_PLUS, *_BARS), 1.15), (11, 13), 0.76),
    "open barred x": Style("barred", _turned((*_OPEN, *_BARS), 1.15), (11, 13), 0.76),
}
# Evidence (correlation, and a bonus for ink of one even grey, as tissue never is) that proves a mark
# where an equal one was found too, and where one was proven.
PAIRED_EVIDENCE = 0.76
FOLLOWING_EVIDENCE = 0.69
EVENNESS_BONUS = 0.08
LARGEST_EVEN_DEVIATION = 16
# Nothing below this is looked at.
SMALLEST_MATCH = 0.61
# Grey levels by which the weakest stroke stands out from the gaps beside it.
SMALLEST_CONTRAST = 45
# The same for the dots of a line.
DOT_CONTRAST = 18
# Marks of one screen are drawn in one grey.
LARGEST_GREY_DIFFERENCE = 24


@dataclass(frozen=True)
class Template:
    """One caliper style at one size; the masks have the shape of `image`."""

    style: str
    size: int
    image: NDArray[np.float32] = field(repr=False)
    ink: NDArray[np.bool_] = field(repr=False)
    gap: NDArray[np.bool_] = field(repr=False)
    arms: tuple[NDArray[np.bool_], ...] = field(repr=False)

    @property
    def family(self) -> str:
        """The set of marks that this one is drawn with."""
        return STYLES[self.style].family


@dataclass(frozen=True)
class Cross:
    """A caliper mark at `row`, `column` (its centre), drawn in `grey`, give or take `deviation`."""

    row: int
    column: int
    template: Template
    match: float
    contrast: float
    grey: float
    deviation: float

    @property
    def evidence(self) -> float:
        """The correlation, raised where the ink is of one grey."""
        even = self.deviation <= LARGEST_EVEN_DEVIATION
        return self.match + (EVENNESS_BONUS if even else 0.0)


class CaliperCrosses:
    """Detector of caliper marks, the digits beside them and dotted lines between them."""

    def describe(self) -> str:
        """One line for `cad-node explain` and for provenance."""
        return (
            f"calipers: {len(STYLES)} cross styles by template, evidence >= {PAIRED_EVIDENCE:g} in pairs, "
            "higher alone, and dotted lines between them"
        )

    def find(self, picture: Picture) -> list[Mark]:
        """Every caliper mark, and every dotted line that joins two of them."""
        grey = picture.grey
        crosses = find_crosses(grey)
        marks = [_cross_mark(cross, grey.shape) for cross in crosses]
        for first, second in combinations(crosses, 2):
            line = _dotted_line(grey, first, second)
            if line is not None:
                marks.append(line)
        return marks


def find_crosses(grey: NDArray[np.uint8]) -> list[Cross]:
    """Caliper marks, best first, none overlapping another."""
    candidates = _without_overlaps(_candidates(grey))
    proven = [cross for cross in candidates if _proven(cross, candidates)]
    return [
        cross for cross in candidates if cross in proven or any(_follows(cross, other) for other in proven)
    ]


def _proven(cross: Cross, candidates: Sequence[Cross]) -> bool:
    if cross.evidence >= STYLES[cross.template.style].certain:
        return True
    return cross.evidence >= PAIRED_EVIDENCE and any(
        other is not cross and other.evidence >= PAIRED_EVIDENCE and _alike(cross, other)
        for other in candidates
    )


def _follows(cross: Cross, proven: Cross) -> bool:
    return cross.evidence >= FOLLOWING_EVIDENCE and _alike(cross, proven)


def _alike(first: Cross, second: Cross) -> bool:
    return (
        first.template.family == second.template.family
        and abs(first.template.size - second.template.size) <= 2
        and abs(first.grey - second.grey) <= LARGEST_GREY_DIFFERENCE
    )


def _candidates(grey: NDArray[np.uint8]) -> list[Cross]:
    image = grey.astype(np.float32)
    found: list[Cross] = []
    for template in templates():
        side = template.image.shape[0]
        if min(grey.shape) < side:
            continue
        scores = cv2.matchTemplate(image, template.image, cv2.TM_CCOEFF_NORMED)
        peaks = (scores >= SMALLEST_MATCH) & (scores >= cv2.dilate(scores, np.ones((5, 5), np.uint8)))
        for row, column in np.argwhere(peaks):
            patch = image[row : row + side, column : column + side]
            contrast, level, deviation = _contrast(patch, template)
            if contrast >= SMALLEST_CONTRAST:
                match = float(scores[row, column])
                centre = int(row) + side // 2, int(column) + side // 2
                found.append(Cross(*centre, template, match, contrast, level, deviation))
    return found


def _contrast(patch: NDArray[np.float32], template: Template) -> tuple[float, float, float]:
    """How far the weakest stroke stands out from the gaps; grey of the ink, and its deviation."""
    gaps = float(patch[template.gap].mean())
    arms = [float(patch[arm].mean()) for arm in template.arms]
    core = patch[np.logical_or.reduce(template.arms)]
    return min(arms) - gaps, float(np.median(core)), float(core.std())


@lru_cache(maxsize=1)
def templates() -> tuple[Template, ...]:
    """All styles at all sizes."""
    return tuple(_draw(name, size) for name, style in STYLES.items() for size in style.sizes_px)


def _draw(style: str, size: int) -> Template:
    fine = 8
    margin = 2
    side = size + 2 * margin + (1 - size % 2)
    centre = side / 2 * fine
    reach = (size - 1) / 2 * fine
    thickness = max(1.2, size / 8)

    def stroke(ends: Iterable[Stroke], width: float) -> NDArray[np.float32]:
        canvas = np.zeros((side * fine, side * fine), np.uint8)
        for row, column, row_end, column_end in ends:
            start = (round(centre + column * reach), round(centre + row * reach))
            stop = (round(centre + column_end * reach), round(centre + row_end * reach))
            cv2.line(canvas, start, stop, 255, max(1, round(width * fine)))
        small = cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA) / np.float32(255)
        return np.asarray(small, dtype=np.float32)

    strokes = STYLES[style].strokes
    image = np.asarray(cv2.GaussianBlur(stroke(strokes, thickness), (0, 0), 0.55), dtype=np.float32)
    ink = image > 0.25
    near = cv2.dilate(ink.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    gap = near & (image < 0.08)
    arms = tuple(stroke([one], 1.0) > 0.45 for one in strokes)
    return Template(style, size, image, ink, gap, tuple(arm for arm in arms if arm.any()))


def _without_overlaps(candidates: list[Cross]) -> list[Cross]:
    kept: list[Cross] = []
    for cross in sorted(candidates, key=lambda one: (-one.evidence * _ink_share(one), one.row, one.column)):
        reach = cross.template.size / 2
        if all(
            max(abs(cross.row - other.row), abs(cross.column - other.column))
            >= (reach + other.template.size / 2) * 0.8
            for other in kept
        ):
            kept.append(cross)
    return kept


def _ink_share(cross: Cross) -> float:
    # Of equally good finds the larger one explains more of what is drawn.
    return 1.0 + 0.01 * cross.template.size


def _cross_mark(cross: Cross, shape: tuple[int, ...]) -> Mark:
    half = cross.template.ink.shape[0] // 2
    rows, columns = shape[:2]
    top, left = cross.row - half, cross.column - half
    side = cross.template.ink.shape[0]
    box = Box(max(0, top), min(rows, top + side), max(0, left), min(columns, left + side))
    ink = cross.template.ink[
        box.row_start - top : box.row_stop - top, box.column_start - left : box.column_stop - left
    ]
    return Mark(Annotation(box, "caliper", round(cross.match, 3)), ink.copy())


def _dotted_line(grey: NDArray[np.uint8], first: Cross, second: Cross) -> Mark | None:
    """The dots between two marks, where brightness beside the line is lower all the way."""
    start = np.array([first.row, first.column], float)
    stop = np.array([second.row, second.column], float)
    length = float(np.linalg.norm(stop - start))
    inset = 0.5 * max(first.template.size, second.template.size) + 2
    if length < 2 * inset + 12:
        return None
    step = (stop - start) / length
    normal = np.array([-step[1], step[0]])
    along = np.arange(inset, length - inset, 0.5)
    offsets = np.arange(-5.0, 5.5, 1.0)
    points = start + along[:, None, None] * step + offsets[None, :, None] * normal
    profile = cv2.remap(
        grey,
        points[..., 1].astype(np.float32),
        points[..., 0].astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float32)
    on = profile[:, 4:7].max(axis=1)
    beside = np.maximum(profile[:, [0, 1]].mean(axis=1), profile[:, [9, 10]].mean(axis=1))
    # A dot every few pixels: the brightest point of each stretch counts.
    stretch = 16
    pieces = (len(on) // stretch) * stretch
    if pieces == 0:
        return None
    dots = on[:pieces].reshape(-1, stretch).max(axis=1)
    ground = np.median(beside[:pieces].reshape(-1, stretch), axis=1)
    if float(np.mean(dots - ground > DOT_CONTRAST)) < 0.85:
        return None
    mask = np.zeros(grey.shape, np.uint8)
    first_dot, last_dot = start + step * inset, stop - step * inset
    cv2.line(
        mask,
        (round(first_dot[1]), round(first_dot[0])),
        (round(last_dot[1]), round(last_dot[0])),
        1,
        2,
    )
    return mark_from_mask(mask > 0, "caliper line", 1.0)
