"""`cad-node train`: from images with masks to a model folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cad_node.cli.options import model_folder
from cad_node.cli.training_options import parse_folds, parse_names, parse_split
from cad_node.errors import SettingsError

if TYPE_CHECKING:
    from cad_node.train.loop import TrainSettings
    from cad_node.train.papers.single import Single
    from cad_node.train.run import TrainingData


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
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads.")] = 2,
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
    clean_cache: Annotated[
        Path | None, typer.Option("--clean-cache", help="Copies without annotations, under the same paths.")
    ] = None,
    clean_share: Annotated[
        float, typer.Option("--clean-share", min=0, max=1, help="Share of the views taken from these copies.")
    ] = 0.5,
    normal_views: Annotated[
        float, typer.Option("--normal-views", min=1, help="How often BUSI's normals are seen in an epoch.")
    ] = 3.0,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Where model folders are; default: in a checkout the shipped ones."),
    ] = None,
    denoise: Annotated[
        bool, typer.Option("--denoise", help="With one of the papers' networks: a 5 x 5 median before it.")
    ] = False,
    remove_background: Annotated[
        bool, typer.Option("--remove-background", help="The same: cut images to the picture on the screen.")
    ] = False,
    version: Annotated[str, typer.Option("--version", help="Version of the exported model.")] = "0.1.0",
) -> None:
    """Train a network and export it as a model folder.

    Thresholds and calibration are fitted on the validation groups. Score the
    result with `cad-node evaluate` on a fold that was not trained on. The
    annotation network takes --data, --clean-cache, --folds, --steps, --minutes,
    --fonts, --start-from, --peak-rate, --seed, --threads and where to write; the other options speak of lesions.
    """
    from cad_node.networks import NETWORKS
    from cad_node.train.decide import decide
    from cad_node.train.export import Origin, export_bundle
    from cad_node.train.learned import read_learned
    from cad_node.train.loop import TrainSettings
    from cad_node.train.papers.single import Single
    from cad_node.train.run import blend, load_imagenet, load_start, run_training, training_data

    console = Console(stderr=True, soft_wrap=True)
    folder = None if export is None else model_folder(export, output)
    if task != "lesions" and (segmentation_loss != "dice-bce" or deep_supervision):
        raise SettingsError(
            f"--task {task} has a loss of its own.", "Leave out --segmentation-loss and --deep-supervision."
        )
    if task == "annotations":
        from cad_node.train.annotations.loop import AnnotationTraining
        from cad_node.train.annotations.run import run_annotations

        run_annotations(
            data,
            clean_cache,
            parse_folds(folds),
            AnnotationTraining(
                steps=steps,
                minutes=minutes,
                peak_rate=peak_rate or AnnotationTraining.peak_rate,
                seed=seed,
                threads=threads,
            ),
            run or Path("runs/annotations"),
            folder,
            version,
            console.print,
            fonts,
            start_from,
        )
        return
    if task not in ("lesions", "classification", "segmentation"):
        raise SettingsError(
            f"There is no task '{task}'.", "Tasks are lesions, annotations, classification and segmentation."
        )
    if size_px % 32:
        raise SettingsError(f"--size {size_px} is no multiple of 32.", "Try 192, 224 or 256.")
    datasets = tuple(sorted(parse_names(dataset)))
    if task in ("classification", "segmentation"):
        given = {
            "--export": export,
            "--clean-cache": clean_cache,
            "--start-from": start_from,
            "--minutes": minutes,
            "--blend": blend_share or None,
        }
        _refuse_for_papers(architecture, given)
        found = training_data(data, parse_folds(folds), seed, datasets, parse_split(split))
        _train_papers(
            data,
            found,
            Single(
                architecture,
                "classification" if task == "classification" else "segmentation",
                size_px,
                epochs,
                batch,
                peak_rate or TrainSettings.peak_rate,
                seed,
                weights,
                denoise,
                remove_background,
            ),
            run or Path("runs") / architecture,
            threads,
            device,
            console,
        )
        return
    if blend_share and start_from is None:
        raise SettingsError("--blend needs a model to go back to.", "Name it with --start-from.")
    if architecture not in NETWORKS:
        raise SettingsError(
            f"{architecture} does not outline and class lesions.",
            f"Name --task classification or segmentation with it, or one of {', '.join(NETWORKS)}.",
        )
    run = run or Path("runs/breast-us")
    settings = TrainSettings(
        architecture=architecture,
        size_px=size_px,
        cache_px=size_px * 4 // 3,
        batch=batch,
        epochs=epochs,
        minutes=minutes,
        peak_rate=peak_rate or TrainSettings.peak_rate,
        segmentation_loss=segmentation_loss,
        deep_supervision=deep_supervision,
        clean=clean_share,
        normal_views=normal_views,
        mixed_precision=mixed_precision,
        seed=seed,
        threads=threads,
    )
    stages = () if start_from is None else read_learned(start_from).stages
    found = training_data(data, parse_folds(folds), seed, datasets, parse_split(split), stages)
    console.print(
        f"{len(found.split.training)} images to learn from, {len(found.split.validation)} to validate; "
        f"{found.conflicting} with contradictory labels and {found.colour_doppler} with colour Doppler left out"
    )
    for note in found.notes:
        console.print(note)
    start = None if start_from is None else load_start(start_from, found, seed)
    imagenet = load_imagenet(weights, architecture) if start is None else None
    network = run_training(data, found, settings, run, imagenet, clean_cache, console.print, start, device)
    if export is None or folder is None:
        return
    if start is not None and blend_share:
        blend(network, start, blend_share)
    console.print("choosing threshold, veto and temperature on the validation groups")
    decisions = decide(network, settings, data, found.split.validation, clean_cache)
    command = _command(folds, datasets, split, settings, run, export, clean_cache, start_from, blend_share)
    origin = Origin(_origin(found, run, blend_share), command)
    sha256 = export_bundle(network, settings, decisions, origin, folder, version)
    console.print(f"{folder}, sha256 {sha256}")


def _refuse_for_papers(architecture: str, given: Mapping[str, object]) -> None:
    """What the papers' networks are trained without."""
    if given["--export"] is not None:
        raise SettingsError(
            f"{architecture} cannot be exported: the node runs networks that outline and class lesions.",
            "Leave out --export; weights and figures are written to --run.",
        )
    if unused := [name for name, value in given.items() if value is not None]:
        raise SettingsError(
            f"The papers' networks are trained without {' and '.join(unused)}.", "Leave it out."
        )


