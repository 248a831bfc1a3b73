"""Reads a DICOM header however broken it is, without pixels and without surprises.

What the rest of the node gets from here can be iterated, copied and written
again: attributes that cannot be converted are gone, dates are dates, and every
identifier is a UID that may safely become part of a file name. Nothing is
guessed that names the patient or the study.
"""

from __future__ import annotations

import contextlib
import logging
import math
import re
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_file_meta_info, read_partial
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import PersonName

from cad_node.domain import is_valid_uid
from cad_node.errors import StudyError

logger = logging.getLogger(__name__)

PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_PIXEL_TAGS = frozenset((0x7FE00010, 0x7FE00008, 0x7FE00009))

# A deflated file (PS3.5 A.5) can grow a thousandfold; nothing honest inflates to more than this.
LARGEST_INFLATED_BYTES = 4 * 2**30

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")  # with dots: ACR-NEMA, PS3.5 6.2 note on DA
_TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(\.\d{1,6})?")


@dataclass(frozen=True)
class Header:
    """A mended header, and whether pixels follow it in the file."""

    dataset: Dataset
    has_pixel_data: bool


def read_header(path: Path) -> Dataset:
    """Read everything but the pixels of one DICOM file.

    Private, overlay and pixel elements are left out, and so is whatever cannot
    be converted to its value representation; a date or time that is none
    becomes empty. The four identifying UIDs are present and well formed.

    Raises
    ------
    StudyError
        Not a DICOM file, cut off before the header ends, or without a
        SOP Class, SOP Instance, Series or Study Instance UID.
    """
    return load_header(path).dataset


def read_headers(paths: Iterable[Path]) -> dict[str, Dataset]:
    """Headers by SOP Instance UID; unreadable files are left out, the first of equals is kept."""
    headers: dict[str, Dataset] = {}
    for path in paths:
        try:
            dataset = read_header(path)
        except StudyError as error:
            logger.warning("A file was left out: %s", error.problem)
            continue
        headers.setdefault(str(dataset.SOPInstanceUID), dataset)
    return headers


def load_header(path: Path) -> Header:
    """As `read_header`, and tells whether pixels follow."""
    has_pixels = False

    def at_pixels(tag: BaseTag, _vr: str | None, length: int) -> bool:
        nonlocal has_pixels
        if tag in _PIXEL_TAGS:
            has_pixels = length > 0  # undefined length is 0xFFFFFFFF
            return True
        return int(tag) > 0x7FE00010

    dataset = _parse(path, at_pixels)
    with quiet_pydicom():
        _name_transfer_syntax(dataset)
        _mend(dataset)
        _check_identity(dataset)
    return Header(dataset, has_pixels)


def read_with_pixels(path: Path) -> Dataset:
    """Read one file whole, unmended; for the decoder only.

    Raises
    ------
    StudyError
        The file cannot be read or parsed.
    """
    dataset = _parse(path, lambda tag, _vr, _length: int(tag) > 0x7FE00010)
    _name_transfer_syntax(dataset)
    return dataset


@contextlib.contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Silence pydicom's warnings: they quote values, and a value may be a name or a date."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def looks_like_dicom(start: bytes) -> bool:
    """Whether the first 132 bytes of a file can be DICOM, with or without the preamble.

    Without preamble a file begins with a group 0002 or 0008 element, in either byte order.
    """
    if start[128:132] == b"DICM":
        return True
    if len(start) < 8:
        return False
    little, big = start[0:4], start[1::-1] + start[3:1:-1]
    for head in (little, big):
        group = int.from_bytes(head[0:2], "little")
        element = int.from_bytes(head[2:4], "little")
        if group in (0x0002, 0x0008) and element <= 0x0018:
            return True
    return False


def text(dataset: Dataset, keyword: str) -> str:
    """An attribute's first value as stripped text; empty where absent or broken."""
    values = texts(dataset, keyword)
    return values[0] if values else ""


def texts(dataset: Dataset, keyword: str) -> list[str]:
    """All values of an attribute as stripped text; none where absent or broken."""
    return [str(value).strip(" \0") for value in _values(dataset, keyword)]


def integer(dataset: Dataset, keyword: str) -> int | None:
    """An attribute's first value as an integer; None where absent or broken."""
    value = number(dataset, keyword)
    return None if value is None else int(value)


def number(dataset: Dataset, keyword: str) -> float | None:
    """An attribute's first value as a finite number; None where absent or broken."""
    values = numbers(dataset, keyword)
    return values[0] if values else None


