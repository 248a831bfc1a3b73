"""Images with masks and labels, split by patient, ready before the first epoch.

The manifest is a CSV file with one row an image: `dataset, image, label, group,
conflicting_labels, fold` and more columns that are not read here. BUSI keeps
masks beside the image (``NAME_mask.png``, ``NAME_mask_1.png`` ...), BUS-BRA in
``Masks/mask_NAME.png``; several masks of one image are united.
"""

from __future__ import annotations

import csv
import hashlib
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.errors import SettingsError
from cad_node.networks.lesion_network import CLASS_NAMES
from cad_node.networks.letterbox import fit

logger = logging.getLogger(__name__)

# BUSI publishes five pictures with a colour Doppler box as B-mode. The node's gate refuses such images,
# so they are neither learned from nor scored.
_COLOUR_DOPPLER = frozenset(
    f"Dataset_BUSI_with_GT/benign/benign ({number}).png" for number in (234, 240, 255, 261, 277)
)

_COLUMNS = ("dataset", "image", "label", "group", "conflicting_labels", "fold")


@dataclass(frozen=True)
class Sample:
    """One row of the manifest. `image` is relative to the data folder."""

    dataset: str
    image: str
    label: str
    group: str
    fold: int

    @property
    def target(self) -> int:
        """Index of the label in `CLASS_NAMES`."""
        return CLASS_NAMES.index(self.label)


@dataclass(frozen=True)
class Manifest:
    """The usable samples, how many were left out for contradictory labels, and which for colour Doppler."""

    samples: tuple[Sample, ...]
    conflicting: int
    colour_doppler: tuple[Sample, ...] = ()


def read_rows(folder: Path) -> list[tuple[Sample, bool]]:
    """Every row of ``manifest.csv`` as it stands, and whether its image is published under two classes.

    Raises
    ------
    SettingsError
        The file is missing, lacks a column, or names an unknown label.
    """
    path = folder / "manifest.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise SettingsError(
            f"No manifest.csv can be read in {folder}.", "Name the data folder with --data."
        ) from error
    if not rows or any(column not in rows[0] for column in _COLUMNS):
        raise SettingsError(f"{path} lacks columns.", f"It needs {', '.join(_COLUMNS)} and at least one row.")
    for row in rows:
        if row["label"] not in CLASS_NAMES or not row["fold"].isdigit():
            raise SettingsError(
                f"{path}: {row['image']} has label {row['label']!r}, fold {row['fold']!r}.",
                f"Labels are {', '.join(CLASS_NAMES)}; folds are numbers.",
            )
    return [
        (
            Sample(row["dataset"], row["image"], row["label"], row["group"], int(row["fold"])),
            row["conflicting_labels"] == "1",
        )
        for row in rows
    ]


def read_manifest(folder: Path) -> Manifest:
    """Samples of ``manifest.csv``, without scans published under two classes and colour Doppler.

    Raises
    ------
    SettingsError
        The file is missing, lacks a column, names an unknown label, or puts one
        `group` into two folds.
    """
    kept, colour_doppler = [], []
    conflicting = 0
    for sample, contradicted in read_rows(folder):
        if contradicted:
            conflicting += 1
        elif sample.image in _COLOUR_DOPPLER:
            colour_doppler.append(sample)
        else:
            kept.append(sample)
    refuse_torn_groups([[s for s in kept if s.fold == f] for f in {s.fold for s in kept}])
    return Manifest(tuple(kept), conflicting, tuple(colour_doppler))


def read_devices(folder: Path) -> dict[str, str]:
    """Scanner of each image of ``manifest.csv`` by the image's path; empty where no device is known."""
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return {row["image"]: row.get("device") or "" for row in csv.DictReader(file)}


def refuse_torn_groups(parts: Iterable[Collection[Sample]]) -> None:
    """Make sure that no patient is on both sides of a split.

    Raises
    ------
    SettingsError
        Two parts share a `group`.
    """
    owner: dict[str, int] = {}
    for number, part in enumerate(parts):
        for sample in part:
            if owner.setdefault(sample.group, number) != number:
                raise SettingsError(
                    f"The split tears the group {sample.group}.",
                    "All images of a group (a patient) must be in one part.",
                )


@dataclass(frozen=True)
class Split:
    """Disjoint by group: what is learned from, and what thresholds are chosen on."""

    training: tuple[Sample, ...]
    validation: tuple[Sample, ...]


