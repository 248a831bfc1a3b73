"""Scores a model on images that it has not seen, the way the node would run it.

Each case goes through the same `find_lesions` as in service, so that threshold,
smallest size and the veto of the class head are part of what is scored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Box, CleanFrame
from cad_node.pipeline.segment import Finding, Model, Prediction, find_lesions
from cad_node.train.data import Sample, clean_path, read_grey, read_image, read_masks, read_union
from cad_node.train.metrics import dice, hausdorff_95, iou

# A found lesion is a drawn one from this overlap on: loose enough for the
# disagreement of two readers, too much for a chance hit.
SAME_LESION_IOU = 0.2
# A drawn lesion this near to the border is cut by it: outlines are rarely drawn onto the last pixel.
_EDGE_PX = 3


class Candidate(NamedTuple):
    """A finding before the veto: how little it looks like normal tissue, and what it is.

    `belief` is 1 minus the probability that the veto reads. `lesions` are the numbers of the drawn
    lesions that it is, from 0; `false` says that it is none.
    """

    belief: float
    lesions: tuple[int, ...]
    false: bool


@dataclass(frozen=True)
class Case:
    """One scored image.

    `dice` and `iou` compare the union of lesions; `hd95_px` is the 95th percentile
    of the distance between the two outlines and `hd95_ratio` its share of the
    diameter of a disc of the drawn area. All are NaN for normal tissue, the
    distances also where nothing was found. `cut_by_edge`: a drawn lesion reaches
    the border of the picture. `uncertain`: the model abstained from naming a class.
    `candidates` are the findings that the model would show without its veto.
    """

    dataset: str
    label: str
    group: str
    image: str
    dice: float
    iou: float
    drawn: int
    detected: int
    found: int
    false_lesions: int
    probabilities: tuple[float, float, float]
    hd95_px: float = math.nan
    hd95_ratio: float = math.nan
    cut_by_edge: bool = False
    uncertain: bool = False
    candidates: tuple[Candidate, ...] = ()


def case_to_json(case: Case) -> dict[str, Any]:
    """A case as JSON, which knows no NaN: None stands for it."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in asdict(case).items()
    }


def case_from_json(values: Mapping[str, Any]) -> Case:
    """The case that `case_to_json` wrote.

    Raises
    ------
    TypeError, KeyError
        It is none.
    """
    plain: dict[str, Any] = {key: math.nan if value is None else value for key, value in values.items()}
    plain["probabilities"] = tuple(values["probabilities"])
    plain["candidates"] = tuple(Candidate(one[0], tuple(one[1]), one[2]) for one in values["candidates"])
    return Case(**plain)


