"""Find caliper marks by their shape, and the dotted lines drawn between them.

Scanners mark the ends of a distance with small crosses of a handful of styles.
Each style is a list of strokes, drawn here at several sizes and compared with
the picture; a find is believed only where every stroke stands out from the gaps
beside it, which speckle does not do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
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
    """How one kind of mark is drawn; those of a `family` occur together on a screen."""

    family: str
    strokes: tuple[Stroke, ...]
    sizes_px: tuple[int, ...]


# The families are those of plain crosses (most scanners) and of two GE Logiq cursor sets.
STYLES: dict[str, Style] = {
    "plus": Style("plain", _PLUS, (9, 11, 13, 15, 17, 20)),
    "x": Style("plain", _X, (11, 13, 15, 17)),
    "upright asterisk": Style("asterisk", (*_X, (-1, 0, 1, 0)), (11,)),
    "lying asterisk": Style("asterisk", (*_X, (0, -1, 0, 1)), (11,)),
    "barred plus": Style("barred", (*_PLUS, *_BARS), (11,)),
    "open barred plus": Style("barred", (*_OPEN, *_BARS), (11,)),
    "barred x": Style("barred", _turned((*_PLUS, *_BARS), 1.15), (11,)),
    "open barred x": Style("barred", _turned((*_OPEN, *_BARS), 1.15), (11,)),
}


@dataclass(frozen=True)
class Bar:
    """What a find must show to be believed."""

    match: float
    """Normalised correlation with the template."""
    contrast: float
    """Grey levels by which the weakest arm stands out from the gaps beside it."""
    balance: float
    """Contrast of the weakest arm as a share of the mean arm's."""
    clutter: float
    """Share of the gaps that may be nearly as bright as the ink."""


# Set on 40 images of two data sets: a find that stands alone, and one on a screen where another stood.
ALONE = Bar(match=0.7, contrast=48, balance=0.55, clutter=0.07)
FOLLOWING = Bar(match=0.62, contrast=30, balance=0.4, clutter=0.1)
# What lies in the corners of the window costs a true mark up to this much of its correlation.
WINDOW_LOSS = 0.07
# Width of what counts as thin, and the least relief of every arm of a candidate.
RELIEF_PX = 13
SMALLEST_RELIEF = 22
# The same for the dots of a line.
DOT_CONTRAST = 18
# Marks of one screen are drawn in one grey.
LARGEST_GREY_DIFFERENCE = 24
# So far below the ink's grey, a gap still counts as clutter.
CLUTTER_DEPTH = 15


@dataclass(frozen=True)
class Template:
    """One caliper style at one size; the masks have the shape of `image`.

    `arms` pairs the pixels of each arm, centre to tip, with the gap beside it;
    `middles` are the `(row, column)` of the arms' middles, `(arms, 2)`.
    """

    style: str
    size: int
    image: NDArray[np.float32] = field(repr=False)
    ink: NDArray[np.bool_] = field(repr=False)
    gap: NDArray[np.bool_] = field(repr=False)
    core: NDArray[np.bool_] = field(repr=False)
    arms: tuple[tuple[NDArray[np.bool_], NDArray[np.bool_]], ...] = field(repr=False)
    middles: NDArray[np.intp] = field(repr=False)

    @property
    def family(self) -> str:
        """The set of marks that this one is drawn with."""
        return STYLES[self.style].family


@dataclass(frozen=True)
class Cross:
    """A caliper mark at `row`, `column` (its centre), drawn in `grey`; the rest as in `Bar`."""

    row: int
    column: int
    template: Template
    grey: float
    match: float
    contrast: float
    balance: float
    clutter: float

    def clears(self, bar: Bar) -> bool:
        """Whether this find shows all that `bar` asks for."""
        return (
            self.match >= bar.match
            and self.contrast >= bar.contrast
            and self.balance >= bar.balance
            and self.clutter <= bar.clutter
        )


