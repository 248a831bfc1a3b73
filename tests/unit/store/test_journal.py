from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
import sqlalchemy as sa

from cad_node.errors import JobError
from cad_node.settings import NodeSettings
from cad_node.store.instance_sets import revision_of
from cad_node.store.journal import Journal
from cad_node.store.schema import RevisionRecord, RevisionState
from tests.unit.jobs.stubs import Clock, stored

STUDY = "1.2.3"


def completed(journal: Journal) -> RevisionRecord:
    revision = journal.close_study(STUDY)
    assert revision is not None
    record = journal.revisions.get(STUDY, revision)
    assert record is not None
    return record


def test_an_instance_sent_again_changes_nothing_and_restarts_no_quiet_time(
    journal: Journal, clock: Clock
) -> None:
    assert journal.record_instance(stored())
    before = journal.open_studies()
    clock.forward(15)

    assert not journal.record_instance(stored())

    assert journal.open_studies() == before == [(STUDY, clock.now - 15, clock.now - 15)]


def test_another_instance_restarts_the_quiet_time_but_not_the_forced_end(
    journal: Journal, clock: Clock
) -> None:
    journal.record_instance(stored(number=1))
    clock.forward(15)
    journal.record_instance(stored(number=2))

    assert journal.open_studies() == [(STUDY, clock.now - 15, clock.now)]


def test_a_closed_study_has_a_revision_with_its_files_in_a_repeatable_order(journal: Journal) -> None:
    for number in (3, 1, 2):
        journal.record_instance(stored(number=number))

    record = completed(journal)

    assert journal.files_of(STUDY, record.revision) == tuple(
        PurePosixPath(f"1.2.3/{number}.dcm") for number in (1, 2, 3)
    )
    assert (record.number, record.state) == (1, RevisionState.WAITING)
    assert record.workflow_id == f"study/{STUDY}/{record.revision}"
    assert journal.open_studies() == []


def test_closing_twice_makes_one_revision(journal: Journal) -> None:
    journal.record_instance(stored())
    completed(journal)

    assert journal.close_study(STUDY) is None
    assert journal.close_study("9.9.9") is None


def test_a_repeat_after_closing_does_not_reopen(journal: Journal) -> None:
    journal.record_instance(stored())
    completed(journal)

    journal.record_instance(stored())

    assert journal.open_studies() == []


def test_a_late_instance_reopens_and_gives_a_second_revision(journal: Journal, clock: Clock) -> None:
    journal.record_instance(stored(number=1))
    first = completed(journal)
    clock.forward(100)

    journal.record_instance(stored(number=2))

    assert journal.open_studies() == [(STUDY, clock.now, clock.now)]
    second = completed(journal)
    assert second.number == 2
    assert second.revision != first.revision
    assert len(journal.files_of(STUDY, first.revision)) == 1
    assert len(journal.files_of(STUDY, second.revision)) == 2


def test_an_instance_with_other_bytes_takes_the_place_of_the_first(journal: Journal) -> None:
    journal.record_instance(stored(content="a"))
    first = completed(journal)

    assert journal.record_instance(stored(content="b"))

    second = completed(journal)
    assert second.revision != first.revision
    assert journal.study_records(STUDY)[0].instances == 1


def test_the_second_revision_waits_until_the_first_is_done_or_failed(journal: Journal) -> None:
    journal.record_instance(stored(number=1))
    first = completed(journal)
    journal.record_instance(stored(number=2))
    second = completed(journal)

    assert journal.revisions.startable() == [first]
    journal.revisions.mark_queued(first)
    assert journal.revisions.startable() == []
    journal.revisions.begin(first, "node-1")
    assert journal.revisions.startable() == []
    journal.revisions.fail(first, "StudyError", "no")
    assert journal.revisions.startable() == [second]


def test_starts_are_counted_until_it_is_finished(journal: Journal) -> None:
    journal.record_instance(stored())
    record = completed(journal)

    assert [journal.revisions.begin(record, "node-1") for _ in range(3)] == [1, 2, 3]
    journal.revisions.finish(record, ["pacs"])

    assert journal.revisions.begin(record, "node-1") == 0
    done = journal.revisions.get(STUDY, record.revision)
    assert done is not None
    assert done.state is RevisionState.DONE


def test_finishing_twice_orders_one_delivery(journal: Journal) -> None:
    journal.record_instance(stored())
    record = completed(journal)

    journal.revisions.finish(record, ["pacs", "outbox"])
    journal.revisions.finish(record, ["pacs", "outbox"])

    assert [item.destination for item in journal.outgoing.of_study(STUDY)] == ["outbox", "pacs"]


