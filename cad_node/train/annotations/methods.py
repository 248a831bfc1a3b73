"""What the cleaning is compared with: each a set of detectors, run once a picture and shared."""

from __future__ import annotations

import csv
import io
import resource
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Annotation, Box
from cad_node.pipeline.clean.calipers import CaliperCrosses
from cad_node.pipeline.clean.drawn import DrawnMarks, PixelModel
from cad_node.pipeline.clean.inpaint import navier_stokes, widen
from cad_node.pipeline.clean.marks import Detector, Mark, Picture, paint
from cad_node.pipeline.clean.read_text import TextReader
from cad_node.settings import PipelineSettings

# The node's own comes first. "calipers" is the template detector.
METHODS: Mapping[str, tuple[str, ...]] = {
    "node": ("text", "calipers", "network"),
    "without templates": ("text", "network"),
    "network alone": ("network",),
    "without network": ("text", "calipers"),
    "RapidOCR alone": ("text",),
    "Tesseract boxes": ("tesseract",),
    "blanking alone": (),
}


class TesseractBoxes:
    """Whole word boxes as Tesseract finds them: what the usual de-identification tools blank."""

    def describe(self) -> str:
        """One line about it."""
        return "Tesseract: boxes of words"

    def find(self, picture: Picture) -> list[Mark]:
        """Every word with a confidence above zero, as a filled box."""
        _, code = cv2.imencode(".png", picture.grey)
        words = subprocess.run(
            ["tesseract", "stdin", "stdout", "--psm", "11", "tsv"],  # noqa: S607  found on the path
            input=code.tobytes(),
            capture_output=True,
            check=True,
            env={"OMP_THREAD_LIMIT": "1", "PATH": "/usr/local/bin:/usr/bin:/bin"},
        ).stdout.decode("utf-8", "replace")
        rows, columns = picture.grey.shape
        marks = []
        for word in csv.DictReader(io.StringIO(words), delimiter="\t", quoting=csv.QUOTE_NONE):
            if not (word["text"] or "").strip() or float(word["conf"]) <= 0:
                continue
            top, left = int(word["top"]), int(word["left"])
            box = Box(
                top, min(rows, top + int(word["height"])), left, min(columns, left + int(word["width"]))
            )
            if min(box.shape) > 0:
                marks.append(Mark(Annotation(box, "text", 1.0), np.ones(box.shape, dtype=bool)))
        return marks


@dataclass
class Finders:
    """The detectors by name; `seconds` adds up the CPU time of each."""

    detectors: Mapping[str, Detector]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that can be run here."""
        return tuple(name for name, parts in METHODS.items() if all(part in self.detectors for part in parts))

    def find(self, grey: NDArray[np.uint8]) -> dict[str, list[Mark]]:
        """The marks of each method in a picture; every detector looks once."""
        found: dict[str, list[Mark]] = {}
        for name, detector in self.detectors.items():
            started = _cpu_s()
            found[name] = detector.find(Picture(grey))
            self.seconds[name] = self.seconds.get(name, 0.0) + _cpu_s() - started
        return {method: [mark for part in METHODS[method] for mark in found[part]] for method in self.methods}


def _cpu_s() -> float:
    """CPU time of this process and of those it ran: Tesseract is one of its own."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def finders(model: PixelModel, settings: PipelineSettings) -> Finders:
    """All detectors; without Tesseract where it is not installed."""
    detectors: dict[str, Detector] = {
        "text": TextReader(settings.ocr_confidence, threads=1),
        "calipers": CaliperCrosses(),
        "network": DrawnMarks(model),
    }
    if shutil.which("tesseract") is not None:
        detectors["tesseract"] = TesseractBoxes()
    return Finders(detectors)


def removed(grey: NDArray[np.uint8], marks: Sequence[Mark]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The picture with the marks filled as the cleaner fills them, and the pixels that were filled."""
    mask = paint(marks, (grey.shape[0], grey.shape[1]))
    if not mask.any():
        return grey, mask
    mask = widen(mask)
    return navier_stokes(grey, mask), mask
