"""Results of an analysis, made from source data sets and drawn ellipses, without any network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from pydicom.dataset import Dataset

from cad_node.domain import (
    Annotation,
    Box,
    CleanFrame,
    FrameResult,
    ImageReference,
    ImageResult,
    Lesion,
    NotAnalysed,
    PixelSpacing,
    Probabilities,
    ProbabilityMap,
    Provenance,
    Refusal,
    Status,
    StudyResult,
)
from cad_node.pipeline.measure import measure
from cad_node.pipeline.probability import probability_map
from tests.factories import Ellipse

MADE_AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SPACING = PixelSpacing(row_mm=0.1, column_mm=0.1)
MALIGNANT = Probabilities(normal=0.05, benign=0.15, malignant=0.8)
BENIGN = Probabilities(normal=0.1, benign=0.7, malignant=0.2)
UNCERTAIN = Probabilities(normal=0.05, benign=0.5, malignant=0.45, uncertain=True)
NORMAL = Probabilities(normal=0.9, benign=0.07, malignant=0.03)
LARGE, SMALL = Ellipse(120, 160, 30, 45), Ellipse(60, 60, 12, 20)

# By frame number: the drawn lesions as (number, ellipse, probabilities).
Drawn = Mapping[int, Sequence[tuple[int, Ellipse, Probabilities]]]


def provenance(**changes: object) -> Provenance:
    values = {
        "software_version": "0.1.0",
        "model_name": "breast-us",
        "model_version": "1.0.0",
        "model_sha256": "ab" * 32,
        "settings_digest": "cd" * 32,
        "steps": ("decode", "measure"),
    }
    return Provenance(**{**values, **changes})  # type: ignore[arg-type]


def reference(dataset: Dataset) -> ImageReference:
    return ImageReference(
        str(dataset.StudyInstanceUID),
        str(dataset.SeriesInstanceUID),
        str(dataset.SOPInstanceUID),
        str(dataset.SOPClassUID),
        int(dataset.Rows),
        int(dataset.Columns),
        int(dataset.get("NumberOfFrames", 1)),
    )


def analysed(
    dataset: Dataset,
    drawn: Drawn | None = None,
    *,
    spacing: PixelSpacing | None = SPACING,
    overall: Probabilities = NORMAL,
    left_out: tuple[Box, ...] = (),
) -> ImageResult:
    """An image in which the drawn lesions were found; none by default."""
    named = reference(dataset)
    rows, columns = named.rows, named.columns
    frames = []
    for number in range(1, named.number_of_frames + 1):
        lesions = []
        for lesion_number, shape, probabilities in (drawn or {}).get(number, ()):
            mask = shape.mask(rows, columns)
            sizes, soft = measure(mask, spacing), soft_edged(shape, rows, columns)
            lesions.append(Lesion(lesion_number, number, mask, probabilities, sizes, probability_map=soft))
        whole = max((one.probabilities for one in lesions), key=lambda p: p.malignant, default=overall)
        frames.append(FrameResult(number, whole, tuple(lesions), annotations_removed=1, seconds=0.5))
    key = max(frames, key=lambda one: (bool(one.lesions), one.probabilities.malignant)).frame_number
    pixels = np.random.default_rng(0).integers(20, 200, (rows, columns)).astype(np.uint8)
    region = Box(10, rows - 10, 20, columns - 20)
    mark = Annotation(Box(0, 8, 0, 40), "text", 0.9)
    clean = CleanFrame(key, pixels, region, spacing, (mark,), np.zeros((rows, columns), bool))
    return ImageResult(named, Status.ANALYSED, None, tuple(frames), clean, left_out, seconds=0.6)


def soft_edged(shape: Ellipse, rows: int, columns: int) -> ProbabilityMap:
    """What a network says that is sure in the middle, and from the ellipse on less than half."""
    r, c = np.mgrid[:rows, :columns]
    radius = np.hypot((r - shape.row) / shape.row_radius, (c - shape.column) / shape.column_radius)
    probability = (1 / (1 + np.exp(np.minimum(12 * (radius - 1), 50)))).astype(np.float32)
    mask = shape.mask(rows, columns)
    return probability_map(probability, mask, [mask], 0.5, Box(0, rows, 0, columns))


def refused(
    dataset: Dataset, reason: NotAnalysed = NotAnalysed.COLOUR_DOPPLER, status: Status = Status.NOT_ANALYSED
) -> ImageResult:
    return ImageResult(reference(dataset), status, Refusal(reason))


def study(*images: ImageResult, **changes: object) -> StudyResult:
    return StudyResult(images[0].reference.study_instance_uid, images, provenance(**changes), seconds=1.2)
