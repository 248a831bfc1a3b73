"""The protocol: the lesion network with marks left in, masked black and inpainted, image by image.

First on published images as they are. Then on images without marks, on which marks
are drawn and removed again, so that the undisturbed answer is known.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cad_node.domain import CleanFrame, Frame
from cad_node.errors import CleaningError, SettingsError
from cad_node.pipeline.clean.cleaner import to_grey
from cad_node.pipeline.segment import Model
from cad_node.train.annotations.decide import COVERED
from cad_node.train.annotations.evaluate import more_free, read_labels
from cad_node.train.annotations.fonts import Faces
from cad_node.train.cases import Case, read_drawn, score_frame
from cad_node.train.data import Sample, read_image
from cad_node.train.marks.draw import draw_marks
from cad_node.train.marks.paired import COMPARED, FALL, Pair, compare
from cad_node.train.marks.rows import Row, Rows
from cad_node.train.marks.treat import (
    ADDED,
    ADDED_BLACK,
    ADDED_KNOWN,
    ADDED_REMOVED,
    BLACK,
    CLEAN,
    INPAINTED,
    LEFT_IN,
    Cleans,
    frame_of,
    read_frame,
    treat_drawn,
    treat_real,
)

# How often marks are drawn on each image: where they fall matters.
DRAWINGS = 2
# What may be lost of Dice by marks that came and went.
LOST_AT_MOST = 0.005
# Pictures of so many drawn images are kept to be looked at.
SHOWN = 6
EXAMPLES_FOLDER = "examples"

_REAL_PAIRS = ((LEFT_IN, INPAINTED), (LEFT_IN, BLACK), (BLACK, INPAINTED))
_DRAWN_PAIRS = ((CLEAN, ADDED), (CLEAN, ADDED_BLACK), (CLEAN, ADDED_REMOVED), (CLEAN, ADDED_KNOWN))

Advance = Callable[[str, int, int], None]


@dataclass
class Lab:
    """What images are treated and scored with; `examples` is where pictures of some are kept."""

    model: Model
    cleaner: Cleans
    data: Path
    faces: Faces
    rows: Rows
    seed: int
    examples: Path | None = None

    def real(self, sample: Sample) -> Row:
        """A published image in its treatments."""
        known = self.rows.find(sample.image, None)
        if known is not None:
            return known
        try:
            treated = treat_real(self.cleaner, self._read(sample))
        except CleaningError:
            return self.rows.add(Row(sample.image, None, None))
        removed = int(treated[INPAINTED].removed.sum())
        return self.rows.add(Row(sample.image, None, self._cases(sample, treated), removed))

    def drawn(self, sample: Sample, drawing: int) -> Row:
        """An image without marks in its treatments, with the marks of one drawing."""
        known = self.rows.find(sample.image, drawing)
        if known is not None:
            return known
        ground = to_grey(self._read(sample).pixels)
        lesions = read_drawn(self.data, sample, (ground.shape[0], ground.shape[1]))
        # By name, so that an image gets the same marks whichever others are scored.
        name = int.from_bytes(hashlib.sha256(sample.image.encode()).digest()[:4], "big")
        rng = np.random.default_rng((self.seed, name, drawing))
        scene = draw_marks(ground, lesions, rng, self.faces)
        try:
            treated = treat_drawn(self.cleaner, scene)
        except CleaningError:
            return self.rows.add(Row(sample.image, drawing, None))
        mask = treated[ADDED_REMOVED].removed
        covered: dict[str, list[bool]] = defaultdict(list)
        for mark in scene.marks:
            covered[mark.row].append(bool(mask[mark.ink].mean() >= COVERED))
        self._show(treated)
        return self.rows.add(
            Row(sample.image, drawing, self._cases(sample, treated), int(mask.sum()), dict(covered))
        )

    def _read(self, sample: Sample) -> Frame:
        """The image as it is published; of DICOM the grey tissue region."""
        if sample.picture is not None:
            return frame_of(read_image(self.data, sample))
        return read_frame(self.data / sample.image)

    def _cases(self, sample: Sample, treated: Mapping[str, CleanFrame]) -> dict[str, Case]:
        """The network's answers; frames that are equal are asked about once."""
        cases: dict[str, Case] = {}
        asked: dict[bytes, Case] = {}
        for name, frame in treated.items():
            drawn = read_drawn(self.data, sample, (frame.pixels.shape[0], frame.pixels.shape[1]))
            key = hashlib.sha256(frame.pixels.tobytes() + repr(frame.region).encode()).digest()
            if key not in asked:
                asked[key] = score_frame(self.model, frame, drawn, sample)
            cases[name] = asked[key]
        return cases

    def _show(self, treated: Mapping[str, CleanFrame]) -> None:
        if self.examples is None:
            return
        self.examples.mkdir(parents=True, exist_ok=True)
        number = len(list(self.examples.glob("*.png"))) + 1
        if number <= SHOWN:
            pictures = [treated[name].pixels for name in (CLEAN, ADDED, ADDED_BLACK, ADDED_REMOVED)]
            cv2.imwrite(str(self.examples / f"{number:02d}.png"), np.hstack(pictures))


