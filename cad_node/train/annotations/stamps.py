"""One mark by itself: how much of each pixel it covers, before it is put anywhere.

`ink` is what is drawn in the mark's grey, `halo` the outline, shadow or box
beneath it in another grey. Both are float32 `(rows, columns)` in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cad_node.train.annotations.fonts import HERSHEY, Faces, load

Cover = NDArray[np.float32]
Stroke = tuple[float, float, float, float]


@dataclass(frozen=True)
class Stamp:
    """A mark: its kind (of `networks.annotation_network.KINDS`), a name for scores, and its cover."""

    kind: str
    name: str
    ink: Cover = field(repr=False)
    halo: Cover | None = field(default=None, repr=False)


# -- text ---------------------------------------------------------------------------------------

_WORDS = (
    *("RT BREAST", "LT BREAST", "RIGHT", "LEFT", "RT UOQ", "LT LIQ", "AXILLA", "NIPPLE", "RADIAL", "ANTIRAD"),
    *("TRANS", "SAG", "LONG", "SAG AXILLA", "N+3", "5CM FN", "10:00", "2 O'CLOCK", "PALP", "BX", "MASS"),
    *("MAMA DIREITA", "MAMA ESQUERDA", "QSE", "QSI", "QIE", "QIE MAMA ESQ", "RETROAREOLAR", "3H", "12 H"),
    *("JUNCAO", "37 ANOS", "PALPAVEL", "MAMA DIR.", "MAMA IZQ", "CSE DERECHA", "AXILA", "PEZON", "RADIAL 9H"),
    *("Mama re.", "2 Uhr", "links außen", "oben", "Achsel", "Sein G", "Sein droit QSE", "aisselle", "nodes"),
    *(
        "FR 32Hz",
        "AO% 100",
        "CHI",
        "Frq 12.0",
        "Gn 58",
        "S/A 2/3",
        "Map E/0",
        "D 4.0",
        "DR 69",
        "MI 1.1",
        "TIs 0.2",
    ),
    *("GE", "LOGIQ", "TOSHIBA", "Aplio", "PHILIPS", "SIEMENS", "SAMSUNG", "mindray", "L12-5", "PLT-1204BT"),
    *("cyst", "fibroadenoma", "lesion 1", "enlarged nodes", "mass?", "LN", "CALC", "PRE", "POST", "DOE^JANE"),
)
_LONE = "ABCDLMNPRSTVXZ0123456789+"
_LETTERS = "ABCDEFGHIJLMNOPQRSTUVXZabcdefghilmnoprstu0123456789.:+-/% "


def words(rng: np.random.Generator) -> str:
    """Something that a screen may say: a note, a measurement, a number or any letters."""
    draw = rng.random()
    if draw < 0.4:
        text = str(rng.choice(_WORDS))
        if rng.random() < 0.2:
            text += " " + str(rng.choice(_WORDS))
        return text
    if draw < 0.55:
        unit = str(rng.choice(["cm", "mm", " cm", " mm", "MM", ""]))
        label = str(rng.choice(["D1 ", "1 D ", "A ", "+ ", "x ", "L ", "Dist ", "", "1 L "]))
        return f"{label}{rng.uniform(0.2, 60):.{int(rng.integers(0, 3))}f}{unit}"
    if draw < 0.65:
        return f"{int(rng.integers(0, 24)):02d}:{int(rng.integers(0, 60)):02d}:{int(rng.integers(0, 60)):02d}"
    length = int(rng.integers(2, 12))
    return "".join(_LETTERS[i] for i in rng.integers(0, len(_LETTERS), length)).strip() or "R"


def lone_character(rng: np.random.Generator) -> str:
    """One letter or digit."""
    return str(rng.choice(list(_LONE)))


def text(
    rng: np.random.Generator, what: str, faces: Faces, sizes_px: tuple[int, int] = (8, 26), name: str = "text"
) -> Stamp:
    """A line of text in a face, size and outline drawn by chance; `sizes_px` is inclusive."""
    size = int(rng.integers(sizes_px[0], sizes_px[1] + 1))
    if faces.paths and rng.random() < 0.75:
        cover = _outline_text(rng, what, faces, size)
    else:
        cover = _stroke_text(rng, what, size)
    if rng.random() < 0.12:  # faces that were stretched by the scanner or a screen capture
        factor = float(rng.uniform(0.75, 1.7))
        width = max(1, round(cover.shape[1] * factor))
        cover = np.asarray(cv2.resize(cover, (width, cover.shape[0]), interpolation=cv2.INTER_LINEAR))
    cover = _padded(cover, 3)
    draw = rng.random()
    if draw < 0.35:
        return Stamp("text", name, cover, outlined(cover, 1 if rng.random() < 0.7 else 2))
    if draw < 0.45:  # a shadow to one side
        halo = np.roll(cover, (1, 1), axis=(0, 1))
        return Stamp("text", name, cover, halo)
    if draw < 0.53:  # a box beneath
        return Stamp("text", name, cover, np.ones_like(cover))
    return Stamp("text", name, cover)


def _outline_text(rng: np.random.Generator, what: str, faces: Faces, size: int) -> Cover:
    path = faces.paths[int(rng.integers(0, len(faces.paths)))]
    doubled = size >= 14 and rng.random() < 0.12  # bitmap faces, drawn with doubled pixels
    # Sizes speak of capitals' height and descent together; points of the line would be taller.
    font = load(path, max(7, round((size // 2 if doubled else size) * 1.05)))
    mode = "1" if doubled or rng.random() < 0.2 else "L"
    spacing = int(rng.integers(1, 5)) if rng.random() < 0.12 else 0
    left, top, right, bottom = font.getbbox(what)
    canvas = Image.new(mode, (int(right - left) + spacing * len(what) + 2, int(bottom - top) + 2))
    pen = ImageDraw.Draw(canvas)
    if spacing:
        column = 1.0 - left
        for character in what:
            pen.text((column, 1 - top), character, fill=255, font=font)
            column += font.getlength(character) + spacing
    else:
        pen.text((1 - left, 1 - top), what, fill=255, font=font)
    cover = np.asarray(canvas.convert("L"), np.float32) / np.float32(255)
    return np.asarray(np.kron(cover, np.ones((2, 2), np.float32)), np.float32) if doubled else cover


def _stroke_text(rng: np.random.Generator, what: str, size: int) -> Cover:
    face = int(rng.choice(HERSHEY))
    scale = size / (11 if face == cv2.FONT_HERSHEY_PLAIN else 24)
    thickness = 2 if size >= 12 and rng.random() < 0.5 else 1
    (width, height), base = cv2.getTextSize(what, face, scale, thickness)
    canvas = np.zeros((height + base + 4, width + 4), np.uint8)
    kind = cv2.LINE_AA if rng.random() < 0.7 else cv2.LINE_8
    cv2.putText(canvas, what, (2, height + 1), face, scale, 255, thickness, kind)
    return canvas.astype(np.float32) / np.float32(255)


# -- calipers -----------------------------------------------------------------------------------

# Strokes in a square from -1 to 1, as (row, column, row, column).
_PLUS: tuple[Stroke, ...] = ((-1, 0, 1, 0), (0, -1, 0, 1))
_X: tuple[Stroke, ...] = ((-0.9, -0.9, 0.9, 0.9), (-0.9, 0.9, 0.9, -0.9))
_OPEN: tuple[Stroke, ...] = ((-1, 0, -0.4, 0), (0.4, 0, 1, 0), (0, -1, 0, -0.4), (0, 0.4, 0, 1))
_OPEN_X: tuple[Stroke, ...] = (
    (-0.9, -0.9, -0.35, -0.35),
    (0.9, 0.9, 0.35, 0.35),
    (-0.9, 0.9, -0.35, 0.35),
    (0.9, -0.9, 0.35, -0.35),
)
_BARS: tuple[Stroke, ...] = (
    (-1, -0.3, -1, 0.3),
    (1, -0.3, 1, 0.3),
    (-0.3, -1, 0.3, -1),
    (-0.3, 1, 0.3, 1),
)
_SQUARE: tuple[Stroke, ...] = ((-1, -1, -1, 1), (-1, 1, 1, 1), (1, 1, 1, -1), (1, -1, -1, -1))
_DIAMOND: tuple[Stroke, ...] = ((-1, 0, 0, 1), (0, 1, 1, 0), (1, 0, 0, -1), (0, -1, -1, 0))
_CIRCLE: tuple[Stroke, ...] = tuple(
    (
        float(np.sin(turn * np.pi / 8)) * 0.8,
        float(np.cos(turn * np.pi / 8)) * 0.8,
        float(np.sin((turn + 1) * np.pi / 8)) * 0.8,
        float(np.cos((turn + 1) * np.pi / 8)) * 0.8,
    )
    for turn in range(16)
)
CALIPERS: dict[str, tuple[Stroke, ...]] = {
    "plus": _PLUS,
    "x": _X,
    "upright asterisk": (*_X, (-1, 0, 1, 0)),
    "lying asterisk": (*_X, (0, -1, 0, 1)),
    "asterisk": (*_X, *_PLUS),
    "barred plus": (*_PLUS, *_BARS),
    "open barred plus": (*_OPEN, *_BARS),
    "barred x": (
        *_X,
        (-0.9, -0.5, -0.5, -0.9),
        (0.9, -0.5, 0.5, -0.9),
        (-0.9, 0.5, -0.5, 0.9),
        (0.9, 0.5, 0.5, 0.9),
    ),
    "open plus": _OPEN,
    "open x": _OPEN_X,
    "open asterisk": (*_OPEN, *_OPEN_X),
    "square": (*_SQUARE, (0, 0, 0, 0)),
    "diamond": _DIAMOND,
    "circled plus": (*_CIRCLE, *_OPEN),
    "tee": ((-1, 0, 1, 0), (-1, -0.8, -1, 0.8)),
    "corner": ((-1, -1, 1, -1), (1, -1, 1, 1)),
}
# Never learned from.
HELD_OUT_CALIPERS = ("open barred plus", "asterisk", "circled plus")


def caliper(rng: np.random.Generator, style: str) -> Stamp:
    """A caliper mark, 4 to 11 px from its centre to its side."""
    reach = int(rng.integers(4, 12))
    thickness = int(rng.integers(1, 3 if reach < 7 else 4))
    side = 2 * (reach + 4) + 1
    canvas = np.zeros((side, side), np.uint8)
    smooth = cv2.LINE_AA if rng.random() < 0.5 else cv2.LINE_8
    turn = int(rng.integers(0, 4)) if style in ("tee", "corner") else 0
    for stroke in CALIPERS[style]:
        row, column, row_end, column_end = (round(16 * reach * value) for value in stroke)
        middle = 16 * (side // 2)
        start, stop = (middle + column, middle + row), (middle + column_end, middle + row_end)
        cv2.line(canvas, start, stop, 255, thickness, smooth, shift=4)
    cover = np.rot90(canvas, turn).astype(np.float32) / np.float32(255)
    # Cursors that are drawn into bright speckle carry a dark outline, else they would not be seen.
    halo = outlined(cover, 1 if rng.random() < 0.75 else 2) if rng.random() < 0.45 else None
    return Stamp("caliper", f"caliper {style}", np.ascontiguousarray(cover), halo)


def outlined(cover: Cover, width_px: int) -> Cover:
    """The cover grown by a rim, as an outline is."""
    kernel = np.ones((2 * width_px + 1, 2 * width_px + 1), np.uint8)
    if width_px > 1:
        kernel = np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, kernel.shape), np.uint8)
    return np.asarray(cv2.dilate(cover, kernel), np.float32)


def _padded(cover: Cover, margin: int) -> Cover:
    return np.pad(cover, margin)
