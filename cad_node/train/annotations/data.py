"""Tissue to draw on: copies of real images from which the marks were taken as far as possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.errors import SettingsError
from cad_node.train.data import Sample, clean_path, read_devices, read_manifest, split_by_group

VALIDATION_SHARE = 0.06
# Scanners that are never learned from, as the manifest's column `device` begins.
HELD_OUT_DEVICES = ("Toshiba", "U-Systems")
FEWEST_BACKGROUNDS = 8


@dataclass(frozen=True)
class Background:
    """A picture to draw on, uint8 `(rows, columns)`, and the image it comes from."""

    sample: Sample
    pixels: NDArray[np.uint8] = field(compare=False, repr=False)


@dataclass(frozen=True)
class Backgrounds:
    """Disjoint by patient: what is learned on, and what the threshold is chosen on."""

    training: tuple[Background, ...]
    validation: tuple[Background, ...]
    folds: tuple[int, ...]

    def describe(self) -> dict[str, Any]:
        """Counts for the model card."""
        return {
            "folds": list(self.folds),
            "training": _counts(self.training),
            "validation": _counts(self.validation),
            "held_out_devices": list(HELD_OUT_DEVICES),
        }


def _counts(backgrounds: Sequence[Background]) -> dict[str, int]:
    counts = {"images": len(backgrounds), "groups": len({one.sample.group for one in backgrounds})}
    for one in backgrounds:
        counts[one.sample.dataset] = counts.get(one.sample.dataset, 0) + 1
    return counts


def backgrounds(data: Path, clean: Path, folds: Sequence[int], per_data_set: int, seed: int) -> Backgrounds:
    """Cleaned copies of the given folds, at most `per_data_set` of each data set, drawn by `seed`.

    Raises
    ------
    SettingsError
        There are too few copies.
    """
    devices = read_devices(data)
    samples = [
        sample
        for sample in read_manifest(data).samples
        if sample.fold in folds and not devices.get(sample.image, "").startswith(HELD_OUT_DEVICES)
    ]
    rng = np.random.default_rng(seed)
    chosen: list[Sample] = []
    for dataset in sorted({sample.dataset for sample in samples}):
        there = [s for s in samples if s.dataset == dataset and clean_path(clean, s).is_file()]
        order = rng.permutation(len(there))[:per_data_set]
        chosen.extend(there[index] for index in sorted(order))
    if len(chosen) < FEWEST_BACKGROUNDS:
        raise SettingsError(
            f"{clean} holds too few cleaned copies of the images of {data}.",
            "Make them with python -m benchmarks.clean_dataset, and name the folder with --clean-cache.",
        )
    split = split_by_group(chosen, VALIDATION_SHARE, seed)
    return Backgrounds(_load(clean, split.training), _load(clean, split.validation), tuple(sorted(folds)))


def _load(clean: Path, samples: Sequence[Sample]) -> tuple[Background, ...]:
    loaded = []
    for sample in samples:
        pixels = cv2.imread(str(clean_path(clean, sample)), cv2.IMREAD_GRAYSCALE)
        if pixels is not None:
            loaded.append(Background(sample, np.asarray(pixels, np.uint8)))
    return tuple(loaded)


def held_out(data: Path, folds: Sequence[int]) -> Mapping[str, str]:
    """Device by image path of all images that were never learned from: other folds, held-out scanners."""
    devices = read_devices(data)
    return {
        sample.image: devices.get(sample.image, "")
        for sample in read_manifest(data).samples
        if sample.fold not in folds or devices.get(sample.image, "").startswith(HELD_OUT_DEVICES)
    }
