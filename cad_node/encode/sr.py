"""SR of one study by TID 1500: what was found, how large, how likely, and what was not looked at.

A lesion has one measurement group. A cine shows it in many frames; the group
speaks of the frame where it is most suspicious, and the SEG, linked by the same
Tracking UID, has its outline in all of them. An image without a lesion, and one
that was not analysed, has a group of its own that says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from highdicom.sr import (
    Comprehensive3DSR,
    ComprehensiveSR,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    EnhancedSR,
    LanguageOfContentItemAndDescendants,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dicom_codes

from cad_node.domain import Status, StudyResult
from cad_node.encode import uids
from cad_node.encode.evidence import evidence
from cad_node.encode.provenance import Context, coded, equipment, stamp
from cad_node.encode.seg import lesion_tracks
from cad_node.encode.source import Source
from cad_node.encode.sr_evaluations import evaluations
from cad_node.encode.sr_image import image_group, typed_group
from cad_node.encode.sr_lesion import lesion_group
from cad_node.encode.sr_library import image_library

_SR_CLASSES = {
    "comprehensive-3d": Comprehensive3DSR,
    "comprehensive": ComprehensiveSR,
    "enhanced": EnhancedSR,
}


def encode_sr(
    result: StudyResult,
    sources: Mapping[str, Source],
    context: Context,
    predecessor: Dataset | None,
    sop_instance_uid: str | None = None,
    earlier: Sequence[Dataset] = (),
) -> Dataset:
    """The report over all images of a study; `sources` by SOP Instance UID.

    `predecessor` is the report that this one supersedes, if there is one;
    `sop_instance_uid` another UID than that of `sr_uid`; `earlier` are all reports
    made before, so that those of one series are numbered in their order.
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
        sop_instance_uid=sop_instance_uid or sr_uid(result, context),
        instance_number=_instance_number(series, earlier or ([predecessor] if predecessor else [])),
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
    dataset.CurrentRequestedProcedureEvidenceSequence = evidence(result)
    stamp(dataset, ordered[0], context)
    return dataset


def sr_uid(result: StudyResult, context: Context) -> str:
    """The SOP Instance UID that the report of this result has."""
    return uids.sr_uid(result.spoken_of, context.provenance, context.wording)


def _instance_number(series: str, earlier: Sequence[Dataset]) -> int:
    in_series = [one for one in earlier if one.get("SeriesInstanceUID") == series]
    return max((int(one.get("InstanceNumber") or 1) for one in in_series), default=0) + 1


def _empty_root(context: Context) -> ContainerContentItem:
    root = ContainerContentItem(coded(context.templates.sr.document.title), template_id="1500")
    root.ContentSequence = ContentSequence()
    return root


def _report(result: StudyResult, sources: Mapping[str, Source], context: Context) -> MeasurementReport:
    document = context.templates.sr.document
    groups: list[MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations] = []
    for image in result.images:
        source = sources[image.reference.sop_instance_uid]
        tracks = lesion_tracks(image)
        groups += [lesion_group(image, track, source, context) for track in tracks.values()]
        if not tracks and image.status is Status.ANALYSED:
            groups.append(image_group(image, source, context))
    # Images that were not analysed are spoken of among the evaluations, so that what was found
    # comes first; they have groups only where there would be none, which TID 1500 does not allow.
    if not groups:
        groups = [
            image_group(image, sources[image.reference.sop_instance_uid], context) for image in result.images
        ]
    for image in result.images:
        typed = typed_group(image, sources[image.reference.sop_instance_uid], context)
        if typed is not None:
            groups.append(typed)
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
