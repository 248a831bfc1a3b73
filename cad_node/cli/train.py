"""`cad-node train`: from images with masks to a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cad_node.cli.options import model_folder
from cad_node.cli.training_options import (
    CleanCopies,
    ModelFolders,
    ModelVersion,
    Threads,
    parse_folds,
    parse_names,
    parse_split,
)
from cad_node.errors import SettingsError

_TASKS = ("lesions", "annotations", "classification", "segmentation")


def train(
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            help="BUSI, BUS-BRA, both below one folder, pictures with images.csv, or DICOM with SEGs.",
        ),
    ],
    task: Annotated[
        str, typer.Option("--task", help="lesions, or annotations: what is drawn on a picture.")
    ] = "lesions",
    architecture: Annotated[
        str,
        typer.Option(
            "--architecture",
            help="flexible-unet-lite0, -lite1, -lite2, lesion-pair-lite0; for classification and "
            "segmentation one of the papers': alexnet, vgg12, vgg16, vgg19, resnet18, resnet50, densenet161, "
            "inception, unet.",
        ),
    ] = "flexible-unet-lite0",
    export: Annotated[
        str | None, typer.Option("--export", help="Name of the model folder to write.", show_default=False)
    ] = None,
    folds: Annotated[
        str, typer.Option("--folds", help="Folds to learn from; a tenth of their groups validates.")
    ] = "1,2,3,4",
    dataset: Annotated[
        str, typer.Option("--dataset", help="Learn only from these data sets, such as BUS-BRA; default: all.")
    ] = "",
    split: Annotated[
        str,
        typer.Option("--split", help="grouped: by patient. papers: BUSI at random, to show what that does."),
    ] = "grouped",
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            help="Checkpoints and curves; an interrupted run goes on from here. Default: runs/breast-us, "
            "runs/annotations.",
        ),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps of --task annotations.")] = 2500,
    fonts: Annotated[
        Path | None, typer.Option("--fonts", help="Fonts of --task annotations; default: the system's.")
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over the images.")] = 16,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.1, help="Cut the schedule to the epochs that fit.")
    ] = None,
    size_px: Annotated[
        int, typer.Option("--size", min=32, help="Side of the network's input, a multiple of 32.")
    ] = 192,
    batch: Annotated[int, typer.Option("--batch", min=2, help="Images a step.")] = 16,
    seed: Annotated[int, typer.Option("--seed", help="Split, order and augmentation.")] = 0,
    threads: Threads = 2,
    device: Annotated[
        str, typer.Option("--device", help="cpu or cuda; annotations are learned on the CPU.")
    ] = "cpu",
    mixed_precision: Annotated[
        bool, typer.Option("--mixed-precision", help="Convolutions in bfloat16; for a GPU that has it.")
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            help="ImageNet weights of the encoder; default: those of the train extra, from scratch "
            "for classification and segmentation.",
        ),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--start-from",
            help="Model folder to go on from, not from ImageNet; its folds must be among these.",
        ),
    ] = None,
    blend_share: Annotated[
        float,
        typer.Option(
            "--blend", min=0, max=1, help="Share of the weights of --start-from that is put back at the end."
        ),
    ] = 0.0,
    peak_rate: Annotated[
        float | None,
        typer.Option(
            "--peak-rate", min=1e-6, help="Highest learning rate of the cycle; default: the task's own."
        ),
    ] = None,
    segmentation_loss: Annotated[
        str,
        typer.Option(
            "--segmentation-loss",
            help="What outlines cost with --task lesions: dice-bce, dice-focal or dice-bce-boundary.",
        ),
    ] = "dice-bce",
    deep_supervision: Annotated[
        bool,
        typer.Option(
            "--deep-supervision", help="The same: ask the decoder's coarser maps for the lesion, too."
        ),
    ] = False,
    clean_cache: CleanCopies = None,
    clean_share: Annotated[
        float, typer.Option("--clean-share", min=0, max=1, help="Share of the views taken from these copies.")
    ] = 0.5,
    normal_views: Annotated[
        float, typer.Option("--normal-views", min=1, help="How often BUSI's normals are seen in an epoch.")
    ] = 3.0,
    output: ModelFolders = None,
    denoise: Annotated[
        bool, typer.Option("--denoise", help="With one of the papers' networks: a 5 x 5 median before it.")
    ] = False,
    remove_background: Annotated[
        bool, typer.Option("--remove-background", help="The same: cut images to the picture on the screen.")
    ] = False,
    version: ModelVersion = "0.1.0",
) -> None:
    """Train a network and export it as a model folder.

    Thresholds and calibration are fitted on the validation groups. Score the
    result with `cad-node evaluate` on a fold that was not trained on. The
    annotation network takes --data, --clean-cache, --folds, --steps, --minutes,
    --fonts, --start-from, --peak-rate, --seed, --threads and where to write; the other options speak of lesions.
    """
    console = Console(stderr=True, soft_wrap=True)
    folder = None if export is None else model_folder(export, output)
    if task not in _TASKS:
        raise SettingsError(
            f"There is no task '{task}'.", f"Tasks are {', '.join(_TASKS[:-1])} and {_TASKS[-1]}."
        )
    if task != "lesions" and (segmentation_loss != "dice-bce" or deep_supervision):
        raise SettingsError(
            f"--task {task} has a loss of its own.", "Leave out --segmentation-loss and --deep-supervision."
        )
    learns = parse_folds(folds)
    if task == "annotations":
        from cad_node.train.annotations.loop import AnnotationTraining
        from cad_node.train.annotations.run import run_annotations

        rate = peak_rate or AnnotationTraining.peak_rate
        drawing = AnnotationTraining(steps=steps, minutes=minutes, peak_rate=rate, seed=seed, threads=threads)
        place = run or Path("runs/annotations")
        run_annotations(
            data, clean_cache, learns, drawing, place, folder, version, console.print, fonts, start_from
        )
        return
    if size_px % 32:
        raise SettingsError(f"--size {size_px} is no multiple of 32.", "Try 192, 224 or 256.")
    from cad_node.train.loop import TrainSettings

    rate = peak_rate or TrainSettings.peak_rate
    datasets = tuple(sorted(parse_names(dataset)))
    kind = parse_split(split)
    if task == "lesions":
        from cad_node.train.run import LesionRun, train_lesions

        _refuse_for_lesions(architecture, blend_share, start_from)
        settings = TrainSettings(
            architecture=architecture,
            size_px=size_px,
            cache_px=size_px * 4 // 3,
            batch=batch,
            epochs=epochs,
            minutes=minutes,
            peak_rate=rate,
            segmentation_loss=segmentation_loss,
            deep_supervision=deep_supervision,
            clean=clean_share,
            normal_views=normal_views,
            mixed_precision=mixed_precision,
            seed=seed,
            threads=threads,
        )
        asked = LesionRun(
            data=data,
            folds=learns,
            settings=settings,
            run=run or Path("runs/breast-us"),
            datasets=datasets,
            kind=kind,
            clean=clean_cache,
            imagenet=weights,
            start_from=start_from,
            blend_share=blend_share,
            device=device,
        )
        train_lesions(asked, folder, version, console.print)
        return
    from cad_node.train.papers.single import Single, train_single
    from cad_node.train.training_data import training_data

    _refuse_for_papers(
        architecture,
        export,
        {
            "--clean-cache": clean_cache,
            "--start-from": start_from,
            "--minutes": minutes,
            "--blend": blend_share or None,
        },
    )
    single = Single(
        architecture=architecture,
        task="classification" if task == "classification" else "segmentation",
        size_px=size_px,
        epochs=epochs,
        batch=batch,
        rate=rate,
        seed=seed,
        weights=weights,
        denoise=denoise,
        remove_background=remove_background,
    )
    found = training_data(data, learns, seed, datasets, kind)
    place = run or Path("runs") / architecture
    content = train_single(data, found, single, place, threads, console.print, device)
    console.print(f"{place}: " + " ".join(f"{k} {v:.3f}" for k, v in content["figures"].items()))


def _refuse_for_lesions(architecture: str, blend_share: float, start_from: Path | None) -> None:
    from cad_node.networks import NETWORKS

    if blend_share and start_from is None:
        raise SettingsError("--blend needs a model to go back to.", "Name it with --start-from.")
    if architecture not in NETWORKS:
        raise SettingsError(
            f"{architecture} does not outline and class lesions.",
            f"Name --task classification or segmentation with it, or one of {', '.join(NETWORKS)}.",
        )


def _refuse_for_papers(architecture: str, export: str | None, given: Mapping[str, object]) -> None:
    """What the papers' networks are trained without."""
    if export is not None:
        raise SettingsError(
            f"{architecture} cannot be exported: the node runs networks that outline and class lesions.",
            "Leave out --export; weights and figures are written to --run.",
        )
    if unused := [name for name, value in given.items() if value is not None]:
        raise SettingsError(
            f"The papers' networks are trained without {' and '.join(unused)}.", "Leave it out."
        )
