"""Images with masks and labels, split by patient, ready before the first epoch.

Where they lie and how their masks are found is known in `sources`, a module a layout.
"""

from __future__ import annotations

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
from cad_node.networks.letterbox import fit
from cad_node.train.sources import Picture, Row, Sample, read_listing
from cad_node.train.sources.files import mask_paths, read_drawn_files, read_grey

__all__ = [
    "Manifest",
    "Picture",
    "PreparedImages",
    "Sample",
    "Split",
    "clean_path",
    "fingerprint",
    "mask_paths",
    "read_devices",
    "read_grey",
    "read_image",
    "read_manifest",
    "read_masks",
    "read_rows",
    "read_union",
    "refuse_torn_groups",
    "split_by_group",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Manifest:
    """The usable samples, how many were left out for contradictory labels, and which for colour Doppler.

    `notes` are sentences that whoever trains or scores should read.
    """

    samples: tuple[Sample, ...]
    conflicting: int
    colour_doppler: tuple[Sample, ...] = ()
    notes: tuple[str, ...] = ()


def read_rows(folder: Path) -> tuple[Row, ...]:
    """Every image of a data folder, whatever its layout, those included that cannot be used.

    Raises
    ------
    SettingsError
        The folder has no layout that is known, or is not as its layout must be.
    """
    return read_listing(folder).rows


def read_manifest(folder: Path) -> Manifest:
    """Samples of a data folder, without images published under two classes and colour Doppler.

    Raises
    ------
    SettingsError
        The folder has no layout that is known, is not as its layout must be, or
        puts one `group` into two folds.
    """
    listing = read_listing(folder)
    clear = [row for row in listing.rows if not row.conflicting]
    kept = tuple(row.sample for row in clear if not row.colour_doppler)
    refuse_torn_groups([[s for s in kept if s.fold == f] for f in {s.fold for s in kept}])
    return Manifest(
        kept,
        len(listing.rows) - len(clear),
        tuple(row.sample for row in clear if row.colour_doppler),
        listing.notes,
    )


def read_devices(folder: Path) -> dict[str, str]:
    """Scanner of each image by the image's name; empty where no device is known."""
    return {row.sample.image: row.sample.device for row in read_listing(folder).rows}


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


def read_image(folder: Path, sample: Sample) -> NDArray[np.uint8]:
    """Grey levels of an image, uint8 `(rows, columns)`; of DICOM, the tissue region of the frame.

    Raises
    ------
    SettingsError
        The file is missing or no image.
    StudyError
        A DICOM image cannot be read or decoded.
    """
    if sample.picture is not None:
        return sample.picture.read(folder)
    return read_grey(folder / sample.image)


def read_masks(folder: Path, sample: Sample) -> list[NDArray[np.bool_]]:
    """The drawn lesions of an image, one array a mask file or a segment, none where all are empty."""
    if sample.picture is not None:
        return sample.picture.drawn(folder)
    return read_drawn_files(mask_paths(folder, sample))


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


def fingerprint(samples: Sequence[Sample]) -> str:
    """What the images of `samples` are kept under: their names and, of those that may change, their files."""
    return "\n".join(s.image if s.picture is None else f"{s.image} {s.picture!r}" for s in samples)


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
        key = hashlib.sha256(f"{folder.resolve()}:{size}\n{fingerprint(samples)}".encode()).hexdigest()[:16]
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
                pixels = read_image(folder, sample)
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
