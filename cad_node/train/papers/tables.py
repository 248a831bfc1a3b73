"""The papers' three tables: ours measured, theirs as published, side by side."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from cad_node.networks.lesion_network import CLASS_NAMES
from cad_node.train.of_all_folds import is_by_others
from cad_node.train.papers.figures import figures_of_scorecard, guessing, interval_95, mean_and_spread
from cad_node.train.papers.protocol import Protocol, Task

_CLASSIFICATION = {
    "accuracy": "Accuracy",
    "accuracy_equation_1": "Accuracy, equation 1",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
}
_SEGMENTATION = {**{name: name.capitalize() for name in CLASS_NAMES}, "mean": "Mean"}
_MAIN = {"classification": "the accuracy", "segmentation": "the mean"}
_SPLITS = {
    "grouped": "patients and near-duplicates kept on one side, contradictory labels left out",
    "papers": "the papers' own way: BUSI at random, near-duplicates and contradictory labels left in",
}


def published() -> dict[str, Any]:
    """The papers' figures, in percent, with their sources."""
    text = files("cad_node.train.papers").joinpath("published.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def summary(
    results: Sequence[Mapping[str, Any]], protocol: Protocol, model: Mapping[str, Any] | None
) -> dict[str, Any]:
    """All that the tables show, for comparison.json.

    `model` is the scorecard of a model folder, or None.
    """
    rows: dict[tuple[Task, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for result in results:
        rows[result["task"], result["architecture"], result["start"]].append(result)
    labels = [case["label"] for r in results if r["task"] == "classification" for case in r["cases"]]
    return {
        "protocol": protocol.name,
        "describes": protocol.describes,
        "split": _SPLITS[protocol.split],
        "fingerprint": protocol.fingerprint(),
        "settings": {
            "size_px": protocol.size_px,
            "epochs": protocol.epochs,
            "optimizer": protocol.optimizer,
            "rate": protocol.rate,
            "batch": protocol.batch,
            "dropout": protocol.dropout,
            "denoise": protocol.denoise,
            "remove_background": protocol.remove_background,
        },
        "rows": [
            {
                "task": task,
                "architecture": name,
                "start": start,
                "trained": len(group),
                "folds": sorted({r["fold"] for r in group}),
                "runs": sorted({r["run"] for r in group}),
                "test_images": sum(r["images"]["test"] for r in group),
                "seconds": round(sum(r["seconds"] for r in group), 1),
                "figures": {
                    key: {"mean": mean, "spread": spread}
                    for key, (mean, spread) in mean_and_spread([r["figures"] for r in group]).items()
                },
                "interval_95": interval_95(task, [case for r in group for case in r["cases"]]),
            }
            for (task, name, start), group in rows.items()
        ],
        "guessing": guessing(labels) if labels else None,
        "model": _model(model),
        "published": published(),
    }


def _model(card: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if card is None or not (figures := figures_of_scorecard(card)):
        return None
    return {
        "name": card["model"]["name"],
        "version": card["model"]["version"],
        "test_folds": card["test_folds"],
        "by_models": len(card["protocol"]["parts"]) if is_by_others(card) else 0,
        "figures": figures,
    }


def markdown(content: Mapping[str, Any]) -> str:
    """The three tables as Markdown, with what they were measured under."""
    lines = [
        f"Protocol `{content['protocol']}`. {content['describes']}",
        "",
        f"Split: {content['split']}. "
        + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in content["settings"].items())
        + ".",
    ]
    lines += _table(content, "classification", "First paper, table 2: classification", _CLASSIFICATION)
    lines += _table(content, "segmentation", "First paper, table 3: IoU of segmentation", _SEGMENTATION)
    lines += _second_paper(content)
    sources = [entry["citation"] for entry in content["published"].values()]
    return "\n".join([*lines, "", "Published figures: " + " — ".join(sources), ""])


def _table(content: Mapping[str, Any], task: str, title: str, columns: Mapping[str, str]) -> list[str]:
    theirs = content["published"]["paper-2021"][task]
    mine = [row for row in content["rows"] if row["task"] == task]
    lines = ["", f"### {title}", ""]
    lines.append(
        "| network | | " + " | ".join(columns.values()) + f" | trained, tested; 95 % of {_MAIN[task]} |"
    )
    lines.append("|---" * (len(columns) + 3) + "|")
    names = list(dict.fromkeys([*theirs["rows"], *(row["architecture"] for row in mine)]))
    for name in names:
        if name in theirs["rows"]:
            cells = [_published(theirs["rows"][name].get(key)) for key in columns]
            lines.append(f"| {name} | published | " + " | ".join(cells) + " | |")
        for row in (row for row in mine if row["architecture"] == name):
            cells = [_measured(row["figures"][key], row["trained"]) for key in columns]
            low, high = (f"{100 * number:.1f}" for number in row["interval_95"])
            how = f"{row['trained']} ×, {row['test_images']} images; {low}–{high}"
            lines.append(f"| {name} | {_start(row)} | " + " | ".join(cells) + f" | {how} |")
    guess = content["guessing"]
    if task == "classification" and guess is not None:
        cells = [_measured({"mean": guess["figures"][key]}, 1) for key in columns]
        lines.append(f"| always {guess['label']} | guessing | " + " | ".join(cells) + " | |")
    model = content["model"]
    if model is not None:
        cells = [_measured({"mean": model["figures"][task][key]}, 1) for key in columns]
        folds = ", ".join(str(fold) for fold in model["test_folds"])
        whose = f"{model['by_models']} models made alike" if model.get("by_models") else "its own scorecard"
        lines.append(
            f"| **{model['name']} {model['version']}** | ours, {whose} | "
            + " | ".join(cells)
            + f" | BUSI, fold {folds} |"
        )
    return lines


def _second_paper(content: Mapping[str, Any]) -> list[str]:
    theirs = content["published"]["paper-2024"]["classification"]["rows"]
    mine = {
        (row["architecture"], row["start"]): row for row in content["rows"] if row["task"] == "classification"
    }
    lines = ["", "### Second paper, table 1: accuracy from scratch and from ImageNet", ""]
    lines.append("| network | scratch, published | scratch | ImageNet, published | ImageNet |")
    lines.append("|---|---|---|---|---|")
    for name in theirs:
        cells = []
        for start in ("scratch", "imagenet"):
            row = mine.get((name, start))
            measured = "–" if row is None else _measured(row["figures"]["accuracy"], row["trained"])
            cells += [_published(theirs[name][start]), measured]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    model = content["model"]
    if model is not None:
        accuracy = _measured({"mean": model["figures"]["classification"]["accuracy"]}, 1)
        lines.append(f"| **{model['name']} {model['version']}** | | | | {accuracy} |")
    return lines


def _start(row: Mapping[str, Any]) -> str:
    return "from scratch" if row["start"] == "scratch" else "from ImageNet"


def _published(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _measured(figure: Mapping[str, float], count: int) -> str:
    """Percent, with the standard deviation over folds and runs where there are several."""
    if math.isnan(figure["mean"]):
        return "–"
    text = f"{100 * figure['mean']:.2f}"
    return f"{text} ± {100 * figure['spread']:.2f}" if count > 1 else text
