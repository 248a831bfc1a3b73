"""`cad-node adapt`: a model fitted to the pictures of one's own scanners, without labels."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cad_node.cli.options import Config, model_folder
from cad_node.cli.progress import progress_bar
from cad_node.cli.training_options import Export
from cad_node.errors import SettingsError


def adapt(
    paths: Annotated[
        list[Path], typer.Argument(help="DICOM files, folders or a DICOMDIR.", show_default=False)
    ],
    export: Export,
    limit: Annotated[int, typer.Option("--limit", min=1, help="No more images than these.")] = 400,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="Where model folders are; default: runtime.models_dir, in a checkout the shipped ones.",
        ),
    ] = None,
    config: Config = None,
) -> None:
    """Measure the model's batch statistics anew on your own images: no labels, nothing learned.

    Made for scanners that the model has never seen. The images are cleaned as by the running
    node, about one a second. The result is another model, without figures: name it in
    `pipeline.model`, and compare it with what radiologists answer before you rely on it.
    """
    from cad_node.networks import LesionModel, load_bundle
    from cad_node.networks.letterbox import fit
    from cad_node.process import find_model, load_cleaner
    from cad_node.read import scan_files
    from cad_node.settings import load_settings
    from cad_node.tissue import tissue_of
    from cad_node.train.adapt import adapt as fitted
    from cad_node.train.adapt import change, write_adapted

    console = Console(stderr=True, soft_wrap=True)
    settings = load_settings(config)
    bundle = load_bundle(find_model(settings))
    folder = model_folder(export, output or settings.runtime.models_dir)
    if folder.exists():
        raise SettingsError(
            f"{folder} is there already.", "Name another --export: results are told apart by it."
        )
    studies = list(scan_files(paths).studies.values())
    left_out = itertools.count()
    cleaner = load_cleaner(settings, with_notes=False)
    squares = []
    with progress_bar(console, "images") as progress:
        bar = progress.add_task("Images", total=min(limit, sum(map(len, studies))))
        for picture in tissue_of(
            studies, cleaner, breast_only=settings.pipeline.breast_only, skipped=lambda: next(left_out)
        ):
            # At the network's size they are small, and what is asked of them twice is the same.
            squares.append(fit(picture, bundle.size_px).apply(picture))
            progress.advance(bar)
            if len(squares) == limit:
                break
    model = fitted(bundle, squares)
    changed = change(LesionModel(bundle, bundle.load_network()), model, squares)
    sha256 = write_adapted(bundle, model.network, changed, folder)
    console.print(
        f"{changed.pictures} images, {next(left_out)} left out. A finding, before the veto: on {changed.found_before} "
        f"images by {bundle.name} {bundle.version}, on {changed.found_after} now."
    )
    console.print(f"{folder}, sha256 {sha256}")
