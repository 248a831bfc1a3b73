"""Scores the cleaning on marks whose every pixel is known, and on real pictures labelled by eye.

All methods see the same scenes in one run. A mark is covered when `COVERED` of its
ink was filled; tissue counts as touched where it was filled further than `NEAR_PX`
from anything drawn.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.errors import SettingsError
from cad_node.networks.annotation_model import AnnotationModel
from cad_node.pipeline.clean.marks import Mark
from cad_node.pipeline.clean.ocr import read_second
from cad_node.settings import PipelineSettings
from cad_node.train.annotations.data import held_out
from cad_node.train.annotations.decide import COVERED
from cad_node.train.annotations.fonts import Faces
from cad_node.train.annotations.methods import METHODS, Finders, finders, removed
from cad_node.train.annotations.scenes import Scene, coded, scene
from cad_node.train.data import read_grey

LABELS = ("text", "calipers", "body_mark", "logo", "ruler", "other")
NEAR_PX = 4
# Every third scene is coded as JPEG of this quality.
JPEG_QUALITY = 80
# The checking OCR takes most of the time: so many scenes are read.
READ_SCENES = 8
LEGIBLE = 0.5

Report = Callable[[str], None]


@dataclass
class _Tally:
    """What one method did, summed over the scenes."""

    covered: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    touched: int = 0
    tissue: int = 0
    error: float = 0.0
    pixels: int = 0
    likeness: list[float] = field(default_factory=list)
    legible: int = 0
    characters: int = 0


def score_annotations(
    model: AnnotationModel,
    data: Path,
    labels: Path,
    faces: tuple[Faces, Faces],
    folds: Sequence[int],
    count: int,
    seed: int,
    report: Report,
    limit: int | None = None,
) -> dict[str, Any]:
    """The scorecard of a model: `methods`, by name the figures by row, and `rows` in their order.

    Parameters
    ----------
    labels
        CSV with the columns `image` and `LABELS`; ``mark_free.csv`` beside it names
        more images without marks.
    faces
        Fonts that were learned from, and held-out ones.
    folds
        The folds that were learned from: scenes are drawn on other images.
    count
        Scenes, at most.
    limit
        Real pictures with marks, and without, at most; None: all of them.
    """
    cv2.setNumThreads(1)
    settings = PipelineSettings()
    labelled = read_labels(labels)
    apart = held_out(data, folds)
    free = [name for name, marks in labelled.items() if not marks]
    free += more_free(labels.with_name("mark_free.csv"))
    grounds = sorted(name for name in free if name in apart)[:count]
    if not grounds:
        raise SettingsError(
            f"{labels} names no image without marks that was not learned from.", "Label some with zeros."
        )
    found = finders(model, settings)
    if "tesseract" not in found.detectors:
        report("left out: Tesseract is not installed")
    tallies = _on_scenes(found, data, grounds, faces, seed, report)
    scenes_s = {name: spent / len(grounds) for name, spent in found.seconds.items()}
    untouched = _on_mark_free(found, data, sorted(set(free))[:limit], report)
    with_marks = sorted(name for name, kinds in labelled.items() if kinds and name in apart)[:limit]
    marked = {name: labelled[name] for name in with_marks}
    real = _on_labelled(found, data, marked, report)
    methods = {}
    for name in found.methods:
        figures = _figures(tallies[name], sum(scenes_s[part] for part in METHODS[name]))
        methods[name] = figures | untouched[name] | real[name]
    rows = sorted({row for figures in methods.values() for row in figures}, key=_order)
    bundle = model.bundle
    return {
        "model": {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256},
        "scenes": len(grounds),
        "grounds": grounds,
        "seed": seed,
        "rows": rows,
        "methods": methods,
    }


def read_labels(path: Path) -> dict[str, frozenset[str]]:
    """The kinds of marks that were seen in each image.

    Raises
    ------
    SettingsError
        The file is missing or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {
                row["image"]: frozenset(label for label in LABELS if row[label] == "1")
                for row in csv.DictReader(file)
            }
    except (OSError, KeyError) as error:
        raise SettingsError(
            f"{path} cannot be read as labels ({error}).", f"It needs image, {', '.join(LABELS)}."
        ) from error