class _Once:
    """A model that is run once for one frame, however often it is asked, and whose veto can be lifted."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._prediction: Prediction | None = None
        self.threshold = model.threshold
        self.normal_veto = model.normal_veto
        self.veto_image_share = model.veto_image_share

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        """What the model said of the first picture."""
        if self._prediction is None:
            self._prediction = self._model.predict(pixels)
        return self._prediction


def score_image(
    model: Model, pixels: NDArray[np.uint8], drawn: Sequence[NDArray[np.bool_]], sample: Sample
) -> Case:
    """Run the model over one image and compare with its drawn lesions."""
    return score_frame(model, as_frame(pixels), drawn, sample)


def score_frame(model: Model, frame: CleanFrame, drawn: Sequence[NDArray[np.bool_]], sample: Sample) -> Case:
    """Run the model over the region of one frame; `drawn` are masks of the whole frame."""
    once = _Once(model)
    findings, probabilities = find_lesions(frame, once, 0.0)
    once.normal_veto = math.inf
    everything, _ = find_lesions(frame, once, 0.0)
    masks = [finding.mask for finding in findings]
    found = union_of(masks, frame.pixels.shape)
    truth = union_of(drawn, frame.pixels.shape)
    has_lesion = bool(truth.any())
    detected = sum(any(_same(mask, one) for mask in masks) for one in drawn)
    false = sum(_is_false(mask, drawn, truth) for mask in masks)
    distance = hausdorff_95(found, truth)
    return Case(
        dataset=sample.dataset,
        label=sample.label,
        group=sample.group,
        image=sample.image,
        dice=dice(found, truth) if has_lesion else math.nan,
        iou=iou(found, truth) if has_lesion else math.nan,
        drawn=len(drawn),
        detected=detected,
        found=len(masks),
        false_lesions=false,
        probabilities=(probabilities.normal, probabilities.benign, probabilities.malignant),
        hd95_px=distance,
        hd95_ratio=distance / math.sqrt(4 * int(truth.sum()) / math.pi) if has_lesion else math.nan,
        cut_by_edge=touches_edge(truth),
        uncertain=probabilities.uncertain,
        candidates=_candidates(everything, once, frame, drawn, truth),
    )


def _same(found: NDArray[np.bool_], drawn: NDArray[np.bool_]) -> bool:
    return iou(found, drawn) >= SAME_LESION_IOU


def _is_false(found: NDArray[np.bool_], drawn: Sequence[NDArray[np.bool_]], truth: NDArray[np.bool_]) -> bool:
    return not any(_same(found, one) for one in [*drawn, truth])


def _candidates(
    findings: Iterable[Finding],
    once: _Once,
    frame: CleanFrame,
    drawn: Sequence[NDArray[np.bool_]],
    truth: NDArray[np.bool_],
) -> tuple[Candidate, ...]:
    share = once.veto_image_share
    tissue = np.ascontiguousarray(frame.pixels[frame.region.slices])
    whole = once.predict(tissue).classify(np.zeros(tissue.shape, dtype=np.bool_)).normal if share else 0.0
    return tuple(
        Candidate(
            belief=round(1 - (1 - share) * one.probabilities.normal - share * whole, 6),
            lesions=tuple(number for number, lesion in enumerate(drawn) if _same(one.mask, lesion)),
            false=_is_false(one.mask, drawn, truth),
        )
        for one in findings
    )


def touches_edge(mask: NDArray[np.bool_]) -> bool:
    """Whether a mask reaches the border of its picture."""
    inner = mask[_EDGE_PX:-_EDGE_PX, _EDGE_PX:-_EDGE_PX]
    return bool(mask.sum() > inner.sum())


def as_frame(pixels: NDArray[np.uint8]) -> CleanFrame:
    """A published image as the network gets it: all of it is tissue, none of it calibrated."""
    rows, columns = pixels.shape
    return CleanFrame(
        frame_number=1,
        pixels=pixels,
        region=Box(0, rows, 0, columns),
        spacing=None,
        annotations=(),
        removed=np.zeros(pixels.shape, dtype=np.bool_),
    )


def union_of(masks: Iterable[NDArray[np.bool_]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """All masks as one of `shape`."""
    union = np.zeros(shape, dtype=np.bool_)
    for mask in masks:
        union |= mask
    return union


def read_drawn(folder: Path, sample: Sample, shape: tuple[int, int]) -> list[NDArray[np.bool_]]:
    """The drawn lesions at the size of the image, one array each."""
    masks = read_masks(folder, sample)
    if len(masks) == 1 or any(mask.shape != shape for mask in masks):
        union = read_union(folder, sample, shape)
        return [union] if union.any() else []
    return masks


def read_shown(folder: Path, sample: Sample, clean: Path | None) -> NDArray[np.uint8] | None:
    """The image of a sample, or its copy without annotations; None where there is no copy."""
    if clean is None:
        return read_image(folder, sample)
    path = clean_path(clean, sample)
    return read_grey(path) if path.is_file() else None


def score(
    model: Model,
    folder: Path,
    samples: Sequence[Sample],
    clean: Path | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> list[Case]:
    """Score samples with their annotations, or, with `clean`, the copies without.

    Samples that have no copy in `clean` are left out; count the cases. `advance`
    is told how many of how many are done.
    """
    cases = []
    for number, sample in enumerate(samples, start=1):
        pixels = read_shown(folder, sample, clean)
        if pixels is not None:
            shape = (pixels.shape[0], pixels.shape[1])
            cases.append(score_image(model, pixels, read_drawn(folder, sample, shape), sample))
        if advance is not None:
            advance(number, len(samples))
    return cases
