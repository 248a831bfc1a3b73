"""From a background to one training patch at the scale that the network is run at."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.networks.annotation_model import scale_of
from cad_node.train.annotations.fonts import Faces
from cad_node.train.annotations.lookalikes import LOOKALIKES
from cad_node.train.annotations.overlay import UNSURE, Canvas, annotate

Grey = NDArray[np.uint8]
# Room that the scaling and the coding of what lies beyond a patch may reach into.
_MARGIN_PX = 2


@dataclass(frozen=True)
class Patches:
    """How patches are made; shares are of all patches."""

    size_px: int = 192
    zoom: float = 0.2
    """Standard deviation of the logarithm of the factor that the running scale is varied by."""
    gain: float = 0.6
    lookalikes: float = 0.6
    jpeg: float = 0.35
    blur: float = 0.12
    noise: float = 0.12


def patch(
    background: Grey,
    how: Patches,
    faces: Faces,
    rng: np.random.Generator,
    doubtful: NDArray[np.bool_] | None = None,
) -> tuple[Grey, Grey]:
    """Picture and kinds, uint8 `(size, size)` each, of a random part of a background.

    Undrawn pixels where the background is `doubtful` are `UNSURE`.
    """
    zoom = scale_of(background.shape) * math.exp(float(np.clip(rng.normal(0, how.zoom), -0.5, 0.5)))
    side = math.ceil(how.size_px / zoom) + 2 * _MARGIN_PX
    rows, columns = background.shape
    top = int(rng.integers(0, max(1, rows - side + 1)))
    left = int(rng.integers(0, max(1, columns - side + 1)))
    box = np.s_[top : top + side, left : left + side]
    part = background[box]
    unsure = None if doubtful is None else doubtful[box]
    if rng.random() < 0.5:
        part = part[:, ::-1]
        unsure = None if unsure is None else unsure[:, ::-1]
    grey = np.ascontiguousarray(part)
    if rng.random() < how.gain:
        grey = _gain(grey, rng)
    if rng.random() < how.lookalikes:
        for number in rng.choice(len(LOOKALIKES), int(rng.integers(1, 4)), replace=False):
            grey = LOOKALIKES[int(number)](grey, rng)
    canvas = Canvas(grey)
    if unsure is not None:
        canvas.kinds[unsure] = UNSURE
    annotate(canvas, rng, faces)
    pixels = _coded(canvas.pixels, how, rng)
    return _scaled(pixels, canvas.kinds, zoom, how.size_px)


def _scaled(pixels: Grey, kinds: Grey, zoom: float, size: int) -> tuple[Grey, Grey]:
    """Enlarged as in service, and cut or filled (with screen black) to the patch's size."""
    method = cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_AREA
    shape = (max(1, round(pixels.shape[1] * zoom)), max(1, round(pixels.shape[0] * zoom)))
    large = cv2.resize(pixels, shape, interpolation=method)
    large_kinds = _rimmed(np.asarray(cv2.resize(kinds, shape, interpolation=cv2.INTER_NEAREST), np.uint8))
    margin = round(_MARGIN_PX * zoom) if min(shape) >= size + 2 * _MARGIN_PX else 0
    picture, truth = np.zeros((size, size), np.uint8), np.zeros((size, size), np.uint8)
    cut = large[margin : margin + size, margin : margin + size]
    picture[: cut.shape[0], : cut.shape[1]] = cut
    truth[: cut.shape[0], : cut.shape[1]] = large_kinds[margin : margin + size, margin : margin + size]
    return picture, truth


def _rimmed(kinds: Grey) -> Grey:
    """Tissue that touches a mark becomes `UNSURE`.

    Scaling and coding smear a stroke of one pixel over its neighbours. Were they counted as tissue, the
    network could never be sure of a thin line; what is found of a mark is widened by more than that anyway.
    """
    mark = ((kinds > 0) & (kinds != UNSURE)).astype(np.uint8)
    near = cv2.dilate(mark, np.ones((3, 3), np.uint8)) > 0
    return np.where(near & (kinds == 0), np.uint8(UNSURE), kinds)


def _gain(grey: Grey, rng: np.random.Generator) -> Grey:
    """Gamma, gain and offset through one table; bright, washed-out pictures included."""
    levels = np.linspace(0, 1, 256)
    table = levels ** math.exp(float(rng.normal(0, 0.35))) * float(rng.uniform(0.6, 2.0))
    table += float(rng.uniform(-0.05, 0.1))
    return np.asarray(np.clip(table * 255, 0, 255), dtype=np.uint8)[grey]


def _coded(grey: Grey, how: Patches, rng: np.random.Generator) -> Grey:
    """What becomes of a picture on its way: captured, filtered, compressed."""
    if rng.random() < how.blur:
        grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), float(rng.uniform(0.3, 0.8))), np.uint8)
    if rng.random() < how.noise:
        noise = rng.normal(0, float(rng.uniform(1, 5)), grey.shape)
        grey = np.clip(grey + noise, 0, 255).astype(np.uint8)
    if rng.random() < how.jpeg:
        quality = int(rng.integers(45, 97))
        _, code = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])
        grey = np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), np.uint8)
    return grey
