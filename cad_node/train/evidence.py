"""What a network says of images that it has not learned from, kept small enough to try many decisions on it.

The network runs once an image. Its class head answers at every threshold for
each found component, and for the components together, so that thresholds,
vetoes and temperatures can be tried afterwards without the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cad_node.networks import LesionModel
from cad_node.pipeline.segment import SMALLEST_SHARE, find_components
from cad_node.train.data import Sample, clean_path, read_grey, read_image, read_union

Logits = NDArray[np.float64]


@dataclass(frozen=True)
class Component:
    """A connected part of a thresholded map: class logits, pixels, and pixels that were drawn."""

    logits: Logits
    area: int
    shared: int


@dataclass(frozen=True)
class Found:
    """The components of an image at one threshold, least normal first.

    `together[n]` are the class logits for the first n of them as one mask;
    `together[0]` those for the image without any mask.
    """

    components: tuple[Component, ...]
    together: tuple[Logits, ...]


@dataclass(frozen=True)
class Evidence:
    """One image, or its copy without annotations, at every threshold."""

    dataset: str
    group: str
    target: int
    drawn: int
    found: dict[float, Found]

    def dice(self, threshold: float, kept: int) -> float:
        """Dice of the first `kept` components with what was drawn; 1 where both are nothing."""
        components = self.found[threshold].components[:kept]
        total = self.drawn + sum(one.area for one in components)
        return 2 * sum(one.shared for one in components) / total if total else 1.0


def evidence_to_json(one: Evidence) -> dict[str, Any]:
    """Evidence as JSON."""
    found = {
        str(threshold): {
            "components": [[part.logits.tolist(), part.area, part.shared] for part in at.components],
            "together": [logits.tolist() for logits in at.together],
        }
        for threshold, at in one.found.items()
    }
    return {
        "dataset": one.dataset,
        "group": one.group,
        "target": one.target,
        "drawn": one.drawn,
        "found": found,
    }


def evidence_from_json(values: Mapping[str, Any]) -> Evidence:
    """The evidence that `evidence_to_json` wrote.

    Raises
    ------
    TypeError, KeyError, ValueError
        It is none.
    """
    found = {
        float(threshold): Found(
            tuple(Component(np.array(logits), area, shared) for logits, area, shared in at["components"]),
            tuple(np.array(logits) for logits in at["together"]),
        )
        for threshold, at in values["found"].items()
    }
    return Evidence(values["dataset"], values["group"], values["target"], values["drawn"], found)


def softmax(logits: Logits) -> Logits:
    """Probabilities of logits, classes last."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float64)


def gather(
    model: LesionModel,
    folder: Path,
    samples: Sequence[Sample],
    thresholds: Sequence[float],
    clean: Path | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> list[Evidence]:
    """Evidence of samples and of those of their cleaned copies that exist.

    `advance` is told how many of how many samples are done.
    """
    seen = []
    for number, sample in enumerate(samples, start=1):
        for _, pixels, drawn in _pictures(folder, [sample], clean):
            seen.append(_look(model, pixels, drawn, sample, thresholds))
        if advance is not None:
            advance(number, len(samples))
    return seen


def mean_dice(
    model: LesionModel, folder: Path, samples: Sequence[Sample], thresholds: Sequence[float]
) -> float:
    """Dice of images with a lesion at the best of some thresholds, without the class head."""
    scores = []
    for _, pixels, drawn in _pictures(folder, samples, None):
        if drawn.any():
            probability = model.predict(pixels).probability
            found = [probability >= threshold for threshold in thresholds]
            scores.append([2 * int((one & drawn).sum()) / int(one.sum() + drawn.sum()) for one in found])
    return float(np.mean(scores, axis=0).max()) if scores else 0.0


def _pictures(
    folder: Path, samples: Sequence[Sample], clean: Path | None
) -> Iterator[tuple[Sample, NDArray[np.uint8], NDArray[np.bool_]]]:
    for sample in samples:
        shown = [read_image(folder, sample)]
        if clean is not None and clean_path(clean, sample).is_file():
            shown.append(read_grey(clean_path(clean, sample)))
        for pixels in shown:
            yield sample, pixels, read_union(folder, sample, (pixels.shape[0], pixels.shape[1]))


def _look(
    model: LesionModel,
    pixels: NDArray[np.uint8],
    drawn: NDArray[np.bool_],
    sample: Sample,
    thresholds: Sequence[float],
) -> Evidence:
    prediction = model.predict(pixels)
    nothing = prediction.class_logits(np.zeros(pixels.shape, dtype=np.bool_))
    found = {
        threshold: _components(
            find_components(prediction.probability >= threshold, SMALLEST_SHARE * pixels.size),
            drawn,
            nothing,
            prediction.class_logits,
        )
        for threshold in thresholds
    }
    return Evidence(sample.dataset, sample.group, sample.target, int(drawn.sum()), found)


def _components(
    masks: Sequence[NDArray[np.bool_]],
    drawn: NDArray[np.bool_],
    nothing: Logits,
    ask: Callable[[NDArray[np.bool_]], Logits],
) -> Found:
    answers = [ask(mask) for mask in masks]
    order = sorted(range(len(masks)), key=lambda number: float(softmax(answers[number])[0]))
    components = tuple(
        Component(answers[number], int(masks[number].sum()), int((masks[number] & drawn).sum()))
        for number in order
    )
    together = [nothing]
    union = np.zeros(drawn.shape, dtype=np.bool_)
    for count, number in enumerate(order, start=1):
        union |= masks[number]
        together.append(answers[number] if count == 1 else ask(union))
    return Found(components, tuple(together))
