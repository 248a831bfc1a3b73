"""On one PostgreSQL each node has a name of its own; a second one of the same name does not start."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from cad_node import node as wiring
from cad_node.errors import SettingsError
from cad_node.jobs.recovery import gone
from cad_node.node import Node
from cad_node.settings import NodeSettings
from cad_node.store.journal import Journal
from tests.integration.jobs_node import wait_until
from tests.unit.jobs.stubs import made_by
from tests.unit.store.test_reanalysis import received

pytestmark = pytest.mark.postgres


@pytest.fixture
def journal_of(tmp_path: Path, postgres_url: str) -> Iterator[Callable[[], Journal]]:
    """Call it for a journal as one more machine would open it."""
    with ExitStack() as opened:

        def make() -> Journal:
            journal = Journal.open(NodeSettings(data_dir=tmp_path, jobs={"database_url": postgres_url}))  # type: ignore[arg-type]
            opened.callback(journal.close)
            return journal

        yield make


def cut(postgres_url: str) -> None:
    """As a restart of the server does."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_second_node_of_the_same_name_is_refused_and_told_where_the_first_is(
    journal_of: Callable[[], Journal],
) -> None:
    first, second = journal_of(), journal_of()
    first.executor_name.claim("node-1", 0)

    with pytest.raises(
        SettingsError, match=r"Another node runs as node-1 on this database, from 127\.0\.0\.1"
    ):
        second.executor_name.claim("node-1", 0)
    second.executor_name.claim("node-2", 0)


def test_the_name_is_free_once_the_node_has_ended(journal_of: Callable[[], Journal]) -> None:
    first, second = journal_of(), journal_of()
    first.executor_name.claim("node-1", 0)
    first.close()
    second.executor_name.claim("node-1", 5)


def test_the_name_is_held_again_after_the_server_was_restarted(
    journal_of: Callable[[], Journal], postgres_url: str
) -> None:
    first, second = journal_of(), journal_of()
    first.executor_name.claim("node-1", 0)
    cut(postgres_url)

    first.executor_name.keep()

    with pytest.raises(SettingsError):
        second.executor_name.claim("node-1", 0)


def test_a_name_that_another_took_meanwhile_is_logged(
    journal_of: Callable[[], Journal], postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = journal_of(), journal_of()
    first.executor_name.claim("node-1", 0)
    cut(postgres_url)
    second.executor_name.claim("node-1", 0)

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            first.executor_name.keep()
    assert caplog.text.count("Another node runs as node-1") == 1

    second.close()
    wait_until(
        lambda: not first.executor_name.is_held("node-1"), "the server holds the name of a session that ended"
    )
    with caplog.at_level(logging.INFO):
        first.executor_name.keep()
    assert "node-1 is held again" in caplog.text


def test_a_machine_that_is_gone_is_named_while_its_work_waits(
    journal_of: Callable[[], Journal], tmp_path: Path, postgres_url: str
) -> None:
    first, second = journal_of(), journal_of()
    first.executor_name.claim("node-1", 0)
    received(first, "1.2.3")
    first.revisions.begin(first.revisions.all()[0], "node-1")
    settings = NodeSettings(data_dir=tmp_path, jobs={"database_url": postgres_url, "executor_id": "node-2"})  # type: ignore[arg-type]

    assert gone(settings, second) == set()
    first.close()
    wait_until(lambda: gone(settings, second) == {"node-1"}, "nobody says that node-1 is gone")
    second.revisions.fail(second.revisions.all()[0], "E", "no")
    assert gone(settings, second) == set()


def test_a_node_does_not_start_beside_one_of_the_same_name_in_another_folder(
    journal_of: Callable[[], Journal], tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal_of().executor_name.claim("node-1", 0)
    monkeypatch.setattr(wiring, "making", lambda _: made_by("1"))
    monkeypatch.setattr("cad_node.store.executor_name.WAIT_S", 0.0)
    settings = NodeSettings(data_dir=tmp_path / "other", jobs={"database_url": postgres_url})  # type: ignore[arg-type]

    with pytest.raises(SettingsError, match="Another node runs as node-1"):
        Node(settings)
