"""Scores a model on images that it has not seen, the way the node would run it.

Each case goes through the same `find_lesions` as in service, so that threshold,
smallest size and the veto of the class head are part of what is scored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Box, CleanFrame
from cad_node.networks.lesion_network import CLASS_NAMES
from cad_node.pipeline.segment import Model, find_lesions
from cad_node.train.data import Sample, clean_path, read_grey, read_masks, read_union
from cad_node.train.metrics import (
    auc,
    calibration_error,
    dice,
    figure,
    iou,
    sensitivity_at,
)

# A found lesion is a drawn one from this overlap on: loose enough for the
# disagreement of two readers, too much for a chance hit.
SAME_LESION_IOU = 0.2
RESAMPLES = 1000


@dataclass(frozen=True)
class Case:
    """One scored image. `dice` and `iou` compare the union of lesions; NaN for normal tissue."""

    dataset: str
    label: str
    group: str
    image: str
    dice: float
    iou: float
    drawn: int
    detected: int
    found: int
    false_lesions: int
    probabilities: tuple[float, float, float]


def score_image(
    model: Model, pixels: NDArray[np.uint8], drawn: Sequence[NDArray[np.bool_]], sample: Sample
) -> Case:
    """Run the model over one image and compare with its drawn lesions."""
    findings, probabilities = find_lesions(as_frame(pixels), model, 0.0)
    masks = [finding.mask for finding in findings]
    found = _union(masks, pixels.shape)
    truth = _union(drawn, pixels.shape)
    has_lesion = bool(truth.any())
    detected = sum(any(iou(mask, one) >= SAME_LESION_IOU for mask in masks) for one in drawn)
    false = sum(all(iou(mask, one) < SAME_LESION_IOU for one in [*drawn, truth]) for mask in masks)
    return Case(
        dataset=sample.dataset,
        label=sample.label,
        group=sample.group,
        image=sample.image,
        dice=dice(found, truth) if has_lesion else math.nan,
        iou=iou(found, truth) if has_lesion else math.nan,
        drawn=len(drawn),
        detected=detected,
        found=len(masks),
        false_lesions=false,
        probabilities=(probabilities.normal, probabilities.benign, probabilities.malignant),
    )


def as_frame(pixels: NDArray[np.uint8]) -> CleanFrame:
    """A published image as the network gets it: all of it is tissue, none of it calibrated."""
    rows, columns = pixels.shape
    return CleanFrame(
        frame_number=1,
        pixels=pixels,
        region=Box(0, rows, 0, columns),
        spacing=None,
        annotations=(),
        removed=np.zeros(pixels.shape, dtype=np.bool_),
    )


def _union(masks: Iterable[NDArray[np.bool_]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    union = np.zeros(shape, dtype=np.bool_)
    for mask in masks:
        union |= mask
    return union


def read_drawn(folder: Path, sample: Sample, shape: tuple[int, int]) -> list[NDArray[np.bool_]]:
    """The drawn lesions at the size of the image, one array each."""
    masks = read_masks(folder, sample)
    if len(masks) == 1 or any(mask.shape != shape for mask in masks):
        union = read_union(folder, sample, shape)
        return [union] if union.any() else []
    return masks


def score(
    model: Model,
    folder: Path,
    samples: Sequence[Sample],
    clean: Path | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> list[Case]:
    """Score samples with their annotations, or, with `clean`, the copies without.

    Samples that have no copy in `clean` are left out; count the cases. `advance`
    is told how many of how many are done.
    """
    cases = []
    for number, sample in enumerate(samples, start=1):
        path = folder / sample.image if clean is None else clean_path(clean, sample)
        if path.is_file():
            pixels = read_grey(path)
            shape = (pixels.shape[0], pixels.shape[1])
            cases.append(score_image(model, pixels, read_drawn(folder, sample, shape), sample))
        if advance is not None:
            advance(number, len(samples))
    return cases


def summarise(cases: Sequence[Case], resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """All figures, by data set and together, each with a 95 % interval over groups."""
    parts = {"all": list(cases)}
    for dataset in sorted({case.dataset for case in cases}):
        parts[dataset] = [case for case in cases if case.dataset == dataset]
    return {name: _figures(part, resamples, seed) for name, part in parts.items()}


def _figures(cases: Sequence[Case], resamples: int, seed: int) -> dict[str, Any]:
    def over(
        chosen: Sequence[Case], values: Callable[[Sequence[Case], NDArray[np.int64]], float]
    ) -> dict[str, Any]:
        return figure(lambda index: values(chosen, index), [case.group for case in chosen], resamples, seed)

    lesions = [case for case in cases if case.label != "normal"]
    normals = [case for case in cases if case.label == "normal"]
    result: dict[str, Any] = {
        "lesion_dice": over(lesions, _mean("dice")),
        "lesion_iou": over(lesions, _mean("iou")),
    }
    for label in ("benign", "malignant"):
        part = [case for case in lesions if case.label == label]
        result[f"{label}_dice"] = over(part, _mean("dice"))
        result[f"{label}_iou"] = over(part, _mean("iou"))
    result["lesions_detected"] = over(lesions, _ratio("detected", "drawn"))
    result["false_lesions_per_image"] = over(cases, _mean("false_lesions"))
    if normals:
        result["normals_with_false_lesion"] = over(normals, _share_with_finding)
    result["accuracy"] = over(cases, _accuracy)
    for number, label in enumerate(CLASS_NAMES):
        if any(case.label == label for case in cases):
            result[f"{label}_recall"] = over(cases, _recall(number))
            result[f"{label}_precision"] = over(cases, _precision(number))
    result["auc_benign_malignant"] = over(lesions, _auc)
    result["sensitivity_at_90_specificity"] = over(lesions, _sensitivity)
    result["calibration_error"] = over(cases, _calibration)
    return result


def _mean(name: str) -> Callable[[Sequence[Case], NDArray[np.int64]], float]:
    def values(cases: Sequence[Case], index: NDArray[np.int64]) -> float:
        column = np.array([getattr(cases[i], name) for i in index], dtype=np.float64)
        return float(column.mean()) if column.size else math.nan

    return values


def _ratio(upper: str, lower: str) -> Callable[[Sequence[Case], NDArray[np.int64]], float]:
    def values(cases: Sequence[Case], index: NDArray[np.int64]) -> float:
        total = sum(getattr(cases[i], lower) for i in index)
        return sum(getattr(cases[i], upper) for i in index) / total if total else math.nan

    return values


def _share_with_finding(cases: Sequence[Case], index: NDArray[np.int64]) -> float:
    return float(np.mean([cases[i].found > 0 for i in index]))


def _table(cases: Sequence[Case], index: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    probabilities = np.array([cases[i].probabilities for i in index], dtype=np.float64)
    target = np.array([CLASS_NAMES.index(cases[i].label) for i in index], dtype=np.int64)
    return probabilities.reshape(-1, len(CLASS_NAMES)), target


def _accuracy(cases: Sequence[Case], index: NDArray[np.int64]) -> float:
    probabilities, target = _table(cases, index)
    return float((probabilities.argmax(axis=1) == target).mean())


def _recall(number: int) -> Callable[[Sequence[Case], NDArray[np.int64]], float]:
    def values(cases: Sequence[Case], index: NDArray[np.int64]) -> float:
        probabilities, target = _table(cases, index)
        mine = target == number
        return float((probabilities.argmax(axis=1)[mine] == number).mean()) if mine.any() else math.nan

    return values


def _precision(number: int) -> Callable[[Sequence[Case], NDArray[np.int64]], float]:
    def values(cases: Sequence[Case], index: NDArray[np.int64]) -> float:
        probabilities, target = _table(cases, index)
        said = probabilities.argmax(axis=1) == number
        return float((target[said] == number).mean()) if said.any() else math.nan

    return values


def _suspicion(
    cases: Sequence[Case], index: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Malignant against benign, whatever was thought of normal."""
    probabilities, target = _table(cases, index)
    either = np.clip(probabilities[:, 1] + probabilities[:, 2], 1e-12, None)
    return probabilities[:, 2] / either, target == CLASS_NAMES.index("malignant")


