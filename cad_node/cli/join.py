"""`cad-node join`: two models in one, an encoder for outlines and one for classes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cad_node.cli.options import model_folder
from cad_node.cli.training_options import CleanCopies, Export, ModelFolders, ModelVersion, Threads, find_model


def join(
    masks: Annotated[str, typer.Option("--masks", help="Model folder that outlines.")],
    classes: Annotated[str, typer.Option("--classes", help="Model folder that names the class.")],
    data: Annotated[Path, typer.Option("--data", help="The images that both were trained with.")],
    export: Export,
    clean_cache: CleanCopies = None,
    output: ModelFolders = None,
    threads: Threads = 2,
    version: ModelVersion = "0.1.0",
) -> None:
    """Join two trained models into one that outlines as the first and names classes as the second.

    Both must have learned from the same folds. Thresholds and calibration are fitted
    anew on the validation groups; score the result with `cad-node evaluate`.
    """
    from cad_node.train.decide import decide
    from cad_node.train.export import Origin, export_bundle
    from cad_node.train.join import CLASSES, join

    console = Console(stderr=True, soft_wrap=True)
    folder = model_folder(export, output)
    joined = join(find_model(masks), find_model(classes), data, threads)
    console.print("choosing threshold, veto and temperature on the validation groups")
    decisions = decide(joined.network, joined.settings, data, joined.data.split.validation, clean_cache)
    naming = joined.parts[CLASSES]
    words = ["cad-node", "join", "--masks", Path(masks).name, "--classes", Path(classes).name]
    words += ["--data", "DIR", *(["--clean-cache", "CLEANED"] if clean_cache else []), "--export", export]
    origin = Origin(
        data={
            **joined.data.describe(),
            "epochs": naming["epochs"],
            "clean_copies": naming["clean_copies"],
        },
        command=shlex.join(words),
        parts=joined.parts,
    )
    sha256 = export_bundle(joined.network, joined.settings, decisions, origin, folder, version)
    console.print(f"{folder}, sha256 {sha256}")
