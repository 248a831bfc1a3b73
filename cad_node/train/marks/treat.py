"""One picture, treated in several ways, each as the frame that the lesion network would get.

All of them are cut to the tissue region as the node does it, so that they differ
in the marks alone.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.domain import CleanFrame, Frame, ImageReference
from cad_node.errors import SettingsError
from cad_node.pipeline.clean.cleaner import to_grey
from cad_node.pipeline.clean.inpaint import navier_stokes, widen
from cad_node.pipeline.clean.regions import tissue_region
from cad_node.train.annotations.scenes import Scene

LEFT_IN, BLACK, INPAINTED = "left_in", "black", "inpainted"
CLEAN, ADDED, ADDED_BLACK, ADDED_REMOVED = "clean", "added", "added_black", "added_removed"
# Filled where the drawing is known to be: what is lost even if every mark is found.
ADDED_KNOWN = "added_known"


class Cleans(Protocol):
    """What of the node's `Cleaner` is needed."""

    def clean_frame(self, frame: Frame) -> CleanFrame:
        """The frame without its marks."""
        ...

    def describe(self) -> tuple[str, ...]:
        """One line a step."""
        ...


def read_frame(path: Path) -> Frame:
    """A published picture as if it were a frame without region and calibration.

    Raises
    ------
    SettingsError
        The file is missing or no image.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise SettingsError(f"{path} is not a readable image.", "Check the data folder.")
    coloured = bool((picture.max(axis=2) != picture.min(axis=2)).any())
    return frame_of(np.asarray(picture[..., ::-1].copy() if coloured else picture[..., 0].copy(), np.uint8))


def frame_of(pixels: NDArray[np.uint8]) -> Frame:
    """Pixels, grey or RGB, as a frame."""
    rows, columns = pixels.shape[:2]
    reference = ImageReference("2.25.1", "2.25.2", "2.25.3", "1.2.840.10008.5.1.4.1.1.6.1", rows, columns, 1)
    return Frame(reference, 1, pixels)


def left_in(frame: Frame) -> CleanFrame:
    """The frame with every mark where it is, cut to its tissue region."""
    grey = to_grey(frame.pixels)
    region = tissue_region(frame, grey)
    pixels = np.zeros_like(grey)
    pixels[region.slices] = grey[region.slices]
    return CleanFrame(
        frame_number=frame.frame_number,
        pixels=pixels,
        region=region,
        spacing=frame.spacing,
        annotations=(),
        removed=np.zeros(grey.shape, dtype=np.bool_),
    )


def blackened(clean: CleanFrame) -> CleanFrame:
    """A cleaned frame with zero where marks were filled."""
    return replace(clean, pixels=np.where(clean.removed, 0, clean.pixels).astype(np.uint8))


def treat_real(cleaner: Cleans, frame: Frame) -> dict[str, CleanFrame]:
    """A published picture: marks left in, masked black, inpainted.

    Raises
    ------
    CleaningError
        The cleaner refuses the picture.
    """
    clean = cleaner.clean_frame(frame)
    return {LEFT_IN: left_in(frame), BLACK: blackened(clean), INPAINTED: clean}


def treat_drawn(cleaner: Cleans, scene: Scene) -> dict[str, CleanFrame]:
    """A picture without marks: as it is, with drawn marks, and these removed in three ways.

    Raises
    ------
    CleaningError
        The cleaner refuses the picture.
    """
    added = frame_of(scene.pixels)
    removed = cleaner.clean_frame(added)
    return {
        CLEAN: left_in(frame_of(scene.tissue)),
        ADDED: left_in(added),
        ADDED_BLACK: blackened(removed),
        ADDED_REMOVED: removed,
        ADDED_KNOWN: _filled_where_known(left_in(added), scene.changed),
    }


def _filled_where_known(frame: CleanFrame, changed: NDArray[np.bool_]) -> CleanFrame:
    pixels = frame.pixels.copy()
    removed = np.zeros(changed.shape, dtype=np.bool_)
    part = frame.region.slices
    removed[part] = widen(changed[part])
    pixels[part] = navier_stokes(np.ascontiguousarray(frame.pixels[part]), removed[part])
    return replace(frame, pixels=pixels, removed=removed)