def split_by_group(samples: Sequence[Sample], share: float, seed: int) -> Split:
    """Keep about `share` of the groups of each data set and label for validation.

    The same seed gives the same split whatever the order of `samples`.
    """
    strata: dict[tuple[str, str], set[str]] = defaultdict(set)
    seen: set[str] = set()
    for sample in sorted(samples, key=lambda s: s.image):
        if sample.group not in seen:
            seen.add(sample.group)
            strata[sample.dataset, sample.label].add(sample.group)
    chosen: set[str] = set()
    for groups in strata.values():
        ranked = sorted(groups, key=lambda g: hashlib.sha256(f"{seed}:{g}".encode()).digest())
        least = 1 if share > 0 and len(ranked) > 1 else 0
        chosen.update(ranked[: max(least, round(share * len(ranked)))])
    training = tuple(s for s in samples if s.group not in chosen)
    validation = tuple(s for s in samples if s.group in chosen)
    refuse_torn_groups([training, validation])
    return Split(training, validation)


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Grey levels of an image file, uint8 `(rows, columns)`.

    Raises
    ------
    SettingsError
        The file is missing or no image.
    """
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise SettingsError(f"{path} is not a readable image.", "Check the data folder.")
    return np.asarray(pixels, dtype=np.uint8)


def mask_paths(folder: Path, sample: Sample) -> list[Path]:
    """Mask files of an image, in either of the two published layouts."""
    image = folder / sample.image
    if image.parent.name == "Images":
        return [image.parent.parent / "Masks" / image.name.replace("bus_", "mask_", 1)]
    first = image.with_name(f"{image.stem}_mask.png")
    return [first, *sorted(image.parent.glob(f"{_literal(image.stem)}_mask_*.png"))]


def _literal(stem: str) -> str:
    return stem.replace("[", "[[]")


def read_masks(folder: Path, sample: Sample) -> list[NDArray[np.bool_]]:
    """The drawn lesions of an image, one array a mask file, none where all are empty."""
    masks = [read_grey(path) > 127 for path in mask_paths(folder, sample)]
    return [mask for mask in masks if mask.any()]


def read_union(folder: Path, sample: Sample, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """All drawn lesions of an image as one mask of `shape`; some masks are published smaller."""
    union = np.zeros(shape, dtype=bool)
    for mask in read_masks(folder, sample):
        if mask.shape != shape:
            resized = cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST)
            union |= resized > 0
        else:
            union |= mask
    return union


def clean_path(clean_folder: Path, sample: Sample) -> Path:
    """Where the copy of an image without burnt-in annotations lies: same path, PNG, same size."""
    return (clean_folder / sample.image).with_suffix(".png")


class PreparedImages:
    """All images at one square size in memory-mapped arrays, made once and reused.

    Attributes
    ----------
    images, masks, clean
        uint8 `(samples, size, size)`; masks are 0 to 255. A row of `clean` is
        valid where `has_clean` says so.
    """

    def __init__(
        self,
        folder: Path,
        samples: Sequence[Sample],
        size: int,
        cache: Path,
        clean_folder: Path | None = None,
    ) -> None:
        self._clean_folder = clean_folder
        self.samples = tuple(samples)
        names = "\n".join(s.image for s in samples)
        key = hashlib.sha256(f"{folder.resolve()}:{size}\n{names}".encode()).hexdigest()[:16]
        place = cache / key
        place.mkdir(parents=True, exist_ok=True)
        shape = (len(samples), size, size)
        done = place / "complete"
        fresh = not done.exists()
        self.images = _open(place / "images.npy", shape, fresh)
        self.masks = _open(place / "masks.npy", shape, fresh)
        self.clean = _open(place / "clean.npy", shape, fresh)
        self.has_clean = np.zeros(len(samples), dtype=bool)
        self._size = size
        if fresh:
            for index, sample in enumerate(samples):
                pixels = read_grey(folder / sample.image)
                union = read_union(folder, sample, (pixels.shape[0], pixels.shape[1]))
                box = fit(pixels, size)
                self.images[index] = box.apply(pixels)
                self.masks[index] = box.apply(union.astype(np.uint8) * 255)
            done.touch()
            logger.info("prepared %d images at %d px", len(samples), size)

    def refresh_clean(self) -> int:
        """Take up cleaned copies that have appeared; count of those now at hand."""
        if self._clean_folder is not None:
            for index in np.flatnonzero(~self.has_clean):
                path = clean_path(self._clean_folder, self.samples[index])
                if not path.is_file():
                    continue
                pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
                if pixels is None:
                    continue  # still being written; the next epoch takes it
                grey = np.asarray(pixels, dtype=np.uint8)
                self.clean[index] = fit(grey, self._size).apply(grey)
                self.has_clean[index] = True
        return int(self.has_clean.sum())


def _open(path: Path, shape: tuple[int, int, int], fresh: bool) -> NDArray[np.uint8]:
    mode = "w+" if fresh or not path.exists() else "r+"
    return np.lib.format.open_memmap(path, mode=mode, dtype=np.uint8, shape=shape)
