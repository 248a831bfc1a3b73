"""What a model has learned from, as its train.json says, and what it may therefore be scored on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cad_node.errors import SettingsError
from cad_node.networks.bundle import TRAIN_FILE
from cad_node.train.data import Sample
from cad_node.train.splits import SplitKind


@dataclass(frozen=True)
class Learned:
    """Folds of data sets, under one kind of split; validation counts as learned from.

    `hashed` are those data sets whose folds were made by hash, not read from a file. `stages` are the
    folds that each step of a training in steps added, first step first: each drew its own validation groups.
    """

    folds: frozenset[int]
    datasets: frozenset[str]
    kind: SplitKind = SplitKind.GROUPED
    hashed: frozenset[str] = field(default=frozenset(), compare=False)
    stages: tuple[tuple[int, ...], ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        """In words, for messages."""
        folds = ", ".join(map(str, sorted(self.folds)))
        return f"fold {folds} of {' and '.join(sorted(self.datasets))} ({self.kind.value})"

    def knows(self, sample: Sample) -> bool:
        """Whether the sample may be one that was learned from."""
        return sample.fold in self.folds and sample.dataset in self.datasets

    def other_folds(self, sample: Sample) -> bool:
        """Whether folds of the sample's data set were come to in another way, and are other images."""
        return sample.dataset in self.datasets and sample.hashed_fold != (sample.dataset in self.hashed)


def read_learned(model: Path) -> Learned:
    """What the model in a folder has learned from.

    Raises
    ------
    SettingsError
        Its train.json does not say.
    """
    try:
        data = json.loads((model / TRAIN_FILE).read_text(encoding="utf-8"))["data"]
        folds = frozenset(int(fold) for fold in data["folds"])
        kind = SplitKind(data.get("split", SplitKind.GROUPED))
        stages = tuple(tuple(int(fold) for fold in stage) for stage in data.get("stages", ()))
        # Models from before there was a filter name their data sets only in the counts: "BUSI benign".
        named = data.get("datasets") or {
            key.rpartition(" ")[0]
            for part in ("training", "validation")
            for key in data.get(part, {})
            if " " in key
        }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SettingsError(
            f"{model / TRAIN_FILE} does not say what the model has learned from.",
            "Export the model again with cad-node train --export.",
        ) from error
    hashed = frozenset(data.get("hashed_folds", ()))
    return Learned(folds, frozenset(named), kind, hashed, stages or (tuple(sorted(folds)),))


def refuse_leak(learned: Learned, kind: SplitKind, samples: Iterable[Sample], name: str) -> None:
    """Make sure that a model is not scored on what it has learned from.

    Raises
    ------
    SettingsError
        It has seen one of the samples, or its folds are those of another split.
    """
    if learned.kind is not kind:
        raise SettingsError(
            f"{name} was trained on a {learned.kind.value} split, and this one is {kind.value}.",
            "Its folds are other images: nobody can say what it has seen.",
        )
    samples = list(samples)
    others = sorted({s.dataset for s in samples if learned.other_folds(s)})
    if others:
        raise SettingsError(
            f"The folds of {' and '.join(others)} are made by hash here or when {name} was trained, "
            "and not both times.",
            "They are other images: nobody can say what it has seen. Take the same fold files as in training.",
        )
    seen = sorted({(s.dataset, s.fold) for s in samples if learned.knows(s)})
    if seen:
        folds = ", ".join(str(fold) for fold in sorted({fold for _, fold in seen}))
        raise SettingsError(
            f"{name} was trained on fold {folds} of {' and '.join(sorted({d for d, _ in seen}))}.",
            "A figure on images that were learned from says nothing: name another fold, or for a model of all folds "
            "--protocol folds --evidence-for.",
        )
