"""What only PostgreSQL offers: several nodes on one journal, and a server that restarts."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import psycopg
import pytest

from cad_node.jobs.engine import JobEngine
from cad_node.settings import load_settings
from cad_node.store.journal import Journal
from cad_node.store.results import ResultStore
from cad_node.store.schema import DeliveryState, RevisionState
from tests.integration.jobs_node import DEADLINE_S, Child, wait_until, write_config
from tests.unit.jobs.stubs import FakeDestination, processing, stored

pytestmark = pytest.mark.postgres

STUDIES = [f"1.2.826.0.1.{number}" for number in range(1, 21)]


@pytest.mark.slow
def test_two_nodes_share_the_work_and_do_nothing_twice(
    tmp_path: Path, postgres_url: str, children: list[Child]
) -> None:
    configs = [write_config(tmp_path, postgres_url, None, executor_id=name) for name in ("node-a", "node-b")]
    journal = Journal.open(load_settings(configs[0]))
    for config in configs:
        children.append(Child(config, seconds=0.2))

    for study in STUDIES:
        journal.record_instance(stored(study))
    wait_until(journal.is_idle, "not everything was delivered")

    for child in children:
        assert child.end(signal.SIGTERM) == 0
    done = journal.revisions.all(RevisionState.DONE)
    assert len(done) == 20
    assert {record.starts for record in done} == {1}
    assert {record.executor for record in done} == {"node-a", "node-b"}
    assert {(item.state, item.attempts) for item in journal.outgoing.all()} == {(DeliveryState.SENT, 1)}
    journal.close()


def test_connections_cut_by_the_server_are_made_anew(tmp_path: Path, postgres_url: str) -> None:
    settings = load_settings(write_config(tmp_path, postgres_url, None))
    journal = Journal.open(settings)
    results = ResultStore(settings.data_dir / "results")
    destination = FakeDestination()
    with JobEngine(settings, journal, results, processing(results, 0.1), {"pacs": destination}) as engine:
        for study in STUDIES[:5]:
            journal.record_instance(stored(study))
        wait_until(lambda: destination.folders, "nothing was delivered")
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert engine.wait_idle(DEADLINE_S)
    assert len(journal.revisions.all(RevisionState.DONE)) == 5
    assert len(set(destination.received)) == 10
    journal.close()


def test_instances_of_one_study_may_come_in_at_once(tmp_path: Path, postgres_url: str) -> None:
    settings = load_settings(write_config(tmp_path, postgres_url, None))
    journals = [Journal.open(settings) for _ in range(4)]
    recorded: list[bool] = []

    def receive(journal: Journal) -> None:
        for number in range(1, 26):
            recorded.append(journal.record_instance(stored(STUDIES[0], number)))

    threads = [threading.Thread(target=receive, args=(journal,)) for journal in journals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(recorded) == [False] * 75 + [True] * 25
    revisions = [journal.close_study(STUDIES[0]) for journal in journals]
    assert [revision is not None for revision in revisions].count(True) == 1
    assert journals[0].study_records()[0].instances == 25
    for journal in journals:
        journal.close()
