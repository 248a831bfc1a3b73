"""Tables of the journal.

None holds patient data: UIDs, digests, states, times, AE titles, and what operators give as a reason.
Times are seconds since 1970 in UTC.
"""

from __future__ import annotations

import sqlalchemy as sa

# Raised with every change of the tables; an older journal is then migrated or refused.
SCHEMA_VERSION = 7
FIRST_WITH_DAYS = 6

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
    5: (),  # tables that were added
    6: (
        "CREATE INDEX IF NOT EXISTS revisions_by_state ON {schema}revisions (state, study_instance_uid)",
        "CREATE INDEX IF NOT EXISTS deliveries_of_study "
        "ON {schema}deliveries (study_instance_uid, destination, number)",
        "DROP INDEX IF EXISTS {schema}ix_revisions_state",
        "UPDATE {schema}revisions SET state = 'superseded' WHERE state = 'failed' AND EXISTS (SELECT 1 "
        "FROM {schema}revisions AS later WHERE later.study_instance_uid = revisions.study_instance_uid "
        "AND later.number > revisions.number AND later.state = 'done')",
        "UPDATE {schema}deliveries SET state = 'superseded' WHERE state IN ('refused', 'given_up') AND EXISTS "
        "(SELECT 1 FROM {schema}deliveries AS later WHERE later.study_instance_uid = "
        "deliveries.study_instance_uid AND later.destination = deliveries.destination "
        "AND later.number > deliveries.number AND later.state = 'sent')",
    ),
}

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
    sa.Column("state", sa.String(16), nullable=False),
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
    # With the study: of 50,000 that are done SQLite would otherwise read all to find one study's.
    sa.Index("revisions_by_state", "state", "study_instance_uid"),
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
    # For what goes before or behind a delivery: otherwise each look reads all that waits, for each that waits.
    sa.Index("deliveries_of_study", "study_instance_uid", "destination", "number"),
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

# What operators have seen to; a row stays for good, also where it was withdrawn.
dismissals = sa.Table(
    "dismissals",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("study_instance_uid", _UID, nullable=False, index=True),
    sa.Column("revision", sa.String(32), nullable=False),
    sa.Column("matter", sa.String(16), nullable=False),
    sa.Column("destination", sa.String(64), nullable=False),
    sa.Column("dismissed_at", sa.Double, nullable=False),
    sa.Column("was", sa.String(16), nullable=False),
    sa.Column("dismissed_by", sa.String(128), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("withdrawn_at", sa.Double),
    sa.Column("withdrawn_by", sa.String(128), nullable=False, default="", server_default=""),
)

# Days, counted from 1970 in UTC, on which a node ran.
days_lived = sa.Table(
    "days_lived", metadata, sa.Column("day", sa.Integer, primary_key=True, autoincrement=False)
)


def locked_study(study_instance_uid: str) -> sa.Select[tuple[str, bool, float, float]]:
    """The study's row, locked until the transaction ends (SQLite has locked everything already).

    What changes a study's revisions takes it first, so that two of them come one after the other.
    """
    return sa.select(studies).where(studies.c.study_instance_uid == study_instance_uid).with_for_update()
