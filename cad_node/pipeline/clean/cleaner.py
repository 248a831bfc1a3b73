"""The order of the cleaning, and how a cine loop is cleaned without reading every frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Box, CleanFrame, Frame
from cad_node.errors import CadNodeError, CleaningError
from cad_node.pipeline.clean import inpaint, regions
from cad_node.pipeline.clean.calipers import CaliperCrosses
from cad_node.pipeline.clean.colour import ColouredGraphics
from cad_node.pipeline.clean.marks import Detector, Mark, Picture, paint
from cad_node.pipeline.clean.read_text import TextReader
from cad_node.settings import PipelineSettings

Fill = Callable[[NDArray[np.uint8], NDArray[np.bool_]], NDArray[np.uint8]]


class Inpainter(NamedTuple):
    """How removed pixels are filled."""

    fill: Fill
    description: str


# To add one: a module beside this one and a line here.
DETECTORS: Mapping[str, Callable[[PipelineSettings, int], Detector]] = {
    "text": lambda settings, threads: TextReader(settings.ocr_confidence, threads),
    "colour": lambda _settings, _threads: ColouredGraphics(),
    "calipers": lambda _settings, _threads: CaliperCrosses(),
}
INPAINTERS: Mapping[str, Inpainter] = {
    "navier-stokes": Inpainter(inpaint.navier_stokes, f"Navier-Stokes, radius {inpaint.RADIUS_PX} px"),
    "telea": Inpainter(inpaint.telea, f"Telea's fast marching, radius {inpaint.RADIUS_PX} px"),
}

# A cine loop is searched in full at every so many frames, and at its last.
KEY_FRAME_INTERVAL = 12


class Cleaner:
    """Takes burnt-in annotations off the frames of an image.

    Parameters
    ----------
    settings
        What is removed and how it is filled.
    threads
        CPU threads of the OCR engine.
    """

    def __init__(self, settings: PipelineSettings, threads: int = 1) -> None:
        self._detectors = [make(settings, threads) for make in DETECTORS.values()]
        self._inpainter = INPAINTERS[settings.inpainting]

    def describe(self) -> tuple[str, ...]:
        """One line a step, in order."""
        return (
            "region: Sequence of Ultrasound Regions; without it, background of zero or modal grey removed",
            *(detector.describe() for detector in self._detectors),
            f"inpainting: {self._inpainter.description}, mask widened by {inpaint.MARGIN_PX} px; "
            "zero outside the region",
        )

    def clean_image(self, frames: Sequence[Frame]) -> Iterator[CleanFrame]:
        """The frames of one image, cleaned, in their order.

        Raises
        ------
        CleaningError
            Marks could not be looked for or removed. Frames that were already
            handed out are clean.
        """
        for index in range(len(frames)):
            yield self.clean_frame(frames[index])

    def clean_frame(self, frame: Frame) -> CleanFrame:
        """One frame by itself, cleaned."""
        try:
            grey = to_grey(frame.pixels)
            region = regions.tissue_region(frame, grey)
            return self._remove(frame, grey, region, self.find_marks(frame, grey, region))
        except CadNodeError:
            raise
        except Exception as error:
            raise CleaningError(
                f"Frame {frame.frame_number} of {frame.reference.sop_instance_uid} could not be cleaned "
                f"({type(error).__name__}).",
                "The image is not analysed.",
                study_instance_uid=frame.reference.study_instance_uid,
            ) from error

    def find_marks(self, frame: Frame, grey: NDArray[np.uint8], region: Box) -> list[Mark]:
        """All marks inside a region, in the coordinates of the frame."""
        colour = frame.pixels[region.slices] if frame.pixels.ndim == 3 else None
        picture = Picture(np.ascontiguousarray(grey[region.slices]), colour)
        return [
            mark.moved(region.row_start, region.column_start)
            for detector in self._detectors
            for mark in detector.find(picture)
        ]

    def _remove(self, frame: Frame, grey: NDArray[np.uint8], region: Box, marks: list[Mark]) -> CleanFrame:
        removed = np.zeros(grey.shape, dtype=bool)
        pixels = np.zeros_like(grey)
        part = np.ascontiguousarray(grey[region.slices])
        mask = paint(marks, grey.shape)[region.slices]
        if mask.any():
            mask = inpaint.widen(mask)
            part = self._inpainter.fill(part, mask)
            removed[region.slices] = mask
        pixels[region.slices] = part
        return CleanFrame(
            frame_number=frame.frame_number,
            pixels=pixels,
            region=region,
            spacing=frame.spacing,
            annotations=tuple(mark.annotation for mark in marks),
            removed=removed,
        )


def to_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey `(rows, columns)` of grey or RGB pixels."""
    if pixels.ndim == 3:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    return np.ascontiguousarray(pixels)
