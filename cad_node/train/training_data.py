"""Which images a run learns from, and on which it chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cad_node.errors import SettingsError
from cad_node.train.data import Sample, Split, split_by_group
from cad_node.train.splits import SplitKind, read_split

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
