"""Plots of a scorecard and of a training run as PNG.

Drawn with matplotlib's own objects, never its global state, so that nothing is
left behind in a process that goes on.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cad_node.errors import SettingsError
from cad_node.train.evaluate import LEFT_IN, REMOVED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLE = {LEFT_IN: ("#8b98a5", "annotations left in"), REMOVED: ("#0b63b5", "annotations removed")}
_CLASSES = {"benign": "#2ec4b6", "malignant": "#ff5964"}
_DATASETS = ("#0b63b5", "#e07a1f", "#2ec4b6", "#8b98a5")
_DPI = 130


def draw_scorecard(card: Mapping[str, Any]) -> dict[str, bytes]:
    """PNG by file name: ROC, free-response ROC, reliability, Dice distribution, accuracy against coverage.

    Raises
    ------
    SettingsError
        matplotlib is not installed.
    """
    sets = card["curves"]
    return {
        "roc.png": _png(_roc(sets, card)),
        "froc.png": _png(_froc(sets, card)),
        "reliability.png": _png(_reliability(sets)),
        "dice.png": _png(_dice(sets)),
        "coverage.png": _png(_coverage(sets, card)),
    }


def draw_training(log: Path, target: Path) -> None:
    """The curves of a run's log.csv as PNG.

    Raises
    ------
    SettingsError
        matplotlib is not installed, or there is no epoch yet.
    """
    try:
        with log.open(newline="", encoding="utf-8") as file:
            rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    except OSError as error:
        raise SettingsError(f"No curve can be drawn: {log} is missing.", "Train an epoch first.") from error
    if not rows:
        raise SettingsError(f"No curve can be drawn: {log} has no epoch.", "Train an epoch first.")
    epochs = [row["epoch"] for row in rows]
    figure = _figure(9.6, 3.6)
    losses, scores = figure.subplots(1, 2)
    for key, colour in (("segmentation", "#0b63b5"), ("class", "#ff5964")):
        losses.plot(epochs, [row[key] for row in rows], color=colour, marker=".", label=f"{key} loss")
    for key, colour in (("dice", "#0b63b5"), ("accuracy", "#ff5964")):
        if key not in rows[0]:  # no Dice without a lesion to validate on
            continue
        scores.plot(epochs, [row[key] for row in rows], color=colour, marker=".", label=f"{key}, validation")
    scores.set_ylim(0, 1)
    for axes in (losses, scores):
        axes.set_xlabel("epoch")
        _finish(axes)
    target.write_bytes(_png(figure))


def _figure(width: float = 4.8, height: float = 4.2) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SettingsError(
            "Plots need matplotlib, and it is not installed.", "Run pip install 'cad-node[train]'."
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # No date and no version in the file: equal figures give equal bytes.
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _finish(axes: Axes) -> None:
    axes.grid(color="#dde4ea", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def _diagonal(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color="#dde4ea", linewidth=1, linestyle="--")


def _roc(sets: Mapping[str, Any], card: Mapping[str, Any]) -> Figure:
    figure = _figure()
    axes = figure.subplots()
    _diagonal(axes)
    for key, curve in sets.items():
        colour, name = _STYLE[key]
        area = card[key]["all"].get("auc_benign_malignant", {}).get("value")
        label = name if area is None else f"{name}: AUC {area:.3f}"
        axes.plot(curve["roc"]["false_positive"], curve["roc"]["sensitivity"], color=colour, label=label)
    axes.set_xlabel("benign called suspicious (1 - specificity)")
    axes.set_ylabel("malignant called suspicious (sensitivity)")
    _finish(axes)
    return figure


def _froc(sets: Mapping[str, Any], card: Mapping[str, Any]) -> Figure:
    figure = _figure()
    axes = figure.subplots()
    key = list(sets)[-1]
    curves: Mapping[str, Any] = sets[key].get("froc", {})
    names = [name for name in curves if name != "all"]
    for name, colour in zip(names, _DATASETS * len(names), strict=False):
        curve, part = curves[name], card[key][name]
        axes.plot(curve["false_per_image"], curve["detected"], color=colour, label=name)
        if "lesions_detected" in part and "false_lesions_per_image" in part:
            shipped = part["false_lesions_per_image"]["value"], part["lesions_detected"]["value"]
            axes.plot(*shipped, "o", color=colour)
    axes.set_ylim(0, 1.02)
    axes.set_title(_STYLE[key][1], fontsize=9)
    axes.set_xlabel("false lesions an image (dot: as shipped)")
    axes.set_ylabel("lesions detected")
    _finish(axes)
    return figure


def _reliability(sets: Mapping[str, Any]) -> Figure:
    figure = _figure()
    axes = figure.subplots()
    _diagonal(axes)
    for key, curve in sets.items():
        colour, name = _STYLE[key]
        bins = curve["reliability"]
        most = max((one["images"] for one in bins), default=1)
        confidence, accuracy = [one["confidence"] for one in bins], [one["accuracy"] for one in bins]
        axes.plot(confidence, accuracy, color=colour, linewidth=1, label=name)
        sizes = [10 + 110 * one["images"] / most for one in bins]
        axes.scatter(confidence, accuracy, s=sizes, color=colour, alpha=0.6)
    axes.set_xlim(0.3, 1.02)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("probability of the likeliest class (size of a dot: images)")
    axes.set_ylabel("share that is right")
    _finish(axes)
    return figure


def _dice(sets: Mapping[str, Any]) -> Figure:
    figure = _figure()
    axes = figure.subplots()
    counts = sets[list(sets)[-1]]["dice"]
    below: Sequence[int] = [0] * len(next(iter(counts.values())))
    width = 1 / len(below)
    for label, values in counts.items():
        places = [(number + 0.5) * width for number in range(len(values))]
        axes.bar(places, values, width * 0.92, bottom=below, color=_CLASSES[label], label=label)
        below = [low + value for low, value in zip(below, values, strict=True)]
    axes.set_xlabel("Dice of an image with a lesion")
    axes.set_ylabel("images")
    _finish(axes)
    return figure


def _coverage(sets: Mapping[str, Any], card: Mapping[str, Any]) -> Figure:
    figure = _figure()
    axes = figure.subplots()
    for key, curve in sets.items():
        colour, name = _STYLE[key]
        axes.plot(curve["coverage"]["share_named"], curve["coverage"]["accuracy"], color=colour, label=name)
        part = card[key]["all"]
        if "share_named" in part and "accuracy_named" in part:
            axes.plot(part["share_named"]["value"], part["accuracy_named"]["value"], "o", color=colour)
    axes.set_xlabel("share of images whose class is named (dot: as shipped)")
    axes.set_ylabel("share of them that is right")
    _finish(axes)
    return figure
