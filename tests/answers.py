"""Answers as a workstation sends them: key object selections and verified reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"
ENHANCED_SR = "1.2.840.10008.5.1.4.1.1.88.22"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
SR = "1.2.840.10008.5.1.4.1.1.88.34"

BENIGN = ("30807003", "SCT", "Benign")

# Stands in every answer; must stand in no log, no journal and no output.
PATIENT = "DOE^JANE"


def code(value: str, scheme: str = "DCM", meaning: str = "meaning") -> Dataset:
    """One item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def key_objects(study: str, references: Mapping[str, str], title: str = "113000") -> Dataset:
    """A key object selection; `references` are SOP Class UIDs by SOP Instance UID."""
    dataset = _document(study, KEY_OBJECTS)
    dataset.Modality = "KO"
    dataset.ConceptNameCodeSequence = [code(title)]
    dataset.CurrentRequestedProcedureEvidenceSequence = [_evidence(study, references)]
    note = Dataset()
    note.RelationshipType, note.ValueType = "CONTAINS", "TEXT"
    note.ConceptNameCodeSequence = [code("113012", meaning="Key Object Description")]
    note.TextValue = f"Seen by {PATIENT}"
    dataset.ContentSequence = [note, *(_selected(uid, kind) for uid, kind in references.items())]
    return dataset


def report(
    study: str,
    predecessor: str,
    lesions: Mapping[str, tuple[str, str, str] | None],
    *,
    verified: bool = True,
) -> Dataset:
    """A report after the node's: by Tracking UID the lesions that it keeps, and what it calls them."""
    dataset = _document(study, ENHANCED_SR)
    dataset.Modality = "SR"
    dataset.ConceptNameCodeSequence = [code("126000", meaning="Imaging Measurement Report")]
    dataset.CompletionFlag = "COMPLETE"
    dataset.VerificationFlag = "VERIFIED" if verified else "UNVERIFIED"
    dataset.PredecessorDocumentsSequence = [_evidence(study, {predecessor: SR})]
    measurements = _container("126010", [_group(uid, named) for uid, named in lesions.items()])
    dataset.ContentSequence = [measurements]
    return dataset


def _document(study: str, sop_class: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.PatientName, dataset.PatientID = PATIENT, "DOE-0001"
    dataset.PatientBirthDate = dataset.PatientSex = dataset.AccessionNumber = dataset.StudyID = ""
    dataset.StudyDate = dataset.ContentDate = "20260301"
    dataset.StudyTime = dataset.ContentTime = "120000"
    dataset.ReferringPhysicianName = dataset.Manufacturer = ""
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, generate_uid()
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.ReferencedPerformedProcedureStepSequence = []
    dataset.PerformedProcedureCodeSequence = []
    dataset.ValueType, dataset.ContinuityOfContent = "CONTAINER", "SEPARATE"
    return dataset


def _evidence(study: str, references: Mapping[str, str]) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = "1.2.826.0.1.9"
    series.ReferencedSOPSequence = [_reference(uid, kind) for uid, kind in references.items()]
    item = Dataset()
    item.StudyInstanceUID = study
    item.ReferencedSeriesSequence = [series]
    return item


def _reference(uid: str, sop_class: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
    return item


def _selected(uid: str, sop_class: str) -> Dataset:
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = "IMAGE" if sop_class == SEG else "COMPOSITE"
    item.ReferencedSOPSequence = [_reference(uid, sop_class)]
    return item


def _container(concept: str, children: Sequence[Dataset]) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "CONTAINER"
    item.ContinuityOfContent = "SEPARATE"
    item.ConceptNameCodeSequence = [code(concept)]
    item.ContentSequence = list(children)
    return item


def _group(tracking_uid: str, named: tuple[str, str, str] | None) -> Dataset:
    tracking = Dataset()
    tracking.RelationshipType, tracking.ValueType = "HAS OBS CONTEXT", "UIDREF"
    tracking.ConceptNameCodeSequence = [code("112040")]
    tracking.UID = tracking_uid
    children = [tracking]
    if named is not None:
        judged = Dataset()
        judged.RelationshipType, judged.ValueType = "CONTAINS", "CODE"
        judged.ConceptNameCodeSequence = [code("121071", meaning="Finding")]
        judged.ConceptCodeSequence = [code(*named)]
        children.append(judged)
    return _container("125007", children)
