"""Which images belong to which fold: grouped by patient, or at random as the papers did it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from cad_node.errors import SettingsError
from cad_node.train.data import Manifest, read_manifest, read_rows

_FOLDS = 5


class SplitKind(StrEnum):
    """How the folds were made; a model of the one kind is never scored on the other."""

    GROUPED = "grouped"
    """The folds of the data: no patient and no near-duplicate on two sides."""
    PAPERS = "papers"
    """BUSI image by image at random, duplicates and contradicted labels left in.

    The same scan then lies on both sides. Only to show what that does to the figures.
    """


def read_split(folder: Path, kind: SplitKind, datasets: Sequence[str] = ()) -> Manifest:
    """The samples with the folds of `kind`; none of `datasets` named: those of all data sets.

    Raises
    ------
    SettingsError
        The data folder is wrong, or has no such data set.
    """
    manifest = read_manifest(folder) if kind is SplitKind.GROUPED else _at_random(folder)
    there = {sample.dataset for sample in manifest.samples}
    unknown = sorted(set(datasets) - there)
    if unknown:
        raise SettingsError(
            f"There is no data set {', '.join(unknown)} in this split.",
            f"Data sets are: {', '.join(sorted(there))}.",
        )
    if not datasets:
        return manifest
    return replace(
        manifest,
        samples=tuple(sample for sample in manifest.samples if sample.dataset in datasets),
        colour_doppler=tuple(sample for sample in manifest.colour_doppler if sample.dataset in datasets),
    )


def _at_random(folder: Path) -> Manifest:
    """Every BUSI image a group of its own, in one of five folds by chance; the same at each call."""
    samples = sorted(
        (row.sample for row in read_rows(folder) if row.sample.dataset == "BUSI"), key=lambda s: s.image
    )
    folds = np.random.default_rng(0).permutation(len(samples)) % _FOLDS + 1
    return Manifest(
        tuple(
            replace(sample, group=sample.image, fold=int(fold))
            for sample, fold in zip(samples, folds, strict=True)
        ),
        conflicting=0,
    )
