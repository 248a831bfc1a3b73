"""Tables of the journal, and its rows as the other rooms see them.

No table holds patient data: UIDs, digests, states, times and AE titles only.
Times are seconds since 1970 in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from cad_node.domain import MadeBy, Verdict

# Raised with every change of the tables; an older journal is then migrated or refused.
SCHEMA_VERSION = 5

# Statements that bring a journal from a version to the next; new tables are made without one.
# `{schema}` is the name of the PostgreSQL schema and a dot, or nothing.
MIGRATIONS = {
    1: ("ALTER TABLE {schema}deliveries ADD COLUMN hold BOOLEAN NOT NULL DEFAULT FALSE",),
    2: tuple(
        f"ALTER TABLE {{schema}}revisions ADD COLUMN {name} VARCHAR({length}) NOT NULL DEFAULT ''"
        for name, length in (("made_for", 64), ("made_by", 64), ("model", 160), ("model_sha256", 64))
    ),
    3: (),  # tables that were added
    4: ("ALTER TABLE {schema}instances ADD COLUMN dataset_sha256 VARCHAR(64) NOT NULL DEFAULT ''",),
}


class RevisionState(StrEnum):
    """How far a revision of a study has come."""

    WAITING = "waiting"
    QUEUED = "queued"
    PROCESSING = "processing"
    DONE = "done"
    FAILED = "failed"


UNFINISHED = (RevisionState.WAITING, RevisionState.QUEUED, RevisionState.PROCESSING)


class DeliveryState(StrEnum):
    """How far one revision has come on its way to one destination.

    Held: kept until it is accepted. Rejected: never sent there. Superseded: it
    was held while a later revision was accepted.
    """

    HELD = "held"
    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    REFUSED = "refused"
    GIVEN_UP = "given_up"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"


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
    """

    TO_ASK = "to_ask"
    ASKING = "asking"
    ASKED = "asked"
    REPORTED = "reported"
    COMMITTED = "committed"
    NOT_COMMITTED = "not_committed"


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


metadata = sa.MetaData()

_UID = sa.String(64)  # PS3.5 section 9.1

journal_info = sa.Table("journal_info", metadata, sa.Column("schema_version", sa.Integer, primary_key=True))

studies = sa.Table(
    "studies",
    metadata,
    sa.Column("study_instance_uid", _UID, primary_key=True),
    sa.Column("is_open", sa.Boolean, nullable=False, index=True),
    sa.Column("first_instance_at", sa.Double, nullable=False),
    sa.Column("last_instance_at", sa.Double, nullable=False),
)