def _train_papers(
    data: Path, found: TrainingData, single: Single, run: Path, threads: int, device: str, console: Console
) -> None:
    from cad_node.train.papers.single import train_single

    content = train_single(data, found, single, run, threads, console.print, device)
    console.print(f"{run}: " + " ".join(f"{k} {v:.3f}" for k, v in content["figures"].items()))


def _origin(found: TrainingData, run: Path, blend_share: float) -> dict[str, Any]:
    """What a model folder says of the data and the length of its training."""
    from cad_node.train.run import last_row

    last = last_row(run)
    return {
        **found.describe(),
        "epochs": int(last["epoch"]),
        "clean_copies": int(last["clean_copies"]),
        **({"blend": blend_share} if blend_share else {}),
    }


def _command(
    folds: str,
    datasets: tuple[str, ...],
    split: str,
    settings: TrainSettings,
    run: Path,
    export: str,
    clean: Path | None,
    start: Path | None,
    blend_share: float,
) -> str:
    """The command that repeats the run anywhere: no path of this machine in it."""
    from cad_node.train.loop import TrainSettings
    from cad_node.train.run import last_row

    epochs = int(last_row(run)["epoch"])
    words = ["cad-node", "train", "--data", "DIR", "--folds", folds, "--epochs", str(epochs)]
    if settings.architecture != "flexible-unet-lite0":
        words += ["--architecture", settings.architecture]
    if datasets:
        words += ["--dataset", ",".join(datasets)]
    if split != "grouped":
        words += ["--split", split]
    words += ["--size", str(settings.size_px), "--batch", str(settings.batch), "--seed", str(settings.seed)]
    words += ["--peak-rate", f"{settings.peak_rate:g}"]
    if settings.segmentation_loss != TrainSettings.segmentation_loss:
        words += ["--segmentation-loss", settings.segmentation_loss]
    if settings.deep_supervision:
        words += ["--deep-supervision"]
    if start is not None:
        words += ["--start-from", start.name]
    if blend_share:
        words += ["--blend", f"{blend_share:g}"]
    if clean is not None:
        words += ["--clean-cache", "CLEANED"]
    if settings.mixed_precision:
        words.append("--mixed-precision")
    if settings.clean != TrainSettings.clean:
        words += ["--clean-share", f"{settings.clean:g}"]
    if settings.normal_views != TrainSettings.normal_views:
        words += ["--normal-views", f"{settings.normal_views:g}"]
    return shlex.join([*words, "--export", export])
