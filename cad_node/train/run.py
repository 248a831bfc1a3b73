"""A whole training run of a lesion network: split, prepare, train, decide on validation data, export."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from cad_node.errors import SettingsError
from cad_node.networks import LesionNetwork
from cad_node.train.augment import Augmentation
from cad_node.train.data import PreparedImages
from cad_node.train.decide import decide
from cad_node.train.export import Origin, export_bundle
from cad_node.train.learned import read_learned
from cad_node.train.loop import TrainSettings, train
from cad_node.train.run_log import last_row
from cad_node.train.splits import SplitKind
from cad_node.train.start import blend, load_imagenet, load_start
from cad_node.train.training_data import TrainingData, training_data

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LesionRun:
    """What a lesion network is trained on, how, and from where."""

    data: Path
    folds: tuple[int, ...]
    settings: TrainSettings
    run: Path
    """Checkpoints and curves; an interrupted run goes on from here."""
    datasets: tuple[str, ...] = ()
    """Only these; none: all that are below `data`."""
    kind: SplitKind = SplitKind.GROUPED
    clean: Path | None = None
    imagenet: Path | None = None
    """Weights of the encoder; None: those of the installed package."""
    start_from: Path | None = None
    """Model folder to go on from, in place of `imagenet`."""
    blend_share: float = 0.0
    """Share of the weights of `start_from` that is put back at the end, see `start.blend`."""
    device: str = "cpu"


def train_lesions(asked: LesionRun, export: Path | None, version: str, report: Callable[[str], None]) -> None:
    """Train into the run folder, or go on there, and write the model folder `export` if one is named.

    Raises
    ------
    SettingsError
        Data, start or settings do not fit each other.
    """
    settings = asked.settings
    stages = () if asked.start_from is None else read_learned(asked.start_from).stages
    found = training_data(asked.data, asked.folds, settings.seed, asked.datasets, asked.kind, stages)
    report(
        f"{len(found.split.training)} images to learn from, {len(found.split.validation)} to validate; "
        f"{found.conflicting} with contradictory labels and {found.colour_doppler} with colour Doppler left out"
    )
    for note in found.notes:
        report(note)
    start = None if asked.start_from is None else load_start(asked.start_from, found, settings.seed)
    imagenet = load_imagenet(asked.imagenet, settings.architecture) if start is None else None
    network = run_training(
        asked.data, found, settings, asked.run, imagenet, asked.clean, report, start, asked.device
    )
    if export is None:
        return
    if start is not None and asked.blend_share:
        blend(network, start, asked.blend_share)
    report("choosing threshold, veto and temperature on the validation groups")
    decisions = decide(network, settings, asked.data, found.split.validation, asked.clean)
    origin = Origin(_describe(found, asked), _command(asked, export.name))
    sha256 = export_bundle(network, settings, decisions, origin, export, version)
    report(f"{export}, sha256 {sha256}")


def _describe(found: TrainingData, asked: LesionRun) -> dict[str, Any]:
    """What a model folder says of the data and the length of its training."""
    last = last_row(asked.run)
    return {
        **found.describe(),
        "epochs": int(last["epoch"]),
        "clean_copies": int(last["clean_copies"]),
        **({"blend": asked.blend_share} if asked.blend_share else {}),
    }


def _command(asked: LesionRun, name: str) -> str:
    """The command that repeats the run anywhere: no path of this machine in it."""
    settings, usual = asked.settings, TrainSettings()
    words = ["cad-node", "train", "--data", "DIR", "--folds", ",".join(map(str, asked.folds))]
    words += ["--epochs", f"{last_row(asked.run)['epoch']:.0f}"]
    if settings.architecture != usual.architecture:
        words += ["--architecture", settings.architecture]
    if asked.datasets:
        words += ["--dataset", ",".join(asked.datasets)]
    if asked.kind is not SplitKind.GROUPED:
        words += ["--split", asked.kind.value]
    words += ["--size", str(settings.size_px), "--batch", str(settings.batch), "--seed", str(settings.seed)]
    words += ["--peak-rate", f"{settings.peak_rate:g}"]
    if settings.segmentation_loss != usual.segmentation_loss:
        words += ["--segmentation-loss", settings.segmentation_loss]
    if settings.deep_supervision:
        words += ["--deep-supervision"]
    if asked.start_from is not None:
        words += ["--start-from", asked.start_from.name]
    if asked.blend_share:
        words += ["--blend", f"{asked.blend_share:g}"]
    if asked.clean is not None:
        words += ["--clean-cache", "CLEANED"]
    if settings.mixed_precision:
        words.append("--mixed-precision")
    if settings.clean != usual.clean:
        words += ["--clean-share", f"{settings.clean:g}"]
    if settings.normal_views != usual.normal_views:
        words += ["--normal-views", f"{settings.normal_views:g}"]
    return shlex.join([*words, "--export", name])


def run_training(
    folder: Path,
    data: TrainingData,
    settings: TrainSettings,
    run: Path,
    weights: Mapping[str, Tensor] | None,
    clean: Path | None = None,
    report: Callable[[str], None] = logger.info,
    start_from: Mapping[str, Tensor] | None = None,
    device: str = "cpu",
) -> LesionNetwork:
    """Prepare the images once below `run`'s parent and train into `run`."""
    cache = run.parent / "prepared"
    parts = [
        PreparedImages(folder, samples, settings.cache_px, cache, clean)
        for samples in (data.split.training, data.split.validation)
    ]
    return train(parts[0], parts[1], settings, run, weights, report, start_from, device)


def settings_from_json(content: Mapping[str, Any]) -> TrainSettings:
    """The settings of a run as train.json keeps them.

    Raises
    ------
    SettingsError
        A key is not a setting.
    """
    try:
        augmentation = dict(content.get("augmentation", {}))
        if "scale" in augmentation:
            low, high = augmentation["scale"]
            augmentation["scale"] = (float(low), float(high))
        return replace(
            TrainSettings(**{k: v for k, v in content.items() if k != "augmentation"}),
            augmentation=Augmentation(**augmentation),
        )
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"These are no training settings: {error}.", "Compare with configs/train.json."
        ) from error


def train_from_settings(
    folder: Path, run: Path, settings: Mapping[str, Any], data: Mapping[str, Any]
) -> LesionNetwork:
    """Repeat a bundle's training from its train.json, without exporting."""
    chosen = settings_from_json(settings)
    folds = tuple(int(fold) for fold in data["folds"])
    kind = SplitKind(data.get("split", SplitKind.GROUPED))
    stages = data.get("stages", ())
    found = training_data(folder, folds, chosen.seed, tuple(data.get("datasets", ())), kind, stages)
    return run_training(folder, found, chosen, run, load_imagenet(None, chosen.architecture))
