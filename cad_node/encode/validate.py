"""The node's own check of an object before it is sent.

Type 1 attributes must be there and filled, type 2 attributes must be there, by
the standard's module tables as highdicom ships them. Conditions (1C, 2C) are
not in those tables in a form that can be checked; nor is a content tree, whose
items are checked here by value type. An object that fails is our fault and is
never sent.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from cad_node.errors import EncodeError

logger = logging.getLogger(__name__)

# Each item of these holds some of many macros; which ones is a matter of conditions.
_FUNCTIONAL_GROUPS = {"SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"}
# Its table lists the attributes of all value types at once, as if each item had all.
_CONTENT_MODULE = "sr-document-content"
# PS3.3 table C.17.3-1 to C.18.6-1: what an item of each value type must have.
_VALUE_TYPES = {
    "CONTAINER": ("ContinuityOfContent",),
    "TEXT": ("TextValue",),
    "CODE": ("ConceptCodeSequence",),
    "NUM": ("MeasuredValueSequence",),
    "UIDREF": ("UID",),
    "IMAGE": ("ReferencedSOPSequence",),
    "SCOORD": ("GraphicType", "GraphicData"),
}


# Leading zeros, which PS3.5 9.1 forbids, are met in UIDs of real images; results name these as they are.
_UID = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)
_LONGEST_UID = 64


@dataclass
class _Rule:
    """What the tables want of one attribute, and of those inside it, by keyword.

    The tag is kept, since to look it up by the keyword takes longer than the check.
    """

    tag: BaseTag
    type: str = "3"
    inside: dict[str, _Rule] = field(default_factory=dict)


def validate(dataset: Dataset) -> None:
    """Refuse an object that lacks what its IOD requires.

    Raises
    ------
    EncodeError
        Names the attributes that are absent or empty, the values that are not
        UIDs, and the images that are spoken of but not listed as evidence.
    """
    problems = list(_module_problems(dataset))
    problems += _uid_problems(dataset)
    if "ContentSequence" in dataset:
        problems += _content_problems(dataset)
        problems += _evidence_problems(dataset)
    if problems:
        raise EncodeError(
            f"A result of class {UID(dataset.get('SOPClassUID', '')).name} would not be valid: "
            f"{'; '.join(sorted(set(problems)))}.",
            "It was not sent. Report this with the log.",
            study_instance_uid=str(dataset.get("StudyInstanceUID", "")),
        )


def _module_problems(dataset: Dataset) -> Iterator[str]:
    yield from _missing(dataset, _rules(str(dataset.get("SOPClassUID", ""))), "")


def _missing(dataset: Dataset, rules: dict[str, _Rule], path: str) -> Iterator[str]:
    for keyword, rule in rules.items():
        if rule.tag not in dataset:
            if rule.type in {"1", "2"}:
                yield f"{path}{keyword} is missing"
            continue
        if rule.type == "3" and not rule.inside:
            continue
        element = dataset[rule.tag]
        if rule.type == "1" and element.is_empty:
            yield f"{path}{keyword} is empty"
        if rule.inside and element.VR == "SQ":
            for item in element.value:
                yield from _missing(item, rule.inside, f"{path}{keyword}.")


@lru_cache(maxsize=8)
def _rules(sop_class_uid: str) -> dict[str, _Rule]:
    """The mandatory modules of an IOD as one tree."""
    iods = get_sop_class_iod_map()
    if sop_class_uid not in iods:
        raise EncodeError(f"No rules are known for SOP Class {sop_class_uid}.")
    modules = get_iod_module_map()[iods[sop_class_uid]]
    return _tree(
        module["key"] for module in modules if module["usage"] == "M" and module["key"] != _CONTENT_MODULE
    )


def _tree(modules: Iterable[str]) -> dict[str, _Rule]:
    """What modules want, as one tree."""
    tree: dict[str, _Rule] = {}
    for module in modules:
        for item in get_module_attribute_map()[module]:
            here = tree
            for parent in item["path"]:
                here = _rule(here, parent).inside
            rule = _rule(here, item["keyword"])
            wanted = "3" if item["path"] and item["path"][-1] in _FUNCTIONAL_GROUPS else item["type"]
            rule.type = min(rule.type, wanted)
    return tree


def keep_whole_items(dataset: Dataset, modules: tuple[str, ...]) -> None:
    """Take away items of sequences that lack what a module wants of them, and sequences that this empties.

    For attributes that are repeated from elsewhere: a code without a meaning in the source
    is no reason to have no result.
    """
    _keep_whole(dataset, _module_rules(modules))


@lru_cache(maxsize=1)
def _module_rules(modules: tuple[str, ...]) -> dict[str, _Rule]:
    return _tree(modules)


def _keep_whole(dataset: Dataset, rules: dict[str, _Rule]) -> None:
    for element in list(dataset):
        if element.VR != "SQ" or not element.value:
            continue
        inside = rules[element.keyword].inside if element.keyword in rules else {}
        for item in element.value:
            _keep_whole(item, inside)
        whole = [item for item in element.value if len(item) and _is_whole(item, inside)]
        if whole:
            dataset[element.tag].value = whole
        else:
            del dataset[element.tag]


def _is_whole(item: Dataset, rules: dict[str, _Rule]) -> bool:
    if next(_missing(item, rules, ""), None) is not None:
        return False
    if "CodeMeaning" not in rules:
        return True
    # PS3.3 table 8.8-1, conditions of the code itself.
    if item.get("URNCodeValue"):
        return True
    return bool(item.get("CodingSchemeDesignator") and (item.get("CodeValue") or item.get("LongCodeValue")))


def _rule(rules: dict[str, _Rule], keyword: str) -> _Rule:
    if keyword not in rules:
        rules[keyword] = _Rule(Tag(keyword))
    return rules[keyword]


def _uid_problems(dataset: Dataset) -> list[str]:
    problems = []
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                problems += _uid_problems(item)
        elif element.VR == "UI":
            values = element.value if element.VM > 1 else [element.value]
            if not all(value and len(value) <= _LONGEST_UID and _UID.fullmatch(value) for value in values):
                problems.append(f"{element.keyword} is not a UID")
    return problems


def _content_problems(item: Dataset, path: str = "content") -> list[str]:
    problems = []
    value_type = item.get("ValueType", "")
    if value_type not in _VALUE_TYPES:
        problems.append(f"{path} has the unexpected value type '{value_type}'")
    for keyword in ("ConceptNameCodeSequence", *_VALUE_TYPES.get(value_type, ())):
        # Images and coordinates may go without a name (PS3.3 C.17.3.2.?: type 1C).
        if keyword == "ConceptNameCodeSequence" and value_type in {"IMAGE", "SCOORD"}:
            continue
        if keyword not in item or item[keyword].is_empty:
            problems.append(f"{path} lacks {keyword}")
    for number, child in enumerate(item.get("ContentSequence", ()), start=1):
        if not child.get("RelationshipType"):
            problems.append(f"{path}.{number} lacks RelationshipType")
        problems += _content_problems(child, f"{path}.{number}")
    return problems


def _evidence_problems(dataset: Dataset) -> list[str]:
    listed = {
        reference.ReferencedSOPInstanceUID
        for study in dataset.get("CurrentRequestedProcedureEvidenceSequence", ())
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }
    spoken_of = set(_images(dataset))
    return [f"image {uid} is not listed as evidence" for uid in spoken_of - listed]


def _images(item: Dataset) -> Iterator[str]:
    if item.get("ValueType") == "IMAGE":
        for reference in item.get("ReferencedSOPSequence", ()):
            yield reference.ReferencedSOPInstanceUID
    for child in item.get("ContentSequence", ()):
        yield from _images(child)


def keep_invalid(dataset: Dataset, folder: Path) -> None:
    """Put an object that is never sent where an operator finds it; it holds patient data."""
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        dataset.save_as(path, enforce_file_format=True)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        logger.error("an invalid object could not be kept (%s)", type(error).__name__)
    else:
        logger.error("an object that fails our own check was not sent; it is kept in %s", path)