def spread(samples: Iterable[Sample], limit: int | None) -> list[Sample]:
    """At most `limit` of the samples, by the hash of their names: so a part of them is drawn at random."""
    return sorted(samples, key=lambda s: hashlib.sha256(s.image.encode()).digest())[:limit]


def score_marks(
    lab: Lab, samples: Sequence[Sample], labels: Path, advance: Advance, limit: int | None = None
) -> dict[str, Any]:
    """Both halves of the protocol on images that neither network has learned from.

    Parameters
    ----------
    lab
        The networks, and what was seen before.
    samples
        Images to score.
    labels
        CSV of images looked at by eye, as `cad-node evaluate --protocol annotations` takes it.
        Images without marks are those it names without any, those in ``mark_free.csv``
        beside it, and those not looked at on which the cleaner found nothing.
    advance
        Told what is done, how many, and of how many.
    limit
        Take no more images than this for each half.
    """
    labelled = read_labels(labels)
    free = {name for name, marks in labelled.items() if not marks} | set(
        more_free(labels.with_name("mark_free.csv"))
    )
    marked = {name for name, marks in labelled.items() if marks}
    by_eye = spread((sample for sample in samples if sample.image in free), limit)
    drawn = _draw(lab, by_eye, "drawn marks", advance)
    real = []
    wanted = spread(samples, limit)
    for number, sample in enumerate(wanted, start=1):
        real.append(lab.real(sample))
        advance("published images", number, len(wanted))
    silent = {row.image for row in real if row.cases and not row.removed_px} - free - marked
    left = None if limit is None else limit - len(by_eye)
    by_cleaner = spread((sample for sample in samples if sample.image in silent), left)
    drawn += _draw(lab, by_cleaner, "drawn marks, more images", advance)
    if not drawn:
        raise SettingsError(
            f"{labels} names none of these images as free of marks, and the cleaner found some on all.",
            "Name another fold, or label some images with zeros.",
        )
    return {
        "conventions": _CONVENTIONS,
        "seed": lab.seed,
        "real": _real(real),
        "drawn": _drawn(drawn, free),
    }


def _draw(lab: Lab, grounds: Sequence[Sample], title: str, advance: Advance) -> list[Row]:
    rows = []
    for number, sample in enumerate(grounds, start=1):
        rows += [lab.drawn(sample, drawing) for drawing in range(DRAWINGS)]
        advance(title, number, len(grounds))
    return rows


