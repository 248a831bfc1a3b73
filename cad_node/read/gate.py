"""What must not be analysed, and why.

The networks have seen B-mode pictures of tissue and nothing else. Whatever is
not certainly that is refused with a reason, which the report repeats; nothing
is left out in silence. Here the header is asked; `tint` asks the picture,
because headers keep silent about colour more often than not.
"""

from __future__ import annotations

import re

from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    MPEGTransferSyntaxes,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from cad_node.codes import PRIVATE_SCHEME
from cad_node.domain import NotAnalysed, Refusal
from cad_node.read.calibration import (
    FORMAT_M_MODE,
    FORMAT_SPECTRAL,
    TYPE_COLOUR_FLOW,
    TYPE_CW,
    TYPE_PW,
    ultrasound_regions,
)
from cad_node.read.headers import PIXEL_KEYWORDS, integer, items, text, texts, transfer_syntax_of

ULTRASOUND_CLASSES = frozenset(
    (
        UltrasoundImageStorage,
        UltrasoundMultiFrameImageStorage,
        "1.2.840.10008.5.1.4.1.1.6",  # Ultrasound Image Storage (Retired)
        "1.2.840.10008.5.1.4.1.1.3",  # Ultrasound Multi-frame Image Storage (Retired)
    )
)
VOLUME_CLASS = "1.2.840.10008.5.1.4.1.1.6.2"  # Enhanced US Volume Storage
CAPTURE_CLASSES = frozenset(
    (
        SecondaryCaptureImageStorage,
        MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        MultiFrameTrueColorSecondaryCaptureImageStorage,
    )
)

# HEVC and SMPTE ST 2110 are no MPEG to pydicom; PS3.5 8.2.10 to 8.2.12, PS3.22.
_VIDEO_PREFIXES = ("1.2.840.10008.1.2.4.10", "1.2.840.10008.1.2.7.")

# Rows x columns x frames. A ten-minute cine at 1024 x 768 and 10 Hz has less than this.
LARGEST_PIXELS = 2**29

# PS3.3 C.7.3.1.1.1 retired these modalities into US; the name still says what it shows.
_RETIRED_MODALITIES = {"CD": NotAnalysed.COLOUR_DOPPLER, "DD": NotAnalysed.SPECTRAL_DOPPLER}
_OTHER_SOUND = frozenset(("IVUS", "BDUS", "OPM"))

# PS3.3 C.8.5.6.1.1, Image Type value 4: sum of these hexadecimal flags. 1 is 2-D imaging and
# 400 spatially related frames, both harmless. The gravest is named first.
_MODE_FLAGS = (
    (0x0004 | 0x0008, NotAnalysed.SPECTRAL_DOPPLER),
    (0x0002 | 0x0020, NotAnalysed.M_MODE),
    (0x0010 | 0x0100, NotAnalysed.COLOUR_DOPPLER),
    (0x0200, NotAnalysed.ELASTOGRAPHY),  # tissue characterisation
    (0x0040, NotAnalysed.NOT_TWO_DIMENSIONAL),  # 3-D rendering
)

_ELASTOGRAPHY = re.compile(
    r"elasto|elasticity|shear.?wave|(?<![a-z])(swe|swei|arfi|strain)(?![a-z])", re.IGNORECASE
)
_BREAST = re.compile(r"breast|axill|mamm|nipple", re.IGNORECASE)
_BREAST_CODES = frozenset(
    # SCT breast, left, right, both, axilla; the same in SRT.
    (
        "76752008", "80248007", "73056007", "63762007", "91470000", "34797008",
        "T-04000", "T-04020", "T-04030", "T-04080", "T-D8104",
    )
)  # fmt: skip
# PS3.3 C.8.5.6.1.1, Image Type value 3; the terms that can be no breast. BREAST, SMALL PARTS,
# CHEST, INTRAOPERATIVE, PEDIATRIC, VASCULAR and MUSCULOSKELETAL can.
_OTHER_ANALYSES = frozenset(
    (
        "ABDOMINAL", "ENDOCAVITARY", "ENDORECTAL", "ENDOVAGINAL", "EPICARDIAL", "FETAL HEART", "GYNECOLOGY",
        "INTRACARDIAC", "INTRAVASCULAR", "NEONATAL HEAD", "OBSTETRICAL", "OPHTHALMIC", "PELVIC", "RENAL",
        "TEE", "THYROID", "TRANSCRANIAL", "TTE", "UROLOGICAL",
    )
)  # fmt: skip


def gate(
    dataset: Dataset, *, breast_only: bool = False, has_pixel_data: bool | None = None
) -> Refusal | None:
    """Why a header forbids the analysis of its image, or None.

    The first reason that applies, from the object as a whole to its picture. A
    duplex or triplex image is refused for its spectrum even though a B-mode
    picture stands beside it: the picture is then a frozen guide, often in
    colour. Traces of an ECG beside the picture are no reason.

    Parameters
    ----------
    dataset
        A header; Pixel Data is not looked into.
    breast_only
        Also refuse what is named as another body part than breast or axilla.
    has_pixel_data
        Whether pixels follow a header that was read without them; None: look for them in `dataset`.
    """
    return (
        _gate_object(dataset)
        or _gate_encoding(dataset, _has_pixels(dataset) if has_pixel_data is None else has_pixel_data)
        or _gate_mode(dataset)
        or (_gate_body_part(dataset) if breast_only else None)
        or _gate_regions(dataset)
    )


