"""Picture files with masks beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.errors import SettingsError
from cad_node.train.sources.sample import Sample

# From here on a pixel of a mask is lesion.
DRAWN_LEVEL = 127


@dataclass(frozen=True)
class FilePicture:
    """A picture file and its masks, by their paths below the data folder; `stamp` changes with the files."""

    image: str
    masks: tuple[str, ...]
    stamp: str = ""

    def read(self, folder: Path) -> NDArray[np.uint8]:
        """Grey levels, `(rows, columns)`."""
        return read_grey(folder / self.image)

    def drawn(self, folder: Path) -> list[NDArray[np.bool_]]:
        """The drawn lesions, one array a mask file that is not empty."""
        return read_drawn_files([folder / mask for mask in self.masks])


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


def read_drawn_files(paths: list[Path]) -> list[NDArray[np.bool_]]:
    """One array a mask file that is not empty."""
    masks = [read_grey(path) > DRAWN_LEVEL for path in paths]
    return [mask for mask in masks if mask.any()]


def mask_paths(folder: Path, sample: Sample) -> list[Path]:
    """Mask files of an image, in either of the two published layouts."""
    image = folder / sample.image
    if image.parent.name == "Images":
        return [image.parent.parent / "Masks" / image.name.replace("bus_", "mask_", 1)]
    first = image.with_name(f"{image.stem}_mask.png")
    return [first, *masks_beside(image, "_mask_*")]


def masks_beside(image: Path, ending: str, folder: Path | None = None) -> list[Path]:
    """PNG files beside an image, or in another folder, that bear its name and an ending, in order."""
    literal = image.stem.replace("[", "[[]")
    return sorted((folder or image.parent).glob(f"{literal}{ending}.png"))


def find_masks(folder: Path, image: str) -> list[str]:
    """Masks of an image whose table names none.

    ``NAME_mask.png``, ``NAME_mask_1.png`` and so on beside it; or, for an image below
    ``images``, the same and ``NAME.png`` in the same place below ``masks``.
    """
    path = folder / image
    places = [path.parent]
    parts = PurePosixPath(image).parts
    for number, part in enumerate(parts[:-1]):
        if part.lower() == "images":
            other = "Masks" if part == "Images" else "masks"
            places.append(folder.joinpath(*parts[:number], other, *parts[number + 1 : -1]))
    found = []
    for place in places:
        endings = ["_mask", "_mask_*"] + ([""] if place != path.parent else [])
        for ending in endings:
            found += masks_beside(path, ending, place)
    return [one.relative_to(folder).as_posix() for one in dict.fromkeys(found)]
