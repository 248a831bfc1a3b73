"""Chooses how models of a protocol are run on what they were tested with, each on the others' tests.

A tenth of the training images is few to choose a threshold or a temperature on: 60 images of BUSI
a fold. Models made alike, each without the folds that it is tested on, answer for every image
once without having seen it. What serves four folds is used on the fifth, which stays unseen by
the choice; what serves all of them is used by the model that has learned from all. The veto alone
is still chosen by each model on its own validation images: it differs from model to model.
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
from cad_node.networks.bundle import TRAIN_FILE, WEIGHTS_FILE
from cad_node.train.data import Sample
from cad_node.train.decide import THRESHOLDS, choose
from cad_node.train.evidence import Evidence, evidence_from_json, evidence_to_json, gather
from cad_node.train.export import Decisions, Origin, export_bundle
from cad_node.train.kept import Kept, made_by
from cad_node.train.learned import read_learned
from cad_node.train.of_all_folds import refuse_as_evidence
from cad_node.train.protocols import Part, Protocol, samples_of
from cad_node.train.run import settings_from_json
from cad_node.train.scoring import Advance
from cad_node.train.training_data import training_data


@dataclass(frozen=True)
class Looked:
    """What the model of one part said of the images that it is tested on; `images` is how many there are.

    `own` is what it said of those that validated its training.
    """

    part: Part
    model: Path
    seen: tuple[Evidence, ...]
    own: tuple[Evidence, ...]
    images: int


@dataclass(frozen=True)
class Decided:
    """A model folder, how it is to be run from now on, and what that was chosen on, for its train.json."""

    model: Path
    decisions: Decisions
    chosen_on: Mapping[str, Any]


class Looker:
    """Asks models for evidence, once: what was seen is kept, so that an interrupted run goes on.

    Parameters
    ----------
    data, clean
        The images, and their copies without annotations where there are any.
    keep
        Folder in which what was seen is kept.
    """

    def __init__(self, data: Path, clean: Path | None, keep: Path, threads: int, advance: Advance) -> None:
        self._data = data
        self._clean = clean
        self._kept = Kept(keep, evidence_to_json, evidence_from_json)
        self._threads = threads
        self._advance = advance

    def tested(self, protocol: Protocol, models: Mapping[str, Path]) -> list[Looked]:
        """What each model of a protocol says of the images that it is tested on; `models` by the part's name."""
        looked = []
        for part in protocol.parts:
            if part.name in models:
                model = models[part.name]
                samples, _ = samples_of(part, protocol, self._data)
                seen = self._look(part.name, model, samples)
                looked.append(Looked(part, model, seen, self.validated(model), len(samples)))
        return looked

    def validated(self, model: Path) -> tuple[Evidence, ...]:
        """What a model says of the images that validated its training.

        Raises
        ------
        SettingsError
            They cannot be told from those that it has learned from.
        """
        train = json.loads((model / TRAIN_FILE).read_text(encoding="utf-8"))
        learned, seed = read_learned(model), settings_from_json(train["settings"]).seed
        data = training_data(
            self._data,
            tuple(sorted(learned.folds)),
            seed,
            tuple(sorted(learned.datasets)),
            learned.kind,
            learned.stages,
        )
        described = data.describe()
        if any(described[key] != train["data"].get(key) for key in ("training", "validation")):
            raise SettingsError(
                f"{self._data} holds other images than {model.name} learned from.",
                "Name the folder that it was trained with.",
            )
        return self._look(f"{model.name}-validation", model, data.split.validation)

    def _look(self, title: str, model: Path, samples: Sequence[Sample]) -> tuple[Evidence, ...]:
        loaded = load_model(model, threads=self._threads)
        origin = made_by(loaded.bundle.sha256, self._data, samples, self._clean)
        seen = self._kept.find(title, origin)
        if seen is None:
            seen = gather(loaded, self._data, samples, THRESHOLDS, self._clean, partial(self._advance, title))
            self._kept.keep(title, origin, seen)
        self._advance(title, len(samples), len(samples))
        return tuple(seen)


def decide_across(
    protocol: Protocol, looked: Sequence[Looked], model: Path, own: Sequence[Evidence]
) -> list[Decided]:
    """How each model of a protocol, and at last the one in folder `model`, is to be run.

    `own` is what that one says of the images that validated its training.

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
        decided.append(_decide(one.model, one.own, others, flips))
    return [*decided, _decide(model, own, looked, flips)]


def write_decided(one: Decided, folder: Path, version: str | None = None) -> str:
    """Write the model with its new decisions as `folder`, without figures, and return its sha256.

    The weight file stays as it is, byte for byte; `version` in place of the model's own.
    """
    bundle = load_bundle(one.model)
    train = json.loads((one.model / TRAIN_FILE).read_text(encoding="utf-8"))
    origin = Origin(
        {**train["data"], "decided": dict(one.chosen_on)}, train["command"], train.get("parts", {})
    )
    settings = settings_from_json(train["settings"])
    return export_bundle(
        bundle.load_network(),
        settings,
        one.decisions,
        origin,
        folder,
        version or bundle.version,
        weights=one.model / WEIGHTS_FILE,
    )


def _share_images(one: Part, other: Part) -> bool:
    return bool(one.folds & other.folds and one.datasets & other.datasets)


def _decide(model: Path, own: Sequence[Evidence], looked: Sequence[Looked], flips: bool) -> Decided:
    decisions = choose([seen for one in looked for seen in one.seen], flips, own=own)
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
