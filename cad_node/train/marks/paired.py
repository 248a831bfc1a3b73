"""The same images treated in several ways: the figures of each, and of the difference of two.

The difference is taken within each bootstrap sample, so that what makes an image
easy or hard cancels out; two intervals side by side would say much less.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cad_node.train.cases import Case
from cad_node.train.figures import FIGURES, RESAMPLES, Chosen, Columns
from cad_node.train.metrics import Figure, figures

COMPARED = (
    "lesion_dice",
    "lesion_iou",
    "lesions_detected",
    "false_lesions_per_image",
    "normals_with_false_lesion",
    "accuracy",
    "auc_benign_malignant",
    "share_named",
    "accuracy_named",
)
# A fall of Dice that a reader would see in the outline.
FALL = 0.1

Pair = tuple[str, str]


def _fell(before: Columns, after: Columns) -> float:
    return float((after.dice < before.dice - FALL).mean())


def _other_class(before: Columns, after: Columns) -> float:
    return float((after.said != before.said).mean())


# Figures that only a pair has, each of the images that another figure speaks of.
_OF_PAIRS: dict[str, tuple[str, Callable[[Columns, Columns], float]]] = {
    "dice_fell": ("lesion_dice", _fell),
    "other_class": ("accuracy", _other_class),
}


@dataclass(frozen=True)
class Comparison:
    """Figures by treatment, and differences by pair of treatments; what cannot be computed is left out."""

    treatments: dict[str, dict[str, Figure]] = field(default_factory=lambda: defaultdict(dict))
    differences: dict[Pair, dict[str, Figure]] = field(default_factory=lambda: defaultdict(dict))


def compare(cases: Mapping[str, Sequence[Case]], pairs: Sequence[Pair]) -> Comparison:
    """The compared figures of each treatment, and of `pairs` the second less the first.

    Besides, a pair has `dice_fell`, the share of images with a lesion whose Dice fell
    by more than `FALL`, and `other_class`, the share of images of which another class
    is likeliest.

    Raises
    ------
    ValueError
        The treatments are not of the same images in the same order.
    """
    images = [[case.image for case in part] for part in cases.values()]
    if any(one != images[0] for one in images):
        raise ValueError("Pairs must be of the same images in the same order.")
    found = Comparison()
    rows: dict[Chosen, list[str]] = defaultdict(list)
    for key in COMPARED:
        rows[FIGURES[key][0]].append(key)
    for chosen, keys in rows.items():
        _add(found, chosen, keys, cases, pairs)
    return found


def _add(
    found: Comparison,
    chosen: Chosen,
    keys: Sequence[str],
    cases: Mapping[str, Sequence[Case]],
    pairs: Sequence[Pair],
) -> None:
    """Figures that speak of the same images, from the same bootstrap samples."""
    # Which images a figure speaks of depends on what is drawn in them, never on what was found.
    first = next(iter(cases.values()))
    index = [number for number, case in enumerate(first) if chosen(case)]
    if not index:
        return
    columns = {name: Columns.of([part[number] for number in index]) for name, part in cases.items()}
    of_pairs = {key: value for key, (other, value) in _OF_PAIRS.items() if other in keys}
    places: list[tuple[dict[str, Figure], str]] = [
        *((found.treatments[name], key) for name in cases for key in keys),
        *((found.differences[pair], key) for pair in pairs for key in (*keys, *of_pairs)),
    ]

    def values(some: NDArray[np.int64]) -> list[float]:
        at = {name: part.at(some) for name, part in columns.items()}
        single = {(name, key): FIGURES[key][1](at[name]) for name in cases for key in keys}
        result = list(single.values())
        for before, after in pairs:
            result += [single[after, key] - single[before, key] for key in keys]
            result += [value(at[before], at[after]) for value in of_pairs.values()]
        return result

    groups = [first[number].group for number in index]
    for (place, key), entry in zip(places, figures(values, groups, RESAMPLES, seed=0), strict=True):
        if np.isfinite([entry["value"], *np.ravel(entry["interval_95"])]).all():
            place[key] = entry
