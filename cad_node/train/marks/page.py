"""The protocol from model folders to files: scorecard.json, a page, and pictures of some drawn images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cad_node.errors import SettingsError
from cad_node.networks import load_model
from cad_node.networks.annotation_bundle import load_annotation_bundle
from cad_node.networks.bundle import TRAIN_FILE
from cad_node.settings import PipelineSettings
from cad_node.train.annotations.data import held_out
from cad_node.train.annotations.fonts import find_faces
from cad_node.train.data import Sample
from cad_node.train.learned import read_learned, refuse_leak
from cad_node.train.marks import treat
from cad_node.train.marks.paired import COMPARED
from cad_node.train.marks.rows import ROWS_FILE, Rows
from cad_node.train.marks.score import DRAWINGS, EXAMPLES_FOLDER, Advance, Lab, score_marks
from cad_node.train.page import CARD_FILE, PAGE_FILE, ROWS, shown_figure, template
from cad_node.train.splits import read_split

_LABELS = {
    **{key: label for rows in ROWS.values() for key, label in rows.items() if key in COMPARED},
    "dice_fell": "Images whose Dice fell by more than 0.1",
    "other_class": "Images of another class than before",
}
_TREATMENTS = {
    treat.LEFT_IN: "left in",
    treat.BLACK: "masked black",
    treat.INPAINTED: "inpainted",
    treat.CLEAN: "without marks",
    treat.ADDED: "drawn marks",
    treat.ADDED_BLACK: "drawn, masked black",
    treat.ADDED_REMOVED: "drawn, removed",
    treat.ADDED_KNOWN: "drawn, known, inpainted",
}
_SEED = 1


def evaluate_marks(
    model: Path,
    annotations: Path,
    cleaner: treat.Cleans,
    pipeline: PipelineSettings,
    data: Path,
    folds: Sequence[int],
    labels: Path,
    report: Path,
    advance: Advance,
    *,
    limit: int | None = None,
    threads: int = 1,
) -> dict[str, Any]:
    """Score a lesion model with marks left in and removed; write the scorecard and its page into `report`.

    What was seen of each image is kept in `report`, so that the same command goes on.
    The folder shows images of the data set: keep it to yourself.

    Parameters
    ----------
    model, annotations
        Folders of the lesion network, and of the network by which `cleaner` cleans.
    cleaner, pipeline
        The node's cleaner, and the settings it was made by.
    folds
        Neither network may have learned from them.

    Raises
    ------
    SettingsError
        One has, or no image is in them.
    """
    loaded = load_model(model, threads=threads)
    lesions, marks = loaded.bundle, load_annotation_bundle(annotations)
    samples, kind = _samples(model, annotations, data, folds, lesions.name, marks.name)
    named = {"name": lesions.name, "version": lesions.version, "sha256": lesions.sha256}
    cleaned = {"name": marks.name, "version": marks.version, "sha256": marks.sha256}
    cleaned_by = {**cleaned, "steps": list(cleaner.describe())}
    report.mkdir(parents=True, exist_ok=True)
    made_by = {"model": named, "cleaner": cleaned_by, "pipeline": pipeline.model_dump(mode="json")}
    rows = Rows(report / ROWS_FILE, {**made_by, "seed": _SEED, "drawings": DRAWINGS})
    unseen = find_faces()[1]
    lab = Lab(loaded, cleaner, data, unseen, rows, _SEED, report / EXAMPLES_FOLDER)
    card = {
        "protocol": {"name": "marks", "title": "Marks left in, masked black, and removed"},
        "model": named,
        "cleaner": cleaned_by,
        "test_folds": list(folds),
        "split": kind,
        "limit": limit,
        **score_marks(lab, samples, labels, advance, limit),
    }
    text = json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False)
    (report / CARD_FILE).write_text(text + "\n", encoding="utf-8")
    pictures = sorted(path.name for path in (report / EXAMPLES_FOLDER).glob("*.png"))
    page = render(card, [f"{EXAMPLES_FOLDER}/{name}" for name in pictures])
    (report / PAGE_FILE).write_text(page, encoding="utf-8")
    return card


def _samples(
    model: Path, annotations: Path, data: Path, folds: Sequence[int], name: str, marks_name: str
) -> tuple[list[Sample], str]:
    learned = read_learned(model)
    samples = [sample for sample in read_split(data, learned.kind).samples if sample.fold in folds]
    refuse_leak(learned, learned.kind, samples, name)
    seen = json.loads((annotations / TRAIN_FILE).read_text(encoding="utf-8"))["data"]["folds"]
    apart = held_out(data, seen)
    if any(sample.image not in apart for sample in samples):
        raise SettingsError(
            f"{marks_name} was trained on fold {', '.join(map(str, seen))}.",
            "A figure on images that were learned from says nothing: name another fold.",
        )
    if not samples:
        raise SettingsError(
            f"No image of {data} is in fold {', '.join(map(str, folds))}.", "Name a fold of the manifest."
        )
    return samples, learned.kind.value


def render(card: Mapping[str, Any], examples: Sequence[str]) -> str:
    """The page of a scorecard as HTML; `examples` are pictures beside it."""
    real, drawn = card["real"], card["drawn"]
    halves = [
        {
            "title": "Published images",
            "note": f"{real['images']} images, {real['refused']} refused; marks were found on "
            f"{real['with_marks_found']}. On the others all treatments are equal.",
            "tables": tables(real),
            "claim": None,
        },
        {
            "title": "Images without marks, with marks drawn on them",
            "note": f"{drawn['images']} images, {drawn['images_by_eye']} of them without marks by eye; "
            f"{drawn['drawings']} drawings, {drawn['refused']} refused.",
            "tables": tables(drawn),
            "claim": drawn["claim"],
        },
    ]
    return template("marks/marks.html.j2").render(card=card, halves=halves, examples=examples)


def tables(half: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each set of images as two tables, of treatments and of differences."""
    made = []
    for name, part in half["sets"].items():
        count = f"{name}: {part['images']} images, {part['with_lesion']} with a lesion"
        made.append(_table(count, [(_TREATMENTS[key], values) for key, values in part["treatments"].items()]))
        pairs = [
            (f"{_TREATMENTS[pair['after']]} less {_TREATMENTS[pair['before']]}", pair["figures"])
            for pair in part["differences"]
        ]
        made.append(_table(f"{name}: differences, same images", pairs))
    return made


def _table(title: str, columns: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    rows = [
        {"label": label, "cells": [shown_figure(key, figures.get(key)) for _, figures in columns]}
        for key, label in _LABELS.items()
        if any(key in figures for _, figures in columns)
    ]
    return {"title": title, "columns": [name for name, _ in columns], "rows": rows}
