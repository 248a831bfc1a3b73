"""What a radiologist's answer says: a key object selection, or a verified report.

A key object selection (PS3.3 A.35.4) says yes or no by its document title, of
the objects that it selects. A report says yes by being verified and naming the
node's report among its Predecessor Documents: the lesions that it repeats, by
Tracking UID, are kept, with another class where it gives one. No name, no date
and no text of either is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from cad_node.codes import LESION_CLASSES, TRACKING_UID
from cad_node.domain import Answer, LesionClass, Verdict, is_valid_uid
from cad_node.errors import UnreadableDatasetError
from cad_node.settings import AnswerSettings

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"

# Read in the process that receives. Real ones are a few kilobytes, a report of the node some 15 an image:
# whatever is larger is not read, nor what has more items, of which each takes pydicom 30 µs and 1.4 kB.
_LARGEST_BYTES = 10_000_000
_MOST_ITEMS = 50_000
_ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # little and big endian
_DEEPEST = 16


def read_answer(path: Path, settings: AnswerSettings) -> Answer:
    """What the object says, and of which objects.

    Parameters
    ----------
    path
        A Part 10 file with a key object selection or a structured report.
    settings
        Which document titles mean yes and no.

    Raises
    ------
    UnreadableDatasetError
        It is damaged, or far larger than such an object is.
    """
    if path.stat().st_size > _LARGEST_BYTES:
        raise UnreadableDatasetError("An answer is too large to be one.")
    content = path.read_bytes()
    if sum(map(content.count, _ITEM_TAGS)) > _MOST_ITEMS:
        raise UnreadableDatasetError("An answer has too many items to be one.")
    try:
        dataset = dcmread(BytesIO(content))
        if dataset.SOPClassUID == KEY_OBJECT_SELECTION:
            return _key_objects(dataset, settings)
        return _report(dataset)
    except Exception as error:  # damage may make a reader raise anything
        raise UnreadableDatasetError(f"An answer cannot be read: {type(error).__name__}.") from error


def _key_objects(dataset: Dataset, settings: AnswerSettings) -> Answer:
    title = _code(dataset.get("ConceptNameCodeSequence"))[0]
    selected = {
        _uid(reference, "ReferencedSOPInstanceUID")
        for item in _tree(dataset)
        for reference in item.get("ReferencedSOPSequence") or ()
    }
    verdict = _meaning(title, settings)
    # A code that means nothing here may be anything; only what looks like CID 7010 is kept.
    known = verdict is not Verdict.UNCLEAR or title.isdigit()
    return Answer(verdict, frozenset(selected), _studies(dataset), title if known else "")


def _meaning(title: str, settings: AnswerSettings) -> Verdict:
    """The verdict of a document title.

    Examples
    --------
    >>> _meaning("113037", AnswerSettings())
    <Verdict.REJECT: 'reject'>
    """
    if title in settings.accept_titles:
        return Verdict.ACCEPT
    return Verdict.REJECT if title in settings.reject_titles else Verdict.UNCLEAR


def _report(dataset: Dataset) -> Answer:
    predecessors = dataset.get("PredecessorDocumentsSequence") or ()
    named = {
        _uid(reference, "ReferencedSOPInstanceUID")
        for study in predecessors
        for series in study.get("ReferencedSeriesSequence") or ()
        for reference in series.get("ReferencedSOPSequence") or ()
    }
    verified = dataset.get("VerificationFlag") == "VERIFIED"
    studies = dict.fromkeys((*_listed(predecessors), *_studies(dataset)))
    return Answer(
        Verdict.ACCEPT if verified else Verdict.UNCLEAR,
        frozenset(named),
        tuple(studies),
        lesions=_lesions(dataset) if verified else None,
    )


def _lesions(dataset: Dataset) -> dict[str, LesionClass | None]:
    """Class by Tracking UID of every group that has one."""
    found: dict[str, LesionClass | None] = {}
    for group in _tree(dataset):
        children = group.get("ContentSequence") or ()
        tracking = next(
            (
                str(child.UID)
                for child in children
                if child.get("ValueType") == "UIDREF" and _name(child) == TRACKING_UID[:2]
            ),
            "",
        )
        if tracking:
            codes = (
                _code(child.get("ConceptCodeSequence"))
                for child in children
                if child.get("ValueType") == "CODE"
            )
            found[tracking] = next((LESION_CLASSES[code] for code in codes if code in LESION_CLASSES), None)
    return found


def _tree(item: Dataset, depth: int = 0) -> Iterator[Dataset]:
    """The content items below `item`, parents first."""
    if depth > _DEEPEST:
        raise UnreadableDatasetError("The content tree is too deep.")
    for child in item.get("ContentSequence") or ():
        yield child
        yield from _tree(child, depth + 1)


def _studies(dataset: Dataset) -> tuple[str, ...]:
    """Where its evidence lies; its own study last."""
    evidence = [
        *(dataset.get("CurrentRequestedProcedureEvidenceSequence") or ()),
        *(dataset.get("PertinentOtherEvidenceSequence") or ()),
    ]
    return tuple(dict.fromkeys((*_listed(evidence), _uid(dataset, "StudyInstanceUID"))))


def _listed(studies: object) -> Iterator[str]:
    return (_uid(study, "StudyInstanceUID") for study in studies or ())  # type: ignore[attr-defined]


def _uid(item: Dataset, keyword: str) -> str:
    uid = str(item.get(keyword, ""))
    if not is_valid_uid(uid):
        raise UnreadableDatasetError(f"{keyword} is not a valid UID.")
    return uid


def _name(item: Dataset) -> tuple[str, str]:
    return _code(item.get("ConceptNameCodeSequence"))


def _code(sequence: object) -> tuple[str, str]:
    """Value and scheme of a code sequence; empty where there is none."""
    for item in sequence or ():  # type: ignore[attr-defined]
        return str(item.get("CodeValue", ""))[:16], str(item.get("CodingSchemeDesignator", ""))[:16]
    return "", ""
