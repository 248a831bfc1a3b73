"""Chooses how models of a protocol are run on what they were tested with, each on the others' tests.

A tenth of the training images is few to choose a veto or a temperature on: 52 lesions of BUSI
a fold. Models made alike, each without the folds that it is tested on, answer for every image
once without having seen it. What serves four folds is used on the fifth, which stays unseen by
the choice; what serves all of them is used by the model that has learned from all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cad_node.errors import SettingsError
from cad_node.networks import load_bundle, load_model
from cad_node.networks.bundle import TRAIN_FILE
from cad_node.train.decide import THRESHOLDS, choose
from cad_node.train.evidence import Evidence, evidence_from_json, evidence_to_json, gather
from cad_node.train.export import Decisions, Origin, export_bundle
from cad_node.train.kept import Kept, made_by
from cad_node.train.of_all_folds import refuse_as_evidence
from cad_node.train.protocols import Part, Protocol, samples_of
from cad_node.train.run import settings_from_json
from cad_node.train.scoring import Advance


@dataclass(frozen=True)
class Looked:
    """What the model of one part said of the images that it is tested on; `images` is how many there are."""

    part: Part
    model: Path
    seen: tuple[Evidence, ...]
    images: int


@dataclass(frozen=True)
class Decided:
    """A model folder, how it is to be run from now on, and what that was chosen on, for its train.json."""

    model: Path
    decisions: Decisions
    chosen_on: Mapping[str, Any]


def look(
    protocol: Protocol,
    models: Mapping[str, Path],
    data: Path,
    clean: Path | None,
    keep: Path,
    threads: int,
    advance: Advance,
) -> list[Looked]:
    """What each model of a protocol says of the images that it has not seen, and of their cleaned copies.

    Parameters
    ----------
    models
        Folder of the model of each part; parts without one are left out.
    keep
        Folder in which finished parts are kept, so that an interrupted run goes on.
    """
    kept = Kept(keep, evidence_to_json, evidence_from_json)
    looked = []
    for part in protocol.parts:
        if part.name not in models:
            continue
        samples, _ = samples_of(part, protocol, data)
        model = load_model(models[part.name], threads=threads)
        origin = made_by(model.bundle.sha256, data, samples, clean)
        seen = kept.find(part.name, origin)
        if seen is None:
            seen = gather(model, data, samples, THRESHOLDS, clean, partial(advance, part.name))
            kept.keep(part.name, origin, seen)
        advance(part.name, len(samples), len(samples))
        looked.append(Looked(part, models[part.name], tuple(seen), len(samples)))
    return looked


def decide_across(protocol: Protocol, looked: Sequence[Looked], model: Path) -> list[Decided]:
    """How each model of a protocol, and at last the one in folder `model`, is to be run.

    Raises
    ------
    SettingsError
        A part is missing, or the models are not the same network as `model`, or that one could
        be tested itself.
    """
    refuse_as_evidence(protocol, {one.part.name: one.model for one in looked}, model)
    flips = load_bundle(model).flips
    decided = []
    for one in looked:
        others = [other for other in looked if not _share_images(one.part, other.part)]
        if not others:
            raise SettingsError(
                f"All parts of {protocol.name} are tested on the same images: none is left to choose on.",
                "Take a protocol of several folds.",
            )
        decided.append(_decide(one.model, others, flips))
    return [*decided, _decide(model, looked, flips)]


def write_decided(one: Decided, folder: Path, version: str | None = None) -> str:
    """Write the model with its new decisions as `folder`, without figures, and return its sha256.

    Weights and training stay as they are; `version` in place of the model's own.
    """
    bundle = load_bundle(one.model)
    train = json.loads((one.model / TRAIN_FILE).read_text(encoding="utf-8"))
    origin = Origin(
        {**train["data"], "decided": dict(one.chosen_on)}, train["command"], train.get("parts", {})
    )
    settings = settings_from_json(train["settings"])
    return export_bundle(
        bundle.load_network(), settings, one.decisions, origin, folder, version or bundle.version
    )


def _share_images(one: Part, other: Part) -> bool:
    return bool(one.folds & other.folds and one.datasets & other.datasets)


def _decide(model: Path, looked: Sequence[Looked], flips: bool) -> Decided:
    decisions = choose([seen for one in looked for seen in one.seen], flips)
    return Decided(
        model,
        decisions,
        {
            "folds": sorted({fold for one in looked for fold in one.part.folds}),
            "images": sum(one.images for one in looked),
            "pictures": sum(len(one.seen) for one in looked),
            "models": [{"name": one.model.name, "sha256": load_bundle(one.model).sha256} for one in looked],
        },
    )
