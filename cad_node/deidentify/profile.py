"""The header policy: what of a header a de-identified copy repeats.

Nothing is deleted here: a new header is built from what may stay, so that an
attribute nobody thought of is left out. The table of PS3.15 Annex E
(dicom-anonymizer's, edition 2026c) takes what it names, at any depth; of the
rest, numbers and defined terms about the picture stay, and texts only from a
short list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache

from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom import config
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import UID

from cad_node import __version__
from cad_node.codes import Concept
from cad_node.deidentify.options import SIDE_KEYWORDS, Keep
from cad_node.deidentify.pseudonyms import Pseudonyms
from cad_node.read.headers import quiet_pydicom, text, texts

_EDITION = "dicomfields_2026c"

# What is left of the table's say: identification, acquisition, relationship, picture. Patient,
# trial, visit and procedure (groups 0010, 0012, 0032, 0038, 0040) are not about the picture.
_GROUPS = frozenset((0x0008, 0x0018, 0x0020, 0x0028))
_NUMBERS = frozenset(("AT", "DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"))
_STRINGS = frozenset(("CS", "LO", "SH"))
# Written by the machine, not by a person. Everything else of VR LO, SH, ST, LT, UT, UC, UR, PN, AE goes.
_TEXTS = frozenset(
    (
        "CodeMeaning",
        "CodeValue",
        "CodingSchemeDesignator",
        "CodingSchemeVersion",
        "LongCodeValue",
        "Manufacturer",
        "ManufacturerModelName",
        "OutputPower",
        "ProcessingFunction",
        "SecondaryCaptureDeviceManufacturer",
        "SecondaryCaptureDeviceManufacturerModelName",
        "SecondaryCaptureDeviceSoftwareVersions",
        "SoftwareVersions",
        "TransducerData",
    )
)
_CODE_PARTS = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
_SEQUENCES = frozenset(("SequenceOfUltrasoundRegions",))
# Numbers and terms that other code of this room writes, or that are not to be believed any more.
_REPLACED = frozenset(
    (
        "BurnedInAnnotation",
        "LongitudinalTemporalInformationModified",
        "RecognizableVisualFeatures",
        "SpecificCharacterSet",
        "SOPInstanceStatus",
    )
)
# PS3.3 C.8.5.6.1.1, Image Type value 3, and the sum of flags in value 4.
_ANALYSES = frozenset(
    (
        "ABDOMINAL", "BREAST", "CHEST", "ENDOCAVITARY", "ENDORECTAL", "ENDOVAGINAL", "EPICARDIAL",
        "FETAL HEART", "GYNECOLOGY", "INTRACARDIAC", "INTRAOPERATIVE", "INTRAVASCULAR", "MUSCULOSKELETAL",
        "NEONATAL HEAD", "OBSTETRICAL", "OPHTHALMIC", "PEDIATRIC", "PELVIC", "RENAL", "SMALL PARTS", "TEE",
        "THYROID", "TRANSCRANIAL", "TTE", "UROLOGICAL", "VASCULAR",
    )
)  # fmt: skip
# Type 2 in the modules of an ultrasound image: PS3.3 C.7.1.1, C.7.2.1, C.7.3.1, C.7.5.1, C.7.6.1.
_TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName", "SeriesNumber", "Manufacturer", "InstanceNumber",
)  # fmt: skip
_IDENTIFYING = ("PatientID", "OtherPatientIDs", "AccessionNumber", "StudyID", "IssuerOfPatientID")
# Shorter words than this are met in any text by chance.
_SHORTEST_WORD = 3
# HIPAA Safe Harbor, 45 CFR 164.514(b)(2)(i)(C): ages over 89 are one category.
_OLDEST_YEARS = 90
# CID 7005 Contributing Equipment Purpose of Reference.
_DEIDENTIFYING = Concept("109104", "DCM", "De-identifying Equipment")


@dataclass(frozen=True)
class _Policy:
    """What decides over the attributes of one header."""

    keep: Keep
    pseudonyms: Pseudonyms
    days_back: int
    # Words of names and numbers of persons; no text that holds one of them stays.
    words: frozenset[str] = field(repr=False)


def deidentify(header: Dataset, keep: Keep, pseudonyms: Pseudonyms) -> Dataset:
    """The header of a de-identified copy; says nothing yet of the pixels (see `declare_clean`).

    Patient ID and Name become one pseudonym; every UID that is not the
    standard's own becomes another, the same for the same wherever it stands.

    Parameters
    ----------
    header
        As `cad_node.read.read_header` gives it: no pixels, nothing private, no overlays.
    keep
        What the user picked.
    pseudonyms
        The run's.
    """
    who = _patient(header)
    policy = _Policy(keep, pseudonyms, pseudonyms.days_back(*who), frozenset(_words(header)))
    with quiet_pydicom(), config.disable_value_validation():
        copy = _copied(header, policy)
        for keyword in _TYPE_2:
            if keyword not in copy:
                setattr(copy, keyword, "")
        if "ImageLaterality" not in copy and "Laterality" not in copy:
            copy.Laterality = ""  # type 2C: unknown, rather than no such side
        copy.PatientID = pseudonyms.patient(*who)
        copy.PatientName = copy.PatientID
        copy.SOPClassUID = header.SOPClassUID
        copy.ImageType = _image_type(header)
        if "PatientAge" in copy:
            copy.PatientAge = _age(str(copy.PatientAge or ""))
        copy.PatientIdentityRemoved = "YES"
        copy.DeidentificationMethod = f"CAD Node {__version__}: PS3.15 Annex E, table of 2026c"
        copy.DeidentificationMethodCodeSequence = [_coded(code) for code in keep.methods]
        copy.LongitudinalTemporalInformationModified = "MODIFIED" if keep.shifted else "REMOVED"
        copy.ContributingEquipmentSequence = [_equipment()]
        if any(tag not in copy for tag in _pointers(copy)):
            del copy.FrameIncrementPointer
        if not all(one.isascii() for one in _strings(copy)):
            copy.SpecificCharacterSet = "ISO_IR 192"
    return copy


def declare_clean(copy: Dataset) -> None:
    """Say that nothing is burnt in; only for pictures that a check has passed."""
    copy.BurnedInAnnotation = "NO"


def _patient(header: Dataset) -> tuple[str, ...]:
    """What tells one patient from another; without a Patient ID no two studies are joined."""
    if number := text(header, "PatientID"):
        return number, text(header, "IssuerOfPatientID")
    return "", "", text(header, "StudyInstanceUID")


def _copied(item: Dataset, policy: _Policy) -> Dataset:
    copy = Dataset()
    for tag in sorted(item.keys()):
        element = _element(item, BaseTag(tag), policy)
        if element is not None:
            copy[element.tag] = element
    return copy


def _element(item: Dataset, tag: BaseTag, policy: _Policy) -> DataElement | None:
    """The element as the copy has it, or None."""
    keyword = keyword_for_tag(tag)
    if tag.is_private or not keyword or keyword in _REPLACED:
        return None
    try:
        element = item[tag]
        action = _action(element, keyword, policy.keep)
        return action(element, policy) if action else None
    except Exception:  # conversion is lazy, and broken bytes raise nearly anything
        return None


def _action(
    element: DataElement, keyword: str, keep: Keep
) -> Callable[[DataElement, _Policy], DataElement | None] | None:
    """What is done with an attribute; None: it goes. The first rule that speaks of it holds."""
    tag, vr = element.tag, element.VR
    action = None
    if keyword in keep.keywords:
        action = _kept
    elif keyword in keep.shifted:
        action = _shifted
    elif keyword in SIDE_KEYWORDS or tag.group not in _GROUPS:
        pass
    elif vr == "UI":
        action = _renamed
    elif (tag.group, tag.element) in _table():
        pass
    elif vr in _NUMBERS or vr == "CS" or keyword in _TEXTS or keyword in _SEQUENCES:
        action = _kept
    return action


def _kept(element: DataElement, policy: _Policy) -> DataElement | None:
    """An element that may stay, unless it names the patient after all."""
    if element.VR == "SQ":
        copies = [(item, _copied(item, policy)) for item in element.value]
        whole = [copy for item, copy in copies if copy and not _is_torn(item, copy)]
        return DataElement(element.tag, "SQ", whole) if whole else None
    if element.VR in _STRINGS and policy.words & set(_split(element.value)):
        return None
    return DataElement(element.tag, element.VR, _plain(element.value))


def _is_torn(item: Dataset, copy: Dataset) -> bool:
    """Whether a code lost one of its parts, and so its meaning."""
    return any(part in item and part not in copy for part in _CODE_PARTS)


def _renamed(element: DataElement, policy: _Policy) -> DataElement:
    """UIDs of the standard say what something is; all others say which one."""

    def new(uid: str) -> str:
        return uid if not uid or UID(uid).type else policy.pseudonyms.uid(uid)

    value = element.value
    if isinstance(value, MultiValue | list):
        return DataElement(element.tag, "UI", [new(str(one)) for one in value])
    return DataElement(element.tag, "UI", new(str(value or "")))


def _shifted(element: DataElement, policy: _Policy) -> DataElement | None:
    """A date moved back; times stay as they are."""
    value = element.value
    if not isinstance(value, str):
        return None
    if element.VR == "TM":
        return DataElement(element.tag, "TM", value)
    try:
        day = date(int(value[:4]), int(value[4:6]), int(value[6:8])) - timedelta(days=policy.days_back)
    except (ValueError, OverflowError):
        return None
    # A DT may end in an offset from UTC, which tells the place.
    rest = re.match(r"[0-9.]*", value[8:])
    time = rest[0] if rest and element.VR == "DT" else ""
    return DataElement(element.tag, element.VR, day.isoformat().replace("-", "") + time)


def _image_type(header: Dataset) -> list[str]:
    """DERIVED, and of the rest what is a defined term."""
    values = [value.upper() for value in texts(header, "ImageType")]
    second = values[1] if len(values) > 1 and values[1] in {"PRIMARY", "SECONDARY"} else "PRIMARY"
    kept = ["DERIVED", second]
    if len(values) > 2:
        kept.append(values[2] if values[2] in _ANALYSES else "")
    if len(values) > 3 and re.fullmatch(r"[0-9A-F]{4}", values[3]):
        kept.append(values[3])
    return kept


def _pointers(copy: Dataset) -> list[BaseTag]:
    """What Frame Increment Pointer points to; it may have been private."""
    value = copy.get("FrameIncrementPointer")
    if value is None:
        return []
    return list(value) if isinstance(value, MultiValue | list) else [value]


def _age(value: str) -> str:
    match = re.fullmatch(r"(\d{3})[DWMY]", value.strip())
    if match is None:  # such as 95Y, or 95: nobody can say whether that is one to tell
        return ""
    is_oldest = value.strip().endswith("Y") and int(match[1]) >= _OLDEST_YEARS
    return f"{_OLDEST_YEARS:03d}Y" if is_oldest else value


def _equipment() -> Dataset:
    item = Dataset()
    item.Manufacturer = "CAD Node"
    item.SoftwareVersions = __version__
    item.PurposeOfReferenceCodeSequence = [_coded(_DEIDENTIFYING)]
    return item


def _coded(concept: Concept) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = concept.value, concept.scheme
    item.CodeMeaning = concept.meaning
    return item


@lru_cache(maxsize=1)
def _table() -> frozenset[tuple[int, int]]:
    """Attributes that PS3.15 table E.1-1 names; its repeating groups never get here."""
    tags = dicom_anonymization_database_selector(_EDITION)["ALL_TAGS"]
    return frozenset((tag[0], tag[1]) for tag in tags if len(tag) == 2)


def _plain(value: object) -> object:
    """The value freed from its original bytes, so that it can be written in any character set."""
    if isinstance(value, MultiValue | list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, str) else value


def _words(item: Dataset) -> Iterator[str]:
    """Words and numbers by which persons go, at any depth."""
    for tag in list(item.keys()):
        try:
            element = item[tag]
            if element.VR == "SQ":
                for one in element.value:
                    yield from _words(one)
            elif element.VR == "PN" or element.keyword in _IDENTIFYING:
                yield from _split(element.value)
        except Exception:  # noqa: S112  as in _element: it is not copied either
            continue


def _split(value: object) -> list[str]:
    found = re.findall(r"\w+", str(value).casefold().replace("_", " "))
    return [word for word in found if len(word) >= _SHORTEST_WORD]


def _strings(item: Dataset) -> Iterator[str]:
    for element in item:
        if element.VR == "SQ":
            for one in element.value:
                yield from _strings(one)
        elif element.VR in _STRINGS:
            yield str(element.value)
