"""The scorecard as a page: self-contained but for the pictures of patients beside it.

Every figure on it comes from scorecard.json. Pictures of the worst cases lie in
`worst/` next to the page, since images of the data sets must not be passed on.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from cad_node.networks.lesion_network import CLASS_NAMES
from cad_node.train.evaluate import LEFT_IN, REMOVED
from cad_node.train.plots import draw_scorecard

PAGE_FILE, CARD_FILE, WORST_FOLDER = "index.html", "scorecard.json", "worst"

# Labels of figures by their keys in scorecard.json, in groups.
ROWS: Mapping[str, Mapping[str, str]] = {
    "Outlines": {
        "lesion_dice": "Dice, images with a lesion",
        "benign_dice": "Dice, benign",
        "malignant_dice": "Dice, malignant",
        "class_mean_dice": "Dice, mean of benign and malignant",
        "lesion_iou": "IoU, images with a lesion",
        "benign_iou": "IoU, benign",
        "malignant_iou": "IoU, malignant",
        "class_mean_iou": "IoU, mean of benign and malignant",
        "class_mean_iou_normals_counted": "IoU, mean of three classes, normals counted",
        "hd95_px": "Distance of outlines (HD95), px",
        "hd95_ratio": "The same, as share of the lesion's diameter",
    },
    "Detection": {
        "lesions_detected": "Lesions detected",
        "false_lesions_per_image": "False lesions per image",
        "normals_with_false_lesion": "Normal images with a false lesion",
        "dice_several_lesions": "Dice, images with several lesions",
        "detected_several_lesions": "Lesions detected in them",
        "dice_cut_by_edge": "Dice, lesions cut by the edge",
        "detected_cut_by_edge": "Lesions detected in such images",
    },
    "Class": {
        "accuracy": "Accuracy, three classes",
        "macro_precision": "Precision, mean of the classes",
        "macro_recall": "Recall, mean of the classes",
        "macro_f1": "F1",
        **{f"{name}_recall": f"Recall, {name}" for name in CLASS_NAMES},
        **{f"{name}_precision": f"Precision, {name}" for name in CLASS_NAMES},
        "macro_auc": "AUC, mean of each class against the others",
        "auc_benign_malignant": "AUC, benign against malignant",
        "sensitivity_at_90_specificity": "Sensitivity at 90 % specificity",
        "specificity_at_90_sensitivity": "Specificity at 90 % sensitivity",
        "calibration_error": "Expected calibration error",
    },
    "Abstention": {
        "share_named": "Images whose class is named",
        "accuracy_named": "Accuracy on these",
    },
}
_TITLES = {
    LEFT_IN: "Annotations left in, as published",
    REMOVED: "Annotations removed by the node's cleaning",
}
_ALT = {
    "roc.png": "ROC curve, benign against malignant",
    "froc.png": "Free-response ROC curve: lesions detected against false lesions an image",
    "reliability.png": "Reliability of the class probabilities",
    "dice.png": "Distribution of Dice",
    "coverage.png": "Accuracy against the share of images whose class is named",
}


def write_report(card: Mapping[str, Any], folder: Path) -> Path:
    """Write scorecard.json, the plots and the page into a folder; pictures may lie there already.

    Raises
    ------
    SettingsError
        matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")
    plots = draw_scorecard(card)
    for name, content in plots.items():
        (folder / name).write_bytes(content)
    pictures = {path.name for path in (folder / WORST_FOLDER).glob("*.png")}
    page = folder / PAGE_FILE
    page.write_text(render(card, plots, pictures), encoding="utf-8")
    return page


def picture_name(number: int) -> str:
    """File name of the picture of the `number`-th worst case, counted from 1."""
    return f"{number:02d}.png"


def template(name: str) -> jinja2.Template:
    """A page's template, by its file name in this room; values are escaped, and none may be missing."""
    room = files("cad_node.train")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda wanted: room.joinpath(wanted).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def render(card: Mapping[str, Any], plots: Mapping[str, bytes], pictures: set[str]) -> str:
    """The page of a scorecard as HTML."""
    protocol = card["protocol"]
    model = card["model"]
    return template("scorecard.html.j2").render(
        card=card,
        title=protocol["title"],
        warning=protocol.get("warning", ""),
        missing=protocol.get("missing", []),
        models=f"{model['name']} {model.get('version', '')}",
        parts=protocol.get("parts", []),
        sections=[_section(card[key], title) for key, title in _TITLES.items() if key in card],
        plots=[
            {"alt": _ALT[name], "content": base64.b64encode(content).decode()}
            for name, content in plots.items()
        ],
        worst=[_worst(number, case, pictures) for number, case in enumerate(card["worst"], start=1)],
        worst_of=REMOVED if REMOVED in card else LEFT_IN,
    )


def _section(part: Mapping[str, Any], title: str) -> dict[str, Any]:
    datasets = [*(name for name in part if name != "all"), "all"]
    groups = []
    for group, rows in ROWS.items():
        shown = [
            {"label": label, "cells": [shown_figure(key, part[dataset].get(key)) for dataset in datasets]}
            for key, label in rows.items()
            if any(key in part[dataset] for dataset in datasets)
        ]
        if shown:
            groups.append({"title": group, "rows": shown})
    counts = [
        f"{part[dataset]['accuracy']['images']} / {part[dataset]['accuracy']['groups']}"
        for dataset in datasets
    ]
    return {"title": title, "datasets": datasets, "groups": groups, "counts": counts}


def shown_figure(key: str, entry: Mapping[str, Any] | None) -> dict[str, str] | None:
    """A figure and its interval as text, None where there is none."""
    if entry is None:
        return None
    digits = 1 if key.endswith("_px") else 3
    low, high = entry["interval_95"]
    return {
        "value": f"{entry['value']:.{digits}f}",
        "low": f"{low:.{digits}f}",
        "high": f"{high:.{digits}f}",
    }


def _worst(number: int, case: Mapping[str, Any], pictures: set[str]) -> dict[str, Any]:
    probabilities: Sequence[float] = case["probabilities"]
    likeliest = max(range(len(CLASS_NAMES)), key=lambda place: probabilities[place])
    name = picture_name(number)
    return {
        "picture": f"{WORST_FOLDER}/{name}" if name in pictures else "",
        "dice": f"{case['dice']:.2f}",
        "label": case["label"],
        "said": CLASS_NAMES[likeliest],
        "percent": f"{100 * probabilities[likeliest]:.0f}",
        "uncertain": case["uncertain"],
        "image": case["image"],
    }
