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
    Comprehensive3DSR,
    ComprehensiveSR,
    ContainerContentItem,
    ContentSequence,
    CoordinatesForMeasurement,
    DeviceObserverIdentifyingAttributes,
    EnhancedSR,
    FindingSite,
    ImageRegion,
    LanguageOfContentItemAndDescendants,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TrackingIdentifier,
)
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dicom_codes

from cad_node import codes
from cad_node.domain import ImageResult, LengthUnit, Lesion, LesionClass, Probabilities, Status, StudyResult
from cad_node.encode import uids
from cad_node.encode.provenance import Context, coded, equipment, sr_algorithm, stamp
from cad_node.encode.seg import is_multi_frame, key_lesion, lesion_tracks, tracking_id
from cad_node.encode.source import Source
from cad_node.encode.sr_evaluations import comment, evaluations, image_outcome, reason
from cad_node.encode.sr_library import image_library

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
        if not tracks and image.status is Status.ANALYSED:
            groups.append(_image_group(image, source, context))
    # OHIF 3.13 shows nothing of a report with a group that has no coordinates. Images that
    # were not analysed are therefore spoken of among the evaluations, and have a group only
    # where highdicom would have none.
    if not groups:
        groups = [
            _image_group(image, sources[image.reference.sop_instance_uid], context) for image in result.images
        ]
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
    content.insert(len(content) - 1, image_library(list(sources.values())))
    content.append(evaluations(result, sources, context))
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
    outcome, text = image_outcome(image, context)
    found = [QualitativeEvaluation(coded(codes.SUMMARY_OF_DETECTIONS), coded(outcome))]
    why = reason(image, context)
    if why is not None:
        found.append(QualitativeEvaluation(coded(template.reason), why))
    key = image.key_result
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=uids.derive_uid("image", source.reference.sop_instance_uid),
            identifier=template.tracking_id.format(image=source.name),
        ),
        algorithm_id=sr_algorithm(context),
        measurements=_probabilities(key.probabilities, context, _analysed_region(image)) if key else None,
        qualitative_evaluations=found,
        source_images=[
            SourceImageForMeasurementGroup(source.reference.sop_class_uid, source.reference.sop_instance_uid)
        ],
    )
    _comment(group, text)
    return group


def _analysed_region(image: ImageResult) -> CoordinatesForMeasurement | None:
    """The outline of what was looked at, in the key frame."""
    frame = image.key_frame
    if frame is None:
        return None
    box = frame.region
    corners = np.array(
        [
            (box.row_start, box.column_start),
            (box.row_start, box.column_stop),
            (box.row_stop, box.column_stop),
            (box.row_stop, box.column_start),
        ]
    )
    return CoordinatesForMeasurement(
        graphic_type="POLYLINE",
        graphic_data=graphic_data(corners - _PIXEL_CENTRE),  # a box lies on the edges of pixels
        source_image=SourceImageForRegion(
            image.reference.sop_class_uid,
            image.reference.sop_instance_uid,
            referenced_frame_numbers=[frame.frame_number] if is_multi_frame(image) else None,
        ),
    )


def _comment(
    group: MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations, text: str
) -> None:
    group[0].ContentSequence.append(comment(text))


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


def _probabilities(
    probabilities: Probabilities, context: Context, region: CoordinatesForMeasurement | None = None
) -> list[Measurement]:
    """The probabilities in percent, cancer first; that one is said to be inferred from `region`."""
    names = context.templates.sr.probabilities
    ordered = (LesionClass.MALIGNANT, LesionClass.BENIGN, LesionClass.NORMAL)
    return [
        Measurement(
            coded(names[one]),
            round(100 * float(getattr(probabilities, one.value)), 1),
            coded(codes.PERCENT),
            referenced_coordinates=[region] if region is not None and one is ordered[0] else None,
        )
        for one in ordered
    ]
