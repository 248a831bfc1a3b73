"""SR of one study by TID 1500: what was found, how large, how likely, and what was not looked at.

A lesion has one measurement group. A cine shows it in many frames; the group
speaks of the frame where it is most suspicious, and the SEG, linked by the same
Tracking UID, has its outline in all of them. An image without a lesion, and one
that was not analysed, has a group of its own that says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from highdicom.sr import (
    CodeContentItem,
    Comprehensive3DSR,
    ComprehensiveSR,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    EnhancedSR,
    FindingSite,
    ImageContentItem,
    ImageRegion,
    LanguageOfContentItemAndDescendants,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    NumContentItem,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TextContentItem,
    TrackingIdentifier,
)
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dicom_codes

from cad_node import codes
from cad_node.codes import Concept
from cad_node.domain import ImageResult, LengthUnit, Lesion, LesionClass, Probabilities, Status, StudyResult
from cad_node.encode import uids
from cad_node.encode.provenance import Context, coded, equipment, sr_algorithm, stamp
from cad_node.encode.seg import is_multi_frame, key_lesion, lesion_tracks, tracking_id
from cad_node.encode.source import Source

_SR_CLASSES = {
    "comprehensive-3d": Comprehensive3DSR,
    "comprehensive": ComprehensiveSR,
    "enhanced": EnhancedSR,
}
# Graphic Data is FL, whose length Explicit VR writes in 16 bits: at most 8191 points.
_MOST_CONTOUR_POINTS = 4000
# Our `(row, column)` counts from the centre of the first pixel, Graphic Data from
# its outer corner (PS3.3 C.18.6.1.2).
_PIXEL_CENTRE = 0.5


def encode_sr(
    result: StudyResult,
    sources: Mapping[str, Source],
    context: Context,
    predecessor: Dataset | None,
) -> Dataset:
    """The report over all images of a study; `sources` by SOP Instance UID.

    `predecessor` is the report that this one supersedes, if there is one.
    """
    template = context.templates.sr
    ordered = [sources[image.reference.sop_instance_uid] for image in result.images]
    report = _report(result, sources, context)[0]
    series = uids.sr_series_uid(result.study_instance_uid, context.provenance, context.wording)
    dataset = _SR_CLASSES[context.settings.sr_class](
        evidence=[source.stand_in for source in ordered],
        content=_empty_root(context),
        series_instance_uid=series,
        series_number=context.settings.sr_series_number,
        sop_instance_uid=sr_uid(result, context),
        instance_number=_instance_number(series, predecessor),
        series_description=template.series.description,
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=[predecessor] if predecessor is not None else None,
        specific_character_set=None,
        **equipment(context),
    )
    # Put in afterwards: highdicom copies and searches the tree several times, and it knows
    # the stand-ins where the evidence must name the true images.
    dataset = Dataset(dataset)
    dataset.ContentSequence = report.ContentSequence
    dataset.CurrentRequestedProcedureEvidenceSequence = _evidence(result)
    stamp(dataset, ordered[0], context)
    return dataset


def sr_uid(result: StudyResult, context: Context) -> str:
    """The SOP Instance UID that the report of this result has."""
    sources = [image.reference.sop_instance_uid for image in result.images]
    return uids.sr_uid(sources, context.provenance, context.wording)


def most_suspicious(result: StudyResult) -> tuple[ImageResult, Lesion] | None:
    """The lesion with the greatest probability of cancer, and its image."""
    found = [(image, key_lesion(track)) for image in result.images for track in lesion_tracks(image).values()]
    if not found:
        return None
    return max(found, key=lambda pair: (pair[1].probabilities.malignant, pair[1].measurements.area))


def _instance_number(series: str, predecessor: Dataset | None) -> int:
    if predecessor is None or predecessor.get("SeriesInstanceUID") != series:
        return 1
    return int(predecessor.get("InstanceNumber") or 1) + 1


def _empty_root(context: Context) -> ContainerContentItem:
    root = ContainerContentItem(coded(context.templates.sr.document.title), template_id="1500")
    root.ContentSequence = ContentSequence()
    return root


def _evidence(result: StudyResult) -> list[Dataset]:
    """All images of the study, by series (PS3.3 table C.17-2b)."""
    by_series: dict[str, list[Dataset]] = {}
    for image in result.images:
        reference = Dataset()
        reference.ReferencedSOPClassUID = image.reference.sop_class_uid
        reference.ReferencedSOPInstanceUID = image.reference.sop_instance_uid
        by_series.setdefault(image.reference.series_instance_uid, []).append(reference)
    study = Dataset()
    study.StudyInstanceUID = result.study_instance_uid
    study.ReferencedSeriesSequence = []
    for uid, references in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID = uid
        series.ReferencedSOPSequence = references
        study.ReferencedSeriesSequence.append(series)
    return [study]


def _report(result: StudyResult, sources: Mapping[str, Source], context: Context) -> MeasurementReport:
    document = context.templates.sr.document
    groups: list[MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations] = []
    for image in result.images:
        source = sources[image.reference.sop_instance_uid]
        tracks = lesion_tracks(image)
        groups += [_lesion_group(image, track, source, context) for track in tracks.values()]
        if not tracks:
            groups.append(_image_group(image, source, context))
    report = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_observer(context)),
        procedure_reported=coded(document.procedure),
        imaging_measurements=groups,
        title=coded(document.title),
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(
            coded(document.language)
        ),
    )
    content = report[0].ContentSequence
    # TID 1500 has the library before the measurements, and evaluations after them.
    content.insert(len(content) - 1, _image_library(list(sources.values())))
    content.append(_evaluations(result, sources, context))
    return report


def _observer(context: Context) -> ObserverContext:
    product = context.templates.wording.product
    return ObserverContext(
        observer_type=dicom_codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=uids.device_uid(context.provenance),
            name=context.algorithm_name,
            manufacturer_name=product.manufacturer,
            model_name=product.name,
            serial_number=equipment(context)["device_serial_number"],
        ),
    )


def _lesion_group(
    image: ImageResult, track: Sequence[Lesion], source: Source, context: Context
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    template = context.templates.sr
    lesion = key_lesion(track)
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=uids.tracking_uid(source.reference.sop_instance_uid, lesion.number),
            identifier=tracking_id(source, lesion.number, context),
        ),
        referenced_region=ImageRegion(
            graphic_type="POLYLINE",
            graphic_data=graphic_data(lesion.measurements.contour),
            source_image=SourceImageForRegion(
                source.reference.sop_class_uid,
                source.reference.sop_instance_uid,
                referenced_frame_numbers=[lesion.frame_number] if is_multi_frame(image) else None,
            ),
        ),
        finding_category=coded(template.lesion.category),
        finding_type=coded(template.lesion.finding),
        finding_sites=[
            FindingSite(
                anatomic_location=coded(template.lesion.site),
                laterality=coded(source.laterality) if source.laterality else None,
            )
        ],
        algorithm_id=sr_algorithm(context),
        measurements=[*_sizes(lesion, context), *_probabilities(lesion.probabilities, context)],
    )
    if lesion.measurements.unit is LengthUnit.PIXEL:
        _comment(group, template.lesion.uncalibrated)
    if is_multi_frame(image):
        _comment(group, template.lesion.key_frame.format(frame=lesion.frame_number, count=len(track)))
    return group


def _image_group(
    image: ImageResult, source: Source, context: Context
) -> MeasurementsAndQualitativeEvaluations:
    """What is said of an image without a lesion: nothing found, or why it was not analysed."""
    template = context.templates.sr.image
    refusal = image.refusal
    reason = context.templates.wording.reasons[refusal.reason] if refusal else ""
    outcome, text = {
        Status.ANALYSED: (codes.SUCCEEDED, template.no_finding),
        Status.NOT_ANALYSED: (codes.NOT_ATTEMPTED, template.not_analysed.format(reason=reason)),
        Status.FAILED: (codes.FAILED, template.failed.format(reason=reason)),
    }[image.status]
    evaluations = [QualitativeEvaluation(coded(codes.SUMMARY_OF_DETECTIONS), coded(outcome))]
    if refusal is not None:
        value = Concept(codes.REASONS[refusal.reason], codes.PRIVATE_SCHEME, reason[:64])
        evaluations.append(QualitativeEvaluation(coded(template.reason), coded(value)))
    key = image.key_result
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=uids.derive_uid("image", source.reference.sop_instance_uid),
            identifier=template.tracking_id.format(image=source.name),
        ),
        algorithm_id=sr_algorithm(context),
        measurements=_probabilities(key.probabilities, context) if key else None,
        qualitative_evaluations=evaluations,
        source_images=[
            SourceImageForMeasurementGroup(source.reference.sop_class_uid, source.reference.sop_instance_uid)
        ],
    )
    _comment(group, text)
    return group


def _comment(
    group: MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations, text: str
) -> None:
    group[0].ContentSequence.append(_text(codes.COMMENT, text))


def _text(name: Concept, text: str) -> TextContentItem:
    return TextContentItem(coded(name), text, relationship_type="CONTAINS")


def graphic_data(contour: NDArray[np.float64]) -> NDArray[np.float32]:
    """A contour `(points, 2)` of `(row, column)` as closed Graphic Data of `(column, row)`."""
    step = -(-len(contour) // _MOST_CONTOUR_POINTS)
    points = contour[::step, ::-1] + _PIXEL_CENTRE
    if not np.array_equal(points[0], points[-1]):
        points = np.concatenate([points, points[:1]])
    return points.astype(np.float32)


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


def _probabilities(probabilities: Probabilities, context: Context) -> list[Measurement]:
    """The probabilities in percent, cancer first."""
    names = context.templates.sr.probabilities
    ordered = (LesionClass.MALIGNANT, LesionClass.BENIGN, LesionClass.NORMAL)
    return [
        Measurement(
            coded(names[one]), round(100 * float(getattr(probabilities, one.value)), 1), coded(codes.PERCENT)
        )
        for one in ordered
    ]


def _image_library(sources: Sequence[Source]) -> ContainerContentItem:
    """TID 1600, by hand: highdicom's knows no retired ultrasound classes and needs intact headers."""
    group = ContainerContentItem(coded(codes.IMAGE_LIBRARY_GROUP), relationship_type="CONTAINS")
    group.ContentSequence = ContentSequence([_library_entry(source) for source in sources])
    library = ContainerContentItem(coded(codes.IMAGE_LIBRARY), relationship_type="CONTAINS")
    library.ContentSequence = ContentSequence([group])
    return library


