"""Joins two trained models into a pair: one outlines, the other names the class.

Both must have learned from the same images and been chosen on the same others: what one
has learned from may not choose the other's thresholds, nor score it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from cad_node.errors import SettingsError
from cad_node.networks import Bundle, load_bundle
from cad_node.networks.bundle import TRAIN_FILE
from cad_node.networks.lesion_pair import LesionPair, join_networks
from cad_node.networks.registry import NETWORKS, encoder_of
from cad_node.train.learned import Learned, read_learned
from cad_node.train.loop import TrainSettings
from cad_node.train.run import settings_from_json, train_from_settings
from cad_node.train.training_data import TrainingData, training_data

OUTLINES, CLASSES = "outlines", "classes"


@dataclass(frozen=True)
class Joined:
    """A pair without thresholds yet, and what is needed to choose them.

    `parts` says of each network how it was made, for train.json.
    """

    network: LesionPair
    settings: TrainSettings
    data: TrainingData
    parts: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class _Part:
    bundle: Bundle
    learned: Learned
    train: Mapping[str, Any]

    @property
    def settings(self) -> TrainSettings:
        return settings_from_json(self.train["settings"])

    def describe(self) -> dict[str, Any]:
        """How this network was made."""
        data = self.train["data"]
        return {
            "name": self.bundle.name,
            "version": self.bundle.version,
            "sha256": self.bundle.sha256,
            "command": self.train["command"],
            "epochs": data.get("epochs"),
            "clean_copies": data.get("clean_copies", 0),
            "settings": self.train["settings"],
        }


def join(masks: Path, classes: Path, data: Path, threads: int = 1) -> Joined:
    """Join the model folders `masks` and `classes`; `data` is where both learned from.

    `threads` are torch's, for the whole process: what follows runs the network.

    Raises
    ------
    SettingsError
        They differ in what a pair must have alike, or `data` holds other images than they learned from.
    """
    torch.set_num_threads(threads)
    outlining, naming = _read(masks), _read(classes)
    architecture = _refuse_unequal(outlining, naming)
    settings = replace(naming.settings, architecture=architecture)
    learned = naming.learned
    found = training_data(
        data,
        tuple(sorted(learned.folds)),
        settings.seed,
        tuple(sorted(learned.datasets)),
        learned.kind,
        learned.stages,
    )
    for part in (outlining, naming):
        _refuse_other_data(part, found, data)
    try:
        network = join_networks(
            outlining.bundle.load_network(), naming.bundle.load_network(), naming.bundle.network
        )
    except RuntimeError as error:
        raise SettingsError(
            f"{outlining.bundle.name} and {naming.bundle.name} are not of one width.",
            "Join models that were trained with the same network settings.",
        ) from error
    return Joined(network, settings, found, {OUTLINES: outlining.describe(), CLASSES: naming.describe()})


def repeat(
    folder: Path, run: Path, parts: Mapping[str, Mapping[str, Any]], data: Mapping[str, Any]
) -> LesionPair:
    """Train both parts of a joined bundle's train.json below `run` and join them, without exporting."""
    masks, classes = (
        train_from_settings(folder, run / name, parts[name]["settings"], data) for name in (OUTLINES, CLASSES)
    )
    return join_networks(masks, classes, settings_from_json(parts[CLASSES]["settings"]).network)


def _read(folder: Path) -> _Part:
    bundle = load_bundle(folder)
    train = json.loads((folder / TRAIN_FILE).read_text(encoding="utf-8"))
    return _Part(bundle, read_learned(folder), train)


def _refuse_unequal(first: _Part, second: _Part) -> str:
    """Name of the architecture that both make together."""
    # The seed draws the patients that validate: another one's were learned from here.
    for what, one, other in (
        ("data", first.learned, second.learned),
        ("order of folds", first.learned.stages, second.learned.stages),
        ("way of making folds", sorted(first.learned.hashed), sorted(second.learned.hashed)),
        ("seed, so that other patients validated", first.settings.seed, second.settings.seed),
        ("input size", first.bundle.size_px, second.bundle.size_px),
        ("encoder", encoder_of(first.bundle.architecture), encoder_of(second.bundle.architecture)),
    ):
        if one != other:
            raise SettingsError(
                f"{first.bundle.name} and {second.bundle.name} differ in their {what}: {one} and {other}.",
                "Join models that were trained on the same images at the same size.",
            )
    architecture = f"lesion-pair-{encoder_of(first.bundle.architecture).removeprefix('efficientnet-')}"
    if architecture not in NETWORKS:
        raise SettingsError(
            f"There is no architecture {architecture}.", "Add a line for it in cad_node/networks/registry.py."
        )
    return architecture


def _refuse_other_data(part: _Part, found: TrainingData, data: Path) -> None:
    """Thresholds are chosen on the images that validated, so they must be those of the training."""
    described = found.describe()
    if any(described[key] != part.train["data"].get(key) for key in ("training", "validation")):
        raise SettingsError(
            f"{data} holds other images than {part.bundle.name} learned from.",
            "Name the folder that both models were trained with.",
        )
