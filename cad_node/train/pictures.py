"""Pictures of scored images with both outlines, for looking at where a model fails.

They show images of a data set: for a local folder, never for passing on.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.pipeline.segment import Model, find_lesions
from cad_node.train.cases import as_frame, read_drawn, read_shown, union_of
from cad_node.train.data import Sample

_HEIGHT = 360
# Blue, green, red, as OpenCV writes them.
_DRAWN, _FOUND = (120, 220, 60), (100, 89, 255)


def draw_case(model: Model, folder: Path, sample: Sample, clean: Path | None, target: Path) -> None:
    """Write a PNG of a sample with the drawn outline in green and the found one in red."""
    pixels = read_shown(folder, sample, clean)
    if pixels is None:
        return
    shape = (pixels.shape[0], pixels.shape[1])
    findings, _ = find_lesions(as_frame(pixels), model, 0.0)
    found = union_of([finding.mask for finding in findings], shape)
    drawn = union_of(read_drawn(folder, sample, shape), shape)
    scale = _HEIGHT / shape[0]
    size = (max(1, round(shape[1] * scale)), _HEIGHT)
    picture = cv2.cvtColor(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2BGR)
    for mask, colour in ((drawn, _DRAWN), (found, _FOUND)):
        cv2.drawContours(picture, _outlines(mask, size), -1, colour, 2, cv2.LINE_AA)
    target.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target), picture)


def _outlines(mask: NDArray[np.bool_], size: tuple[int, int]) -> list[NDArray[np.int32]]:
    large = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) >= 0.5
    outlines, _ = cv2.findContours(large.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [np.asarray(outline, dtype=np.int32) for outline in outlines]