# `path` is empty once the file was removed, `dataset_sha256` where an older node noted the instance.
instances = sa.Table(
    "instances",
    metadata,
    sa.Column("study_instance_uid", _UID, primary_key=True),
    sa.Column("sop_instance_uid", _UID, primary_key=True),
    sa.Column("series_instance_uid", _UID, nullable=False),
    sa.Column("sop_class_uid", _UID, nullable=False),
    sa.Column("transfer_syntax_uid", _UID, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("dataset_sha256", sa.String(64), nullable=False, default="", server_default=""),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("calling_ae_title", sa.String(16), nullable=False),
    sa.Column("received_at", sa.Double, nullable=False),
)

revisions = sa.Table(
    "revisions",
    metadata,
    sa.Column("study_instance_uid", _UID, primary_key=True),
    sa.Column("revision", sa.String(32), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("run", sa.Integer, nullable=False, default=1),
    sa.Column("starts", sa.Integer, nullable=False, default=0),
    sa.Column("executor", sa.String(64), nullable=False, default=""),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("finished_at", sa.Double),
    sa.Column("error", sa.String(128), nullable=False, default=""),
    sa.Column("problem", sa.Text, nullable=False, default=""),
    sa.Column("made_for", sa.String(64), nullable=False, default="", server_default=""),
    sa.Column("made_by", sa.String(64), nullable=False, default="", server_default=""),
    sa.Column("model", sa.String(160), nullable=False, default="", server_default=""),
    sa.Column("model_sha256", sa.String(64), nullable=False, default="", server_default=""),
    sa.UniqueConstraint("study_instance_uid", "number"),
)

# By what each node, by its executor_id, makes results since its last start.
nodes = sa.Table(
    "nodes",
    metadata,
    sa.Column("executor", sa.String(64), primary_key=True),
    sa.Column("made_by", sa.String(64), nullable=False),
    sa.Column("model", sa.String(160), nullable=False),
    sa.Column("model_sha256", sa.String(64), nullable=False),
    sa.Column("started_at", sa.Double, nullable=False),
)

# The instances as they were when the study was complete: what comes later is the next revision's.
# Of a study whose files were removed there are none any more: see `Journal.files_of`.
revision_files = sa.Table(
    "revision_files",
    metadata,
    sa.Column("study_instance_uid", _UID, primary_key=True),
    sa.Column("revision", sa.String(32), primary_key=True),
    sa.Column("sop_instance_uid", _UID, primary_key=True),
    sa.Column("path", sa.Text, nullable=False),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("study_instance_uid", _UID, primary_key=True),
    sa.Column("revision", sa.String(32), primary_key=True),
    sa.Column("destination", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("executor", sa.String(64), nullable=False, default=""),
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("next_attempt_at", sa.Double, nullable=False),
    sa.Column("finished_at", sa.Double),
    sa.Column("error", sa.String(128), nullable=False, default=""),
    sa.Column("problem", sa.Text, nullable=False, default=""),
    sa.Column("hold", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
    sa.Index("deliveries_due", "destination", "state", "next_attempt_at"),
)

# What a destination has taken: after a partial failure only the rest is sent.
sent_objects = sa.Table(
    "sent_objects",
    metadata,
    sa.Column("destination", sa.String(64), primary_key=True),
    sa.Column("sop_instance_uid", _UID, primary_key=True),
    sa.Column("study_instance_uid", _UID, nullable=False, index=True),
    sa.Column("sent_at", sa.Double, nullable=False),
)

# What radiologists said; no text, no name of who said it.
answers = sa.Table(
    "answers",
    metadata,
    sa.Column("sop_instance_uid", _UID, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("study_instance_uid", _UID, nullable=False),
    sa.Column("revision", sa.String(32), nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("named", sa.String(16), nullable=False),
    sa.Column("corrected", sa.String(16), nullable=False),
    sa.Column("lesions", sa.Integer, nullable=False),
    sa.Column("tracking_uid", _UID, nullable=False),
    sa.Column("model", sa.String(160), nullable=False),
    sa.Column("title", sa.String(16), nullable=False),
    sa.Column("way", sa.String(16), nullable=False),
    sa.Column("calling_ae_title", sa.String(16), nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("received_at", sa.Double, nullable=False),
    sa.Index("answers_of_revision", "study_instance_uid", "revision"),
)

# Whether a destination is committed to what it was sent; a row only where the settings ask for that.
commitments = sa.Table(
    "commitments",
    metadata,
    sa.Column("study_instance_uid", _UID, primary_key=True),
    sa.Column("revision", sa.String(32), primary_key=True),
    sa.Column("destination", sa.String(64), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("transaction_uid", _UID, nullable=False, default=""),
    sa.Column("requests", sa.Integer, nullable=False, default=0),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("executor", sa.String(64), nullable=False, default=""),
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("next_attempt_at", sa.Double, nullable=False),
    sa.Column("finished_at", sa.Double),
    sa.Column("problem", sa.Text, nullable=False, default=""),
    sa.Index("commitments_due", "destination", "state", "next_attempt_at"),
)

# Every request, noted before it goes out: its report may come at any time later.
commitment_requests = sa.Table(
    "commitment_requests",
    metadata,
    sa.Column("transaction_uid", _UID, primary_key=True),
    sa.Column("study_instance_uid", _UID, nullable=False),
    sa.Column("revision", sa.String(32), nullable=False),
    sa.Column("destination", sa.String(64), nullable=False),
    sa.Column("asked_at", sa.Double, nullable=False),
    sa.Column("reported_at", sa.Double),
    sa.Index("commitment_requests_of_delivery", "study_instance_uid", "revision", "destination"),
)

# What was asked about. Failure reason 0: committed; none: nothing was said of it.
commitment_objects = sa.Table(
    "commitment_objects",
    metadata,
    sa.Column("transaction_uid", _UID, primary_key=True),
    sa.Column("sop_instance_uid", _UID, primary_key=True),
    sa.Column("failure_reason", sa.Integer),
)
