"""What a radiologist says of a result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from cad_node.domain.lesion import LesionClass


class Verdict(StrEnum):
    """What a radiologist says of a result, or of a lesion in it.

    `UNCLEAR`: the answer speaks of a result and says neither yes nor no.
    """

    ACCEPT = "accept"
    REJECT = "reject"
    CORRECT = "correct"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Answer:
    """What an object that came back says of results; no word of its text is kept.

    `references` are SOP Instance UIDs, `study_instance_uids` the studies that
    they are said to lie in. `title` is the code of the document title. A report
    repeats the lesions it keeps: `lesions` holds, by Tracking UID, the class it
    gives to each, None where it gives none; for other objects it is None.
    """

    verdict: Verdict
    references: frozenset[str] = frozenset()
    study_instance_uids: tuple[str, ...] = ()
    title: str = ""
    lesions: Mapping[str, LesionClass | None] | None = None
