"""The figures of a scorecard from scored cases, each with its 95 % interval over groups.

One row of `FIGURES` is one figure: its key, which cases it speaks of, and how it
is computed from their columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cad_node.networks.lesion_network import CLASS_NAMES
from cad_node.train.cases import Case
from cad_node.train.metrics import (
    BINS,
    auc,
    calibration_error,
    figure,
    macro_auc,
    macro_f1,
    macro_precision,
    macro_recall,
    sensitivity_at,
    specificity_at,
)

RESAMPLES = 1000
# Coverage is never judged on fewer images than this.
_FEWEST = 20


@dataclass(frozen=True)
class Columns:
    """Cases as columns, so that a bootstrap sample is one index."""

    target: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    dice: NDArray[np.float64]
    iou: NDArray[np.float64]
    hd95_px: NDArray[np.float64]
    hd95_ratio: NDArray[np.float64]
    drawn: NDArray[np.float64]
    detected: NDArray[np.float64]
    found: NDArray[np.float64]
    false_lesions: NDArray[np.float64]
    uncertain: NDArray[np.bool_]

    @classmethod
    def of(cls, cases: Sequence[Case]) -> Columns:
        """The columns of cases."""

        def column(name: str) -> NDArray[np.float64]:
            return np.array([getattr(case, name) for case in cases], dtype=np.float64)

        return cls(
            target=np.array([CLASS_NAMES.index(case.label) for case in cases], dtype=np.int64),
            probabilities=np.array([case.probabilities for case in cases], dtype=np.float64).reshape(-1, 3),
            uncertain=np.array([case.uncertain for case in cases], dtype=np.bool_),
            **{
                name: column(name)
                for name in (
                    "dice",
                    "iou",
                    "hd95_px",
                    "hd95_ratio",
                    "drawn",
                    "detected",
                    "found",
                    "false_lesions",
                )
            },
        )

    @property
    def said(self) -> NDArray[np.int64]:
        """The likeliest class, whether or not the model abstained."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def suspicion(self) -> NDArray[np.float64]:
        """Malignant against benign, whatever was thought of normal."""
        either = np.clip(self.probabilities[:, 1] + self.probabilities[:, 2], 1e-12, None)
        return np.asarray(self.probabilities[:, 2] / either, dtype=np.float64)

    def at(self, index: NDArray[np.int64]) -> Columns:
        """The same columns for some cases, in this order."""
        return Columns(**{name: values[index] for name, values in vars(self).items()})


Value = Callable[[Columns], float]
Chosen = Callable[[Case], bool]


def _mean(values: NDArray[np.float64]) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else math.nan


def _share(upper: NDArray[np.float64], lower: NDArray[np.float64]) -> float:
    return float(upper.sum() / lower.sum()) if lower.sum() else math.nan


def _recall(number: int) -> Value:
    return lambda c: _mean((c.said[c.target == number] == number).astype(np.float64))


def _precision(number: int) -> Value:
    return lambda c: _mean((c.target[c.said == number] == number).astype(np.float64))


def _mean_over_classes(name: str, normals: bool) -> Value:
    """Mean of the classes' means; a normal image counts 1 without a finding and 0 with one, if at all."""

    def value(columns: Columns) -> float:
        scores = np.where(columns.target == 0, columns.found == 0, getattr(columns, name)).astype(np.float64)
        wanted = [number for number in np.unique(columns.target) if normals or number > 0]
        return float(np.mean([_mean(scores[columns.target == number]) for number in wanted]))

    return value


def _accuracy(columns: Columns) -> float:
    return _mean((columns.said == columns.target).astype(np.float64))


def _named_accuracy(columns: Columns) -> float:
    named = ~columns.uncertain
    return _mean((columns.said == columns.target)[named].astype(np.float64))


def _malignant(columns: Columns) -> NDArray[np.bool_]:
    return np.asarray(columns.target == CLASS_NAMES.index("malignant"))


def _any(_: Case) -> bool:
    return True


def _lesion(case: Case) -> bool:
    return case.label != "normal"


def _normal(case: Case) -> bool:
    return case.label == "normal"


def _labelled(label: str) -> Chosen:
    return lambda case: case.label == label


def _several(case: Case) -> bool:
    return case.drawn > 1


