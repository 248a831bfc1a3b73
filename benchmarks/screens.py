"""Score and time what is read beside the picture, on screens whose notes are known.

    python -m benchmarks.screens --data DIR [--screens 100] [--seed 1] [--fonts DIR]

Pictures of a data set with a `manifest.csv` are set into screens of 800 x 600 to
1280 x 960: a header with name, number, date and hospital, a column of settings as ten
scanners show them, depth, scale and odd words. Every second one has a typed note and
caliper results below the picture. Many of the other words are chosen to mislead.
Each screen is read as if it were the first of its scanner.
"""

from __future__ import annotations

import argparse
import csv
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cad_node.domain import Box, SonographerNotes
from cad_node.pipeline.clean import Surroundings
from cad_node.pipeline.clean.notes import TypedLine, code_notes
from cad_node.train.annotations.fonts import Faces, find_faces, load

SIZES = ((1024, 768), (1024, 768), (800, 600), (1280, 960))
SETTINGS = (
    "Gen OB|C5-1|28Hz|11cm|2D|HGen|Gn 60|C 61|3/3/4",
    "Adv Breast|L12-5|36Hz|RS|2D|60%|Dyn R 58|P Med|Res|TAC1",
    "6C1 HD|*Renal|General|TIS: 0.5|TIB: 0.5|MI: 1.4|19fps|2D--100%|THI|H4.00 MHz|20dB/DR60|ASC 3|DTCE M|MapE/ST2",
    "Frq 12.0|Gn 50|S/A 2/2|Map G/0|D 3.0|DR 72|FR 32|AO% 100|CHI|Breast",
    "14L5|T14.0|diffT10.0|15 fps|DR:65|G:80|Qscan|Precision+|ApliPure+|Breast|4.0",
    "B|F H12.0 MHz|G 55%|FR 46 fps|IP 5|D 4.0 cm|DR 115|iClear 3|L12-3E|MI 1.1|TIS 0.3|Breast",
    "[2D] G66/110dB/FA7/P90/|HAR|LA2-14A|Breast / General|4.0cm / 1.1 / 34Hz|TIs 0.2|MI 0.9",
    "R05.0 G80 C4 A1|9123  5.0 R15 G66 C6 A2|BG:21 DR:65|FR:38Hz|EUP-L74M|13MHz|Depth 4.0cm",
    "SuperLinear SL15-4|Breast/Breast|MI 0.7|TIS 0.4|B|Gen / Med|HD|SC 3|Map 4|GN 46%|DR 60 dB|FR Med",
    "SONO R 12.0|2D 4.0 cm|Zoom 100%|PRF 1.5 kHz|WF 80 Hz|SV 2.0 mm|Angle 60|Col Gn 45|Focus 2.1 cm|X 1.2",
)
NAMES = (
    "DOE^JANE|SMITH, MARY ANN|SILVA MARIA DA|LONG, RITA|LINKE, ERIKA|RIGHT JOHN|GAUCHE MARIE|SOUZA E. 45Y F"
)
PLACES = (
    "CITY CLINIC|HOSPITAL SANTA CASA|BAPTIST MED CTR|Univ. Klinik Bonn|Centre Hosp. du Lac|US BREAST COMPLETE"
)
DATES = "5/25/2011  2:56:22 PM|24-MAY-02 11:24:20|2019.11.03 10:30:12|12.03.2020 10:30|10:30:15|10:00"
NUMBERS = "ID: 00079241539|11-05-25-142825|DOB: 08/29/1951  M|Acc 4711-22|# 4711|45Y F|9M"
ODD = "127/128|Page 1/3|M3|x3|Crd P21|Trans|1|4|+2:09:04|Vol 1.2 cm3|Area 1.23 cm2|PS 12.3 cm/s|H5|Tech: LT|SON: CSI|RT"
NOTES: dict[str, dict[str, object]] = {
    "RT BREAST 10:00 3 CMFN RADIAL": {"side": "right", "clock": 10, "nipple": 30, "plane": "radial"},
    "LT BREAST 2:00 N+4 ANTIRADIAL": {"side": "left", "clock": 2, "nipple": 40, "plane": "antiradial"},
    "LEFT BREAST 3 O'CLOCK 5 CM FN": {"side": "left", "clock": 3, "nipple": 50},
    "RIGHT UOQ TRANS": {"side": "right", "quadrant": "upper_outer", "plane": "transverse"},
    "LT LOQ SAG": {"side": "left", "quadrant": "lower_outer", "plane": "sagittal"},
    "MAMA DIREITA QSE 10H": {"side": "right", "quadrant": "upper_outer", "clock": 10},
    "MAMA ESQUERDA QII": {"side": "left", "quadrant": "lower_inner"},
    "MAMA DERECHA CSE A LAS 10": {"side": "right", "quadrant": "upper_outer", "clock": 10},
    "MAMA IZQUIERDA RETROAREOLAR": {"side": "left", "quadrant": "central"},
    "Mamma links 2 Uhr radiär": {"side": "left", "clock": 2, "plane": "radial"},
    "SEIN DROIT QSE": {"side": "right", "quadrant": "upper_outer"},
    "SEIN GAUCHE 3 cm du mamelon": {"side": "left", "nipple": 30},
    "LEFT": {"side": "left"},
}
# Label and unit of two results; `|` sets the number in a column of its own.
RESULTS = (
    ("D1 ,D2 ", "mm"),
    ("1 L ,2 L ", "cm"),
    ("+ Dist ,x Dist ", "cm"),
    ("+ ,x ", "cm"),
    ("1 D|,2 D|", "cm"),
)


