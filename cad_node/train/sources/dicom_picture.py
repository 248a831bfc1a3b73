"""One frame of a DICOM image, as the networks of the running node get it: its tissue region, in grey."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Box, Frame, UltrasoundImage
from cad_node.pipeline.clean.cleaner import to_grey
from cad_node.pipeline.clean.regions import tissue_region
from cad_node.read.segmentation import Outline, read_mask
from cad_node.read.study import read_study


@dataclass(frozen=True)
class DicomPicture:
    """Where a frame and its outlines are, by paths below the data folder."""

    file: str
    frame_number: int
    outlines: tuple[tuple[str, Outline], ...]
    stamp: str = ""

    def read(self, folder: Path) -> NDArray[np.uint8]:
        """Grey levels of the tissue region, `(rows, columns)`."""
        frame = self.frame(folder)
        return np.ascontiguousarray(to_grey(frame.pixels)[self.region(folder).slices])

    def drawn(self, folder: Path) -> list[NDArray[np.bool_]]:
        """The outlined lesions inside the tissue region; outlines that overlap are one lesion."""
        region = self.region(folder)
        return joined([mask[region.slices] for mask in self._masks(folder)])

    def frame(self, folder: Path) -> Frame:
        """The whole frame, with what its header says of the tissue."""
        return image_in(folder / self.file).frames[self.frame_number - 1]

    def region(self, folder: Path) -> Box:
        """The part that is looked at; through a loop without regions it is that of the first frame.

        Of a split screen it is one picture, as in the running node: the outlined one, or the first of
        normal tissue. Where several are outlined it is all of them, since one label speaks of all.
        """
        frames = image_in(folder / self.file).frames
        frame = frames[self.frame_number - 1]
        seen = frame if frame.tissue is not None else frames[0]
        masks = self._masks(folder) if seen.pictures else []
        outlined = [one for one in seen.pictures if any(mask[one.slices].any() for mask in masks)]
        if len(outlined) == 1:
            return outlined[0]
        if seen.pictures and not outlined:
            return seen.pictures[0]
        return tissue_region(seen, to_grey(seen.pixels))

    def _masks(self, folder: Path) -> list[NDArray[np.bool_]]:
        """Each outline at the size of the whole frame."""
        return [read_mask(folder / file, outline) for file, outline in self.outlines]


def joined(masks: list[NDArray[np.bool_]]) -> list[NDArray[np.bool_]]:
    """Masks, those that overlap united: two readers, or two versions of a SEG, drew the same lesion."""
    united: list[NDArray[np.bool_]] = []
    for mask in masks:
        if mask.any():
            met = [one for one in united if (one & mask).any()]
            apart = [one for one in united if not (one & mask).any()]
            united = [*apart, np.logical_or.reduce([mask, *met])]
    return united


def image_in(path: Path) -> UltrasoundImage:
    """The image of a file; its frames stay decoded until another file is asked for.

    Raises
    ------
    StudyError
        The file cannot be read.
    """
    return _image(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _image(path: Path, _changed: int) -> UltrasoundImage:
    return read_study([path]).images[0]
