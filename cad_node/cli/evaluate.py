"""`cad-node evaluate`: a model's scorecard on images that it has not seen."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cad_node.cli.progress import tasks_progress
from cad_node.cli.training_options import AllThreads, find_model, parse_folds
from cad_node.errors import SettingsError

if TYPE_CHECKING:
    from cad_node.train.protocols import Protocol

_SHOWN = (
    "lesion_dice",
    "lesion_iou",
    "hd95_ratio",
    "lesions_detected",
    "normals_with_false_lesion",
    "accuracy",
    "macro_f1",
    "auc_benign_malignant",
    "calibration_error",
    "share_named",
    "accuracy_named",
)


def evaluate(
    data: Annotated[Path, typer.Option("--data", help="Images, in any layout that can be trained on.")],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="Name of a model folder, or its path; for a protocol, several."),
    ] = None,
    fold: Annotated[str, typer.Option("--fold", help="Fold to score on, or several: 4,5.")] = "5",
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            help="folds, busbra-to-busi, busi-to-busbra, paper-split or annotations, in place of a fold; "
            "marks: what burnt-in marks do to a model.",
        ),
    ] = None,
    models: Annotated[
        Path, typer.Option("--models", help="Folder in which a protocol finds and trains its models.")
    ] = Path("runs/models"),
    train: Annotated[
        bool, typer.Option("--train", help="Train the models that the protocol lacks, or go on with it.")
    ] = False,
    train_options: Annotated[
        str, typer.Option("--train-options", help="Options for that, such as '--epochs 20 --size 256'.")
    ] = "",
    partial: Annotated[
        bool, typer.Option("--partial", help="Score the parts of the protocol that there are models for.")
    ] = False,
    adapted: Annotated[
        bool,
        typer.Option(
            "--adapted",
            help="With a protocol: each half of the patients by the model adapted to pictures of the other "
            "half, without labels.",
        ),
    ] = False,
    clean_cache: Annotated[
        Path | None,
        typer.Option("--clean-cache", help="Copies without annotations; scored beside the originals."),
    ] = None,
    onnx: Annotated[
        Path | None,
        typer.Option("--onnx", help="The model's export, scored in its place; needs --output."),
    ] = None,
    threads: AllThreads = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Write the scorecard here and leave the model folder as it is."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Folder for the page, plots and pictures of the worst cases."),
    ] = None,
    evidence_for: Annotated[
        str | None,
        typer.Option(
            "--evidence-for",
            help="Model folder, trained on all folds, into which the scorecard of a protocol is put: that of "
            "models made alike, each without what it is tested on.",
        ),
    ] = None,
    labels: Annotated[
        Path, typer.Option("--labels", help="Which marks images carry, for --protocol annotations and marks.")
    ] = Path("tests/data/annotation_labels.csv"),
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="The same two: no more images of each kind than this."),
    ] = None,
) -> None:
    """Score a model, or a protocol, on images that were not learned from.

    Figures are given with the annotations left in and, where copies exist,
    removed, each with a 95 % interval over patients. One model's scorecard is put
    into its folder, a protocol's into --report and, if asked for, into the folder of
    a model that has learned from all folds. The report folder shows images of the
    data set: keep it to yourself.
    """
    console = Console(stderr=True, soft_wrap=True)
    _refuse_options(protocol, output, onnx, evidence_for, adapted=adapted)
    if protocol == "annotations":
        from cad_node.train.annotations.page import evaluate_annotations

        found = find_model((model or ["annotations"])[0])
        place = report or Path("scorecards/annotations")
        evaluate_annotations(
            found, data, labels, place, console.print, output=output, threads=threads, limit=limit
        )
        return
    if protocol == "marks":
        _evaluate_marks(_one_model(model), data, fold, labels, report, output, limit, threads, console)
        return
    from cad_node.train.json_file import write_json
    from cad_node.train.of_all_folds import as_evidence, refuse_as_evidence
    from cad_node.train.protocols import find_protocol
    from cad_node.train.scoring import score_model, score_protocol

    with tasks_progress(console) as advance:
        if protocol is not None:
            report = report or Path("scorecards") / (f"{protocol}-adapted" if adapted else protocol)
            extra = shlex.split(train_options)
            if clean_cache is not None:
                extra += ["--clean-cache", str(clean_cache)]
            parts = _models_of(protocol, model or [], models, data, extra, train=train, partial=partial)
            asked = find_protocol(protocol)
            if evidence_for is not None:
                refuse_as_evidence(asked, parts, find_model(evidence_for))
            keep = report / "cases"
            pooled, card = score_protocol(
                asked, parts, data, clean_cache, threads, advance, adapted=adapted, keep=keep
            )
        else:
            folder = _one_model(model)
            pooled, card = score_model(folder, data, parse_folds(fold), clean_cache, threads, advance, onnx)
    if report is not None:
        from cad_node.train.page import write_report

        pooled.draw_worst(data, clean_cache, report)
        write_report(card, report)
        console.print(f"{report / 'index.html'}")
    if evidence_for is not None:
        folder = find_model(evidence_for)
        card = as_evidence(card, folder)
    if output is not None:
        write_json(output, card)
    elif protocol is None or evidence_for is not None:
        from cad_node.train.export import attach_scorecard

        attach_scorecard(folder, card)
    for note in card.get("notes", ()):
        console.print(note)
    for key, title in (("annotations_left_in", "left in"), ("annotations_removed", "removed")):
        if key in card:
            Console().print(_table(card[key], f"Annotations {title}"))


def _refuse_options(
    protocol: str | None, output: Path | None, onnx: Path | None, evidence_for: str | None, *, adapted: bool
) -> None:
    if onnx is not None and (output is None or protocol is not None):
        raise SettingsError(
            "An ONNX file is scored on folds, and its scorecard is not the model's.",
            "Leave out --protocol, and name a file with --output.",
        )
    of_folds = protocol not in (None, "annotations", "marks")
    if evidence_for is not None and (adapted or not of_folds):
        raise SettingsError(
            "--evidence-for belongs to a protocol of folds or data sets.", "Name one with --protocol."
        )
    if adapted and not of_folds:
        raise SettingsError(
            "--adapted belongs to a protocol of folds or data sets.", "Name one with --protocol."
        )


def _evaluate_marks(
    folder: Path,
    data: Path,
    fold: str,
    labels: Path,
    report: Path | None,
    output: Path | None,
    limit: int | None,
    threads: int,
    console: Console,
) -> None:
    """Score a model with marks left in and removed, by the node's own cleaner in its shipped settings."""
    from cad_node.process import find_model, load_cleaner
    from cad_node.settings import NodeSettings, RuntimeSettings
    from cad_node.train.json_file import write_json
    from cad_node.train.marks.page import evaluate_marks

    report = report or Path("scorecards/marks")
    settings = NodeSettings(runtime=RuntimeSettings(threads=threads))
    with tasks_progress(console) as advance:
        card = evaluate_marks(
            folder,
            find_model(settings, settings.pipeline.annotation_model),
            load_cleaner(settings, with_notes=False),  # the screen beside the picture changes no pixel of it
            settings.pipeline,
            data,
            parse_folds(fold),
            labels,
            report,
            advance,
            limit=limit,
            threads=threads,
        )
    if output is not None:
        write_json(output, card)
    console.print(f"{report / 'index.html'}")
    claim = card["drawn"]["claim"]
    if claim is not None:
        low, high = claim["interval_95"]
        Console(soft_wrap=True).print(
            f"{claim['text']}: {claim['lost']} ({low} to {high}), aim at most {claim['at_most']}: "
            f"{'met' if claim['met'] else 'not met'}"
        )