@dataclass(frozen=True)
class Screen:
    """A drawn screen, where its picture is, and what was typed beside it."""

    grey: NDArray[np.uint8]
    region: Box
    truth: dict[str, object]


def main() -> None:
    """Draw, read, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--screens", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fonts", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    faces, _ = find_faces(options.fonts)
    with (options.data / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        paths = [options.data / row["image"] for row in csv.DictReader(stream)]
    Surroundings(0.5).read(
        np.pad(np.full((20, 80), 255, np.uint8), 40), Box(0, 10, 0, 10)
    )  # loads the engine
    typed, right, wrong = Counter[str](), Counter[str](), Counter[str]()
    seconds: list[float] = []
    for number in range(options.screens):
        chance = random.Random(f"{options.seed} {number}")
        screen = draw(chance, paths, faces, with_note=number % 2 == 1)
        before = time.process_time()
        marks = Surroundings(0.5).read(screen.grey, screen.region)
        seconds.append(time.process_time() - before)
        lines = [TypedLine(one.text, one.annotation.box, one.annotation.confidence, False) for one in marks]
        # Calipers lie on the picture where there are results; elsewhere both are tried.
        for marked in (True,) if "distances" in screen.truth else (False, True):
            said = _said(code_notes(lines, marked=marked))
            wrong.update(name for name, value in said.items() if screen.truth.get(name) != value)
        typed.update(screen.truth.keys())
        right.update(name for name, value in screen.truth.items() if said.get(name) == value)
    print(
        f"{options.screens} screens, {options.screens // 2} with notes; CPU s: mean {np.mean(seconds):.2f}, "
        f"95 of 100 below {np.percentile(seconds, 95):.2f}"
    )
    for name in sorted(typed):
        print(f"{name:10s} read {right[name]:4d} of {typed[name]:4d}")
    print(f"false or wrong: {sum(wrong.values())} {dict(wrong)}")


def draw(chance: random.Random, paths: list[Path], faces: Faces, *, with_note: bool) -> Screen:
    """A screen around a picture of the data set."""
    columns, rows = chance.choice(SIZES)
    canvas = Image.new("L", (columns, rows), chance.choice([0, 0, 0, 8, 24, 36]))
    pen = ImageDraw.Draw(canvas)
    size = round(chance.choice([14, 16, 18, 20]) * max(0.8, columns / 1024))
    font, step = load(chance.choice(faces.paths), size), round(size * 1.35)
    grey = chance.choice([150, 180, 210, 235, 255])
    top, bottom = round(rows * 0.13), round(rows * chance.choice([0.72, 0.76]))

    def put(column: float, row: float, text: str) -> None:
        column = max(2, min(column, columns - 2 - font.getlength(text)))
        pen.text((column, row), text, fill=grey, font=font)

    if chance.random() < 0.7:
        pen.rectangle((0, 0, columns, top - 6), fill=chance.choice([30, 50, 70]))
    for row, groups in (
        (4, (NAMES, PLACES, DATES)),
        (4 + step, (NUMBERS, ODD, "MI 1.1|TIS0.0   MI 0.6|TIB 0.2")),
    ):
        for column, words in zip((8, columns * 0.42, columns * 0.78), groups, strict=True):
            put(column, row, chance.choice(words.split("|")))
    for number, words in enumerate(chance.choice(SETTINGS).split("|")):
        if top + 6 + (number + 1) * step < bottom:
            put(6, top + 6 + number * step, words)
    put(columns, bottom + 6, chance.choice(["4.0 cm", "4.0cm", "3.5"]))
    put(8, rows - step - 4, chance.choice(ODD.split("|")))
    put(columns * 0.3, rows - step - 4, chance.choice(ODD.split("|")))

    tissue = cv2.imread(str(chance.choice(paths)), cv2.IMREAD_GRAYSCALE)
    room = bottom - top, round(columns * 0.62)
    scale = min(room[0] / tissue.shape[0], room[1] / tissue.shape[1])
    tissue = cv2.resize(tissue, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    left = round(columns * 0.2) + (room[1] - tissue.shape[1]) // 2
    region = Box(top, top + tissue.shape[0], left, left + tissue.shape[1])
    for number in range(6):
        row = region.row_start + tissue.shape[0] * number // 6
        pen.line((region.column_stop + 6, row, region.column_stop + 14, row), fill=grey)
        put(region.column_stop + 18, row - size // 2, str(number))
    truth: dict[str, object] = {}
    if with_note:
        note = chance.choice(sorted(NOTES))
        below = bottom + chance.choice([4, 24])
        put(chance.choice([8, columns * 0.25]), below, note)
        truth = {**NOTES[note], **_draw_results(chance, put, below + 2 * step, step, columns)}
    grey_pixels = np.array(canvas)
    grey_pixels[region.slices] = tissue
    if chance.random() < 0.35:
        _, coded = cv2.imencode(".jpg", grey_pixels, [cv2.IMWRITE_JPEG_QUALITY, chance.choice([75, 90])])
        grey_pixels = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8)
    return Screen(grey_pixels, region, truth)


def _draw_results(
    chance: random.Random, put: Callable[[float, float, str], None], row: float, step: int, columns: int
) -> dict[str, object]:
    """Two caliper results, as scanners print them; nothing on some screens."""
    if chance.random() < 0.3:
        return {}
    labels, unit = chance.choice(RESULTS)
    found = []
    for number, label in enumerate(labels.split(",")):
        tenths = chance.randint(40, 400)
        found.append(tenths / 10)
        value = f"{tenths / 10:.1f} mm" if unit == "mm" else f"{tenths / 100:.2f} cm"
        put(columns * 0.6, row + number * step, label.rstrip("|") + ("" if "|" in label else value))
        if "|" in label:
            put(columns * 0.68, row + number * step, value)
    return {"distances": tuple(sorted(found))}


def _said(notes: SonographerNotes) -> dict[str, object]:
    said = {
        "side": notes.laterality,
        "clock": notes.clock_face,
        "quadrant": notes.quadrant,
        "nipple": notes.nipple_distance_mm,
        "plane": notes.plane,
        "distances": tuple(sorted(one.millimetres for one in notes.distances)) or None,
    }
    return {name: value for name, value in said.items() if value is not None}


if __name__ == "__main__":
    main()
