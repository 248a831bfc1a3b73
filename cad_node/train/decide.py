"""Chooses how a network is run, on images that it has not learned from and is not tested on.

In this order: the mirrored view, the mask threshold, the temperature, the veto
of findings on normal tissue, and the height from which a class is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cad_node.networks import Bundle, LesionModel, LesionNetwork
from cad_node.train.data import Sample
from cad_node.train.evidence import Evidence, gather, mean_dice, softmax
from cad_node.train.export import Decisions
from cad_node.train.loop import TrainSettings

# Share of the named classes that must be right, where abstention can bring it there.
ABSTENTION_AIM = 0.95
# A node that is silent about most images is of no use: it names at least this share.
LEAST_NAMED = 0.5

THRESHOLDS = (0.35, 0.4, 0.45, 0.5, 0.55)
_VETOES = tuple(np.round(np.arange(0.05, 1.001, 0.05), 2).tolist())
_IMAGE_SHARES = (0.0, 0.3, 0.5)
_TEMPERATURES = np.round(np.geomspace(0.4, 4.0, 47), 3)
_HEIGHTS = np.round(np.arange(0.34, 0.991, 0.01), 2)

# The mirrored view doubles the time an image takes; it must be worth it.
_FLIPS_GAIN = 0.002
# The image's own verdict in the veto costs an answer of the class head; it must spare so many more normals.
_SHARE_GAIN = 0.1
# Of the lesion images with a right finding, the veto may take it from this share. Normals, of which there are
# few, do not choose the height: nine of them drew it low enough to drop one lesion in seven on other folds.
LESIONS_LOST = 0.03
# A decision must hold for findings that look a little more, or less, normal: Gaussian
# steps of the log-odds, as two images of one scan differ.
_STEPS = np.linspace(-1.0, 1.0, 9)
_STEP_WEIGHTS = np.exp(-0.5 * (_STEPS / 0.5) ** 2) / np.exp(-0.5 * (_STEPS / 0.5) ** 2).sum()


def decide(
    network: LesionNetwork,
    settings: TrainSettings,
    folder: Path,
    validation: Sequence[Sample],
    clean: Path | None = None,
    aim: float = ABSTENTION_AIM,
    lesions_lost: float = LESIONS_LOST,
) -> Decisions:
    """Settings that serve the validation images best, with and without annotations.

    Parameters
    ----------
    network, settings
        The trained network and what it was trained with.
    folder, validation, clean
        The validation images, and their copies without annotations where there are any.
    aim
        Share of right classes among those that are named.
    lesions_lost
        Share of the lesion images whose right finding the veto may take, in [0, 1]. More of it
        shows fewer false lesions.
    """
    flips = _flips_pay(network, settings, folder, validation)
    model = LesionModel(_unfinished(settings, flips), network)
    return choose(gather(model, folder, validation, THRESHOLDS, clean), flips, aim, lesions_lost)


def choose(
    seen: Sequence[Evidence],
    flips: bool,
    aim: float = ABSTENTION_AIM,
    lesions_lost: float = LESIONS_LOST,
    own: Sequence[Evidence] | None = None,
) -> Decisions:
    """Settings that serve what was seen best.

    Parameters
    ----------
    seen
        At `THRESHOLDS`.
    flips
        Whether the mirrored view was seen, too.
    aim, lesions_lost
        As in `decide`.
    own
        What chooses the veto in place of `seen`: where that is by other networks made alike. How
        normal a lesion looks differs from one to the next more than all else.
    """
    threshold = max(THRESHOLDS, key=lambda value: _lesion_dice(seen, value))
    chosen = Decisions(threshold=threshold, normal_veto=1.1, flips=flips)
    # The veto reads calibrated probabilities, so the temperature comes before it, from the masks
    # that the threshold alone gives, and again from those that are left.
    chosen = replace(chosen, temperature=_temperature(seen, chosen))
    chosen = choose_veto(seen if own is None else own, chosen, lesions_lost)
    chosen = replace(chosen, temperature=_temperature(seen, chosen))
    logits, target = _answers(seen, chosen)
    return replace(chosen, abstain_below=choose_height(softmax(logits / chosen.temperature), target, aim))


def _flips_pay(
    network: LesionNetwork, settings: TrainSettings, folder: Path, validation: Sequence[Sample]
) -> bool:
    """Whether the mirrored view is worth its time, on every third image."""
    some = sorted(validation, key=lambda sample: sample.image)[::3]
    plain, mirrored = (
        mean_dice(LesionModel(_unfinished(settings, flips), network), folder, some, THRESHOLDS)
        for flips in (False, True)
    )
    return mirrored - plain >= _FLIPS_GAIN


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


def _lesion_dice(seen: Sequence[Evidence], threshold: float) -> float:
    """Mean Dice of images with a lesion, without any veto; each data set counts alike."""
    by_dataset: dict[str, list[float]] = {}
    for one in seen:
        if one.drawn:
            scores = by_dataset.setdefault(one.dataset, [])
            scores.append(one.dice(threshold, len(one.found[threshold].components)))
    return float(np.mean([np.mean(scores) for scores in by_dataset.values()])) if by_dataset else 0.0


def choose_veto(
    seen: Sequence[Evidence], decisions: Decisions, lesions_lost: float = LESIONS_LOST
) -> Decisions:
    """The strictest veto that takes the right finding from no more than `lesions_lost` of lesion images.

    That holds in each data set, and with findings that look a little more and a little less
    normal than they did, so that one image more or less changes little. Normal images choose
    only the image's share in the veto, and without any there is the usual veto: the network
    has then learned that there are none.
    """
    if all(one.drawn for one in seen):
        return replace(decisions, normal_veto=Decisions.normal_veto)
    best, fewest = decisions, np.inf
    for share in _IMAGE_SHARES:
        trials = (replace(decisions, normal_veto=veto, veto_image_share=share) for veto in _VETOES)
        trial = next(trial for trial in trials if _lost(seen, trial) <= lesions_lost)
        shown = _shown(seen, trial)
        if shown < fewest - _SHARE_GAIN:
            best, fewest = trial, shown
    return best


def _lost(seen: Sequence[Evidence], trial: Decisions) -> float:
    """Share of the images with a right finding that the veto leaves without, in the worst data set."""
    by_dataset: dict[str, list[float]] = {}
    for one in seen:
        right = [2 * part.shared > part.area for part in one.found[trial.threshold].components]
        if one.drawn and any(right):
            # Findings are kept from the least normal on: the first right one must be among them.
            odds = _normal_odds(one, trial)[right.index(True)]
            by_dataset.setdefault(one.dataset, []).append(odds)
    return max((round(1 - _share_kept(odds, trial), 9) for odds in by_dataset.values()), default=0.0)


def _shown(seen: Sequence[Evidence], trial: Decisions) -> float:
    """Share of the normal images with a finding."""
    normal = [_normal_odds(one, trial) for one in seen if not one.drawn]
    return _share_kept([float(odds[0]) if odds.size else np.inf for odds in normal], trial)


def _share_kept(odds: Sequence[float], trial: Decisions) -> float:
    """Share of findings with these log-odds of being normal that are kept, as they look more and less normal."""
    moved = np.asarray(odds)[:, None] + _STEPS
    return float(np.round(((moved < _limit(trial)) @ _STEP_WEIGHTS).mean(), 9))


def _normal_odds(one: Evidence, decisions: Decisions) -> NDArray[np.float64]:
    """Log-odds of being normal tissue of each component, as the veto reads them, least normal first."""
    found = one.found[decisions.threshold]
    if not found.components:
        return np.empty(0)
    own = softmax(np.stack([part.logits for part in found.components]) / decisions.temperature)[:, 0]
    whole = softmax(found.together[0] / decisions.temperature)[0]
    share = decisions.veto_image_share
    return np.sort(_log_odds((1 - share) * own + share * whole))


def _limit(decisions: Decisions) -> float:
    """Log-odds from which on a finding is dropped; a veto of 1 or more drops nothing."""
    return float(_log_odds(decisions.normal_veto)) if decisions.normal_veto < 1 else np.inf


def _log_odds(probability: NDArray[np.float64] | float) -> NDArray[np.float64]:
    inside = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(inside / (1 - inside)))


def _kept(one: Evidence, decisions: Decisions) -> int:
    """How many components are no normal tissue."""
    return int((_normal_odds(one, decisions) < _limit(decisions)).sum())


def _temperature(seen: Sequence[Evidence], decisions: Decisions) -> float:
    logits, target = _answers(seen, decisions)
    return fit_temperature(logits, target, [one.dataset for one in seen])


def _answers(seen: Sequence[Evidence], decisions: Decisions) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Class logits for the findings that are kept, and the true classes."""
    logits = [one.found[decisions.threshold].together[_kept(one, decisions)] for one in seen]
    return np.stack(logits), np.array([one.target for one in seen])


