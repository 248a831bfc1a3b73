"""What results repeat from the images they speak of, taken over with care.

Headers come as scanners wrote them: attributes missing, dates that are none,
texts too long. Results must still be valid, and still belong to the same
patient and study. So identifiers are repeated as they are, everything else only
where it is valid, and what the standard wants present but not filled is empty.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache

from highdicom._standard_utils import get_module_attribute_map
from pydicom import config
from pydicom.charset import python_encoding
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import EnhancedUSVolumeStorage, UltrasoundImageStorage, UltrasoundMultiFrameImageStorage
from pydicom.valuerep import PersonName, validate_value

from cad_node.codes import LATERALITY, Concept
from cad_node.domain import ImageReference
from cad_node.encode.validate import keep_whole_items
from cad_node.read.lookup import LookupTable, lookup_table

_STUDY_MODULES = (
    "patient",
    "general-study",
    "patient-study",
    "clinical-trial-subject",
    "clinical-trial-study",
)
# Type 2 in Patient and General Study: PS3.3 C.7.1.1, C.7.2.1.
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)
# Repeated even where the value is not what its VR allows: they say whose study it is.
_IDENTIFIERS = frozenset({"PatientName", "PatientID", "StudyID", "AccessionNumber", "IssuerOfPatientID"})
_ENUMERATED = {"PatientSex": ("M", "F", "O")}
# What pydicom raises over values that are not what their VR says.
_UNREADABLE = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    NotImplementedError,
    EOFError,
    struct.error,
)
_EQUIPMENT = (
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "InstitutionName",
    "StationName",
)
# How a viewer shows the pixels before anybody asks otherwise.
_DISPLAY = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PixelAspectRatio",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PresentationLUTShape",
)
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
# With the two retired classes that old scanners still send.
_ULTRASOUND = {
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    EnhancedUSVolumeStorage,
    "1.2.840.10008.5.1.4.1.1.3",
    "1.2.840.10008.5.1.4.1.1.6",
}
_CHARACTER_SET_OF_LAST_RESORT = "ISO_IR 192"
# A change of character set within a text (ISO 2022). pydicom 3.0 decodes Chinese by ISO 2022 IR 58
# and leaves these in the text, where they would become part of the patient's name.
_ESCAPE = re.compile(r"\x1b[\x20-\x2f]+[\x30-\x7e]")


@dataclass(frozen=True)
class Source:
    """One source image as the encoders see it.

    `stand_in` is the least that highdicom needs to build an object, with the SOP
    Class of a single-frame Ultrasound Image whatever the image is, for highdicom
    knows no cine without a frame of reference. `study` holds the attributes of
    patient and study. `name` tells series number and instance number, and the end of
    the UID where another image has the same.
    """

    reference: ImageReference
    stand_in: Dataset
    study: Dataset
    equipment: Dataset
    display: Dataset
    name: str
    laterality: Concept | None
    side: str
    is_ultrasound: bool
    modality_table: LookupTable | None = None
    voi_table: LookupTable | None = None

    @property
    def is_colour(self) -> bool:
        """Whether the source is anything but monochrome; nothing said counts as monochrome."""
        photometric = str(self.display.get("PhotometricInterpretation") or "MONOCHROME2")
        return not photometric.startswith("MONOCHROME")


def read_source(reference: ImageReference, header: Dataset | None) -> Source:
    """Take over what results need from the header of an image; None: nothing is known.

    Never raises for what a header holds.
    """
    header = Dataset() if header is None else header
    # Invalid values are expected here, and pydicom would put them into its warnings.
    with config.disable_value_validation():
        return Source(
            reference=reference,
            stand_in=_stand_in(reference, header),
            study=_study_attributes(header),
            equipment=_copied(header, _EQUIPMENT),
            display=_copied(header, _DISPLAY),
            name=_name(reference, header),
            laterality=_laterality(header),
            side=_side(header),
            is_ultrasound=reference.sop_class_uid in _ULTRASOUND or _value(header, "Modality") == "US",
            modality_table=lookup_table(header, "ModalityLUTSequence"),
            voi_table=lookup_table(header, "VOILUTSequence"),
        )


def named_apart(sources: Iterable[Source]) -> dict[str, Source]:
    """The sources by SOP Instance UID; those that share a name get the end of their UID added to it.

    Two machines that share a study both begin with series 1, image 1.
    """
    listed = list(sources)
    shared = Counter(source.name for source in listed)
    apart = {}
    for source in listed:
        uid = source.reference.sop_instance_uid
        name = source.name if shared[source.name] == 1 else f"{source.name} ({uid[-8:]})"
        apart[uid] = replace(source, name=name)
    return apart


def stamp_study(dataset: Dataset, source: Source) -> None:
    """Put patient, study and character set of the source into a result."""
    for element in source.study:
        dataset[element.tag] = deepcopy(element)
    character_set = _character_set(dataset)
    if character_set is None:
        dataset.pop("SpecificCharacterSet", None)
    else:
        dataset.SpecificCharacterSet = character_set


def _stand_in(reference: ImageReference, header: Dataset) -> Dataset:
    stand_in = _copied(header, _LOSSY)
    if stand_in.get("LossyImageCompression") not in {"00", "01"}:
        for keyword in _LOSSY:
            stand_in.pop(keyword, None)
    for keyword in _TYPE_2:
        setattr(stand_in, keyword, "")
    stand_in.SOPClassUID = UltrasoundImageStorage
    stand_in.SOPInstanceUID = reference.sop_instance_uid
    stand_in.StudyInstanceUID = reference.study_instance_uid
    stand_in.SeriesInstanceUID = reference.series_instance_uid
    stand_in.Modality = "US"
    stand_in.Rows = reference.rows
    stand_in.Columns = reference.columns
    return stand_in


def _study_attributes(header: Dataset) -> Dataset:
    study = _copied(header, _study_keywords())
    for keyword in _TYPE_2:
        if keyword not in study:
            setattr(study, keyword, "")
    character_set = _value(header, "SpecificCharacterSet")
    if character_set:
        study.SpecificCharacterSet = character_set
    offset = _value(header, "TimezoneOffsetFromUTC")
    if isinstance(offset, str) and offset and _is_valid("SH", offset):
        study.TimezoneOffsetFromUTC = offset
    study.pop("StudyInstanceUID", None)
    keep_whole_items(study, _STUDY_MODULES)
    return study


@lru_cache(maxsize=1)
def _study_keywords() -> tuple[str, ...]:
    modules = get_module_attribute_map()
    return tuple(item["keyword"] for module in _STUDY_MODULES for item in modules[module] if not item["path"])


def _copied(header: Dataset, keywords: Sequence[str]) -> Dataset:
    """The attributes that are there and fit to be repeated."""
    copied = Dataset()
    for keyword in keywords:
        tag = tag_for_keyword(keyword)
        if tag is None or tag not in header:
            continue
        element = _copied_element(header, BaseTag(tag), keyword)
        if element is not None:
            copied[element.tag] = element
    return copied


def _copied_element(header: Dataset, tag: BaseTag, keyword: str) -> DataElement | None:
    try:
        element = header[tag]
        if element.VR == "SQ":
            return DataElement(tag, "SQ", [_copied_item(item) for item in element.value])
        value = _plain(element.value)
    except _UNREADABLE:  # what pydicom cannot convert is not repeated
        return None
    if element.VR == "UI" and not value:  # names nothing
        return None
    if keyword not in _IDENTIFIERS:
        if not _is_valid(element.VR, value):
            return None
        if value and keyword in _ENUMERATED and value not in _ENUMERATED[keyword]:
            return None
    return DataElement(tag, element.VR, value, validation_mode=config.IGNORE)


def _copied_item(item: Dataset) -> Dataset:
    copied = Dataset()
    for tag in list(item.keys()):
        element = _copied_element(item, tag, "")
        if element is not None and not element.tag.is_private:
            copied[element.tag] = element
    return copied


def _plain(value: object) -> object:
    """The value freed from its original bytes, so that it can be written in any character set."""
    if isinstance(value, PersonName):
        return _ESCAPE.sub("", str(value))
    if isinstance(value, (MultiValue, list)):
        return [_plain(part) for part in value]
    return _ESCAPE.sub("", value) if isinstance(value, str) else value


def _is_valid(vr: str, value: object) -> bool:
    parts = value if isinstance(value, list) else [value]
    try:
        for part in parts:
            validate_value(vr, str(part) if vr in {"DS", "IS"} else part, config.RAISE)
    except (ValueError, TypeError):
        return False
    return True


def _value(header: Dataset, keyword: str) -> object:
    try:
        return _plain(header.get(keyword))
    except _UNREADABLE:
        return None


def _name(reference: ImageReference, header: Dataset) -> str:
    numbers = [_value(header, keyword) for keyword in ("SeriesNumber", "InstanceNumber")]
    texts = [str(number) for number in numbers if number is not None]
    if len(texts) == len(numbers) and all(text.isdigit() for text in texts):
        return ".".join(texts)
    return reference.sop_instance_uid[-8:]


def _side(header: Dataset) -> str:
    """`L`, `R`, `B` as the header says of the image, else of the series; empty where it does not."""
    said = (str(_value(header, keyword)) for keyword in ("ImageLaterality", "Laterality"))
    return next((side for side in said if side in LATERALITY), "")


def _laterality(header: Dataset) -> Concept | None:
    return LATERALITY.get(_side(header))


def _character_set(dataset: Dataset) -> object:
    """The source's character set where it can write every text of the result, else UTF-8.

    Keeping it lets identifiers be byte for byte the source's own.
    """
    texts = list(_texts(dataset))
    declared = dataset.get("SpecificCharacterSet")
    if not declared:
        return None if all(text.isascii() for text in texts) else _CHARACTER_SET_OF_LAST_RESORT
    names = declared if isinstance(declared, (MultiValue, list)) else [declared]
    known = all(name in python_encoding for name in names)
    if all(text.isascii() for text in texts):
        return declared if known else None
    # Several sets mean escape sequences, which not every reader of results follows.
    if not known or len(names) > 1 or not _encodes(texts, python_encoding[names[0]]):
        return _CHARACTER_SET_OF_LAST_RESORT
    return declared


def _encodes(texts: Sequence[str], encoding: str) -> bool:
    try:
        for text in texts:
            text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _texts(dataset: Dataset) -> list[str]:
    texts: list[str] = []
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                texts += _texts(item)
        elif element.VR in {"LO", "LT", "PN", "SH", "ST", "UC", "UT"}:
            texts.append(str(element.value))
    return texts
