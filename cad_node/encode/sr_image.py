"""Measurement groups that speak of an image, not of a lesion (TID 1501)."""

from __future__ import annotations

from highdicom.sr import (
    CodedConcept,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)

from cad_node import codes
from cad_node.domain import Box, ImageResult, Status
from cad_node.encode import uids
from cad_node.encode.provenance import Context, coded, sr_algorithm
from cad_node.encode.source import Source
from cad_node.encode.sr_evaluations import comment, image_outcome, reason
from cad_node.encode.sr_graphics import box_region
from cad_node.encode.sr_lesion import probabilities
from cad_node.encode.sr_words import difference, partly


def image_group(
    image: ImageResult, source: Source, context: Context
) -> MeasurementsAndQualitativeEvaluations:
    """What is said of an image without a lesion: nothing found, or why it was not analysed."""
    template = context.templates.sr.image
    outcome, text = image_outcome(image, context)
    found = [QualitativeEvaluation(coded(codes.SUMMARY_OF_DETECTIONS), coded(outcome))]
    why: CodedConcept | None = reason(image, context)
    if why is not None:
        found.append(QualitativeEvaluation(coded(template.reason), why))
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=uids.derive_uid("image", source.reference.sop_instance_uid),
            identifier=template.tracking_id.format(image=source.name),
        ),
        algorithm_id=sr_algorithm(context),
        measurements=_image_measurements(image, context),
        qualitative_evaluations=found,
        source_images=[
            SourceImageForMeasurementGroup(source.reference.sop_class_uid, source.reference.sop_instance_uid)
        ],
    )
    for line in filter(None, (text, partly(image, context.templates))):
        group[0].ContentSequence.append(comment(line))
    return group


def _image_measurements(image: ImageResult, context: Context) -> list[Measurement] | None:
    """A figure with coordinates: OHIF 3.13 shows nothing of a report without one."""
    key, frame = image.key_result, image.key_frame
    if key is not None and frame is not None:
        looked_at = box_region(image, frame.region, frame.frame_number)
        return probabilities(key.probabilities, context, looked_at)
    reference = image.reference
    if image.status is Status.ANALYSED or not (reference.rows and reference.columns):
        return None
    whole = box_region(image, Box(0, reference.rows, 0, reference.columns), 1)
    name = coded(context.templates.sr.image.frames_analysed)
    return [Measurement(name, len(image.frames), coded(codes.FRAMES), referenced_coordinates=[whole])]


def typed_group(
    image: ImageResult, source: Source, context: Context
) -> MeasurementsAndQualitativeEvaluations | None:
    """What the sonographer measured, as it is printed on the image; None where nothing is."""
    template = context.templates.sr.typed
    if not image.notes.distances:
        return None
    # Text stands still through a loop, but need not be there from its beginning.
    frame_number = next(frame.frame_number for frame in image.frames if frame.notes == image.notes)
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=uids.derive_uid("printed measurements", source.reference.sop_instance_uid),
            identifier=template.tracking_id.format(image=source.name),
        ),
        algorithm_id=sr_algorithm(context),
        measurements=[
            Measurement(
                coded(template.distance),
                round(one.millimetres, 2),
                coded(codes.MILLIMETRE),
                method=coded(template.method),
                referenced_coordinates=[box_region(image, one.box, frame_number)],
            )
            for one in image.notes.distances
        ],
        source_images=[
            SourceImageForMeasurementGroup(source.reference.sop_class_uid, source.reference.sop_instance_uid)
        ],
    )
    differs = difference(image, source, context)
    if differs:
        group[0].ContentSequence.append(comment(differs))
    return group