def numbers(dataset: Dataset, keyword: str) -> list[float]:
    """All values of an attribute as finite numbers; none where any of them is not."""
    converted = []
    for value in _values(dataset, keyword):
        try:
            converted.append(float(value))  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            return []
    return converted if all(map(math.isfinite, converted)) else []


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none where absent or broken."""
    return [item for item in _values(dataset, keyword) if isinstance(item, Dataset)]


def transfer_syntax_of(dataset: Dataset) -> UID:
    """The Transfer Syntax UID in the file meta information; empty where there is none or no UID."""
    meta = getattr(dataset, "file_meta", None)
    uid = text(meta, "TransferSyntaxUID") if isinstance(meta, Dataset) else ""
    return UID(uid if is_valid_uid(uid) else "")


def is_big_endian(dataset: Dataset) -> bool:
    """Whether the file has its words big end first; pydicom 3.0 leaves those of OW so."""
    if transfer_syntax_of(dataset).is_little_endian is False:
        return True
    return getattr(dataset, "original_encoding", (None, None))[1] is False


def _values(dataset: Dataset, keyword: str) -> Sequence[object]:
    try:
        with quiet_pydicom():
            value = dataset.get(keyword)
    except Exception:  # conversion is lazy, and hostile bytes make pydicom raise nearly anything
        logger.debug("%s could not be converted", keyword)
        return ()
    if isinstance(value, PersonName):  # its letters are no values
        value = str(value)
    if value is None or (isinstance(value, str) and not value.strip(" \0")):
        return ()
    if isinstance(value, str | bytes | int | float) or not isinstance(value, Sequence | Iterable):
        return (value,)
    return list(value)


def _parse(path: Path, stop_when: Callable[[BaseTag, str | None, int], bool]) -> FileDataset:
    """Read a file up to `stop_when`, every foreign exception translated."""
    try:
        with path.open("rb") as file, quiet_pydicom():
            if not looks_like_dicom(file.read(132)):
                raise StudyError("A file is not DICOM.", "Leave it out.")
            _check_inflated_size(path, file)
            file.seek(0)
            return read_partial(file, stop_when=stop_when, force=True)
    except StudyError:
        raise
    except OSError as error:
        raise StudyError(
            f"A file cannot be read ({type(error).__name__}).", "Check that it exists and may be read."
        ) from error
    except Exception as error:  # the same laziness: struct, zlib, key, recursion and more
        raise StudyError(
            f"A DICOM header cannot be parsed ({type(error).__name__}).", "Ask the sender for the file again."
        ) from error


def _check_inflated_size(path: Path, file: BinaryIO) -> None:
    """Refuse a deflated data set that would fill the memory; pydicom inflates it in one go."""
    file.seek(128)
    if file.read(4) != b"DICM":
        return
    meta = read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    file.seek(132 + 12 + int(meta.FileMetaInformationGroupLength))
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    total = 0
    pending = b""
    while chunk := pending or file.read(2**16):
        total += len(inflate.decompress(chunk, 2**24))
        pending = inflate.unconsumed_tail
        if total > LARGEST_INFLATED_BYTES:
            raise StudyError("A deflated file is too large when inflated.", "Send it uncompressed.")


def _name_transfer_syntax(dataset: Dataset) -> None:
    """Write down the encoding that was found, where the file meta information says nothing."""
    if transfer_syntax_of(dataset):
        return
    implicit, little = dataset.original_encoding
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax if little else ExplicitVRBigEndian


def _mend(dataset: Dataset) -> None:
    """Drop what cannot be converted or is not wanted, and straighten dates, recursively."""
    for tag in list(dataset.keys()):
        if tag.is_private or tag.group >= 0x5000:
            del dataset[tag]
            continue
        try:
            element = dataset[tag]
            if element.VR == "SQ":
                for item in element.value:
                    _mend(item)
            elif element.VR in {"DA", "TM"}:
                element.value = _straight(element.value, _DATE if element.VR == "DA" else _TIME)
            elif element.VR in {"IS", "DS"} and not _is_numeric(element.value):
                del dataset[tag]
        except Exception:  # see _values
            logger.debug("Attribute %s could not be converted and was dropped", tag)
            del dataset[tag]


def _is_numeric(value: object) -> bool:
    """Whether IS or DS holds numbers: pydicom leaves text that is none as text."""
    if isinstance(value, str):
        return not value.strip(" \0")
    if isinstance(value, Iterable):
        return all(_is_numeric(one) for one in value)
    return value is None or isinstance(value, int | float | Decimal)


def _straight(value: object, pattern: re.Pattern[str]) -> object:
    """A date or time without ACR-NEMA punctuation; empty where it is none."""
    if value is None or value == "":
        return value
    if not isinstance(value, str):
        return [_straight(one, pattern) for one in value] if isinstance(value, Iterable) else value
    match = pattern.fullmatch(value.strip(" \0"))
    return "".join(part or "" for part in match.groups()) if match else ""


def _check_identity(dataset: Dataset) -> None:
    """Make sure that the four UIDs are there and can do no harm in a file name."""
    meta = getattr(dataset, "file_meta", None)
    for keyword, fallback in (
        ("SOPClassUID", "MediaStorageSOPClassUID"),
        ("SOPInstanceUID", "MediaStorageSOPInstanceUID"),
        ("SeriesInstanceUID", ""),
        ("StudyInstanceUID", ""),
    ):
        uid = text(dataset, keyword)
        if not uid and fallback and isinstance(meta, Dataset):
            uid = text(meta, fallback)
        if not is_valid_uid(uid):
            raise StudyError(f"An instance has no valid {keyword}.", "Ask the sender for the file again.")
        setattr(dataset, keyword, UID(uid))
