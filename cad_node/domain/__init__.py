"""The things the node talks about, free of DICOM, torch and files.

Arrays are `(row, column)`; boxes are half-open; `frame_number` counts from 1 as
DICOM does. Every array that enters a domain object is made read-only, so that a
result cannot be changed after it was computed.
"""

from cad_node.domain.answer import Answer, Verdict
from cad_node.domain.clean import Annotation, CleanFrame
from cad_node.domain.commitment import CommitmentReport, EventReport, ReportAnswer
from cad_node.domain.geometry import Box, PixelSpacing, unit_pixel
from cad_node.domain.image import (
    Frame,
    ImageReference,
    NotAnalysed,
    Refusal,
    UltrasoundImage,
    UltrasoundStudy,
)
from cad_node.domain.instance import ReceivedInstance, StoredInstance, is_valid_uid
from cad_node.domain.lesion import (
    Axis,
    Description,
    LengthUnit,
    Lesion,
    LesionClass,
    LesionOrientation,
    LesionShape,
    Measurements,
    Probabilities,
    ProbabilityMap,
)
from cad_node.domain.notes import Laterality, Quadrant, ScanPlane, SonographerNotes, TypedDistance
from cad_node.domain.result import (
    Calibration,
    FrameResult,
    ImageResult,
    LesionKey,
    MadeBy,
    Provenance,
    SizeComparison,
    Status,
    StudyResult,
)

__all__ = [
    "Annotation",
    "Answer",
    "Axis",
    "Box",
    "Calibration",
    "CleanFrame",
    "CommitmentReport",
    "Description",
    "EventReport",
    "Frame",
    "FrameResult",
    "ImageReference",
    "ImageResult",
    "Laterality",
    "LengthUnit",
    "Lesion",
    "LesionClass",
    "LesionKey",
    "LesionOrientation",
    "LesionShape",
    "MadeBy",
    "Measurements",
    "NotAnalysed",
    "PixelSpacing",
    "Probabilities",
    "ProbabilityMap",
    "Provenance",
    "Quadrant",
    "ReceivedInstance",
    "Refusal",
    "ReportAnswer",
    "ScanPlane",
    "SizeComparison",
    "SonographerNotes",
    "Status",
    "StoredInstance",
    "StudyResult",
    "TypedDistance",
    "UltrasoundImage",
    "UltrasoundStudy",
    "Verdict",
    "is_valid_uid",
    "unit_pixel",
]
