"""The figures of a scorecard, and how sure they are.

Dice and IoU speak of images with a drawn lesion; images of normal tissue are
judged by the share that shows a false lesion, never by a Dice of 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Figure = dict[str, float | list[float] | int]
# Of probabilities from 0 to 1, where they are compared with how often they are right.
BINS = 10


def dice(found: NDArray[np.bool_], drawn: NDArray[np.bool_]) -> float:
    """Twice the shared area over the sum of both areas; 1 where both are empty."""
    total = int(found.sum()) + int(drawn.sum())
    return 1.0 if total == 0 else 2.0 * float(np.logical_and(found, drawn).sum()) / total


def iou(found: NDArray[np.bool_], drawn: NDArray[np.bool_]) -> float:
    """Shared area over united area; 1 where both are empty."""
    united = float(np.logical_or(found, drawn).sum())
    return 1.0 if united == 0 else float(np.logical_and(found, drawn).sum()) / united


def hausdorff_95(found: NDArray[np.bool_], drawn: NDArray[np.bool_]) -> float:
    """95th percentile of the distance from outline to outline in pixels, the worse of both directions.

    Not a number where one of the masks is empty.
    """
    if not found.any() or not drawn.any():
        return float("nan")
    # Only the part that either covers, with a margin so that an outline ends where its mask does.
    rows, columns = np.nonzero(found | drawn)
    part = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    outlines = [_outline(np.pad(mask[part], 1)) for mask in (found, drawn)]
    away = [
        cv2.distanceTransform((~outline).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for outline in outlines
    ]
    return float(max(np.percentile(away[1][outlines[0]], 95), np.percentile(away[0][outlines[1]], 95)))


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=np.uint8)
    inside = cv2.erode(mask.astype(np.uint8), cross, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(mask & (inside == 0), dtype=np.bool_)


def auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve as the Mann-Whitney statistic, ties counted half.

    Not a number where one of the two groups is empty.
    """
    count = int(positive.sum())
    other = positive.size - count
    if count == 0 or other == 0:
        return float("nan")
    _, inverse, tied = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(tied)
    ranks = (last - (tied - 1) / 2)[inverse]
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * other))


def sensitivity_at(scores: NDArray[np.float64], positive: NDArray[np.bool_], specificity: float) -> float:
    """Share of positives above the lowest threshold that keeps `specificity`."""
    negatives = np.sort(scores[~positive])
    if negatives.size == 0 or not positive.any():
        return float("nan")
    allowed = int(np.floor((1 - specificity) * negatives.size + 1e-9))
    threshold = negatives[negatives.size - 1 - allowed]
    return float((scores[positive] > threshold).mean())


def specificity_at(scores: NDArray[np.float64], positive: NDArray[np.bool_], sensitivity: float) -> float:
    """Share of negatives below the highest threshold that keeps `sensitivity`."""
    return sensitivity_at(-scores, ~positive, sensitivity)


def macro_auc(probabilities: NDArray[np.float64], target: NDArray[np.int64]) -> float:
    """Mean over the classes that occur of the AUC of one class against the others."""
    each = [auc(probabilities[:, number], target == number) for number in range(probabilities.shape[1])]
    there = [value for value in each if np.isfinite(value)]
    return float(np.mean(there)) if there else float("nan")


def macro_precision(said: NDArray[np.int64], target: NDArray[np.int64]) -> float:
    """Mean over the classes that occur of TP / (TP + FP); 0 for a class that is never said."""
    return _over_classes(said, target, said)


def macro_recall(said: NDArray[np.int64], target: NDArray[np.int64]) -> float:
    """Mean over the classes that occur of TP / (TP + FN)."""
    return _over_classes(said, target, target)


def _over_classes(said: NDArray[np.int64], target: NDArray[np.int64], within: NDArray[np.int64]) -> float:
    shares = []
    for number in np.unique(target):
        counted = within == number
        shares.append(float((said[counted] == target[counted]).mean()) if counted.any() else 0.0)
    return float(np.mean(shares)) if shares else float("nan")


def macro_f1(said: NDArray[np.int64], target: NDArray[np.int64]) -> float:
    """2 precision recall / (precision + recall) of the macro precision and recall.

    So the first paper's table 2 comes out: its F1 is the harmonic mean of its two columns.
    """
    precision, recall = macro_precision(said, target), macro_recall(said, target)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def calibration_error(probabilities: NDArray[np.float64], target: NDArray[np.int64]) -> float:
    """Expected calibration error of the likeliest class, equal-width bins.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
    `probabilities` is (images, classes).
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == target
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gaps = [
        abs(float(right[place == number].mean()) - float(confidence[place == number].mean()))
        * float((place == number).mean())
        for number in range(BINS)
        if (place == number).any()
    ]
    return float(sum(gaps))


def figure(
    values: Callable[[NDArray[np.int64]], float],
    groups: Sequence[str],
    resamples: int,
    seed: int,
) -> Figure:
    """A figure with its 95 % interval by bootstrap over groups (patients).

    Parameters
    ----------
    values
        The figure of the cases with the given indices; not a number where it
        cannot be computed, and then left out of the interval.
    groups
        Group of each case; all cases of a group are drawn together.
    resamples
        Bootstrap samples.
    seed
        Makes the interval repeatable.
    """
    return figures(lambda index: [values(index)], groups, resamples, seed)[0]


def figures(
    values: Callable[[NDArray[np.int64]], Sequence[float]],
    groups: Sequence[str],
    resamples: int,
    seed: int,
) -> list[Figure]:
    """Several figures of the same cases at once, each as `figure` gives it."""
    names, owner = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    members = [np.flatnonzero(owner == number) for number in range(names.size)]
    rng = np.random.default_rng(seed)
    whole = values(np.arange(owner.size))
    drawn = np.empty((resamples if members else 0, len(whole)))
    for number in range(drawn.shape[0]):
        chosen = rng.integers(0, len(members), len(members))
        drawn[number] = values(np.concatenate([members[one] for one in chosen]))
    return [
        _as_figure(value if members else float("nan"), column, owner.size, len(members))
        for value, column in zip(whole, drawn.T, strict=True)
    ]


def _as_figure(value: float, drawn: NDArray[np.float64], images: int, groups: int) -> Figure:
    sampled = drawn[np.isfinite(drawn)]
    low, high = np.percentile(sampled, [2.5, 97.5]) if sampled.size else (np.nan, np.nan)
    return {
        "value": _rounded(value),
        "interval_95": [_rounded(float(low)), _rounded(float(high))],
        "images": images,
        "groups": groups,
    }


def _rounded(value: float) -> float:
    return round(value, 4) if np.isfinite(value) else float("nan")
