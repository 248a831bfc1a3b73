"""What failed or was not taken, and was made good by a later revision: nobody has to act on it."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from cad_node.settings import NodeSettings
from cad_node.store.journal import Journal
from cad_node.store.schema import DeliveryRecord, RevisionRecord
from tests.unit.jobs.stubs import stored


def received(journal: Journal, study: str, number: int = 1) -> RevisionRecord:
    """One more instance of a study, complete."""
    journal.record_instance(stored(study, number))
    journal.close_study(study)
    return journal.revisions.of_study(study)[-1]


def claimed(journal: Journal, destination: str = "pacs") -> DeliveryRecord:
    record = journal.outgoing.claim(destination, "node-1")
    assert record is not None
    return record


def test_a_failure_is_superseded_once_a_later_revision_has_results(journal: Journal) -> None:
    journal.revisions.fail(received(journal, "1.1"), "StudyError", "no")
    journal.revisions.fail(received(journal, "1.2"), "StudyError", "no")
    second = received(journal, "1.1", 2)
    assert [item.state for item in journal.revisions.of_study("1.1")] == ["failed", "waiting"]

    journal.revisions.finish(second, [])

    assert [item.state for item in journal.revisions.of_study("1.1")] == ["superseded", "done"]
    assert [item.study_instance_uid for item in journal.dismissals.standing_open([])] == ["1.2"]


def test_what_a_destination_did_not_take_is_superseded_by_what_it_took(journal: Journal) -> None:
    journal.revisions.finish(received(journal, "1.1"), ["pacs", "outbox"])
    journal.outgoing.refused(claimed(journal), "DestinationRefusedError", "no")
    journal.outgoing.given_up(claimed(journal, "outbox"), "DestinationUnreachableError", "down")
    journal.revisions.finish(received(journal, "1.1", 2), ["pacs", "outbox"])

    journal.outgoing.sent(claimed(journal))

    states = {(item.destination, item.number): item.state for item in journal.outgoing.all()}
    assert states == {
        ("pacs", 1): "superseded",
        ("pacs", 2): "sent",
        ("outbox", 1): "given_up",
        ("outbox", 2): "waiting",
    }


def test_a_journal_of_the_sixth_schema_is_brought_up_to_date(journal: Journal, tmp_path: Path) -> None:
    for study in ("1.1", "1.2"):
        journal.revisions.finish(received(journal, study), ["pacs"])
        journal.outgoing.refused(claimed(journal), "DestinationRefusedError", "no")
    journal.revisions.fail(received(journal, "1.1", 2), "StudyError", "no")
    journal.revisions.finish(received(journal, "1.1", 3), ["pacs"])
    journal.outgoing.sent(claimed(journal))
    with journal._engine.begin() as connection:
        for statement in (
            "UPDATE revisions SET state = 'failed' WHERE state = 'superseded'",
            "UPDATE deliveries SET state = 'refused' WHERE state = 'superseded'",
            "DROP INDEX revisions_by_state",
            "DROP INDEX deliveries_of_study",
            "CREATE INDEX ix_revisions_state ON revisions (state)",
            "UPDATE journal_info SET schema_version = 6",
        ):
            connection.execute(sa.text(statement))
    journal.close()

    again = Journal.open(NodeSettings(data_dir=tmp_path))

    assert [item.state for item in again.revisions.of_study("1.1")] == ["done", "superseded", "done"]
    assert [item.state for item in again.outgoing.of_study("1.1")] == ["superseded", "sent"]
    assert [item.state for item in again.outgoing.of_study("1.2")] == ["refused"]
    inspector = sa.inspect(again._engine)
    names = {item["name"] for table in ("revisions", "deliveries") for item in inspector.get_indexes(table)}
    assert names == {"revisions_by_state", "deliveries_due", "deliveries_of_study"}
    again.close()