def _auc(cases: Sequence[Case], index: NDArray[np.int64]) -> float:
    return auc(*_suspicion(cases, index))


def _sensitivity(cases: Sequence[Case], index: NDArray[np.int64]) -> float:
    return sensitivity_at(*_suspicion(cases, index), specificity=0.9)


def _calibration(cases: Sequence[Case], index: NDArray[np.int64]) -> float:
    return calibration_error(*_table(cases, index))


def scorecard(
    with_annotations: Sequence[Case],
    without_annotations: Sequence[Case],
    model: Mapping[str, Any],
    folds: Sequence[int],
    conflicting: int,
) -> dict[str, Any]:
    """The evidence that ships with a model."""
    card: dict[str, Any] = {
        "model": dict(model),
        "test_folds": list(folds),
        "left_out_for_contradictory_labels": conflicting,
        "conventions": {
            "dice": "images with a drawn lesion only, union of lesions, source resolution",
            "class": "likeliest of normal, benign, malignant, asked with the union of found lesions",
            "auc": "malignant / (benign + malignant), images with a lesion only",
            "same_lesion_iou": SAME_LESION_IOU,
            "interval": f"95 %, bootstrap over groups (patients), {RESAMPLES} samples",
        },
        "annotations_left_in": summarise(with_annotations),
    }
    if without_annotations:
        card["annotations_removed"] = summarise(without_annotations)
    return card
