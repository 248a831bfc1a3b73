"""The measurement group of one lesion (TID 1410): where, how large, how likely, what the outline says."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ContentSequence,
    CoordinatesForMeasurement,
    FindingSite,
    Measurement,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    TrackingIdentifier,
)

from cad_node import codes
from cad_node.domain import ImageResult, LengthUnit, Lesion, LesionClass, Probabilities
from cad_node.encode import uids
from cad_node.encode.provenance import Context, coded, sr_algorithm
from cad_node.encode.seg import is_multi_frame, key_lesion, tracking_id
from cad_node.encode.source import Source
from cad_node.encode.sr_evaluations import comment
from cad_node.encode.sr_graphics import image_region
from cad_node.encode.sr_words import lesion_sentence, partly, percent, side, typed_parts


def lesion_group(
    image: ImageResult, track: Sequence[Lesion], source: Source, context: Context
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    """What is said of a lesion, in the frame where it is most suspicious."""
    template = context.templates.sr
    lesion = key_lesion(track)
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=uids.tracking_uid(source.reference.sop_instance_uid, lesion.number),
            identifier=tracking_id(source, lesion.number, context),
        ),
        referenced_region=image_region(image, lesion.measurements.contour, lesion.frame_number),
        finding_category=coded(template.lesion.category),
        finding_type=coded(template.lesion.finding),
        finding_sites=[_site(image, source, context)],
        algorithm_id=sr_algorithm(context),
        measurements=[
            *_sizes(lesion, context),
            *probabilities(lesion.probabilities, context),
            *_distances(image, lesion, context),
        ],
        qualitative_evaluations=_evaluations(image, lesion, context),
    )
    for text in _comments(image, track, lesion, source, context):
        group[0].ContentSequence.append(comment(text))
    return group


def probabilities(
    values: Probabilities, context: Context, region: CoordinatesForMeasurement | None = None
) -> list[Measurement]:
    """The probabilities in percent, cancer first; that one is said to be inferred from `region`."""
    names = context.templates.sr.probabilities
    ordered = (LesionClass.MALIGNANT, LesionClass.BENIGN, LesionClass.NORMAL)
    return [
        Measurement(
            coded(names.name(one)),
            percent(getattr(values, one.value)),
            coded(codes.PERCENT),
            method=coded(names.method),
            referenced_coordinates=[region] if region is not None and one is ordered[0] else None,
        )
        for one in ordered
    ]


def _site(image: ImageResult, source: Source, context: Context) -> FindingSite:
    """The breast, or the quadrant that was typed, and the side."""
    notes = image.notes
    place = codes.QUADRANTS[notes.quadrant] if notes.quadrant else context.templates.sr.lesion.site
    laterality, _ = side(notes, source)
    return FindingSite(
        anatomic_location=coded(place), laterality=coded(laterality) if laterality is not None else None
    )


def _sizes(lesion: Lesion, context: Context) -> list[Measurement]:
    names, sizes = context.templates.sr.measurements, lesion.measurements
    calibrated = sizes.unit is LengthUnit.MILLIMETRE
    length = coded(codes.MILLIMETRE if calibrated else codes.PIXELS)
    area = coded(codes.SQUARE_MILLIMETRE if calibrated else codes.PIXELS)
    return [
        Measurement(coded(names.long_axis), round(sizes.long_axis.length, 2), length),
        Measurement(coded(names.short_axis), round(sizes.short_axis.length, 2), length),
        Measurement(coded(names.area), round(sizes.area, 2), area),
    ]


def _distances(image: ImageResult, lesion: Lesion, context: Context) -> list[Measurement]:
    """How deep the lesion lies by its outline, and how far from the nipple by what was typed."""
    names, unit = context.templates.sr.measurements, coded(codes.MILLIMETRE)
    found = []
    if lesion.description.depth_mm is not None:
        found.append(Measurement(coded(names.depth), round(lesion.description.depth_mm, 1), unit))
    if image.notes.nipple_distance_mm is not None:
        value = round(image.notes.nipple_distance_mm, 1)
        found.append(Measurement(coded(names.nipple_distance), value, unit, method=coded(names.typed)))
    return found


def _evaluations(image: ImageResult, lesion: Lesion, context: Context) -> list[QualitativeEvaluation]:
    template, described = context.templates.sr, lesion.description
    found = []
    clock_face = codes.CLOCK_FACE.get(image.notes.clock_face or 0.0)
    if clock_face is not None:  # half hours have no code, and stand in the sentence
        found.append(_evaluation(template.descriptors.clock_face, clock_face, template.measurements.typed))
    if described.orientation is not None:
        found.append(_evaluation(template.descriptors.orientation, codes.ORIENTATIONS[described.orientation]))
    if described.shape is not None:
        found.append(_evaluation(template.descriptors.shape, codes.SHAPES[described.shape]))
    band = template.assessment.band(percent(lesion.probabilities.malignant))
    if band is not None:
        found.append(_evaluation(template.assessment.name, band.code, template.assessment.method))
    return found


def _evaluation(
    name: codes.Concept, value: codes.Concept, method: codes.Concept | None = None
) -> QualitativeEvaluation:
    """A coded statement and the method by which it was come to."""
    evaluation = QualitativeEvaluation(coded(name), coded(value))
    if method is not None:
        how: CodedConcept = coded(codes.MEASUREMENT_METHOD)
        item = CodeContentItem(how, coded(method), relationship_type="HAS CONCEPT MOD")
        evaluation[0].ContentSequence = ContentSequence([item])
    return evaluation


def _comments(
    image: ImageResult, track: Sequence[Lesion], lesion: Lesion, source: Source, context: Context
) -> list[str]:
    words = context.templates.sr
    texts = [lesion_sentence(image, lesion, source, context)]
    claimed, conflict = side(image.notes, source)
    typed = typed_parts(image.notes, claimed, context.templates)
    if typed:
        texts.append(words.position.typed.format(parts="; ".join(typed)))
    if conflict:
        texts.append(words.position.conflict)
    if lesion.measurements.unit is LengthUnit.PIXEL:
        texts.append(words.lesion.uncalibrated)
    if is_multi_frame(image):
        texts.append(words.lesion.key_frame.format(frame=lesion.frame_number, count=len(track)))
    if image.is_partial:
        texts.append(partly(image, context.templates))
    return texts