def _library_entry(source: Source) -> ImageContentItem:
    reference = source.reference
    entry = ImageContentItem(
        coded(codes.SOURCE),
        referenced_sop_class_uid=reference.sop_class_uid,
        referenced_sop_instance_uid=reference.sop_instance_uid,
        relationship_type="CONTAINS",
    )
    modality = codes.ULTRASOUND if source.is_ultrasound else codes.OTHER_MODALITY
    descriptors: list[ContentItem] = [
        CodeContentItem(coded(codes.MODALITY), coded(modality), "HAS ACQ CONTEXT")
    ]
    if source.laterality is not None:
        descriptors.append(
            CodeContentItem(coded(codes.IMAGE_LATERALITY), coded(source.laterality), "HAS ACQ CONTEXT")
        )
    if reference.rows and reference.columns:
        for name, size in (
            (codes.PIXEL_DATA_ROWS, reference.rows),
            (codes.PIXEL_DATA_COLUMNS, reference.columns),
        ):
            descriptors.append(
                NumContentItem(coded(name), size, coded(codes.PIXELS), relationship_type="HAS ACQ CONTEXT")
            )
    entry.ContentSequence = ContentSequence(descriptors)
    return entry


def _evaluations(
    result: StudyResult, sources: Mapping[str, Source], context: Context
) -> ContainerContentItem:
    """The study in a line, and what the report is not."""
    container = ContainerContentItem(coded(codes.QUALITATIVE_EVALUATIONS), relationship_type="CONTAINS")
    summary = [
        CodeContentItem(coded(codes.FINDINGS_SUMMARY), coded(_outcome(result)), relationship_type="CONTAINS")
    ]
    texts = [*summary_lines(result, sources, context), context.templates.sr.document.disclaimer]
    container.ContentSequence = ContentSequence([*summary, *(_text(codes.COMMENT, text) for text in texts)])
    return container