def _gate_object(dataset: Dataset) -> Refusal | None:
    """Whether the SOP Class and the modality are those of a two-dimensional ultrasound image."""
    sop_class, modality = text(dataset, "SOPClassUID"), text(dataset, "Modality").upper()
    if sop_class == VOLUME_CLASS:
        return Refusal(NotAnalysed.NOT_TWO_DIMENSIONAL, "Enhanced US Volume")
    if sop_class in CAPTURE_CLASSES:
        if modality != "US":
            return Refusal(NotAnalysed.NOT_ULTRASOUND, "Secondary Capture of another modality")
    elif sop_class not in ULTRASOUND_CLASSES:
        return Refusal(NotAnalysed.NOT_ULTRASOUND, "not an ultrasound SOP Class")
    if modality in _OTHER_SOUND:
        return Refusal(NotAnalysed.NOT_ULTRASOUND, f"modality {modality}")
    if modality in _RETIRED_MODALITIES:
        return Refusal(_RETIRED_MODALITIES[modality], f"modality {modality}")
    return None


def _gate_encoding(dataset: Dataset, has_pixels: bool) -> Refusal | None:
    """Whether there are pixels that can be decoded into pictures of a sane size."""
    syntax = transfer_syntax_of(dataset)
    if not has_pixels:
        return Refusal(NotAnalysed.NO_PIXEL_DATA)
    if syntax in MPEGTransferSyntaxes or syntax.startswith(_VIDEO_PREFIXES):
        return Refusal(NotAnalysed.VIDEO, syntax.name)
    if syntax and not _is_decodable(syntax):
        return Refusal(NotAnalysed.UNDECODABLE, "no decoder for its transfer syntax")
    rows, columns = integer(dataset, "Rows") or 0, integer(dataset, "Columns") or 0
    frames = number_of_frames(dataset)
    faults = (
        (min(rows, columns, frames) < 1, "no valid Rows, Columns or Number of Frames"),
        (rows * columns * frames > LARGEST_PIXELS, f"larger than {LARGEST_PIXELS} pixels"),
        (integer(dataset, "SamplesPerPixel") not in {1, 3}, "Samples per Pixel is neither 1 nor 3"),
        (integer(dataset, "BitsAllocated") not in {8, 16, 32}, "Bits Allocated is none of 8, 16 and 32"),
    )
    return next((Refusal(NotAnalysed.UNDECODABLE, why) for wrong, why in faults if wrong), None)


def _gate_mode(dataset: Dataset) -> Refusal | None:
    """Whether the header names another mode than B-mode."""
    regions = ultrasound_regions(dataset)
    formats = {region.spatial_format for region in regions}
    types = {region.data_type for region in regions}
    if FORMAT_SPECTRAL in formats or types & {TYPE_PW, TYPE_CW}:
        return Refusal(NotAnalysed.SPECTRAL_DOPPLER, "a region is spectral Doppler")
    if FORMAT_M_MODE in formats:
        return Refusal(NotAnalysed.M_MODE, "a region is M-mode")
    if TYPE_COLOUR_FLOW in types:
        return Refusal(NotAnalysed.COLOUR_DOPPLER, "a region is colour flow")

    image_type = texts(dataset, "ImageType")
    if len(image_type) > 3 and re.fullmatch(r"[0-9A-Fa-f]{4}", image_type[3]):
        flags = int(image_type[3], 16)
        for mask, reason in _MODE_FLAGS:
            if flags & mask:
                return Refusal(reason, f"Image Type value 4 is {image_type[3]}")

    # A series often bears the name of the whole examination, which may well include elastography;
    # only a name of its own speaks of this series' pictures.
    series = text(dataset, "SeriesDescription")
    named = series if series != text(dataset, "StudyDescription") else ""
    if _ELASTOGRAPHY.search(" ".join((*image_type[2:], named))):
        return Refusal(NotAnalysed.ELASTOGRAPHY, "Image Type or Series Description names it")
    return None


def _gate_body_part(dataset: Dataset) -> Refusal | None:
    """Whether the header names a body part, and it is not the breast."""
    regions = items(dataset, "AnatomicRegionSequence")
    codes = [text(region, "CodeValue") for region in regions]
    names = [text(dataset, "BodyPartExamined"), *(text(region, "CodeMeaning") for region in regions)]
    if any(map(_BREAST.search, names)) or not _BREAST_CODES.isdisjoint(codes):
        return None
    if any(names) or any(codes):
        return Refusal(NotAnalysed.OTHER_BODY_PART, "the body part is named and is not the breast")
    image_type = texts(dataset, "ImageType")
    if len(image_type) > 2 and image_type[2].upper() in _OTHER_ANALYSES:
        return Refusal(NotAnalysed.OTHER_BODY_PART, f"Image Type value 3 is {image_type[2].upper()}")
    return None


def _gate_regions(dataset: Dataset) -> Refusal | None:
    """Whether the regions say that the image shows no tissue; silence is no reason."""
    telling = [region for region in ultrasound_regions(dataset) if not region.is_dummy]
    if telling and not any(region.is_tissue for region in telling):
        return Refusal(NotAnalysed.NO_TISSUE_REGION, "its regions are of other kinds")
    return None


def number_of_frames(dataset: Dataset) -> int:
    """Number of Frames, 1 where it is absent, 0 where it is broken."""
    if "NumberOfFrames" not in dataset:
        return 1
    if text(dataset, "NumberOfFrames") == "":
        return 1
    return integer(dataset, "NumberOfFrames") or 0


def is_own_result(dataset: Dataset) -> bool:
    """Whether a node made this object: it declares the node's own coding scheme, as all of its results do."""
    schemes = items(dataset, "CodingSchemeIdentificationSequence")
    return any(text(scheme, "CodingSchemeDesignator") == PRIVATE_SCHEME for scheme in schemes)


def _has_pixels(dataset: Dataset) -> bool:
    return any(
        keyword in dataset and len(dataset.get_item(keyword).value or b"") > 0 for keyword in PIXEL_KEYWORDS
    )


def _is_decodable(syntax: str) -> bool:
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False
