"""`cad-node compare`: the papers' networks trained and scored under one protocol."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from cad_node.cli.training_options import Threads, find_model, parse_folds, parse_names
from cad_node.errors import SettingsError

if TYPE_CHECKING:
    from cad_node.train.papers.protocol import Protocol

# What is run, not how: these leave a protocol what it is.
_HOW_MUCH = ("architectures", "tasks", "use_folds", "runs", "starts")


def compare(
    data: Annotated[Path, typer.Option("--data", help="Folder with BUSI, as for training.")],
    protocol: Annotated[
        str, typer.Option("--protocol", help="paper-2021, paper-2024, or quick for a first look.")
    ] = "quick",
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Results; an interrupted comparison goes on. Default: runs/compare-NAME."),
    ] = None,
    architectures: Annotated[
        str | None,
        typer.Option("--architectures", help="Networks, such as vgg16,unet; default: the protocol's."),
    ] = None,
    tasks: Annotated[
        str | None, typer.Option("--tasks", help="classification, segmentation, or both with a comma.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="grouped; or papers: BUSI at random, near-duplicates left in."),
    ] = None,
    folds: Annotated[str | None, typer.Option("--folds", help="Only these folds of the protocol.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="In place of the protocol's.")] = None,
    size_px: Annotated[
        int | None, typer.Option("--size", min=64, help="Side of the images, a multiple of 32.")
    ] = None,
    batch: Annotated[int | None, typer.Option("--batch", min=2, help="Images a step.")] = None,
    runs: Annotated[int | None, typer.Option("--runs", min=1, help="Trainings of each network.")] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="Folder with NAME.pth for each network: trained from ImageNet, too."),
    ] = None,
    denoise: Annotated[
        bool, typer.Option("--denoise", help="The first paper's noise reduction: a 5 x 5 median.")
    ] = False,
    remove_background: Annotated[
        bool, typer.Option("--remove-background", help="Cut images to the picture on the scanner's screen.")
    ] = False,
    model: Annotated[
        str, typer.Option("--model", help="Model folder whose scorecard stands in the tables.")
    ] = "breast-us",
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", min=0, help="Begin no further network after so many; 0: tables only."),
    ] = None,
    threads: Threads = 2,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    seed: Annotated[int | None, typer.Option("--seed", help="Splits, order and augmentation.")] = None,
) -> None:
    """Train the papers' networks under one protocol and set them beside the published figures.

    Writes comparison.md and comparison.json into the run folder. Each finished
    network is kept: the same command goes on after an interruption.
    """
    from cad_node.train.json_file import write_json
    from cad_node.train.papers.compare import compare as run_comparison
    from cad_node.train.papers.protocol import refuse_nonsense
    from cad_node.train.papers.tables import markdown, summary

    rules = _rules(protocol)
    changes: dict[str, object] = {
        "architectures": None if architectures is None else parse_names(architectures),
        "tasks": None if tasks is None else parse_names(tasks),
        "split": split,
        "use_folds": None if folds is None else parse_folds(folds),
        "epochs": epochs,
        "size_px": size_px,
        "batch": batch,
        "runs": runs,
        "seed": seed,
        "denoise": denoise or None,
        "remove_background": remove_background or None,
    }
    if weights is not None:
        changes["starts"] = ("scratch", "imagenet")
    wanted = {key: value for key, value in changes.items() if value is not None}
    rules = replace(rules, **wanted)  # type: ignore[arg-type]
    told = ", ".join(
        f"{key.replace('_', ' ')} {value}" for key, value in wanted.items() if key not in _HOW_MUCH
    )
    if told:
        rules = replace(rules, name=f"{rules.name}, changed", describes=f"{rules.describes} Changed: {told}.")
    refuse_nonsense(rules)
    folder = run or Path("runs") / f"compare-{protocol}"
    console = Console(stderr=True, soft_wrap=True)
    results = run_comparison(
        data, folder, rules, _weight_files(weights), threads, device, minutes, console.print
    )
    if not results:
        raise SettingsError("No network has been trained yet.", "Give it more --minutes.")
    card = find_model(model) / "scorecard.json"
    content = summary(
        results, rules, json.loads(card.read_text(encoding="utf-8")) if card.is_file() else None
    )
    text = markdown(content)
    write_json(folder / "comparison.json", content)
    (folder / "comparison.md").write_text(text, encoding="utf-8")
    Console().print(Markdown(text))
    console.print(f"{folder / 'comparison.md'}, {folder / 'comparison.json'}")


def _rules(name: str) -> Protocol:
    from cad_node.train.papers.protocol import PRESETS

    if name not in PRESETS:
        raise SettingsError(f"There is no protocol '{name}'.", f"There are {', '.join(PRESETS)}.")
    return PRESETS[name]


def _weight_files(folder: Path | None) -> dict[str, Path]:
    if folder is None:
        return {}
    found = {path.stem: path for path in sorted(folder.glob("*.pth"))}
    if not found:
        raise SettingsError(f"There is no NAME.pth in {folder}.", "Name a folder with vgg16.pth and so on.")
    return found
