"""Score and time the cleaning on marks whose every pixel is known.

    python -m benchmarks.clean [--data DIR] [--images 40] [--seed 1] [--fonts DIR]

Text, lone characters, calipers and dotted lines are drawn on tissue in which the
cleaner finds nothing: pictures of a data set with a `manifest.csv` under
`--data`, else synthetic speckle. The scores say how much of what was drawn is
covered, what else was touched, and what can still be read: by the search alone, and
how often the check then enlarges the mask or refuses the picture.
"""

from __future__ import annotations

import argparse
import csv
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cad_node.domain import CleanFrame, Frame, ImageReference
from cad_node.errors import CleaningError
from cad_node.networks.annotation_model import load_annotation_model
from cad_node.pipeline.clean import Cleaner
from cad_node.pipeline.clean.marks import Picture
from cad_node.pipeline.clean.read_text import TextReader
from cad_node.resources import models_dir
from cad_node.settings import PipelineSettings

BANDS = ((15, 25), (25, 50), (50, 100), (100, 200))
WORDS = (
    *("RT BREAST", "LT UOQ", "MAMA DIREITA", "QSE MAMA ESQ", "10:00 N+3", "RADIAL", "ANTIRAD", "AXILLA"),
    *("D1 12.3mm", "A 7.4 cm", "DOE^JANE", "1970-01-01", "FR 32Hz", "Mama re. 2 Uhr", "SEIN G. QSE"),
)
HERSHEY = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_PLAIN)
# CPU seconds are taken, not wall time: one thread, and fair on a busy machine.
# So much of a mark's ink must be covered.
COVERED = 0.95


