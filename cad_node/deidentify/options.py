"""What a user may keep, and the codes by which a copy says so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cad_node.codes import Concept

# CID 7050 De-identification Method.
_PROFILE = (
    Concept("113100", "DCM", "Basic Application Confidentiality Profile"),
    Concept("113101", "DCM", "Clean Pixel Data Option"),
)
_MODIFIED_DATES = Concept("113107", "DCM", "Retain Longitudinal Temporal Information Modified Dates Option")
_PATIENT = Concept("113108", "DCM", "Retain Patient Characteristics Option")
_DEVICE = Concept("113109", "DCM", "Retain Device Identity Option")

_DEVICE_KEYWORDS = frozenset(
    (
        "DetectorID",
        "DeviceSerialNumber",
        "DeviceUID",
        "GantryID",
        "GeneratorID",
        "ManufacturerDeviceClassUID",
        "StationName",
        "TransducerIdentificationSequence",
        "UDISequence",
        "UniqueDeviceIdentifier",
    )
)
_PATIENT_KEYWORDS = frozenset(("PatientAge", "PatientSex", "PatientSize", "PatientWeight", "PregnancyStatus"))
# Not in the profile's table: the standard lets them stay, we ask for a wish. There is no code for it.
SIDE_KEYWORDS = frozenset(
    (
        "AnatomicRegionModifierSequence",
        "AnatomicRegionSequence",
        "BodyPartExamined",
        "ImageLaterality",
        "Laterality",
        "PrimaryAnatomicStructureModifierSequence",
        "PrimaryAnatomicStructureSequence",
        "ViewCodeSequence",
        "ViewModifierCodeSequence",
    )
)
_DATE_KEYWORDS = frozenset(
    (
        "AcquisitionDate",
        "AcquisitionDateTime",
        "AcquisitionTime",
        "ContentDate",
        "ContentTime",
        "SeriesDate",
        "SeriesTime",
        "StudyDate",
        "StudyTime",
    )
)


class Dates(StrEnum):
    """What becomes of dates and times."""

    REMOVED = "removed"
    SHIFTED = "shifted"


class Encoding(StrEnum):
    """How pixels are written; none of these loses anything."""

    EXPLICIT_VR_LE = "explicit-vr-le"
    RLE = "rle"
    JPEG_LS = "jpeg-ls"
    JPEG_2000 = "jpeg-2000"


@dataclass(frozen=True)
class Keep:
    """What stays in the header although the profile or caution would take it.

    `device`: serial numbers and names of scanner and transducer. `patient`: age,
    sex, size, weight. `side`: side, body part, view. `dates`: gone, or moved by
    the same number of days for all images of a patient.
    """

    device: bool = False
    patient: bool = False
    side: bool = False
    dates: Dates = Dates.REMOVED

    @property
    def keywords(self) -> frozenset[str]:
        """Attributes that stay as they are."""
        kept: frozenset[str] = frozenset()
        for wanted, keywords in (
            (self.device, _DEVICE_KEYWORDS),
            (self.patient, _PATIENT_KEYWORDS),
            (self.side, SIDE_KEYWORDS),
        ):
            kept |= keywords if wanted else frozenset()
        return kept

    @property
    def shifted(self) -> frozenset[str]:
        """Dates that are moved, and times that stay with them."""
        return _DATE_KEYWORDS if self.dates is Dates.SHIFTED else frozenset()

    @property
    def methods(self) -> tuple[Concept, ...]:
        """Items of De-identification Method Code Sequence (0012,0064)."""
        options = (
            (self.dates is Dates.SHIFTED, _MODIFIED_DATES),
            (self.patient, _PATIENT),
            (self.device, _DEVICE),
        )
        return (*_PROFILE, *(code for wanted, code in options if wanted))
