"""Marks in a cine loop: searched in full now and then, followed in between.

Reading every frame would cost half a second each. Burnt-in marks stand still while
the tissue moves, so a loop is cut into stretches whose first and last frame are
searched. A mark that is at both ends is there all the time; one that is at one end
only is looked for, by its own pixels, in each frame between. What appears and
vanishes inside a stretch is noticed because it is thin, bright and does not move,
and then that frame is searched, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Box
from cad_node.pipeline.clean.marks import Mark

# Frames from one full search to the next.
STRETCH = 12
# A mark of one end is still there while the median of its pixels differs by less.
LARGEST_DIFFERENCE = 20
# Relief of a thin bright thing that could be a mark, and its least number of pixels.
SMALLEST_RELIEF = 50
RELIEF_PX = 13
SMALLEST_AREA_PX = 14
# Between two frames of moving tissue a mark changes by coding noise only.
STILL_WITHIN = 3
STILL_SHARE = 0.85
# Searches for newcomers that found nothing, after which a stretch is no longer watched.
FALSE_ALARMS = 2

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class Look:
    """A frame that was searched in full: its pixels and its marks."""

    grey: Grey = field(repr=False)
    marks: tuple[Mark, ...]


def stretches(count: int) -> Iterator[tuple[int, int]]:
    """First and last index of each stretch of a loop; neighbours share a frame."""
    first = 0
    while first < count - 1:
        last = min(count - 1, first + STRETCH)
        yield first, last
        first = last


def follow(
    greys: Sequence[Grey], first: Look, last: Look, region: Box, search: Callable[[int], Sequence[Mark]]
) -> list[tuple[Mark, ...]]:
    """The marks of every frame of a stretch.

    Parameters
    ----------
    greys
        The frames from `first` to `last`, both included.
    region
        Where newcomers are watched for.
    search
        Searches one frame of the stretch in full, by its index in `greys`.
    """
    looks = [first, last]
    between = range(1, len(greys) - 1)
    alarms = 0
    for index in between:
        if alarms >= FALSE_ALARMS:
            break
        if _newcomer(greys[index], greys[index - 1], looks, region):
            marks = tuple(search(index))
            alarms += not any(_is_new(mark, looks) for mark in marks)
            looks.append(Look(greys[index], marks))
    standing = [mark for mark in first.marks if _met(mark, last.marks)]
    standing += [mark for mark in last.marks if _met(mark, first.marks)]
    passing = [
        (mark, look.grey) for look in looks for mark in look.marks if not any(mark is one for one in standing)
    ]
    return [
        _distinct([*standing, *(mark for mark, seen in passing if still_there(mark, seen, grey))])
        for grey in greys
    ]


def _newcomer(grey: Grey, before: Grey, looks: Sequence[Look], region: Box) -> bool:
    """Whether something thin and bright that the looks do not explain stands in a frame."""
    known = np.zeros(grey.shape, np.uint8)
    for look in looks:
        for mark in look.marks:
            known[mark.annotation.box.slices] |= mark.mask.astype(np.uint8)
    now, then = grey[region.slices], before[region.slices]
    thin = _relief(now) >= SMALLEST_RELIEF
    thin &= cv2.dilate(known[region.slices], np.ones((7, 7), np.uint8)) == 0
    if not thin.any():
        return False
    change = cv2.absdiff(now, then)
    if float(np.median(change[thin])) > STILL_WITHIN:
        still = change <= STILL_WITHIN
    else:
        # A frozen picture: nothing moves, so a newcomer is what the searched frames do not show.
        nearest = looks[0].grey[region.slices]
        still = cv2.absdiff(now, nearest) > LARGEST_DIFFERENCE
    count, labels, stats, _ = cv2.connectedComponentsWithStats(thin.astype(np.uint8), connectivity=8)
    shares = np.bincount(labels.ravel(), weights=still.ravel(), minlength=count) / np.maximum(
        1, stats[:, cv2.CC_STAT_AREA]
    )
    large = stats[:, cv2.CC_STAT_AREA] >= SMALLEST_AREA_PX
    return bool((large & (shares >= STILL_SHARE))[1:].any())


def _relief(grey: Grey) -> Grey:
    kernel = np.ones((RELIEF_PX, RELIEF_PX), np.uint8)
    return np.asarray(cv2.morphologyEx(np.ascontiguousarray(grey), cv2.MORPH_TOPHAT, kernel), np.uint8)


def still_there(mark: Mark, seen: Grey, grey: Grey) -> bool:
    """Whether a mark of the picture `seen` has the same pixels in another one."""
    slices = mark.annotation.box.slices
    difference = cv2.absdiff(seen[slices], grey[slices])[mark.mask]
    return bool(difference.size) and float(np.median(difference)) <= LARGEST_DIFFERENCE


def _is_new(mark: Mark, looks: Sequence[Look]) -> bool:
    return not any(_met(mark, look.marks) for look in looks)


def _met(mark: Mark, others: Sequence[Mark]) -> bool:
    """Whether one of `others` covers much of the same pixels."""
    return any(_overlap(mark, other) >= 0.3 for other in others)


def _overlap(first: Mark, second: Mark) -> float:
    """Shared pixels as a part of the smaller mark's."""
    one, two = first.annotation.box, second.annotation.box
    top, bottom = max(one.row_start, two.row_start), min(one.row_stop, two.row_stop)
    left, right = max(one.column_start, two.column_start), min(one.column_stop, two.column_stop)
    if top >= bottom or left >= right:
        return 0.0

    def part(mark: Mark) -> NDArray[np.bool_]:
        box = mark.annotation.box
        rows = slice(top - box.row_start, bottom - box.row_start)
        return mark.mask[rows, left - box.column_start : right - box.column_start]

    smaller = min(int(first.mask.sum()), int(second.mask.sum()))
    return float((part(first) & part(second)).sum()) / max(1, smaller)


def _distinct(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    """`marks` without those whose pixels another one has all."""
    kept: list[Mark] = []
    for mark in sorted(marks, key=lambda one: -int(one.mask.sum())):
        if not any(_overlap(mark, other) >= 0.999 for other in kept):
            kept.append(mark)
    return tuple(kept)
