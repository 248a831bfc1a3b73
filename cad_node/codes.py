"""Coded concepts that the program itself chooses between, as plain data.

Concepts that only name things (measurements, findings, titles) are wording and
stand in `dicom_templates/`, where a radiologist may change them. Here are those
whose choice is logic: which side, which unit, how the analysis ended.
"""

from __future__ import annotations

from typing import NamedTuple

from cad_node.domain import LesionClass, LesionOrientation, LesionShape, NotAnalysed, Quadrant


class Concept(NamedTuple):
    """A code, the scheme it belongs to, and what it means (PS3.3 section 8)."""

    value: str
    scheme: str
    meaning: str
    version: str = ""  # of the scheme, for the few that need one


# Our own scheme, for what no public scheme has a code: the reasons why an image
# was not analysed and the probabilities of the classes other than cancer.
PRIVATE_SCHEME = "99CADNODE"
PRIVATE_SCHEME_NAME = "CAD Node local concepts"

# Units of measurement, UCUM. A length and an area in pixels have the same unit:
# UCUM annotations in braces carry no dimension.
MILLIMETRE = Concept("mm", "UCUM", "millimeter")
SQUARE_MILLIMETRE = Concept("mm2", "UCUM", "square millimeter")
PIXELS = Concept("{pixels}", "UCUM", "pixels")
PERCENT = Concept("%", "UCUM", "percent")
FRAMES = Concept("{frames}", "UCUM", "frames")

# CID 244 Laterality, by the values of Laterality (0020,0060).
LATERALITY = {
    "L": Concept("7771000", "SCT", "Left"),
    "R": Concept("24028007", "SCT", "Right"),
    "B": Concept("51440002", "SCT", "Right and left"),
}

# CID 6020 Quadrant Location, and the centre.
QUADRANTS = {
    Quadrant.UPPER_OUTER: Concept("76365002", "SCT", "Upper outer quadrant of breast"),
    Quadrant.UPPER_INNER: Concept("77831004", "SCT", "Upper inner quadrant of breast"),
    Quadrant.LOWER_OUTER: Concept("33564002", "SCT", "Lower outer quadrant of breast"),
    Quadrant.LOWER_INNER: Concept("19100000", "SCT", "Lower inner quadrant of breast"),
    Quadrant.CENTRAL: Concept("49058007", "SCT", "Central portion of breast"),
}

# CID 6018 Clockface Location or Region. It has no half hours.
_CLOCK_FACE = (
    "129772004", "129773009", "129774003", "129775002", "129776001", "129777005",
    "129778000", "129779008", "129780006", "129781005", "129782003", "129783008",
)  # fmt: skip
CLOCK_FACE = {
    float(hour): Concept(value, "SCT", f"{hour} o'clock position")
    for hour, value in enumerate(_CLOCK_FACE, start=1)
}

# CID 6152 Orientation and CID 6004 Shape.
ORIENTATIONS = {
    LesionOrientation.PARALLEL: Concept("111355", "DCM", "Parallel"),
    LesionOrientation.NOT_PARALLEL: Concept("111356", "DCM", "Not parallel"),
}
SHAPES = {
    LesionShape.OVAL: Concept("84360004", "SCT", "Ovoid shape (Oval)"),
    LesionShape.ROUND: Concept("42700002", "SCT", "Round shape"),
    LesionShape.IRREGULAR: Concept("49608001", "SCT", "Irregular"),
}

# CID 29 Acquisition Modality.
ULTRASOUND = Concept("US", "DCM", "Ultrasound")
OTHER_MODALITY = Concept("OT", "DCM", "Other")

# CID 42 and TID 4017: how the analysis of one image ended.
SUMMARY_OF_DETECTIONS = Concept("111064", "DCM", "Summary of Detections")
SUCCEEDED = Concept("111222", "DCM", "Succeeded")
PARTIALLY_SUCCEEDED = Concept("111223", "DCM", "Partially Succeeded")
FAILED = Concept("111224", "DCM", "Failed")
NOT_ATTEMPTED = Concept("111225", "DCM", "Not Attempted")

# CID 6047: how the analysis of the whole study ended.
FINDINGS_SUMMARY = Concept("111017", "DCM", "CAD Processing and Findings Summary")
ALL_SUCCEEDED_WITHOUT = Concept("111241", "DCM", "All algorithms succeeded; without findings")
ALL_SUCCEEDED_WITH = Concept("111242", "DCM", "All algorithms succeeded; with findings")
NOT_ALL_SUCCEEDED_WITHOUT = Concept("111243", "DCM", "Not all algorithms succeeded; without findings")
NOT_ALL_SUCCEEDED_WITH = Concept("111244", "DCM", "Not all algorithms succeeded; with findings")
NONE_SUCCEEDED = Concept("111245", "DCM", "No algorithms succeeded; without findings")

# TID 1501 and TID 300: how a value was come to.
MEASUREMENT_METHOD = Concept("370129005", "SCT", "Measurement Method")

# TID 1500, TID 1600 and TID 1602.
COMMENT = Concept("121106", "DCM", "Comment")
QUALITATIVE_EVALUATIONS = Concept("C0034375", "UMLS", "Qualitative Evaluations")
IMAGE_LIBRARY = Concept("111028", "DCM", "Image Library")
IMAGE_LIBRARY_GROUP = Concept("126200", "DCM", "Image Library Group")
SOURCE = Concept("260753009", "SCT", "Source")
MODALITY = Concept("121139", "DCM", "Modality")
PIXEL_DATA_ROWS = Concept("110910", "DCM", "Pixel Data Rows")
PIXEL_DATA_COLUMNS = Concept("110911", "DCM", "Pixel Data Columns")
IMAGE_LATERALITY = Concept("111027", "DCM", "Image Laterality")

# TID 1411; and what a radiologist's report may call a lesion: CID 6063, and normal tissue.
TRACKING_UID = Concept("112040", "DCM", "Tracking Unique Identifier")
LESION_CLASSES = {
    ("30807003", "SCT"): LesionClass.BENIGN,
    ("21594007", "SCT"): LesionClass.MALIGNANT,
    ("17621005", "SCT"): LesionClass.NORMAL,
}

# Code values are SH, at most 16 characters (PS3.3 table 8.8-1); meanings are in the templates.
REASONS = {
    NotAnalysed.NOT_ULTRASOUND: "not-ultrasound",
    NotAnalysed.NO_PIXEL_DATA: "no-pixel-data",
    NotAnalysed.UNDECODABLE: "undecodable",
    NotAnalysed.VIDEO: "video",
    NotAnalysed.COLOUR_DOPPLER: "colour-doppler",
    NotAnalysed.SPECTRAL_DOPPLER: "spectral-doppler",
    NotAnalysed.M_MODE: "m-mode",
    NotAnalysed.ELASTOGRAPHY: "elastography",
    NotAnalysed.NOT_TWO_DIMENSIONAL: "not-2d",
    NotAnalysed.NO_TISSUE_REGION: "no-tissue",
    NotAnalysed.OTHER_BODY_PART: "other-body-part",
    NotAnalysed.CLEANING_FAILED: "cleaning-failed",
    NotAnalysed.OTHER_PICTURE: "other-picture",
}