class CaliperCrosses:
    """Detector of caliper marks, the digits beside them and dotted lines between them."""

    def describe(self) -> str:
        """One line for `cad-node explain` and for provenance."""
        return (
            f"calipers: {len(STYLES)} cross styles by template, correlation >= {ALONE.match:g}, "
            "every arm brighter than its surroundings; dotted lines between them"
        )

    def find(self, picture: Picture) -> list[Mark]:
        """Every caliper mark, and every dotted line that joins two of them."""
        grey = picture.grey
        crosses = find_crosses(grey)
        marks = [_cross_mark(cross, grey.shape) for cross in crosses]
        for cross in crosses:
            marks.extend(_labels_beside(grey, cross))
        for first, second in combinations(crosses, 2):
            line = _dotted_line(grey, first, second)
            if line is not None:
                marks.append(line)
        return marks


def find_crosses(grey: NDArray[np.uint8]) -> list[Cross]:
    """Caliper marks, best first, none overlapping another."""
    found = _without_overlaps(_candidates(grey))
    alone = [cross for cross in found if cross.clears(ALONE)]
    return [cross for cross in found if cross in alone or any(_alike(cross, other) for other in alone)]


def _alike(first: Cross, second: Cross) -> bool:
    return (
        first.template.family == second.template.family
        and abs(first.template.size - second.template.size) <= 2
        and abs(first.grey - second.grey) <= LARGEST_GREY_DIFFERENCE
    )


def _candidates(grey: NDArray[np.uint8]) -> list[Cross]:
    image = grey.astype(np.float32)
    # Thin and bright against what is around it: a cheap first look at the arms of each candidate.
    relief = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, np.ones((RELIEF_PX, RELIEF_PX), np.uint8))
    relief = cv2.dilate(relief, np.ones((3, 3), np.uint8))
    found: list[Cross] = []
    for template in templates():
        side = template.image.shape[0]
        if min(grey.shape) < side:
            continue
        scores = cv2.matchTemplate(image, template.image, cv2.TM_CCOEFF_NORMED)
        peaks = (scores >= FOLLOWING.match - WINDOW_LOSS) & (
            scores >= cv2.dilate(scores, np.ones((5, 5), np.uint8))
        )
        rows, columns = np.nonzero(peaks)
        arms = relief[rows[:, None] + template.middles[:, 0], columns[:, None] + template.middles[:, 1]]
        for one in np.flatnonzero((arms >= SMALLEST_RELIEF).all(axis=1)):
            cross = _judge(image, int(rows[one]), int(columns[one]), template)
            if cross.clears(FOLLOWING):
                found.append(cross)
    return found


def _judge(image: NDArray[np.float32], row: int, column: int, template: Template) -> Cross:
    side = template.image.shape[0]
    patch = image[row : row + side, column : column + side]
    level = float(np.median(patch[template.core]))
    contrasts = [float(patch[arm].mean() - patch[gap].mean()) for arm, gap in template.arms]
    weakest, mean = min(contrasts), sum(contrasts) / len(contrasts)
    return Cross(
        row=row + side // 2,
        column=column + side // 2,
        template=template,
        grey=level,
        match=_correlation(patch, template),
        contrast=weakest,
        balance=weakest / mean if mean > 0 else 0.0,
        clutter=float((patch[template.gap] > level - CLUTTER_DEPTH).mean()),
    )


def _correlation(patch: NDArray[np.float32], template: Template) -> float:
    """Normalised correlation over the ink and the gaps alone."""
    seen = template.ink | template.gap
    values = patch[seen] - patch[seen].mean()
    drawn = template.image[seen] - template.image[seen].mean()
    norm = float(np.linalg.norm(values) * np.linalg.norm(drawn))
    return float(values @ drawn) / norm if norm > 0 else 0.0


@lru_cache(maxsize=1)
def templates() -> tuple[Template, ...]:
    """All styles at all sizes."""
    return tuple(_draw(name, size) for name, style in STYLES.items() for size in style.sizes_px)


