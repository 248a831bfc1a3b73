"""Which class a report gives to which lesion, as far as somebody answers for it.

Only a verified report speaks: what a program thinks of an image is nothing to learn
from, or to score against. A verified report that repeats a lesion of this node's
report by its Tracking UID, without a class of its own, confirms the node's class.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydicom.dataset import Dataset

from cad_node.codes import LESION_CLASSES, TRACKING_UID
from cad_node.domain import LesionClass
from cad_node.read.headers import items, number, read_header, text

# Enhanced, Comprehensive, Comprehensive 3D and Extensible SR.
REPORT_CLASSES = frozenset(f"1.2.840.10008.5.1.4.1.1.88.{last}" for last in (22, 33, 34, 35))

# The probabilities that a report of this node states, in percent.
_PROBABILITIES = {
    ("111047", "DCM"): LesionClass.MALIGNANT,
    ("p-benign", "99CADNODE"): LesionClass.BENIGN,
    ("p-normal", "99CADNODE"): LesionClass.NORMAL,
}
_DEEPEST = 64


def reported_classes(paths: Iterable[Path]) -> dict[str, set[LesionClass]]:
    """Classes by Tracking UID that verified reports give; two where they contradict each other.

    Raises
    ------
    StudyError
        A file cannot be read.
    """
    verified: dict[str, set[LesionClass]] = defaultdict(set)
    computed: dict[str, LesionClass] = {}
    confirmed: set[str] = set()
    for path in paths:
        dataset = read_header(path)
        is_verified = text(dataset, "VerificationFlag") == "VERIFIED"
        for tracking_uid, named, likeliest in _lesions(dataset):
            if likeliest is not None:
                computed[tracking_uid] = likeliest
            if is_verified and named is not None:
                verified[tracking_uid].add(named)
            elif is_verified:
                confirmed.add(tracking_uid)
    for tracking_uid in confirmed - verified.keys():
        if tracking_uid in computed:
            verified[tracking_uid] = {computed[tracking_uid]}
    return dict(verified)


def _lesions(dataset: Dataset) -> Iterator[tuple[str, LesionClass | None, LesionClass | None]]:
    """Tracking UID of each group, the class that it is given in a code, and the likeliest of its probabilities."""
    for group in _containers(dataset):
        children = items(group, "ContentSequence")
        tracking = [text(one, "UID") for one in children if _concept(one) == TRACKING_UID[:2]]
        if not tracking or not tracking[0]:
            continue
        named = [LESION_CLASSES.get(code) for one in children for code in _codes(one, "ConceptCodeSequence")]
        values: dict[LesionClass, float] = {}
        for one in children:
            known = _PROBABILITIES.get(_concept(one))
            for measured in items(one, "MeasuredValueSequence") if known else ():
                values[_PROBABILITIES[_concept(one)]] = number(measured, "NumericValue") or 0.0
        yield (
            tracking[0],
            next((one for one in named if one is not None), None),
            max(values, key=lambda one: values[one]) if len(values) == len(_PROBABILITIES) else None,
        )


def _containers(item: Dataset, depth: int = 0) -> Iterator[Dataset]:
    """All content items that have children, parents first."""
    for child in items(item, "ContentSequence"):
        if "ContentSequence" in child:
            yield child
            if depth < _DEEPEST:
                yield from _containers(child, depth + 1)


def _concept(item: Dataset) -> tuple[str, str]:
    return next(iter(_codes(item, "ConceptNameCodeSequence")), ("", ""))


def _codes(item: Dataset, keyword: str) -> list[tuple[str, str]]:
    return [(text(code, "CodeValue"), text(code, "CodingSchemeDesignator")) for code in items(item, keyword)]
