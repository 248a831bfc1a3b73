"""What one training image may look like: depth, gain, texture, and burnt-in marks.

Geometry stands for depth setting, probe position and crop; grey-level changes
for gain, compression and another maker's post-processing. Synthetic calipers,
rulers and text are drawn on and off lesions, on normal images too, and thin
bright marks are taken away at random: a mark must say nothing about a lesion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.networks.letterbox import fit

Image = NDArray[np.uint8]

# A narrower strip beside a lesion shows too little to be called a picture of tissue.
SMALLEST_STRIP = 0.3

_LETTERS = "ABCDEFGHLMNOPRSTUVX0123456789.:+-/ "
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX)


@dataclass(frozen=True)
class Augmentation:
    """How often each change is made; ranges are inclusive, sizes relative to the letterbox fit."""

    scale: tuple[float, float] = (0.5, 2.0)
    stretch: float = 0.12
    shift: float = 0.12
    rotation_deg: float = 12.0
    flip: float = 0.5
    gain: float = 0.7
    speckle: float = 0.35
    blur: float = 0.2
    jpeg: float = 0.15
    lesion_marks: float = 0.35
    other_marks: float = 0.4
    unmark: float = 0.35
    away: float = 0.1
    """Share of the lesion images of which only a part without the lesion is shown, as normal tissue."""


def away_from_lesion(image: Image, mask: Image, how: Augmentation, rng: np.random.Generator) -> Image | None:
    """The widest strip of tissue beside a lesion, enlarged to the image's size; mostly None.

    Normal images are rare in the data and of one hospital; this shows normal
    tissue of every scanner. None where chance or the picture does not allow it.
    """
    if rng.random() >= how.away:
        return None
    rows, columns = np.nonzero(mask > 0)
    seen_rows, seen_columns = np.nonzero(image > 8)
    if not rows.size or not seen_rows.size:
        return None
    top, bottom = int(np.percentile(seen_rows, 1)), int(np.percentile(seen_rows, 99)) + 1
    left, right = int(np.percentile(seen_columns, 1)), int(np.percentile(seen_columns, 99)) + 1
    gap = image.shape[0] // 40
    strips = [
        (top, bottom, left, int(columns.min()) - gap),
        (top, bottom, int(columns.max()) + 1 + gap, right),
        (top, int(rows.min()) - gap, left, right),
    ]
    # The strip below a lesion lies in its shadow or enhancement: that is no normal tissue.
    widest = max(strips, key=lambda strip: min(strip[1] - strip[0], strip[3] - strip[2]))
    if min(widest[1] - widest[0], widest[3] - widest[2]) < SMALLEST_STRIP * image.shape[0]:
        return None
    part = np.ascontiguousarray(image[widest[0] : widest[1], widest[2] : widest[3]])
    return np.asarray(fit(part, image.shape[0]).apply(part), dtype=np.uint8)


def augment(
    image: Image, mask: Image, size: int, how: Augmentation, rng: np.random.Generator
) -> tuple[Image, Image]:
    """One random view of an image and its mask, uint8 `(size, size)` each.

    `image` and `mask` are squares of any one side; the mask is 0 to 255.
    """
    image = image.copy()
    if rng.random() < how.unmark:
        image = remove_thin_marks(image)
    if rng.random() < how.lesion_marks and mask.any():
        draw_calipers(image, mask, rng)
    if rng.random() < how.other_marks:
        draw_marks(image, rng)
    image, mask = _move_keeping_lesion(image, mask, size, how, rng)
    if rng.random() < how.gain:
        image = _gain(image, rng)
    if rng.random() < how.speckle:
        image = _speckle(image, rng)
    if rng.random() < how.blur:
        blurred = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.3)))
        image = np.asarray(blurred, dtype=np.uint8)
    if rng.random() < how.jpeg:
        quality = int(rng.integers(25, 90))
        _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    return image, mask


def remove_thin_marks(image: Image) -> Image:
    """Inpaint what is bright and thinner than five pixels: a rough annotation remover."""
    kernel = np.ones((5, 5), np.uint8)
    opened = cv2.morphologyEx(image, cv2.MORPH_OPEN, kernel)
    marks = cv2.dilate((cv2.subtract(image, opened) > 60).astype(np.uint8), np.ones((3, 3), np.uint8))
    smooth = cv2.blur(opened, (5, 5))
    return np.where(marks > 0, smooth, image).astype(np.uint8)


def draw_calipers(image: Image, mask: Image, rng: np.random.Generator) -> None:
    """Draw one or two measuring lines across the lesion, in place."""
    rows, columns = np.nonzero(mask > 127)
    if rows.size < 20:
        return
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    centre = points.mean(axis=0)
    angle = float(rng.uniform(0, math.pi))
    grey = int(rng.integers(110, 256))
    style = int(rng.integers(0, 3))
    for turn in range(int(rng.integers(1, 3))):
        direction = np.array([math.cos(angle + turn * math.pi / 2), math.sin(angle + turn * math.pi / 2)])
        along = (points - centre) @ direction
        ends = [centre + direction * along.min(), centre + direction * along.max()]
        ends = [end + rng.normal(0, 2.0, 2) for end in ends]
        _draw_measurement(image, ends, grey, style, rng)


def draw_marks(image: Image, rng: np.random.Generator) -> None:
    """Draw text, a ruler or calipers anywhere, in place."""
    rows, columns = image.shape
    for _ in range(int(rng.integers(1, 4))):
        kind = rng.random()
        grey = int(rng.integers(90, 256))
        if kind < 0.5:
            length = int(rng.integers(2, 14))
            text = "".join(_LETTERS[i] for i in rng.integers(0, len(_LETTERS), length))
            at = (int(rng.integers(-10, columns)), int(rng.integers(8, rows)))
            font = _FONTS[int(rng.integers(0, len(_FONTS)))]
            size = float(rng.uniform(0.25, 0.6)) * (2 if font == cv2.FONT_HERSHEY_PLAIN else 1)
            cv2.putText(image, text, at, font, size, grey, 1, cv2.LINE_AA)
        elif kind < 0.8:
            start = rng.uniform(0.1, 0.9, 2) * (columns, rows)
            reach = rng.uniform(10, 80)
            angle = rng.uniform(0, 2 * math.pi)
            end = start + reach * np.array([math.cos(angle), math.sin(angle)])
            _draw_measurement(image, [start, end], grey, int(rng.integers(0, 3)), rng)
        else:
            column = int(rng.choice([2, columns - 4, rng.integers(0, columns)]))
            for row in range(int(rng.integers(0, 10)), rows, int(rng.integers(8, 30))):
                cv2.line(image, (column, row), (column + int(rng.integers(1, 5)), row), grey, 1)


def _draw_measurement(
    image: Image,
    ends: list[NDArray[np.float64]],
    grey: int,
    style: int,
    rng: np.random.Generator,
) -> None:
    """Crosses at both ends, `(column, row)`; style 1 and 2 join them with dots."""
    arm = int(rng.integers(2, 5))
    tilted = rng.random() < 0.3
    for end in ends:
        column, row = (round(float(value)) for value in end)
        if tilted:
            cv2.line(image, (column - arm, row - arm), (column + arm, row + arm), grey, 1)
            cv2.line(image, (column - arm, row + arm), (column + arm, row - arm), grey, 1)
        else:
            cv2.line(image, (column - arm, row), (column + arm, row), grey, 1)
            cv2.line(image, (column, row - arm), (column, row + arm), grey, 1)
    if style == 0:
        return
    reach = float(np.linalg.norm(ends[1] - ends[0]))
    gap = float(rng.uniform(2.5, 7))
    for step in np.arange(0, reach, gap):
        column, row = ends[0] + (ends[1] - ends[0]) * (step / max(reach, 1.0))
        at = (round(float(column)), round(float(row)))
        if 0 <= at[0] < image.shape[1] and 0 <= at[1] < image.shape[0]:
            image[at[1], at[0]] = grey


def _move_keeping_lesion(
    image: Image, mask: Image, size: int, how: Augmentation, rng: np.random.Generator
) -> tuple[Image, Image]:
    """Move; draw again where less than half of the lesion stays in view and the label would lie."""
    share = float(np.count_nonzero(mask)) / mask.size
    for _ in range(4):
        moved, moved_mask, zoom = _move(image, mask, size, how, rng)
        if float(np.count_nonzero(moved_mask)) / moved_mask.size >= 0.5 * share * zoom**2:
            break
    return moved, moved_mask


def _move(
    image: Image, mask: Image, size: int, how: Augmentation, rng: np.random.Generator
) -> tuple[Image, Image, float]:
    """Scale, stretch, rotate, shift and mirror; log-uniform so that 0.5 is as likely as 2."""
    side = image.shape[0]
    low, high = how.scale
    # Most views stay near the fit, as they do in service; the tails cover other depths.
    zoom = math.exp(float(np.clip(rng.normal(0.0, 0.3), math.log(low), math.log(high))))
    fitted = zoom
    zoom *= size / side
    if zoom < 0.8:  # warpAffine does not average: shrink by area first
        shrunk = max(16, round(side * zoom))
        image = _shrink(image, shrunk)
        mask = _shrink(mask, shrunk)
        zoom *= side / shrunk
        side = shrunk
    stretch = 1 + float(rng.uniform(-how.stretch, how.stretch))
    mirror = -1.0 if rng.random() < how.flip else 1.0
    angle = math.radians(float(rng.uniform(-how.rotation_deg, how.rotation_deg)))
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.diag([mirror * zoom * stretch, zoom / stretch])
    reach = how.shift * size + max(0.0, side * zoom - size) / 4
    middle = np.array([size / 2, size / 2]) + rng.uniform(-reach, reach, 2)
    offset = middle - matrix @ np.array([side / 2, side / 2])
    affine = np.hstack([matrix, offset[:, None]])
    moved = cv2.warpAffine(image, affine, (size, size), flags=cv2.INTER_LINEAR)
    moved_mask = cv2.warpAffine(mask, affine, (size, size), flags=cv2.INTER_LINEAR)
    return np.asarray(moved, dtype=np.uint8), np.asarray(moved_mask, dtype=np.uint8), fitted


def _shrink(image: Image, side: int) -> Image:
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _gain(image: Image, rng: np.random.Generator) -> Image:
    """Gamma, gain and offset through one table, then a slope over depth (time-gain)."""
    levels = np.linspace(0, 1, 256)
    gamma = math.exp(float(rng.normal(0, 0.3)))
    table = levels**gamma * float(rng.uniform(0.7, 1.35)) + float(rng.uniform(-0.06, 0.06))
    changed = np.asarray(np.clip(table * 255, 0, 255), dtype=np.uint8)[image]
    if rng.random() < 0.4:
        slope = np.linspace(rng.uniform(0.6, 1.4), rng.uniform(0.6, 1.4), image.shape[0])[:, None]
        changed = np.clip(changed * slope, 0, 255).astype(np.uint8)
    return changed


def _speckle(image: Image, rng: np.random.Generator) -> Image:
    """Multiplicative noise with a grain of one to three pixels."""
    grain = int(rng.integers(1, 4))
    side = -(-image.shape[0] // grain)
    noise = rng.standard_normal((side, side), dtype=np.float32)
    if grain > 1:
        fine = cv2.resize(noise, image.shape[::-1], interpolation=cv2.INTER_LINEAR)
        noise = np.asarray(fine, dtype=np.float32)
    factor = 1 + float(rng.uniform(0.03, 0.2)) * noise[: image.shape[0], : image.shape[1]]
    return np.clip(image * factor, 0, 255).astype(np.uint8)
