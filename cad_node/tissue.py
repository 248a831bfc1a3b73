"""Tissue as the networks of the running node see it: read, gated, cleaned, cut to its region, with square pixels."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cad_node.errors import CleaningError, StudyError
from cad_node.pipeline.clean import Cleaner
from cad_node.pipeline.square import SquarePixels
from cad_node.read import gate_image, read_study

logger = logging.getLogger(__name__)


def tissue_of(
    studies: Sequence[Sequence[Path]],
    cleaner: Cleaner,
    *,
    breast_only: bool = False,
    skipped: Callable[[], object] = lambda: None,
) -> Iterator[NDArray[np.uint8]]:
    """One grey picture `(rows, columns)` an image, of a loop its middle frame, of a split screen the first.

    Studies come in an order that follows from their paths and yet is no order of time or
    name, so that the first of them are as mixed as all. What the node would not analyse is
    left out, and `skipped` is told.
    """
    for files in sorted(studies, key=lambda one: hashlib.sha256(str(one[0]).encode()).digest()):
        try:
            images = read_study(files, breast_only=breast_only).images
        except StudyError as error:
            logger.warning("a study was left out: %s", type(error).__name__)
            skipped()
            continue
        for image in images:
            try:
                if image.refusal is not None or gate_image(image) is not None:
                    skipped()
                    continue
                frame = cleaner.clean_frame(image.frames[len(image.frames) // 2])
            except (CleaningError, StudyError):
                skipped()
                continue
            tissue = np.ascontiguousarray(frame.pixels[frame.looked_at[0].slices])
            yield SquarePixels.of(tissue, frame.pixel_height).apply(tissue)
