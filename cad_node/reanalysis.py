"""Which studies are worth analysing again: those whose result this node would make otherwise.

Decides and orders; the analysis is the node's (`jobs/engine.py`), who is sent what and
what is held follows as for every revision. Nothing is ordered by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from cad_node.domain import MadeBy
from cad_node.store.journal import Journal
from cad_node.store.reanalysis import LatestRevision
from cad_node.store.schema import UNFINISHED, RevisionRecord, RevisionState


class Decision(StrEnum):
    """What becomes of a study that is to be analysed again."""

    QUEUED = "queued"
    QUEUED_BEFORE = "queued before"
    SAME = "nothing to do: it would be the same"
    UNDER_WAY = "nothing to do: it is being received or analysed"
    DISMISSED = "nothing to do: it failed and was dismissed"
    FAILED = "refused: it failed"
    GONE = "refused: its files are gone"


REFUSED = (Decision.FAILED, Decision.GONE)


@dataclass(frozen=True)
class Candidate:
    """A study, by what its newest result was made, and the decision; `problem` says why it is refused."""

    study_instance_uid: str
    decision: Decision
    made: MadeBy
    last: RevisionRecord | None = None
    withdrawn: bool = False
    problem: str = ""


def choose(
    journal: Journal, inbox: Path, making: MadeBy, studies: Iterable[LatestRevision]
) -> Iterator[Candidate]:
    """Decide on each study; changes nothing.

    Parameters
    ----------
    inbox
        Root of the received files, of which all must be there still.
    making
        By what results are made now.
    """
    for study in studies:
        made = MadeBy() if study.result is None else study.result.made
        decision = _decision(study, made, making)
        problem = ""
        if decision is Decision.QUEUED and study.last is not None:
            files = journal.files_of(study.study_instance_uid, study.last.revision)
            gone = sum(not (inbox / path).is_file() for path in files)
            if gone or not files:
                decision = Decision.GONE
                problem = (
                    f"{gone or 'All'} of {len(files) or 'its'} files are no longer in the inbox. "
                    "Have the study sent again, then repeat this command."
                )
        if decision is Decision.FAILED:
            problem = "Its newest revision could not be processed: see cad-node jobs show, then jobs retry."
        withdrawn = decision is Decision.SAME and study.order is not None
        yield Candidate(study.study_instance_uid, decision, made, study.last, withdrawn, problem)


def order(journal: Journal, candidates: Iterable[Candidate], making: MadeBy) -> Iterator[Candidate]:
    """Order what was chosen; orders for another model that nobody has begun are withdrawn."""
    for candidate in candidates:
        if candidate.withdrawn:
            journal.reanalysis.withdraw(candidate.study_instance_uid, making.digest)
        last = candidate.last if candidate.decision is Decision.QUEUED else None
        # Something may have come in, or somebody else ordered it, since we looked.
        late = last is not None and not journal.reanalysis.order(last, making.digest)
        yield replace(candidate, decision=Decision.UNDER_WAY) if late else candidate


def difference(made: MadeBy, making: MadeBy) -> str:
    """How a result was made otherwise than it would be now; empty where it was not.

    Examples
    --------
    >>> difference(MadeBy("a", "breast-us 1", "5eed"), MadeBy("b", "breast-us 1", "5eed"))
    'other settings'
    """
    if made.digest == making.digest:
        return ""
    return "other settings" if made.model_sha256 == making.model_sha256 else "another model"


def otherwise_made(counts: Mapping[MadeBy, int], making: MadeBy) -> str:
    """How many of the stored results would be made otherwise now, in words; empty where none would."""
    named: dict[str, int] = {}
    for made, count in counts.items():
        how = difference(made, making)
        if how:
            name = f"{made.model or 'an unknown model'}{' under other settings' if how == 'other settings' else ''}"
            named[name] = named.get(name, 0) + count
    if not named:
        return ""
    parts = ", ".join(f"{count} by {name}" for name, count in sorted(named.items()))
    share = f"{sum(named.values())} of {sum(counts.values())} results"
    return f"{share} were made otherwise than {making.model} would make them now: {parts}"


def _decision(study: LatestRevision, made: MadeBy, making: MadeBy) -> Decision:
    last, order = study.last, study.order
    if study.is_open or last is None or last.state in UNFINISHED:
        return Decision.UNDER_WAY
    # A failure of an order for another model says nothing of this one.
    if last.made_for in ("", making.digest):
        if last.state is RevisionState.FAILED:
            return Decision.FAILED
        if last.state is RevisionState.DISMISSED:
            return Decision.DISMISSED
    if made.digest == making.digest:
        return Decision.SAME
    if order is not None and order.made_for == making.digest:
        return Decision.QUEUED_BEFORE
    return Decision.QUEUED