def summary_lines(result: StudyResult, sources: Mapping[str, Source], context: Context) -> list[str]:
    """The result of a study in one or two sentences."""
    template = context.templates.sr.summary
    analysed = sum(image.status is Status.ANALYSED for image in result.images)
    refused = len(result.images) - analysed
    lesions = sum(len(lesion_tracks(image)) for image in result.images)
    if not analysed:
        return [template.nothing_analysed.format(refused=refused)]
    worst = most_suspicious(result)
    if worst is None:
        return [template.nothing_found.format(images=analysed, refused=refused)]
    image, lesion = worst
    source = sources[image.reference.sop_instance_uid]
    return [
        template.found.format(lesions=lesions, images=analysed, refused=refused),
        template.most_suspicious.format(
            tracking_id=tracking_id(source, lesion.number, context),
            class_name=context.templates.wording.classes[lesion.probabilities.likeliest],
            percent=round(100 * lesion.probabilities.malignant),
        ),
    ]


def _outcome(result: StudyResult) -> Concept:
    """CID 6047 for the study."""
    analysed = [image for image in result.images if image.status is Status.ANALYSED]
    if not analysed:
        return codes.NONE_SUCCEEDED
    found = any(image.lesions for image in analysed)
    if len(analysed) == len(result.images):
        return codes.ALL_SUCCEEDED_WITH if found else codes.ALL_SUCCEEDED_WITHOUT
    return codes.NOT_ALL_SUCCEEDED_WITH if found else codes.NOT_ALL_SUCCEEDED_WITHOUT
