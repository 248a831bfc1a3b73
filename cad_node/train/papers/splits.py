"""Which images are learned from, chosen on and tested on: grouped, or as the papers did it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cad_node.errors import SettingsError
from cad_node.train.data import Sample, read_manifest, read_rows, refuse_torn_groups, split_by_group
from cad_node.train.papers.protocol import Protocol


@dataclass(frozen=True)
class Parts:
    """Disjoint by image; disjoint by group, too, where the protocol is a grouped one."""

    training: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]


def usable_samples(folder: Path, protocol: Protocol) -> tuple[Sample, ...]:
    """The images of BUSI; with the papers' own split all of them, contradictory labels included.

    Raises
    ------
    SettingsError
        The data folder is wrong or has no image of it.
    """
    samples: Iterable[Sample] = (
        [row.sample for row in read_rows(folder)]
        if protocol.split == "papers"
        else read_manifest(folder).samples
    )
    found = tuple(sorted((s for s in samples if s.dataset == "BUSI"), key=lambda s: s.image))
    if not found:
        raise SettingsError(f"No image of {folder} belongs to BUSI.", "Name the data folder with --data.")
    return found


def parts_of(samples: Sequence[Sample], protocol: Protocol, fold: int) -> Parts:
    """The parts of one fold, numbered from 1; the same for every network and run.

    Raises
    ------
    SettingsError
        A part would be empty.
    """
    if protocol.test_counts:
        test = _draw(samples, protocol.test_counts, protocol)
    elif protocol.split == "papers":
        order = np.random.default_rng(protocol.seed).permutation(len(samples))
        test = [samples[i] for i in order[fold - 1 :: protocol.folds]]
    elif {s.fold for s in samples} == set(range(1, protocol.folds + 1)):
        test = [s for s in samples if s.fold == fold]  # the project's own folds
    else:
        test = _grouped_part(samples, protocol, fold)
    left = _without(samples, test, protocol)
    if protocol.training_counts:
        left = _limited(left, protocol.training_counts, protocol.seed)
    if protocol.split == "papers":
        order = np.random.default_rng((protocol.seed, fold)).permutation(len(left))
        count = round(protocol.validation_share * len(left))
        validation = [left[i] for i in order[:count]]
        training = [left[i] for i in order[count:]]
    else:
        split = split_by_group(left, protocol.validation_share, protocol.seed)
        training, validation = list(split.training), list(split.validation)
        refuse_torn_groups([training, validation, test])
    for what, part in (("training", training), ("validation", validation), ("test", test)):
        if not part:
            raise SettingsError(
                f"Fold {fold} of {protocol.folds} has no image for {what}.", "Use fewer folds or more images."
            )
    return Parts(tuple(training), tuple(validation), tuple(test))


def _without(samples: Sequence[Sample], test: Sequence[Sample], protocol: Protocol) -> list[Sample]:
    """What is left to learn from: nothing of a tested group, unless the papers' way is wanted."""
    if protocol.split == "papers":
        tested = {s.image for s in test}
        return [s for s in samples if s.image not in tested]
    groups = {s.group for s in test}
    return [s for s in samples if s.group not in groups]


def _rank(text: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{text}".encode()).digest()


def _grouped_part(samples: Sequence[Sample], protocol: Protocol, fold: int) -> list[Sample]:
    """Every n-th group of each class in hashed order."""
    chosen: set[str] = set()
    for label in sorted({s.label for s in samples}):
        groups = {s.group for s in samples if s.label == label}
        ranked = sorted(groups, key=lambda group: _rank(group, protocol.seed))
        chosen.update(ranked[fold - 1 :: protocol.folds])
    return [s for s in samples if s.group in chosen]


def _draw(samples: Sequence[Sample], counts: Mapping[str, int], protocol: Protocol) -> list[Sample]:
    """So many images of each class; grouped, the count is of groups, one image each."""
    drawn: list[Sample] = []
    for label, count in counts.items():
        ranked = sorted((s for s in samples if s.label == label), key=lambda s: _rank(s.image, protocol.seed))
        taken: dict[str, Sample] = {}
        for sample in ranked:
            taken.setdefault(sample.image if protocol.split == "papers" else sample.group, sample)
        drawn += list(taken.values())[:count]
    return drawn


def _limited(samples: Sequence[Sample], counts: Mapping[str, int], seed: int) -> list[Sample]:
    kept: list[Sample] = []
    for label, count in counts.items():
        mine = sorted((s for s in samples if s.label == label), key=lambda s: _rank(s.image, seed))
        kept += mine[:count]
    return kept
