"""The scorecard: the evidence that a model ships with, as one JSON document.

Whatever is shown of a model, on its card, on a page or in a plot, comes from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cad_node.train.cases import SAME_LESION_IOU, Case, case_to_json
from cad_node.train.figures import RESAMPLES, curves, summarise

LEFT_IN, REMOVED = "annotations_left_in", "annotations_removed"
WORST = 12

_CONVENTIONS = {
    "dice": "images with a drawn lesion only, union of lesions, source resolution",
    "class_mean_iou_normals_counted": "mean over the three classes, a normal image 1 without a finding, else 0",
    "hd95": "95th percentile of the distance between outlines, images where something was found; "
    "the ratio is to the diameter of a disc of the drawn area",
    "class": "likeliest of normal, benign, malignant, asked with the union of found lesions",
    "precision, recall": "of each class, mean over the classes that occur; F1 is the harmonic mean of the two",
    "auc": "malignant / (benign + malignant), images with a lesion only; macro: each class against the others",
    "named": "images of which the model names a class; on the others it says that it is uncertain",
    "cut_by_edge": "a drawn lesion reaches the border of the picture",
    "same_lesion_iou": SAME_LESION_IOU,
    "froc": "free-response ROC: lesions detected against false lesions an image, at every height of the veto; "
    "normals: the share of normal images with a finding there",
    "interval": f"95 %, bootstrap over groups (patients), {RESAMPLES} samples",
}


def scorecard(
    with_annotations: Sequence[Case],
    without_annotations: Sequence[Case],
    model: Mapping[str, Any],
    folds: Sequence[int],
    conflicting: int,
    protocol: Mapping[str, Any] | None = None,
    colour_doppler: int = 0,
) -> dict[str, Any]:
    """Figures and curves of the cases, with the annotations left in and removed."""
    card: dict[str, Any] = {
        "model": dict(model),
        "protocol": dict(protocol or {"name": "fold", "title": "Folds that the model has not seen"}),
        "test_folds": list(folds),
        "left_out_for_contradictory_labels": conflicting,
        "left_out_for_colour_doppler": colour_doppler,
        "conventions": _CONVENTIONS,
    }
    for key, cases in ((LEFT_IN, with_annotations), (REMOVED, without_annotations)):
        if cases:
            card[key] = summarise(cases)
    card["curves"] = {
        key: curves(cases)
        for key, cases in ((LEFT_IN, with_annotations), (REMOVED, without_annotations))
        if cases
    }
    card["cut_by_edge"] = sum(case.cut_by_edge for case in with_annotations)
    card["several_lesions"] = sum(case.drawn > 1 for case in with_annotations)
    card["worst"] = [_shown(case) for case in worst(without_annotations or with_annotations)]
    return card


def _shown(case: Case) -> dict[str, Any]:
    """What a page shows of a case."""
    values = case_to_json(case)
    del values["candidates"]
    return values


def worst(cases: Sequence[Case], count: int = WORST) -> list[Case]:
    """Images with a lesion on which the outline was worst, worst first."""
    lesions = [case for case in cases if case.label != "normal"]
    return sorted(lesions, key=lambda case: (case.dice, case.image))[:count]