_CONVENTIONS = {
    "treatments of published images": "marks left in; pixels of the cleaning mask set to zero; inpainted by the "
    "node's cleaner. All are cut to the tissue region as the node does it",
    "drawn marks": "two calipers with a line and a number at the long and short axis of each lesion (on normal "
    "images: at chance), an arrow beside, a body mark, two lines of text; fonts that the annotation network "
    f"has not learned from; {DRAWINGS} drawings an image",
    "known": "what is drawn is known, and just that is inpainted: what is left to lose if every mark is found",
    "by eye": "a reader found no mark on the image",
    "by the cleaner": "nobody looked; the cleaner found nothing on it. It may carry marks that the cleaner misses",
    "refused": "text could still be read after cleaning: the node does not analyse the image. Left out of every "
    "treatment, and counted",
    "difference": "taken within each bootstrap sample of groups (patients), 95 % interval",
    "dice_fell": f"share of images with a lesion whose Dice is lower by more than {FALL}",
    "other_class": "share of images of which another class is likeliest",
    "covered": f"{COVERED:.0%} of the ink of a drawn mark was filled",
}


def _real(rows: Sequence[Row]) -> dict[str, Any]:
    kept = [row for row in rows if row.cases]
    found = [row for row in kept if row.removed_px]
    sets = {"all": kept, "with marks found": found}
    for dataset in sorted({_dataset(row) for row in found}):
        sets[f"with marks found, {dataset}"] = [row for row in found if _dataset(row) == dataset]
    return {
        "images": len(rows),
        "refused": len(rows) - len(kept),
        "with_marks_found": len(found),
        "sets": {name: _set(part, _REAL_PAIRS) for name, part in sets.items() if part},
    }


def _drawn(rows: Sequence[Row], free: set[str]) -> dict[str, Any]:
    kept = [row for row in rows if row.cases]
    sets = {
        "all": kept,
        "without marks by eye": [row for row in kept if row.image in free],
        "without marks by the cleaner": [row for row in kept if row.image not in free],
    }
    scored = {name: _set(part, _DRAWN_PAIRS) for name, part in sets.items() if part}
    covered: dict[str, list[bool]] = defaultdict(list)
    for row in kept:
        for kind, hits in row.covered.items():
            covered[kind] += hits
    return {
        "images": len({row.image for row in rows}),
        "images_by_eye": len({row.image for row in rows if row.image in free}),
        "drawings": len(rows),
        "refused": len(rows) - len(kept),
        "covered": {
            kind: {"value": round(100 * sum(hits) / len(hits), 1), "of": len(hits)}
            for kind, hits in sorted(covered.items())
        },
        "sets": scored,
        "claim": _claim(scored.get("all")),
    }


def _set(rows: Sequence[Row], pairs: Sequence[Pair]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    cases = {name: _of(rows, name) for name in names}
    found = compare(cases, pairs)
    return {
        "images": len({row.image for row in rows}),
        "with_lesion": len({case.image for case in cases[names[0]] if case.label != "normal"}),
        "treatments": found.treatments,
        "differences": [
            {"before": before, "after": after, "figures": found.differences[before, after]}
            for before, after in pairs
        ],
    }


def _claim(scored: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Whether marks that came and went cost no more Dice than they may, in points (hundredths)."""
    pairs = scored["differences"] if scored is not None else []
    found = next((pair["figures"].get(COMPARED[0]) for pair in pairs if pair["after"] == ADDED_REMOVED), None)
    if found is None:
        return None
    value, (low, high) = found["value"], found["interval_95"]
    return {
        "text": "Dice lost by marks drawn and removed again, in points",
        "at_most": 100 * LOST_AT_MOST,
        "lost": round(-100 * value, 2) + 0.0,
        "interval_95": [round(-100 * high, 2) + 0.0, round(-100 * low, 2) + 0.0],
        "met": -value <= LOST_AT_MOST,
        "sure": -low <= LOST_AT_MOST,
    }


def _of(rows: Sequence[Row], name: str) -> list[Case]:
    return [row.cases[name] for row in rows if row.cases]


def _dataset(row: Row) -> str:
    return next(iter(row.cases.values())).dataset if row.cases else ""
