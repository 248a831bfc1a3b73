"""The evidence of a model that has learned from every fold.

No image is left to test it on. What stands for it are models made alike, each
without the folds that it was tested on: the scorecard of a protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cad_node.errors import SettingsError
from cad_node.networks import Bundle, load_bundle
from cad_node.train.learned import read_learned
from cad_node.train.protocols import Protocol


def refuse_as_evidence(protocol: Protocol, parts: Mapping[str, Path], model: Path) -> None:
    """Make sure that the models of a protocol may stand for the one in folder `model`.

    Parameters
    ----------
    parts
        Folder of the model of each part, as far as there are any.

    Raises
    ------
    SettingsError
        The model could be tested itself, a part is missing, or one is another network.
    """
    bundle = load_bundle(model)
    if missing := [part.name for part in protocol.parts if part.name not in parts]:
        raise SettingsError(
            f"{' and '.join(missing)} of {protocol.name} would be missing from the evidence for {bundle.name}.",
            "Train what is missing with --train, and leave out --partial.",
        )
    learned = read_learned(model)
    tested = {(fold, dataset) for part in protocol.parts for fold in part.folds for dataset in part.datasets}
    if unseen := {fold for fold, name in tested if fold not in learned.folds or name not in learned.datasets}:
        folds = ",".join(map(str, sorted(unseen)))
        raise SettingsError(
            f"{bundle.name} has not learned from all of fold {folds}, so that it can be tested itself.",
            f"Leave out --protocol and write --fold {folds}.",
        )
    for folder in parts.values():
        _refuse_other_network(load_bundle(folder), bundle)


def as_evidence(card: Mapping[str, Any], model: Path) -> dict[str, Any]:
    """The scorecard of a protocol, as that of the model in folder `model`."""
    bundle = load_bundle(model)
    return {**card, "model": {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}}


def _refuse_other_network(part: Bundle, shipped: Bundle) -> None:
    for what, one, other in (
        ("architecture", part.architecture, shipped.architecture),
        ("network settings", part.network, shipped.network),
        ("input size", part.size_px, shipped.size_px),
        ("mirrored view", part.flips, shipped.flips),
    ):
        if one != other:
            raise SettingsError(
                f"{part.folder} and {shipped.folder} differ in their {what}: {one} and {other}.",
                "Figures of another network are no evidence: train the parts as the model was trained.",
            )


def is_by_others(card: Mapping[str, Any]) -> bool:
    """Whether the figures of a model's scorecard are those of models made alike."""
    parts = card.get("protocol", {}).get("parts", ())
    return bool(parts) and all(part["sha256"] != card["model"]["sha256"] for part in parts)
