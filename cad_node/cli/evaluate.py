"""`cad-node evaluate`: a model's scorecard on a fold that it has not seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cad_node.errors import SettingsError
from cad_node.resources import models_dir

_SHOWN = (
    "lesion_dice",
    "lesion_iou",
    "lesions_detected",
    "normals_with_false_lesion",
    "accuracy",
    "auc_benign_malignant",
    "calibration_error",
)


def evaluate(
    model: Annotated[str, typer.Option("--model", help="Name of a model folder, or its path.")],
    data: Annotated[Path, typer.Option("--data", help="Folder with manifest.csv and the images.")],
    fold: Annotated[str, typer.Option("--fold", help="Fold to score on, or several: 4,5.")] = "5",
    clean_cache: Annotated[
        Path | None,
        typer.Option("--clean-cache", help="Copies without annotations; scored beside the originals."),
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0: all cores.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Write the scorecard here and leave the model folder as it is."),
    ] = None,
) -> None:
    """Score a model and put the scorecard into its folder.

    Figures are given with the annotations left in and, where copies exist,
    removed, each with a 95 % interval over patients.
    """
    from cad_node.cli.train import parse_folds
    from cad_node.networks import load_model
    from cad_node.networks.bundle import TRAIN_FILE
    from cad_node.train.data import read_manifest
    from cad_node.train.evaluate import score, scorecard
    from cad_node.train.export import attach_scorecard

    console = Console(stderr=True)
    named = models_dir() / model
    folder = named if named.is_dir() else Path(model)
    loaded = load_model(folder, threads=threads)
    folds = parse_folds(fold)
    seen = json.loads((folder / TRAIN_FILE).read_text(encoding="utf-8"))["data"].get("folds", [])
    if set(seen) & set(folds):
        raise SettingsError(
            f"{loaded.bundle.name} was trained on fold {', '.join(map(str, sorted(set(seen) & set(folds))))}.",
            "A figure on images that were learned from says nothing: name another fold.",
        )
    manifest = read_manifest(data)
    samples = [sample for sample in manifest.samples if sample.fold in folds]
    if not samples:
        raise SettingsError(f"No image of {data} is in fold {fold}.", "Name a fold of the manifest.")
    with Progress(console=console) as progress:
        left_in = progress.add_task("annotations left in", total=len(samples))
        with_marks = score(
            loaded, data, samples, advance=lambda done, _: progress.update(left_in, completed=done)
        )
        without_marks = []
        if clean_cache is not None:
            removed = progress.add_task("annotations removed", total=len(samples))
            without_marks = score(
                loaded,
                data,
                samples,
                clean_cache,
                lambda done, _: progress.update(removed, completed=done),
            )
    bundle = loaded.bundle
    card = scorecard(
        with_marks,
        without_marks,
        {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256},
        folds,
        manifest.conflicting,
    )
    if output is None:
        attach_scorecard(folder, card)
    else:
        output.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for key, title in (("annotations_left_in", "left in"), ("annotations_removed", "removed")):
        if key in card:
            Console().print(_table(card[key], f"Annotations {title}"))


def _table(part: dict[str, dict[str, dict[str, object]]], title: str) -> Table:
    table = Table(title=title)
    table.add_column("")
    for dataset in part:
        table.add_column(dataset)
    for row in _SHOWN:
        cells = []
        for figures in part.values():
            entry = figures.get(row)
            cells.append("" if entry is None else f"{entry['value']} {entry['interval_95']}")
        table.add_row(row.replace("_", " "), *cells)
    return table