def fit_temperature(
    logits: NDArray[np.float64], target: NDArray[np.int64], datasets: Sequence[str] | None = None
) -> float:
    """Temperature of the least negative log-likelihood (Guo et al., ICML 2017).

    Each of `datasets`, a name an image, counts alike: the larger one is not to make the probabilities
    of the smaller one too sure.
    """
    names = np.array(datasets if datasets is not None else [""] * target.size)
    parts = [names == name for name in np.unique(names)]
    return float(
        min(
            _TEMPERATURES,
            key=lambda t: np.mean([_negative_log_likelihood(logits[one] / t, target[one]) for one in parts]),
        )
    )


def _negative_log_likelihood(logits: NDArray[np.float64], target: NDArray[np.int64]) -> float:
    top = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    return float((log_sum - logits[np.arange(target.size), target]).mean())


def choose_height(probabilities: NDArray[np.float64], target: NDArray[np.int64], aim: float) -> float:
    """Probability of the likeliest class from which it is named.

    The lowest from which on the named classes are right with `aim`, there and at
    every height above that still names half of the images; 0 where no abstention
    is needed. Where the aim is out of reach: the height at which the named
    classes are right most often.
    """
    likeliest = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == target
    if right.mean() >= aim:
        return 0.0
    usable = [float(height) for height in _HEIGHTS if (likeliest >= height).mean() >= LEAST_NAMED]
    accuracy = [float(right[likeliest >= height].mean()) for height in usable]
    reached = len(usable)
    while reached and accuracy[reached - 1] >= aim:
        reached -= 1
    if reached < len(usable):
        return usable[reached]
    return usable[int(np.argmax(accuracy))] if usable else 0.0
