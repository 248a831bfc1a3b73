"""Tissue to draw on: copies of real images from which the marks were taken as far as possible.

Where a copy differs from its image a mark was, and between the marks of one picture often lies what
joined them: a dotted line, which the cleaning step may have missed. To learn it as tissue would teach
the network to miss it too, so the hull of what was removed is doubtful and does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.errors import SettingsError
from cad_node.train.data import Sample, clean_path, read_devices, read_image, read_manifest, split_by_group

VALIDATION_SHARE = 0.06
# Scanners that are never learned from, as the manifest's column `device` begins.
HELD_OUT_DEVICES = ("Toshiba", "U-Systems")
FEWEST_BACKGROUNDS = 8
# Marks in this share of the picture at each rim (logos, notes, rulers) join nothing across it.
RIM_SHARE = 0.1
# Around a removed mark, its own left-overs.
_DOUBT_PX = 7


@dataclass(frozen=True)
class Background:
    """A picture to draw on, uint8 `(rows, columns)`, and the image it comes from.

    `doubtful`, bool of the same shape, is where a mark may have been left.
    """

    sample: Sample
    pixels: NDArray[np.uint8] = field(compare=False, repr=False)
    doubtful: NDArray[np.bool_] = field(compare=False, repr=False)


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
    return Backgrounds(
        _load(data, clean, split.training), _load(data, clean, split.validation), tuple(sorted(folds))
    )


def _load(data: Path, clean: Path, samples: Sequence[Sample]) -> tuple[Background, ...]:
    loaded = []
    for sample in samples:
        copy = cv2.imread(str(clean_path(clean, sample)), cv2.IMREAD_GRAYSCALE)
        if copy is not None:
            pixels = np.asarray(copy, np.uint8)
            loaded.append(Background(sample, pixels, doubtful(read_image(data, sample), pixels)))
    return tuple(loaded)


def doubtful(image: NDArray[np.uint8], copy: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a mark may be left on a cleaned copy, bool `(rows, columns)`.

    Around each removed mark, and between the marks removed from the inner part of the picture.
    What the copy shows as background (zero) is no mark.
    """
    removed = (image != copy) & (copy > 0)
    if not removed.any():
        return np.zeros(copy.shape, dtype=bool)
    rows, columns = copy.shape
    inner = np.zeros(copy.shape, dtype=bool)
    above, beside = round(RIM_SHARE * rows), round(RIM_SHARE * columns)
    inner[above : rows - above, beside : columns - beside] = True
    canvas = removed.astype(np.uint8)
    points = cv2.findNonZero((removed & inner).astype(np.uint8))
    if points is not None:
        cv2.fillConvexPoly(canvas, cv2.convexHull(points), 1)
    # A ruler along a side, of which some ticks were removed.
    for strip in (np.s_[rows - above :, :], np.s_[:, :beside], np.s_[:, columns - beside :]):
        part = canvas[strip]
        ticks = cv2.findNonZero(removed[strip].astype(np.uint8))
        if ticks is not None:
            left, top, width, height = cv2.boundingRect(ticks)
            part[top : top + height, left : left + width] = 1
    side = 2 * _DOUBT_PX + 1
    return np.asarray(cv2.dilate(canvas, np.ones((side, side), np.uint8)) > 0)


def held_out(data: Path, folds: Sequence[int]) -> Mapping[str, str]:
    """Device by image path of all images that were never learned from: other folds, held-out scanners."""
    devices = read_devices(data)
    return {
        sample.image: devices.get(sample.image, "")
        for sample in read_manifest(data).samples
        if sample.fold not in folds or devices.get(sample.image, "").startswith(HELD_OUT_DEVICES)
    }