def _draw(style: str, size: int) -> Template:
    fine, margin = 8, 2
    side = size + 2 * margin + (1 - size % 2)
    centre, reach = side / 2 * fine, (size - 1) / 2 * fine
    thickness = max(1.2, size / 8)
    strokes = STYLES[style].strokes
    canvas = np.zeros((side * fine, side * fine), np.uint8)
    for row, column, row_end, column_end in strokes:
        start = (round(centre + column * reach), round(centre + row * reach))
        stop = (round(centre + column_end * reach), round(centre + row_end * reach))
        cv2.line(canvas, start, stop, 255, round(thickness * fine))
    small = cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA) / np.float32(255)
    image = np.asarray(cv2.GaussianBlur(small, (0, 0), 0.55), dtype=np.float32)
    ink = image > 0.25
    near = cv2.dilate(ink.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    gap = near & (image < 0.08)
    arms = tuple(
        (arm, beside)
        for arm, beside in (_arm(stroke, side, (size - 1) / 2, gap) for stroke in _halved(strokes))
        if arm.any() and beside.any()
    )
    core = np.logical_or.reduce([arm for arm, _ in arms])
    middles = np.array([np.argwhere(arm).mean(axis=0).round() for arm, _ in arms], dtype=np.intp)
    return Template(style, size, image, ink, gap, core, arms, middles)


def _halved(strokes: Iterable[Stroke]) -> Iterator[Stroke]:
    """Strokes through the centre as two arms each; the others as they are."""
    for row, column, row_end, column_end in strokes:
        if math.isclose(row, -row_end, abs_tol=1e-9) and math.isclose(column, -column_end, abs_tol=1e-9):
            yield (0, 0, row, column)
            yield (0, 0, row_end, column_end)
        else:
            yield (row, column, row_end, column_end)


def _arm(
    stroke: Stroke, side: int, reach: float, gap: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixels of one arm, and of the gap beside it; near the centre all arms are one."""
    rows, columns = np.indices((side, side), dtype=np.float64) - (side - 1) / 2
    row, column, row_end, column_end = (reach * value for value in stroke)
    rise, run = row_end - row, column_end - column
    share = ((rows - row) * rise + (columns - column) * run) / (rise**2 + run**2)
    within = np.clip(share, 0, 1)
    distance = np.hypot(rows - row - within * rise, columns - column - within * run)
    inner = 0.3 if row == column == 0 else 0.0
    arm = (distance < 0.75) & (share >= inner)
    return arm, gap & (distance < 3.4) & (share >= inner - 0.1)


def _without_overlaps(candidates: list[Cross]) -> list[Cross]:
    kept: list[Cross] = []
    for cross in sorted(candidates, key=lambda one: (-one.match * one.contrast, one.row, one.column)):
        if all(_apart(cross, other) for other in kept):
            kept.append(cross)
    return kept


def _apart(first: Cross, second: Cross) -> bool:
    distance = max(abs(first.row - second.row), abs(first.column - second.column))
    return distance >= 0.4 * (first.template.size + second.template.size)


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


def _labels_beside(grey: NDArray[np.uint8], cross: Cross) -> list[Mark]:
    """The digit that a plain cross carries at one of its corners, too small to be read alone."""
    if cross.template.family != "plain":
        return []
    size = cross.template.size
    reach = round(1.9 * size)
    rows, columns = grey.shape
    box = Box(
        max(0, cross.row - reach),
        min(rows, cross.row + reach + 1),
        max(0, cross.column - reach),
        min(columns, cross.column + reach + 1),
    )
    crop = grey[box.slices]
    width = max(5, round(0.55 * size)) | 1
    relief = cv2.morphologyEx(crop, cv2.MORPH_TOPHAT, np.ones((width, width), np.uint8))
    strokes = (relief > max(18.0, 0.5 * cross.contrast)) & (crop > cross.grey - 70)
    own = np.zeros(crop.shape, dtype=bool)
    mark = _cross_mark(cross, grey.shape).moved(-box.row_start, -box.column_start)
    own[mark.annotation.box.slices] = mark.mask
    strokes &= cv2.dilate(own.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
    count, labels, stats, centres = cv2.connectedComponentsWithStats(strokes.astype(np.uint8), connectivity=8)
    found = []
    for label in range(1, count):
        height, breadth = stats[label, cv2.CC_STAT_HEIGHT], stats[label, cv2.CC_STAT_WIDTH]
        column, row = centres[label] - (cross.column - box.column_start, cross.row - box.row_start)
        beside = min(abs(row), abs(column)) >= 0.25 * size and max(abs(row), abs(column)) <= 1.4 * size
        if beside and 0.45 * size <= height <= 1.1 * size and 0.1 * size <= breadth <= 0.85 * size:
            digit = mark_from_mask(labels == label, "caliper label", cross.match)
            if digit is not None:
                found.append(digit.moved(box.row_start, box.column_start))
    return found


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