@dataclass
class Drawn:
    """One mark: its name in the table and its ink, bool of the picture's shape."""

    row: str
    ink: NDArray[np.bool_] = field(repr=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fonts", type=Path, help="folder of .ttf files, beside OpenCV's own strokes")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    chance = random.Random(options.seed)
    fonts = sorted(options.fonts.rglob("*.ttf")) if options.fonts else []
    network = load_annotation_model(models_dir() / PipelineSettings().annotation_model, threads=1)
    cleaner = Cleaner(PipelineSettings(verify_cleaning=False), network=network)
    reader, checking = TextReader(0.5), Cleaner(PipelineSettings(), network=network)
    enlarged = refused = 0
    covered: dict[str, list[bool]] = defaultdict(list)
    touched, tissue, legible, errors = 0, 0, 0, []
    seconds: dict[str, float] = defaultdict(float)
    count = 0
    for pixels in backgrounds(options.data, chance, options.images, cleaner):
        count += 1
        picture, drawn = overlay(pixels, chance, fonts)
        clean = timed(cleaner, picture, seconds)
        try:
            before = time.process_time()
            checked = checking.clean_frame(as_frame(picture))
            enlarged += len(checked.annotations) > len(clean.annotations)
        except CleaningError:
            refused += 1
        seconds["whole, with the check"] += time.process_time() - before
        truth = np.logical_or.reduce([mark.ink for mark in drawn])
        for mark in drawn:
            covered[mark.row].append(float(clean.removed[mark.ink].mean()) >= COVERED)
        near = cv2.dilate(truth.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        touched += int((clean.removed & ~near).sum())
        tissue += int((~near).sum())
        legible += sum(line.characters for line in reader.read(clean.pixels) if line.confidence >= 0.5)
        errors.append(float(((clean.pixels.astype(float) - pixels)[truth] ** 2).mean()))
    print(f"{count} pictures")
    for row, found in sorted(covered.items()):
        print(f"{row:32s} {100 * np.mean(found):5.1f} %  of {len(found)}")
    print(f"{'clean tissue touched':32s} {100 * touched / max(1, tissue):7.4f} %")
    print(f"{'characters still read':32s} {legible}")
    print(f"{'enlarged by the check':32s} {enlarged}")
    print(f"{'refused by the check':32s} {refused}")
    print(f"{'PSNR inside the marks':32s} {10 * np.log10(255**2 / np.mean(errors)):5.1f} dB")
    for step, spent in seconds.items():
        print(f"{step:32s} {spent / count:6.3f} CPU s an image")
    cine(checking, chance)


def backgrounds(
    data: Path | None, chance: random.Random, count: int, cleaner: Cleaner
) -> Iterator[NDArray[np.uint8]]:
    """Pictures in which nothing is found; whoever looks at them sees that this holds."""
    if data is None:
        for seed in range(count):
            yield speckle(420, 560, seed)
        return
    with (data / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        names = [row["image"] for row in csv.DictReader(stream)]
    chance.shuffle(names)
    for name in names:
        pixels = cv2.imread(str(data / name), cv2.IMREAD_GRAYSCALE)
        if pixels is None or min(pixels.shape) < 250:
            continue
        clean = cleaner.clean_frame(as_frame(pixels))
        if not clean.annotations and clean.region.shape == pixels.shape:
            yield pixels
            count -= 1
        if not count:
            return


def speckle(rows: int, columns: int, seed: int, shift: int = 0) -> NDArray[np.uint8]:
    """Synthetic tissue: layers and smooth speckle, moved down by `shift` rows."""
    noise = np.random.default_rng(seed).rayleigh(1.0, (rows, columns)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    layers = 25 * np.sin(np.arange(rows) / rows * 14)[:, None]
    return np.roll(np.clip(85 + layers + 110 * (smooth - smooth.mean()), 0, 255), shift, 0).astype(np.uint8)


def overlay(
    pixels: NDArray[np.uint8], chance: random.Random, fonts: list[Path]
) -> tuple[NDArray[np.uint8], list[Drawn]]:
    """The picture with marks on it, none over another, and what was drawn."""
    picture = pixels.copy()
    drawn: list[Drawn] = []
    taken = np.zeros(pixels.shape, dtype=bool)
    for band in BANDS:
        for name, text in (("text", chance.choice(WORDS)), ("lone character", chance.choice("123ABX"))):
            ink = text_ink(pixels.shape, text, chance, fonts)
            add(picture, taken, drawn, ink, f"{name}, contrast {band[0]}-{band[1]}", band, chance)
    style = chance.choice(("+", "x", "*"))
    reach = chance.choice((5, 6, 7, 8) if style != "*" else (5, 6))
    for _ in range(4):
        ink = cross_ink(pixels.shape, style, reach, chance)
        add(picture, taken, drawn, ink, f"caliper {style}", (90, 160), chance)
    return picture, drawn


def add(
    picture: NDArray[np.uint8],
    taken: NDArray[np.bool_],
    drawn: list[Drawn],
    ink: NDArray[np.float32],
    row: str,
    band: tuple[int, int],
    chance: random.Random,
) -> None:
    """Draw one mark at a contrast to the tissue beneath it, where there is room for it."""
    place = ink > 0.4
    around = cv2.dilate(place.astype(np.uint8), np.ones((25, 25), np.uint8)) > 0
    if not place.any() or (around & taken).any():
        return
    grey = float(picture[around].mean()) + chance.uniform(*band)
    if grey > 255:
        return
    np.copyto(picture, np.round(picture * (1 - ink) + grey * ink).astype(np.uint8))
    taken |= around
    drawn.append(Drawn(row, place))


def text_ink(
    shape: tuple[int, ...], text: str, chance: random.Random, fonts: list[Path]
) -> NDArray[np.float32]:
    """Coverage in [0, 1] of a line of text somewhere in the picture."""
    height = chance.randint(11, 22)
    row, column = chance.randint(5, shape[0] - 40), chance.randint(5, max(6, shape[1] - 160))
    if fonts and chance.random() < 0.7:
        canvas = Image.new("L", (shape[1], shape[0]))
        face = ImageFont.truetype(str(chance.choice(fonts)), height)
        ImageDraw.Draw(canvas).text((column, row), text, fill=255, font=face)
        return np.asarray(canvas, np.float32) / 255
    drawn = np.zeros(shape, np.uint8)
    face_number = chance.choice(HERSHEY)
    scale = height / (22 if face_number != cv2.FONT_HERSHEY_PLAIN else 11)
    cv2.putText(drawn, text, (column, row + height), face_number, scale, 255, 1, cv2.LINE_AA)
    return drawn.astype(np.float32) / 255


def cross_ink(shape: tuple[int, ...], style: str, reach: int, chance: random.Random) -> NDArray[np.float32]:
    """Coverage in [0, 1] of one caliper mark somewhere in the picture."""
    drawn = np.zeros(shape, np.uint8)
    row, column = (chance.randint(20, side - 20) for side in shape)
    ends = {
        "+": ((-1, 0), (0, -1)),
        "x": ((-1, -1), (-1, 1)),
        "*": ((-1, -1), (-1, 1), (-1, 0)),
    }[style]
    for rise, run in ends:
        first = (column + reach * run, row + reach * rise)
        second = (column - reach * run, row - reach * rise)
        cv2.line(drawn, first, second, 255, 2 if reach > 6 else 1, cv2.LINE_AA)
    return drawn.astype(np.float32) / 255


def timed(cleaner: Cleaner, picture: NDArray[np.uint8], seconds: dict[str, float]) -> CleanFrame:
    """Clean one picture, and add up what each step took."""
    started = time.process_time()
    for detector in cleaner.detectors:
        before = time.process_time()
        detector.find(Picture(picture))
        seconds[type(detector).__name__] += time.process_time() - before
    searched = time.process_time() - started
    started = time.process_time()
    clean = cleaner.clean_frame(as_frame(picture))
    seconds["region, inpainting, the rest"] += max(0.0, time.process_time() - started - searched)
    seconds["whole"] += time.process_time() - started
    return clean


def cine(cleaner: Cleaner, chance: random.Random) -> None:
    """What a frame of a loop costs."""
    frames = []
    ink = text_ink((420, 560), "RT BREAST", chance, [])
    for number in range(49):
        pixels = speckle(420, 560, 7, shift=number * 2)
        frames.append(as_frame(np.round(pixels * (1 - ink) + 250 * ink).astype(np.uint8), number + 1))
    started = time.process_time()
    removed = sum(bool(one.annotations) for one in cleaner.clean_image(frames))
    spent = (time.process_time() - started) / len(frames)
    print(f"{'cine of 49 frames':32s} {spent:6.3f} CPU s a frame, text found in {removed}")


def as_frame(pixels: NDArray[np.uint8], number: int = 1) -> Frame:
    rows, columns = pixels.shape
    uid = "1.2.840.10008.5.1.4.1.1.6.1"
    return Frame(ImageReference("2.25.1", "2.25.2", "2.25.3", uid, rows, columns, 1), number, pixels)


if __name__ == "__main__":
    main()
