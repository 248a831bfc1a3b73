"""Rows of the journal as the other rooms see them, and their states; the tables are in `tables.py`.

Times are seconds since 1970 in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cad_node.domain import MadeBy, Verdict


class RevisionState(StrEnum):
    """How far a revision of a study has come.

    Superseded: it failed, and a later revision has results. Dismissed: it failed, and an
    operator has seen to it.
    """

    WAITING = "waiting"
    QUEUED = "queued"
    PROCESSING = "processing"
    DONE = "done"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    DISMISSED = "dismissed"


UNFINISHED = (RevisionState.WAITING, RevisionState.QUEUED, RevisionState.PROCESSING)


class DeliveryState(StrEnum):
    """How far one revision has come on its way to one destination.

    Held: kept until it is accepted. Rejected: never sent there. Superseded: it was held
    while a later revision was accepted, or not taken before a later one was. Dismissed: an
    operator waits for it no longer.
    """

    HELD = "held"
    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    REFUSED = "refused"
    GIVEN_UP = "given_up"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"
    DISMISSED = "dismissed"


UNDER_WAY = (DeliveryState.WAITING, DeliveryState.SENDING)


@dataclass(frozen=True)
class StudyRecord:
    """A study as it was received so far; open: more instances are waited for."""

    study_instance_uid: str
    is_open: bool
    instances: int
    last_instance_at: float


@dataclass(frozen=True)
class RevisionRecord:
    """One set of instances of a study and what became of it.

    `number` counts the revisions of the study from 1. `run` counts the durable
    workflows that were started for it, `starts` how often processing was begun
    since it was ordered (by completion, or by an operator's retry). `error` is the
    class of the error, `problem` its message.

    `made_for` is empty for what came in. Otherwise the revision is an order to analyse
    the instances of an earlier one again, and only a node whose results have this
    digest (`MadeBy`) takes it. `made_by`, `model` and `model_sha256` say what the
    stored results were made by.
    """

    study_instance_uid: str
    revision: str
    number: int
    state: RevisionState
    run: int
    starts: int
    executor: str
    created_at: float
    finished_at: float | None
    error: str
    problem: str
    made_for: str = ""
    made_by: str = ""
    model: str = ""
    model_sha256: str = ""

    @property
    def made(self) -> MadeBy:
        """By what its results were made."""
        return MadeBy(self.made_by, self.model, self.model_sha256)

    @property
    def workflow_id(self) -> str:
        """Name of the durable workflow; derived, so that it is never started twice."""
        first = f"study/{self.study_instance_uid}/{self.revision}"
        return first if self.run == 1 else f"{first}/{self.run}"


@dataclass(frozen=True)
class DeliveryRecord:
    """One revision on its way to one destination; `hold`: only once it is accepted."""

    study_instance_uid: str
    revision: str
    number: int
    destination: str
    state: DeliveryState
    attempts: int
    since: float
    next_attempt_at: float
    finished_at: float | None
    error: str
    problem: str
    hold: bool = False


class CommitmentState(StrEnum):
    """How far the PACS has come in committing itself to a delivery that it was sent.

    Reported: it said that some objects are missing or fail; what follows is to be decided.
    Dismissed: an operator waits for it no longer.
    """

    TO_ASK = "to_ask"
    ASKING = "asking"
    ASKED = "asked"
    REPORTED = "reported"
    COMMITTED = "committed"
    NOT_COMMITTED = "not_committed"
    DISMISSED = "dismissed"


UNSETTLED = (
    CommitmentState.TO_ASK,
    CommitmentState.ASKING,
    CommitmentState.ASKED,
    CommitmentState.REPORTED,
)


@dataclass(frozen=True)
class CommitmentRecord:
    """The commitment of one destination to one revision, from when all of it was sent there.

    `transaction_uid` is that of the latest request, `requests` how often was asked,
    `attempts` how often in a row asking failed. `since` is when it was first to be asked
    for; `next_attempt_at` when something is to be done about it.
    """

    study_instance_uid: str
    revision: str
    destination: str
    state: CommitmentState
    transaction_uid: str
    requests: int
    attempts: int
    since: float
    next_attempt_at: float
    finished_at: float | None
    problem: str


class Matter(StrEnum):
    """What an operator may dismiss."""

    REVISION = "revision"
    DELIVERY = "delivery"
    COMMITMENT = "commitment"


@dataclass(frozen=True)
class DismissalRecord:
    """What an operator has seen to, in which state it was, and who said so when and why.

    `destination` is empty for a revision. `withdrawn_at` is when it stood open again,
    `withdrawn_by` through what.
    """

    study_instance_uid: str
    revision: str
    matter: Matter
    destination: str
    was: str
    dismissed_at: float
    dismissed_by: str
    reason: str
    withdrawn_at: float | None
    withdrawn_by: str


class AnswerWay(StrEnum):
    """How an answer came."""

    CSTORE = "cstore"
    COMMAND = "command"


@dataclass(frozen=True)
class AnswerRecord:
    """What one answer says of a result (`number` 0) or of one of its lesions.

    `number` counts the lesions of a result from 1, the most suspicious first, and
    `lesions` is how many there are. `named` is the class that the node gave, the
    gravest for a whole result; `corrected` the one that the answer gives.
    `revision` is empty where the answer speaks of nothing that the node made.
    """

    sop_instance_uid: str
    number: int
    study_instance_uid: str
    revision: str
    verdict: Verdict
    named: str
    corrected: str
    lesions: int
    tracking_uid: str
    model: str
    title: str
    way: AnswerWay
    calling_ae_title: str
    path: str
    received_at: float