def _one_model(names: list[str] | None) -> Path:
    if names is None or len(names) != 1:
        raise SettingsError("Folds are scored with one model.", "Name it with --model, or name a --protocol.")
    return find_model(names[0])


def _models_of(
    name: str, given: list[str], models: Path, data: Path, extra: list[str], *, train: bool, partial: bool
) -> dict[str, Path]:
    """Model folder of each part of a protocol, trained where it is asked for."""
    from cad_node.train.protocols import find_protocol, match, model_folders
    from cad_node.train.scoring import refuse_missing, train_missing

    protocol = find_protocol(name)

    def fitting() -> dict[str, Path]:
        return match(protocol, model_folders([*map(find_model, given), models]))

    found = fitting()
    missing = [part for part in protocol.parts if part.name not in found]
    if missing:
        _refuse_other_data(protocol, data)
    if missing and train:
        train_missing(protocol, missing, data, models, extra)
        found = fitting()
        missing = [part for part in protocol.parts if part.name not in found]
    if missing and not (partial and found):
        refuse_missing(protocol, missing, data, models, extra)
    return found


def _refuse_other_data(protocol: Protocol, data: Path) -> None:
    """Refuse data that lacks what the protocol is of: a model trained on it would never be the one that is missing."""
    from cad_node.train.splits import read_split

    there = {sample.dataset for sample in read_split(data, protocol.kind).samples}
    needed = {dataset for part in protocol.parts for dataset in (*part.datasets, *part.learns.datasets)}
    if lacking := sorted(needed - there):
        raise SettingsError(
            f"Protocol {protocol.name} is of {' and '.join(sorted(needed))}; {data} has no {' and '.join(lacking)}.",
            "Images of your own are scored fold by fold: cad-node evaluate --model MODEL --fold N.",
        )


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