def _cut(case: Case) -> bool:
    return case.cut_by_edge


FIGURES: dict[str, tuple[Chosen, Value]] = {
    "lesion_dice": (_lesion, lambda c: _mean(c.dice)),
    "lesion_iou": (_lesion, lambda c: _mean(c.iou)),
    "benign_dice": (_labelled("benign"), lambda c: _mean(c.dice)),
    "benign_iou": (_labelled("benign"), lambda c: _mean(c.iou)),
    "malignant_dice": (_labelled("malignant"), lambda c: _mean(c.dice)),
    "malignant_iou": (_labelled("malignant"), lambda c: _mean(c.iou)),
    "class_mean_dice": (_lesion, _mean_over_classes("dice", normals=False)),
    "class_mean_iou": (_lesion, _mean_over_classes("iou", normals=False)),
    "class_mean_iou_normals_counted": (_any, _mean_over_classes("iou", normals=True)),
    "hd95_px": (_lesion, lambda c: _mean(c.hd95_px)),
    "hd95_ratio": (_lesion, lambda c: _mean(c.hd95_ratio)),
    "lesions_detected": (_lesion, lambda c: _share(c.detected, c.drawn)),
    "false_lesions_per_image": (_any, lambda c: _mean(c.false_lesions)),
    "normals_with_false_lesion": (_normal, lambda c: _mean((c.found > 0).astype(np.float64))),
    "dice_several_lesions": (_several, lambda c: _mean(c.dice)),
    "detected_several_lesions": (_several, lambda c: _share(c.detected, c.drawn)),
    "dice_cut_by_edge": (_cut, lambda c: _mean(c.dice)),
    "detected_cut_by_edge": (_cut, lambda c: _share(c.detected, c.drawn)),
    "accuracy": (_any, _accuracy),
    "macro_precision": (_any, lambda c: macro_precision(c.said, c.target)),
    "macro_recall": (_any, lambda c: macro_recall(c.said, c.target)),
    "macro_f1": (_any, lambda c: macro_f1(c.said, c.target)),
    **{f"{label}_recall": (_any, _recall(number)) for number, label in enumerate(CLASS_NAMES)},
    **{f"{label}_precision": (_any, _precision(number)) for number, label in enumerate(CLASS_NAMES)},
    "macro_auc": (_any, lambda c: macro_auc(c.probabilities, c.target)),
    "auc_benign_malignant": (_lesion, lambda c: auc(c.suspicion, _malignant(c))),
    "sensitivity_at_90_specificity": (_lesion, lambda c: sensitivity_at(c.suspicion, _malignant(c), 0.9)),
    "specificity_at_90_sensitivity": (_lesion, lambda c: specificity_at(c.suspicion, _malignant(c), 0.9)),
    "calibration_error": (_any, lambda c: calibration_error(c.probabilities, c.target)),
    "share_named": (_any, lambda c: _mean((~c.uncertain).astype(np.float64))),
    "accuracy_named": (_any, _named_accuracy),
}


def summarise(cases: Sequence[Case]) -> dict[str, Any]:
    """All figures, together and by data set; what cannot be computed is left out."""
    return {name: _figures(part) for name, part in by_dataset(cases).items()}


def by_dataset(cases: Sequence[Case]) -> dict[str, list[Case]]:
    """All cases, and those of each data set."""
    parts = {"all": list(cases)}
    for dataset in sorted({case.dataset for case in cases}):
        parts[dataset] = [case for case in cases if case.dataset == dataset]
    return parts


def _figures(cases: Sequence[Case]) -> dict[str, Any]:
    result = {}
    for key, (chosen, value) in FIGURES.items():
        part = [case for case in cases if chosen(case)]
        entry = _figure(part, value)
        if all(math.isfinite(number) for number in (entry["value"], *entry.get("interval_95", ()))):
            result[key] = entry
    return result


def _figure(cases: Sequence[Case], value: Value) -> dict[str, Any]:
    if not cases:
        return {"value": math.nan}
    columns = Columns.of(cases)
    return figure(lambda index: value(columns.at(index)), [case.group for case in cases], RESAMPLES, seed=0)


