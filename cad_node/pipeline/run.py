"""The order of the steps, on one screen: gate, clean, segment, classify, number, measure, describe, join."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cad_node.domain import (
    CleanFrame,
    Frame,
    FrameResult,
    ImageResult,
    Lesion,
    NotAnalysed,
    Probabilities,
    Provenance,
    Refusal,
    Status,
    StudyResult,
    UltrasoundImage,
    UltrasoundStudy,
)
from cad_node.errors import CleaningError, PixelDecodeError, StudyError
from cad_node.pipeline.compare import compare_sizes
from cad_node.pipeline.describe import describe
from cad_node.pipeline.join import join_lesions
from cad_node.pipeline.measure import measure
from cad_node.pipeline.segment import Finding, FindLesions
from cad_node.pipeline.track import number_lesions

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Steps:
    """The parts that need loading, handed in by the node.

    `gate` looks at pixels for what the header did not say; `clean` takes
    all frames of an image, since marks that stand still through a loop are
    found once; `find_lesions` looks at one cleaned frame.
    """

    gate: Callable[[UltrasoundImage], Refusal | None]
    clean: Callable[[Sequence[Frame]], Iterator[CleanFrame]]
    find_lesions: FindLesions
    provenance: Provenance


def analyse(study: UltrasoundStudy, steps: Steps) -> StudyResult:
    """Find, class and measure the lesions of a study.

    An image that cannot be analysed costs itself alone, and says why.
    """
    started = time.monotonic()
    images = tuple(analyse_image(image, steps) for image in study.images)
    return StudyResult(
        study.study_instance_uid,
        images,
        steps.provenance,
        time.monotonic() - started,
        same_lesions=join_lesions(images),
        unreadable=study.unreadable,
    )


def analyse_image(image: UltrasoundImage, steps: Steps) -> ImageResult:
    """The findings of one image, or the reason why there are none to give."""
    started = time.monotonic()
    refusal = image.refusal
    try:
        if refusal is None:
            refusal = steps.gate(image)
        if refusal is None:
            return _analyse_frames(image, steps, started)
    except PixelDecodeError as error:
        refusal = Refusal(NotAnalysed.UNDECODABLE, error.problem)
    except CleaningError as error:
        refusal = Refusal(NotAnalysed.CLEANING_FAILED, error.problem)
    except StudyError as error:
        logger.warning("image %s failed: %s", image.reference.sop_instance_uid, error)
        refusal = Refusal(NotAnalysed.UNDECODABLE, error.problem)
        return ImageResult(image.reference, Status.FAILED, refusal, seconds=time.monotonic() - started)
    return ImageResult(image.reference, Status.NOT_ANALYSED, refusal, seconds=time.monotonic() - started)


def _analyse_frames(image: UltrasoundImage, steps: Steps, started: float) -> ImageResult:
    cleaned: list[CleanFrame] = []
    found: list[tuple[Finding, ...]] = []
    overall: list[Probabilities] = []
    seconds: list[float] = []
    before = time.monotonic()
    for frame in steps.clean(image.frames):
        findings, probabilities = steps.find_lesions(frame)
        cleaned.append(frame)
        found.append(findings)
        overall.append(probabilities)
        seconds.append(time.monotonic() - before)
        before = time.monotonic()
    results = tuple(
        _frame_result(
            frame,
            probabilities,
            tuple(_lesion(number, finding, frame) for number, finding in numbered),
            spent,
        )
        for frame, probabilities, numbered, spent in zip(
            cleaned, overall, number_lesions(found), seconds, strict=True
        )
    )
    return ImageResult(
        image.reference,
        Status.ANALYSED,
        frames=results,
        key_frame=cleaned[_key_index(results)],
        left_out=image.left_out,
        seconds=time.monotonic() - started,
    )


def _frame_result(
    frame: CleanFrame, probabilities: Probabilities, lesions: tuple[Lesion, ...], seconds: float
) -> FrameResult:
    return FrameResult(
        frame.frame_number,
        probabilities,
        lesions,
        len(frame.annotations),
        seconds,
        frame.notes,
        compare_sizes(frame.notes, lesions),
    )


def _lesion(number: int, finding: Finding, frame: CleanFrame) -> Lesion:
    sizes = measure(finding.mask, frame.spacing, frame.aspect)
    return Lesion(
        number,
        frame.frame_number,
        finding.mask,
        finding.probabilities,
        sizes,
        describe(sizes, frame),
        finding.probability_map,
    )


def _key_index(results: Sequence[FrameResult]) -> int:
    """Index of the frame to show: the most suspicious lesion, then the largest; else the middle."""
    ranked = [
        (lesion.probabilities.malignant, lesion.measurements.area, -index)
        for index, result in enumerate(results)
        for lesion in result.lesions
    ]
    return -max(ranked)[2] if ranked else len(results) // 2
