"""The evidence about the cleaning as files: figures, a page, and pictures before and after."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from cad_node.errors import SettingsError
from cad_node.networks.annotation_model import load_annotation_model
from cad_node.networks.bundle import TRAIN_FILE
from cad_node.pipeline.clean.drawn import DrawnMarks
from cad_node.pipeline.clean.marks import Picture
from cad_node.train.annotations.evaluate import score_annotations
from cad_node.train.annotations.export import attach_annotation_scores, table
from cad_node.train.annotations.fonts import find_faces
from cad_node.train.annotations.methods import removed
from cad_node.train.annotations.scenes import scene
from cad_node.train.data import read_grey
from cad_node.train.json_file import write_json

_SCENES = 40
_SHOWN = 3
_SEED = 1


def evaluate_annotations(
    folder: Path,
    data: Path,
    labels: Path,
    report: Path,
    say: Callable[[str], None],
    *,
    output: Path | None = None,
    threads: int = 1,
    limit: int | None = None,
) -> dict[str, Any]:
    """Score a model folder and write ``scorecard.json``, ``index.html`` and pictures into `report`.

    The scorecard also goes into the model folder, or into `output` alone where one
    is named. The pictures show images of the data set: keep the folder to yourself.
    `limit` is for a quick look: no more scenes and real pictures of each kind than this.

    Raises
    ------
    SettingsError
        A quick look would replace the evidence in the model folder.
    """
    if limit is not None and output is None:
        raise SettingsError(
            "A scorecard of a part of the pictures does not belong into the model folder.",
            "Name a file with --output.",
        )
    torch.set_num_threads(max(1, threads))
    model = load_annotation_model(folder)
    learned = json.loads((folder / TRAIN_FILE).read_text(encoding="utf-8"))["data"]["folds"]
    faces = find_faces()
    count = _SCENES if limit is None else min(_SCENES, limit)
    card = score_annotations(model, data, labels, faces, learned, count, _SEED, say, limit)
    report.mkdir(parents=True, exist_ok=True)
    write_json(report / "scorecard.json", card)
    if output is None:
        attach_annotation_scores(folder, card)
    else:
        write_json(output, card)
    pictures = []
    for number, name in enumerate(card["grounds"][:_SHOWN]):
        made = scene(read_grey(data / name), np.random.default_rng((_SEED, number)), *faces)
        filled, mask = removed(made.pixels, DrawnMarks(model).find(Picture(made.pixels)))
        marked = np.where(mask, 255, made.pixels // 2).astype(np.uint8)
        file = f"scene-{number + 1}.png"
        cv2.imwrite(str(report / file), np.hstack([made.pixels, marked, filled]))
        pictures.append(file)
    (report / "index.html").write_text(_page(card, pictures), encoding="utf-8")
    (report / "figures.md").write_text("\n".join(table(card)) + "\n", encoding="utf-8")
    say(f"{report / 'index.html'}")
    return card


def _page(card: Mapping[str, Any], pictures: list[str]) -> str:
    model = card["model"]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in card["methods"])
    body = "\n".join(
        f"<tr><td>{html.escape(row)}</td>"
        + "".join(f"<td>{_cell(figures.get(row))}</td>" for figures in card["methods"].values())
        + "</tr>"
        for row in card["rows"]
    )
    shown = "\n".join(f'<p><img src="{name}" alt="drawn, found, filled"></p>' for name in pictures)
    return (
        "<!doctype html><meta charset='utf-8'><title>Burnt-in annotations</title>"
        "<style>body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}"
        "td,th{border:1px solid #ccc;padding:2px 8px;text-align:right}td:first-child{text-align:left}"
        "img{max-width:100%}</style>"
        f"<h1>Burnt-in annotations: {html.escape(model['name'])} {html.escape(model['version'])}</h1>"
        f"<p>sha256 {model['sha256']}. {card['scenes']} scenes, seed {card['seed']}. All methods saw the same "
        "pictures in one run.</p>"
        f"<table><tr><th></th>{head}</tr>\n{body}</table>"
        f"<h2>Drawn, found by the network alone, filled</h2>{shown}"
    )


def _cell(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    return f"{entry['value']:g}" + (f" of {entry['of']}" if "of" in entry else "")
