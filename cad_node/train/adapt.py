"""Fits a model to the pictures of another hospital without labels: its batch statistics are measured anew.

A network's normalisation layers remember how strong each feature is on the images that it learned
from. Another scanner's gain and texture shift all of them. Measured on the new pictures, the
features are where the later layers expect them (adaptive batch normalisation: Li and others,
arXiv 1603.04779). No weight is learned, and nothing of a picture is kept but these means.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cad_node.errors import SettingsError
from cad_node.networks import Bundle, LesionModel, LesionNetwork
from cad_node.networks.bundle import INFERENCE_FILE, METADATA_FILE, TRAIN_FILE, load_bundle
from cad_node.networks.letterbox import fit
from cad_node.networks.runtime import to_input
from cad_node.train.card import write_card
from cad_node.train.export import write_folder

Grey = NDArray[np.uint8]

# Fewer pictures say more of themselves than of a scanner.
LEAST_PICTURES = 48
_BATCH = 16


@dataclass(frozen=True)
class Change:
    """What the new statistics change on the pictures that they were measured on."""

    pictures: int
    found_before: int
    found_after: int


def adapt(bundle: Bundle, pictures: Iterable[Grey]) -> LesionModel:
    """The model with its batch statistics measured on grey pictures of tissue `(rows, columns)`.

    Raises
    ------
    SettingsError
        There are fewer than `LEAST_PICTURES`.
    """
    network = bundle.load_network()
    seen = measure_statistics(network, pictures, bundle.size_px)
    if seen < LEAST_PICTURES:
        raise SettingsError(
            f"{seen} pictures are too few to adapt to.", f"Name at least {LEAST_PICTURES}, of many patients."
        )
    return LesionModel(bundle, network)


def measure_statistics(network: LesionNetwork, pictures: Iterable[Grey], size_px: int) -> int:
    """Replace means and variances of all batch normalisation by those of pictures; returns how many.

    Each batch weighs the same; what does not fill one is left out, unless there is no other.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean of all batches, not the last ones'
        layer.train()
    seen = 0
    squares = (np.asarray(fit(one, size_px).apply(one), dtype=np.uint8) for one in pictures)
    with torch.no_grad():
        for batch in _batches(squares):
            if len(batch) == _BATCH or not seen:
                network(to_input(np.stack(batch)))
            seen += len(batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()
    return seen


def _batches(squares: Iterator[Grey]) -> Iterator[list[Grey]]:
    while batch := list(itertools.islice(squares, _BATCH)):
        yield batch


def change(before: LesionModel, after: LesionModel, pictures: Iterable[Grey]) -> Change:
    """On how many pictures each model sees anything, before the class head's veto."""
    found = [
        [bool((model.predict(picture).probability >= model.threshold).any()) for model in (before, after)]
        for picture in pictures
    ]
    return Change(len(found), sum(first for first, _ in found), sum(second for _, second in found))


def write_adapted(source: Bundle, network: LesionNetwork, changed: Change, folder: Path) -> str:
    """Write an adapted model as a folder beside its source, without a scorecard, and return its sha256."""
    read = {
        name: json.loads((source.folder / name).read_text(encoding="utf-8"))
        for name in (METADATA_FILE, INFERENCE_FILE, TRAIN_FILE)
    }
    metadata, train = read[METADATA_FILE], read[TRAIN_FILE]
    # Two hospitals adapt one version to two models: the statistics tell them apart.
    version = f"{source.version}+{_fingerprint(network)}"
    metadata |= {"version": version, "changelog": {version: "see docs/README.md"}}
    metadata["cad_node"]["name"] = folder.name
    train["data"]["adapted"] = {
        "from": f"{source.name} {source.version}",
        "sha256": source.sha256,
        "pictures": changed.pictures,
        "with_a_finding_before": changed.found_before,
        "with_a_finding_after": changed.found_after,
    }
    sha256 = write_folder(folder, network, metadata, read[INFERENCE_FILE], train)
    write_card(load_bundle(folder))
    return sha256


def _fingerprint(network: LesionNetwork) -> str:
    digest = hashlib.sha256()
    for key, value in network.state_dict().items():
        if "running_" in key:
            digest.update(value.numpy().tobytes())
    return digest.hexdigest()[:8]


def halves(groups: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Groups in two halves, by hash: what is adapted to one is scored on the other."""
    parts: tuple[set[str], set[str]] = (set(), set())
    for group in groups:
        parts[hashlib.sha256(group.encode()).digest()[0] % 2].add(group)
    return frozenset(parts[0]), frozenset(parts[1])