def more_free(path: Path) -> list[str]:
    """Images that a list names as free of marks; none where there is no list."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row["image"] for row in csv.DictReader(file)]


def _on_scenes(
    found: Finders, data: Path, grounds: Sequence[str], faces: tuple[Faces, Faces], seed: int, report: Report
) -> dict[str, _Tally]:
    tallies: dict[str, _Tally] = {name: _Tally() for name in found.methods}
    for number, name in enumerate(grounds):
        made = scene(read_grey(data / name), np.random.default_rng((seed, number)), *faces)
        pixels = coded(made.pixels, JPEG_QUALITY) if number % 3 == 2 else made.pixels
        for method, marks in found.find(pixels).items():
            _add(tallies[method], made, pixels, marks, number < READ_SCENES)
        if (number + 1) % 5 == 0 or number + 1 == len(grounds):
            report(f"{number + 1}/{len(grounds)} scenes")
    return tallies


def _add(tally: _Tally, made: Scene, pixels: NDArray[np.uint8], marks: Sequence[Mark], read: bool) -> None:
    filled, mask = removed(pixels, marks)
    for one in made.marks:
        covered = float(mask[one.ink].mean()) >= COVERED
        tally.covered[one.row].append(covered)
        if one.row.startswith("caliper "):
            which = "unseen calipers" if "(unseen)" in one.row else "calipers"
            tally.covered[f"{which}, {one.row.rsplit(', ', 1)[1]}"].append(covered)
    near = (
        cv2.dilate(made.changed.astype(np.uint8), np.ones((2 * NEAR_PX + 1, 2 * NEAR_PX + 1), np.uint8)) > 0
    )
    tally.touched += int((mask & ~near).sum())
    tally.tissue += int((~near).sum())
    difference = (filled.astype(np.float64) - made.tissue)[made.changed]
    tally.error += float((difference**2).sum())
    tally.pixels += difference.size
    tally.likeness.append(float(likeness(filled, made.tissue)[made.changed].mean()))
    if read:
        tally.legible += sum(line.characters for line in read_second(filled, 1) if line.confidence >= LEGIBLE)
        tally.characters += sum(one.characters for one in made.marks)


def likeness(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """SSIM of two pictures at each pixel (Wang et al., IEEE TIP 13:600, 2004), Gaussian of 1.5 px."""

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5), np.float64)

    one, two = first.astype(np.float64), second.astype(np.float64)
    mean_one, mean_two = mean(one), mean(two)
    spread_one, spread_two = mean(one * one) - mean_one**2, mean(two * two) - mean_two**2
    shared = mean(one * two) - mean_one * mean_two
    small, large = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    above = (2 * mean_one * mean_two + small) * (2 * shared + large)
    return above / ((mean_one**2 + mean_two**2 + small) * (spread_one + spread_two + large))


def _figures(tally: _Tally, seconds: float) -> dict[str, dict[str, Any]]:
    rows = {f"{row}, covered %": _share(covered) for row, covered in tally.covered.items()}
    return {
        **rows,
        "tissue of scenes touched %": {"value": _rounded(100 * tally.touched / max(1, tally.tissue))},
        "PSNR inside the marks, dB": {
            "value": round(float(10 * np.log10(255**2 * max(1, tally.pixels) / max(tally.error, 1e-9))), 2)
        },
        "SSIM inside the marks": {"value": round(float(np.mean(tally.likeness)), 3)},
        "characters still read by another OCR %": {
            "value": _rounded(100 * tally.legible / max(1, tally.characters)),
            "of": tally.characters,
        },
        "CPU seconds a scene": {"value": round(seconds, 2)},
    }


def _on_mark_free(
    found: Finders, data: Path, names: Sequence[str], report: Report
) -> dict[str, dict[str, dict[str, Any]]]:
    """Real pictures in which no eye found a mark: how many are touched, and how much of them."""
    touched: dict[str, list[bool]] = defaultdict(list)
    pixels: dict[str, int] = defaultdict(int)
    total = 0
    for name in names:
        grey = read_grey(data / name)
        total += grey.size
        for method, marks in found.find(grey).items():
            _, mask = removed(grey, marks)
            touched[method].append(bool(mask.any()))
            pixels[method] += int(mask.sum())
    report(f"{len(names)} real pictures without marks")
    return {
        method: {
            "real pictures without marks, touched %": _share(touched[method]),
            "their tissue touched %": {"value": _rounded(100 * pixels[method] / max(1, total))},
        }
        for method in found.methods
    }


def _on_labelled(
    found: Finders, data: Path, labelled: Mapping[str, frozenset[str]], report: Report
) -> dict[str, dict[str, dict[str, Any]]]:
    """Real pictures with marks: whether any mark was found in those that show a kind."""
    flagged: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for number, (name, kinds) in enumerate(sorted(labelled.items()), start=1):
        for method, marks in found.find(read_grey(data / name)).items():
            for row in (*(f"with {kind}" for kind in kinds), "with any mark"):
                flagged[method][row].append(bool(marks))
        if number % 25 == 0 or number == len(labelled):
            report(f"{number}/{len(labelled)} real pictures with marks")
    return {
        method: {f"real pictures {row}, flagged %": _share(hits) for row, hits in rows.items()}
        for method, rows in flagged.items()
    }


def _share(hits: Sequence[bool]) -> dict[str, Any]:
    return {"value": round(100 * sum(hits) / max(1, len(hits)), 1), "of": len(hits)}


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")


_FIRST = (
    *("strings", "lone", "calipers", "unseen", "arrow", "body", "logo", "measuring", "ruler", "trace"),
    *("characters", "PSNR", "SSIM", "tissue", "real", "their", "CPU", "caliper"),
)
_BANDS = {"100-200": "0", "50-100": "1", "50-200": "1", "50-180": "1", "25-50": "2", "15-25": "3"}


def _order(row: str) -> tuple[int, str]:
    """Kinds of marks in a fixed order, contrast bands from strong to faint."""
    ranks = [number for number, start in enumerate(_FIRST) if row.startswith(start)]
    for band, rank in _BANDS.items():
        row = row.replace(f", {band}", f", {rank}")
    return (ranks[0] if ranks else len(_FIRST), row)