def curves(cases: Sequence[Case]) -> dict[str, Any]:
    """What is drawn: ROC, free-response ROC, reliability, distribution of Dice, accuracy against coverage."""
    columns = Columns.of(cases)
    return {
        "roc": _roc(columns),
        "froc": {name: froc(part) for name, part in by_dataset(cases).items()},
        "reliability": _reliability(columns),
        "dice": _histogram(columns),
        "coverage": _coverage(columns),
    }


def _roc(columns: Columns) -> dict[str, list[float]]:
    """Malignant against benign at every threshold, thinned to a hundred."""
    lesion = columns.target > 0
    scores, positive = columns.suspicion[lesion], _malignant(columns)[lesion]
    if not positive.any() or positive.all():
        return {"false_positive": [], "sensitivity": []}
    order = np.argsort(-scores, kind="stable")
    # Equal scores are one threshold.
    last = np.append(np.diff(scores[order]) != 0, True)
    sensitivity = np.append(0.0, (np.cumsum(positive[order]) / positive.sum())[last])
    false = np.append(0.0, (np.cumsum(~positive[order]) / (~positive).sum())[last])
    some = np.unique(np.linspace(0, sensitivity.size - 1, 100).round().astype(int))
    return {"false_positive": _rounded(false[some]), "sensitivity": _rounded(sensitivity[some])}


def froc(cases: Sequence[Case]) -> dict[str, list[float]]:
    """Lesions detected, false lesions an image and normal images with a finding, at every height of the veto.

    A lesion is detected, and a normal image has a finding, from the surest candidate on. Thinned to a
    hundred heights; `normals` is empty where there are none. Source: Chakraborty, Med Phys 1989;16:561.
    """
    lesions = [_surest(case, number) for case in cases for number in range(case.drawn)]
    false = [one.belief for case in cases for one in case.candidates if one.false]
    normals = [
        max((one.belief for one in case.candidates), default=-math.inf) for case in cases if _normal(case)
    ]
    heights = np.unique([*(belief for belief in lesions if math.isfinite(belief)), *false])[::-1]
    if not lesions or not heights.size:
        return {"belief": [], "detected": [], "false_per_image": [], "normals": []}
    some = heights[np.unique(np.linspace(0, heights.size - 1, 100).round().astype(np.int64))]

    def reaching(beliefs: Sequence[float]) -> NDArray[np.float64]:
        return np.asarray((np.array(beliefs)[None, :] >= some[:, None]).sum(axis=1), dtype=np.float64)

    return {
        "belief": _rounded(some),
        "detected": _rounded(reaching(lesions) / len(lesions)),
        "false_per_image": _rounded(reaching(false) / len(cases)),
        "normals": _rounded(reaching(normals) / len(normals)) if normals else [],
    }


def _surest(case: Case, lesion: int) -> float:
    """Belief of the surest candidate that is this lesion."""
    return max((one.belief for one in case.candidates if lesion in one.lesions), default=-math.inf)


def _reliability(columns: Columns) -> list[dict[str, float | int]]:
    confidence = columns.probabilities.max(axis=1)
    right = columns.said == columns.target
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    return [
        {
            "from": number / BINS,
            "images": int((place == number).sum()),
            "confidence": round(float(confidence[place == number].mean()), 4),
            "accuracy": round(float(right[place == number].mean()), 4),
        }
        for number in range(BINS)
        if (place == number).any()
    ]


def _histogram(columns: Columns) -> dict[str, list[int]]:
    """Images in each twentieth of Dice, by class."""
    result = {}
    for number, label in enumerate(CLASS_NAMES[1:], start=1):
        scores = columns.dice[columns.target == number]
        result[label] = [int(count) for count in np.histogram(scores, 20, (0.0, 1.0))[0]]
    return result


def _coverage(columns: Columns) -> dict[str, list[float]]:
    """Accuracy of the named ones, naming the surest first."""
    confidence = columns.probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum((columns.said == columns.target)[order]) / np.arange(1, order.size + 1)
    fewest = min(_FEWEST, order.size)
    some = np.unique(np.linspace(fewest - 1, order.size - 1, 100).round().astype(np.int64))
    return {"share_named": _rounded((some + 1) / order.size), "accuracy": _rounded(right[some])}


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 4) for value in values]
