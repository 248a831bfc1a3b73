"""The figures of the papers' tables, as the papers define them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cad_node.networks.lesion_network import CLASS_NAMES
from cad_node.train.metrics import figure
from cad_node.train.papers.protocol import Task


def classification_figures(target: NDArray[np.int64], said: NDArray[np.int64]) -> dict[str, float]:
    """Figures of the first paper's table 2, in [0, 1].

    - `accuracy`: share of images given their class. Its equation 1, (TP + TN) / all,
      counted for each class against the rest and averaged, is `accuracy_equation_1`;
      it is never the lower one, and the paper does not say which one it prints.
    - `precision`, `recall`: equations 2 and 3 for each class against the rest,
      averaged; a class that is never said has precision 0.
    - `f1`: equation 4 of these two averages, as the numbers in its table are.
    """
    precisions, recalls, rests = [], [], []
    for number in range(len(CLASS_NAMES)):
        is_class, says_class = target == number, said == number
        right = int((is_class & says_class).sum())
        precisions.append(right / int(says_class.sum()) if says_class.any() else 0.0)
        if is_class.any():
            recalls.append(right / int(is_class.sum()))
        rests.append(float((is_class == says_class).mean()))
    precision, recall = float(np.mean(precisions)), float(np.mean(recalls))
    return {
        "accuracy": float((target == said).mean()),
        "accuracy_equation_1": float(np.mean(rests)),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
    }


def segmentation_figures(labels: Sequence[str], ious: Sequence[float]) -> dict[str, float]:
    """Mean IoU of the images of each class, and the mean of the three: the first paper's table 3.

    A normal image counts 1 without a finding and 0 with one, as it must where the
    paper gives normals an IoU.
    """
    found = {}
    for name in CLASS_NAMES:
        mine = [value for label, value in zip(labels, ious, strict=True) if label == name]
        found[name] = float(np.mean(mine)) if mine else math.nan
    found["mean"] = float(np.mean([found[name] for name in CLASS_NAMES]))
    return found


def guessing(labels: Sequence[str]) -> dict[str, Any]:
    """What always naming the most frequent class would give: the least that a network must beat."""
    target = np.array([CLASS_NAMES.index(label) for label in labels], dtype=np.int64)
    most = int(np.bincount(target, minlength=len(CLASS_NAMES)).argmax())
    return {
        "label": CLASS_NAMES[most],
        "figures": classification_figures(target, np.full_like(target, most)),
    }


def interval_95(task: Task, cases: Sequence[Mapping[str, Any]]) -> list[float]:
    """Bootstrap interval over groups of the accuracy, or of the mean IoU, on the tested images.

    What other test images would have given; another training differs by more.
    """
    target = np.array([CLASS_NAMES.index(case["label"]) for case in cases])
    if task == "classification":
        right = np.array([case["probabilities"] for case in cases]).argmax(axis=1) == target

        def value(index: NDArray[np.int64]) -> float:
            return float(right[index].mean())
    else:
        overlaps = np.array([case["iou"] for case in cases], dtype=np.float64)

        def value(index: NDArray[np.int64]) -> float:
            means = [overlaps[index][target[index] == number] for number in range(len(CLASS_NAMES))]
            return float(np.mean([part.mean() for part in means])) if all(m.size for m in means) else math.nan

    found = figure(value, [case["group"] for case in cases], resamples=500, seed=0)
    return cast(list[float], found["interval_95"])


def mean_and_spread(rows: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Mean over folds and runs, and standard deviation (0 of a single one)."""
    return {
        key: (
            float(np.mean([row[key] for row in rows])),
            float(np.std([row[key] for row in rows], ddof=1)) if len(rows) > 1 else 0.0,
        )
        for key in rows[0]
    }


def figures_of_scorecard(card: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The same figures of a model that was scored by `cad-node evaluate`; empty where it was not on BUSI.

    Masks are compared at source resolution there. Equation 1 cannot be had from a scorecard.
    """
    part = card.get("annotations_left_in", {}).get("BUSI")
    if part is None:
        return {}

    def value(key: str) -> float:
        entry = part.get(key)
        return math.nan if entry is None or entry["value"] is None else float(entry["value"])

    precision = float(np.mean([value(f"{name}_precision") for name in CLASS_NAMES]))
    recall = float(np.mean([value(f"{name}_recall") for name in CLASS_NAMES]))
    ious = {
        "normal": 1 - value("normals_with_false_lesion"),
        "benign": value("benign_iou"),
        "malignant": value("malignant_iou"),
    }
    return {
        "classification": {
            "accuracy": value("accuracy"),
            "accuracy_equation_1": math.nan,
            "precision": precision,
            "recall": recall,
            "f1": 2 * precision * recall / (precision + recall),
        },
        "segmentation": {**ious, "mean": float(np.mean(list(ious.values())))},
    }