def test_a_run_that_was_replaced_can_no_longer_change_anything(journal: Journal) -> None:
    journal.record_instance(stored())
    old = completed(journal)
    journal.revisions.begin(old, "node-1")
    assert journal.revisions.restart(old)

    assert journal.revisions.begin(old, "node-1") == 0
    journal.revisions.fail(old, "E", "late")
    journal.revisions.finish(old, ["pacs"])
    assert not journal.revisions.restart(old)

    new = journal.revisions.get(STUDY, old.revision)
    assert new is not None
    assert (new.state, new.run, new.starts) == (RevisionState.WAITING, 2, 1)
    assert new.workflow_id.endswith("/2")
    assert journal.outgoing.of_study(STUDY) == []


def test_an_operator_may_retry_only_what_has_ended(journal: Journal) -> None:
    journal.record_instance(stored())
    record = completed(journal)
    assert not journal.revisions.retry(record)
    journal.revisions.begin(record, "node-1")
    journal.revisions.fail(record, "PixelDecodeError", "Bad pixels.")

    failed = journal.revisions.all(RevisionState.FAILED)
    assert [(item.error, item.problem) for item in failed] == [("PixelDecodeError", "Bad pixels.")]
    assert journal.revisions.retry(failed[0])

    again = journal.revisions.get(STUDY, record.revision)
    assert again is not None
    assert (again.state, again.error, again.starts) == (RevisionState.WAITING, "", 0)


def test_idle_means_nothing_open_unprocessed_or_undelivered(journal: Journal, clock: Clock) -> None:
    assert journal.is_idle()
    journal.record_instance(stored())
    assert not journal.is_idle()
    record = completed(journal)
    assert not journal.is_idle()
    journal.revisions.finish(record, ["pacs"])
    assert not journal.is_idle()
    delivery = journal.outgoing.claim("pacs", "node-1")
    assert delivery is not None
    journal.outgoing.sent(delivery)
    assert journal.is_idle()


def test_a_second_process_sees_what_the_first_committed(journal: Journal, tmp_path: Path) -> None:
    journal.record_instance(stored())

    other = Journal.open(NodeSettings(data_dir=tmp_path))

    assert [record.study_instance_uid for record in other.study_records()] == [STUDY]
    other.close()


def test_sqlite_survives_a_power_cut_by_its_settings(journal: Journal) -> None:
    with journal._engine.connect() as connection:
        assert connection.scalar(sa.text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(sa.text("PRAGMA synchronous")) == 2  # FULL


def test_a_journal_of_another_version_is_refused(journal: Journal, tmp_path: Path) -> None:
    with journal._engine.begin() as connection:
        connection.execute(sa.text("UPDATE journal_info SET schema_version = 99"))

    with pytest.raises(JobError, match="schema 99"):
        Journal.open(NodeSettings(data_dir=tmp_path))


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"not a database, only some bytes of text" * 100)

    with pytest.raises(JobError, match="cannot be opened"):
        Journal.open(NodeSettings(data_dir=tmp_path))


@pytest.mark.parametrize("url", ["mysql://host/db", "postgresql://host", "nonsense"])
def test_only_postgresql_is_taken_as_another_database(tmp_path: Path, url: str) -> None:
    with pytest.raises(JobError, match=r"jobs\.database_url"):
        Journal.open(NodeSettings(data_dir=tmp_path, jobs={"database_url": url}))  # type: ignore[arg-type]


@pytest.mark.parametrize("password", ["p@secret", "p@x:secret"])
def test_a_password_that_splits_the_url_stands_in_no_error(tmp_path: Path, password: str) -> None:
    url = f"postgresql://user:{password}@127.0.0.1/node"

    with pytest.raises(JobError, match="%40") as caught:
        Journal.open(NodeSettings(data_dir=tmp_path, jobs={"database_url": url}))  # type: ignore[arg-type]

    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    url = "postgresql://user:secret@127.0.0.1:1/node"

    with pytest.raises(JobError, match="cannot be opened") as caught:
        Journal.open(NodeSettings(data_dir=tmp_path, jobs={"database_url": url}))  # type: ignore[arg-type]

    assert "secret" not in str(caught.value)


def test_the_revision_depends_on_uid_and_content_alone() -> None:
    pairs = [("1.2", "aa"), ("1.3", "bb")]

    assert revision_of(pairs) == revision_of(reversed(pairs))
    assert revision_of(pairs) != revision_of([("1.2", "bb"), ("1.3", "aa")])
    assert len(revision_of(pairs)) == 32
