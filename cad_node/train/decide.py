"""Chooses threshold, veto, mirror views and temperature on validation data, never on test data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cad_node.networks import Bundle, LesionModel, LesionNetwork, Prediction
from cad_node.pipeline.segment import find_lesions
from cad_node.train.data import Sample, clean_path, read_grey, read_union
from cad_node.train.evaluate import as_frame
from cad_node.train.export import Decisions
from cad_node.train.loop import TrainSettings
from cad_node.train.metrics import dice

_THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
_VETOES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.95)
_TEMPERATURES = np.round(np.geomspace(0.4, 4.0, 47), 3)


@dataclass(frozen=True)
class _Fixed:
    """A prediction made before, under another threshold: what `find_lesions` needs of a model."""

    prediction: Prediction
    threshold: float
    normal_veto: float

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        return self.prediction


@dataclass(frozen=True)
class _Seen:
    pixels: NDArray[np.uint8]
    drawn: NDArray[np.bool_]
    target: int
    prediction: Prediction


def decide(
    network: LesionNetwork,
    settings: TrainSettings,
    folder: Path,
    validation: Sequence[Sample],
    clean: Path | None = None,
) -> Decisions:
    """Settings that serve the validation images best, with and without annotations.

    Mask threshold and veto maximise the mean Dice in which an image of normal
    tissue counts 1 without a finding and 0 with one; the temperature minimises
    the negative log-likelihood of the class.
    """
    best = Decisions()
    best_score = -1.0
    for flips in (False, True):
        seen = _look(network, settings, folder, validation, clean, flips)
        for threshold in _THRESHOLDS:
            chosen = Decisions(threshold=threshold, normal_veto=1.1, flips=flips)
            score = _mean_dice(seen, chosen)
            if score > best_score:
                best, best_score, best_seen = chosen, score, seen
    # The veto reads calibrated probabilities, so the temperature comes first, from
    # the masks that the threshold alone gives.
    best = replace(best, temperature=_fit_temperature(best_seen, best))
    vetoes = [replace(best, normal_veto=veto) for veto in _VETOES]
    best = max(vetoes, key=lambda decisions: _mean_dice(best_seen, decisions))
    return replace(best, temperature=_fit_temperature(best_seen, best))


def _look(
    network: LesionNetwork,
    settings: TrainSettings,
    folder: Path,
    samples: Sequence[Sample],
    clean: Path | None,
    flips: bool,
) -> list[_Seen]:
    model = LesionModel(_unfinished(settings, flips), network)
    seen = []
    for sample in samples:
        paths = [folder / sample.image]
        if clean is not None and clean_path(clean, sample).is_file():
            paths.append(clean_path(clean, sample))
        for path in paths:
            pixels = read_grey(path)
            drawn = read_union(folder, sample, (pixels.shape[0], pixels.shape[1]))
            seen.append(_Seen(pixels, drawn, sample.target, model.predict(pixels)))
    return seen


def _unfinished(settings: TrainSettings, flips: bool) -> Bundle:
    """A bundle that exists in memory only, to run a network under trial settings."""
    return Bundle(
        folder=Path(),
        name="trial",
        version="0",
        sha256="",
        architecture=settings.architecture,
        network=settings.network,
        size_px=settings.size_px,
        temperature=1.0,
        threshold=0.5,
        normal_veto=1.1,
        flips=flips,
    )


def _masks(seen: _Seen, decisions: Decisions) -> NDArray[np.bool_]:
    prediction = replace(seen.prediction, temperature=decisions.temperature)
    if decisions.normal_veto > 1:  # nothing would be vetoed: spare the class head
        prediction = replace(prediction, class_logits=lambda _mask: np.zeros(3))
    fixed = _Fixed(prediction, decisions.threshold, decisions.normal_veto)
    findings, _ = find_lesions(as_frame(seen.pixels), fixed, 0.0)
    union = np.zeros(seen.pixels.shape, dtype=np.bool_)
    for finding in findings:
        union |= finding.mask
    return union


def _mean_dice(seen: Sequence[_Seen], decisions: Decisions) -> float:
    return float(np.mean([dice(_masks(one, decisions), one.drawn) for one in seen]))


def _fit_temperature(seen: Sequence[_Seen], decisions: Decisions) -> float:
    logits = np.stack([one.prediction.class_logits(_masks(one, decisions)) for one in seen])
    target = np.array([one.target for one in seen])
    return float(min(_TEMPERATURES, key=lambda t: _negative_log_likelihood(logits / t, target)))


def _negative_log_likelihood(logits: NDArray[np.float64], target: NDArray[np.int64]) -> float:
    top = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    return float((log_sum - logits[np.arange(target.size), target]).mean())
