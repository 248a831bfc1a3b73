"""The images that a report is made from, as every kind of SR lists them."""

from __future__ import annotations

from pydicom.dataset import Dataset

from cad_node.domain import StudyResult


def evidence(result: StudyResult) -> list[Dataset]:
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
