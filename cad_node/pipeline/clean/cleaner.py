"""The order of the cleaning, and how a cine loop is cleaned without reading every frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Box, CleanFrame, Frame, SonographerNotes
from cad_node.errors import CadNodeError, CleaningError
from cad_node.pipeline.clean import cine, inpaint, regions
from cad_node.pipeline.clean.calipers import CaliperCrosses
from cad_node.pipeline.clean.colour import ColouredGraphics
from cad_node.pipeline.clean.drawn import DrawnMarks, PixelModel
from cad_node.pipeline.clean.marks import Detector, Mark, Picture, paint
from cad_node.pipeline.clean.notes import TypedLine, code_notes
from cad_node.pipeline.clean.read_text import TextReader
from cad_node.pipeline.clean.verify import Reader, SecondReader, left_over
from cad_node.settings import PipelineSettings

Fill = Callable[[NDArray[np.uint8], NDArray[np.bool_]], NDArray[np.uint8]]


class ScreenReader(Protocol):
    """Reads the screen around a picture; see `Surroundings`."""

    def read(self, grey: NDArray[np.uint8], region: Box) -> tuple[Mark, ...]:
        """The lines outside a region that may be notes."""

    def describe(self) -> str:
        """One line for `cad-node explain` and for provenance."""


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
# Kinds of marks by which an image counts as marked on the lesion.
MEASURING = frozenset({"caliper", "caliper label", "caliper line", "line"})


@dataclass(frozen=True)
class _Seen:
    """A frame with its grey pixels, its region, and its marks where it was searched.

    `around` are the lines of text beside the region, which are read and not removed.
    """

    frame: Frame
    grey: NDArray[np.uint8] = field(repr=False)
    region: Box
    marks: tuple[Mark, ...] = ()
    around: tuple[Mark, ...] = ()


@contextmanager
def _closed(frame: Frame) -> Iterator[None]:
    """Whatever goes wrong with a frame, nothing of it leaves."""
    try:
        yield
    except CadNodeError:
        raise
    except Exception as error:
        raise CleaningError(
            f"Frame {frame.frame_number} of {frame.reference.sop_instance_uid} could not be cleaned "
            f"({type(error).__name__}).",
            "The image is not analysed.",
            study_instance_uid=frame.reference.study_instance_uid,
        ) from error


class Cleaner:
    """Takes burnt-in annotations off the frames of an image.

    Parameters
    ----------
    settings
        What is removed and how it is filled.
    threads
        CPU threads of the OCR engine.
    network
        Says of each pixel whether it is drawn; without it, only text that can be
        read, colour and calipers are looked for.
    detectors
        Other detectors than those of `DETECTORS`.
    reader
        Another reader of cleaned pictures than the second OCR engine.
    surroundings
        Reads what stands beside the picture before it goes; without it, that is lost unread.
    """

    def __init__(
        self,
        settings: PipelineSettings,
        threads: int = 1,
        *,
        network: PixelModel | None = None,
        detectors: Sequence[Detector] | None = None,
        reader: Reader | None = None,
        surroundings: ScreenReader | None = None,
    ) -> None:
        if detectors is None:
            detectors = [make(settings, threads) for make in DETECTORS.values()]
            detectors += [] if network is None else [DrawnMarks(network)]
        self.detectors = [*detectors]
        self._inpainter = INPAINTERS[settings.inpainting]
        second = reader or SecondReader(settings.verify_confidence, threads)
        self._reader = second if settings.verify_cleaning else None
        self._surroundings = surroundings

    def describe(self) -> tuple[str, ...]:
        """One line a step, in order."""
        return (
            "region: Sequence of Ultrasound Regions; without it, background of zero or modal grey removed",
            *((self._surroundings.describe(),) if self._surroundings else ()),
            *(detector.describe() for detector in self.detectors),
            f"cine: every {cine.STRETCH}th frame searched in full, marks followed in between",
            f"inpainting: {self._inpainter.description}, mask widened by {inpaint.MARGIN_PX} px; "
            "zero outside the region",
            self._reader.describe() if self._reader else "check: none, by the settings",
        )

    def clean_image(self, frames: Sequence[Frame]) -> Iterator[CleanFrame]:
        """The frames of one image, cleaned, in their order.

        Of a cine loop only some frames are searched in full (see `cine`); at
        most one stretch of it is decoded at a time.

        Raises
        ------
        CleaningError
            Marks could not be looked for or removed, or text can still be read. Frames that
            were already handed out were not found wanting, but the image as a whole was.
        """
        if len(frames) == 1:
            yield self.clean_frame(frames[0])
            return
        seen: _Seen | None = None
        for first, last in cine.stretches(len(frames)):
            start = seen or self._look(frames[first])
            stretch = [start, *(self._decode(frames[index], start) for index in range(first + 1, last))]
            seen = self._look(frames[last], start)
            stretch.append(seen)
            with _closed(start.frame):
                followed = self._follow(stretch)
                middle = len(frames) // 2
                if first < middle < last:
                    followed = self._check(stretch, followed, middle - first)
            # The last frame opens the next stretch, and is handed out there.
            until = len(stretch) if last == len(frames) - 1 else -1
            for one, marks in zip(stretch[:until], followed[:until], strict=True):
                with _closed(one.frame):
                    clean = self._remove(one, marks, _standing([stretch[0], stretch[-1]], one.grey))
                yield clean

    def clean_frame(self, frame: Frame) -> CleanFrame:
        """One frame by itself, cleaned."""
        seen = self._look(frame)
        with _closed(frame):
            return self._remove(seen, seen.marks, seen.around)

    def _decode(self, frame: Frame, like: _Seen | None = None) -> _Seen:
        with _closed(frame):
            grey = to_grey(frame.pixels)
            # Without a region in the header, one background serves the whole loop.
            if frame.tissue is None and like is not None and like.grey.shape == grey.shape:
                return _Seen(frame, grey, like.region)
            return _Seen(frame, grey, regions.tissue_region(frame, grey))

    def _look(self, frame: Frame, like: _Seen | None = None) -> _Seen:
        seen = self._decode(frame, like)
        with _closed(frame):
            around = self._surroundings.read(seen.grey, seen.region) if self._surroundings else ()
            # What is typed on another picture speaks of that one: another plane, or the other breast.
            around = tuple(mark for mark in around if not _lies_in(mark.annotation.box, frame.left_out))
            return replace(seen, marks=self._search(seen), around=around)

    def _search(self, seen: _Seen) -> tuple[Mark, ...]:
        """The marks of a frame, and what the second reader says must go as well."""
        marks = self.find_marks(seen.frame, seen.grey, seen.region)
        return (*marks, *self._left_over(seen, marks))

    def _left_over(self, seen: _Seen, marks: Sequence[Mark]) -> list[Mark]:
        if self._reader is None:
            return []
        part = np.ascontiguousarray(seen.grey[seen.region.slices])
        inside = [mark.moved(-seen.region.row_start, -seen.region.column_start) for mark in marks]
        more = left_over(part, inside, lambda some: self._filled(part, some)[0], self._reader)
        return [mark.moved(seen.region.row_start, seen.region.column_start) for mark in more]

    def _follow(self, stretch: Sequence[_Seen]) -> list[tuple[Mark, ...]]:
        first, last = stretch[0], stretch[-1]
        return cine.follow(
            [one.grey for one in stretch],
            cine.Look(first.grey, first.marks),
            cine.Look(last.grey, last.marks),
            first.region,
            lambda index: self._search(stretch[index]),
        )

    def _check(
        self, stretch: Sequence[_Seen], followed: list[tuple[Mark, ...]], index: int
    ) -> list[tuple[Mark, ...]]:
        """The marks of a stretch, after the second reader saw one frame that was not searched."""
        more = self._left_over(stretch[index], followed[index])
        return [(*marks, *more) for marks in followed]

    def find_marks(self, frame: Frame, grey: NDArray[np.uint8], region: Box) -> list[Mark]:
        """All marks inside a region, in the coordinates of the frame."""
        colour = frame.pixels[region.slices] if frame.pixels.ndim == 3 else None
        picture = Picture(np.ascontiguousarray(grey[region.slices]), colour)
        return [
            mark.moved(region.row_start, region.column_start)
            for detector in self.detectors
            for mark in detector.find(picture)
        ]

    def _filled(
        self, part: NDArray[np.uint8], marks: Sequence[Mark]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """A picture without its marks, and the pixels that were filled."""
        mask = paint(marks, part.shape)
        if not mask.any():
            return part, mask
        mask = inpaint.widen(mask)
        return self._inpainter.fill(part, mask), mask

    def _remove(self, seen: _Seen, marks: Sequence[Mark], around: Sequence[Mark]) -> CleanFrame:
        frame, grey, region = seen.frame, seen.grey, seen.region
        removed = np.zeros(grey.shape, dtype=bool)
        pixels = np.zeros_like(grey)
        inside = [mark.moved(-region.row_start, -region.column_start) for mark in marks]
        pixels[region.slices], removed[region.slices] = self._filled(
            np.ascontiguousarray(grey[region.slices]), inside
        )
        return CleanFrame(
            frame_number=frame.frame_number,
            pixels=pixels,
            region=region,
            spacing=frame.spacing,
            annotations=tuple(mark.annotation for mark in marks),
            removed=removed,
            notes=read_notes(marks, around),
            aspect=frame.aspect,
            pictures=frame.pictures,
        )


def _lies_in(box: Box, regions: Sequence[Box]) -> bool:
    """Whether the middle of a box lies in one of several regions."""
    row, column = (box.row_start + box.row_stop) / 2, (box.column_start + box.column_stop) / 2
    return any(
        one.row_start <= row < one.row_stop and one.column_start <= column < one.column_stop
        for one in regions
    )


def _standing(searched: Sequence[_Seen], grey: NDArray[np.uint8]) -> list[Mark]:
    """The lines beside the picture that stand in a frame as they stood where they were read."""
    found: list[Mark] = []
    for seen in searched:
        for mark in seen.around:
            known = any(mark.text == one.text and mark.annotation.box == one.annotation.box for one in found)
            if not known and cine.still_there(mark, seen.grey, grey):
                found.append(mark)
    return found


def read_notes(marks: Sequence[Mark], around: Sequence[Mark] = ()) -> SonographerNotes:
    """What the marks of a frame say, and the lines beside its picture, as coded data."""
    lines = [
        TypedLine(mark.text, mark.annotation.box, mark.annotation.confidence, inside)
        for some, inside in ((marks, True), (around, False))
        for mark in some
        if mark.text
    ]
    return code_notes(lines, marked=any(mark.annotation.kind in MEASURING for mark in marks))


def to_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey `(rows, columns)` of grey or RGB pixels."""
    if pixels.ndim == 3:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    return np.ascontiguousarray(pixels)
