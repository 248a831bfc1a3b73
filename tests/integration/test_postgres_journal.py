"""Everything the unit tests ask of the journal on SQLite, asked again on a real PostgreSQL."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
from psycopg import sql

from cad_node.settings import NodeSettings
from cad_node.store.journal import Journal
from tests.unit.jobs.stubs import Clock
from tests.unit.store import (
    test_answers,
    test_commitments,
    test_dismissals,
    test_journal,
    test_lifetime,
    test_outgoing,
    test_reanalysis,
    test_retention,
)

pytestmark = pytest.mark.postgres


def _cases(*modules: ModuleType) -> Iterator[Callable[..., None]]:
    """The tests that need no more than a journal and a clock."""
    for module in modules:
        for name, case in vars(module).items():
            wanted = set(inspect.signature(case).parameters) if name.startswith("test_") else set()
            if "journal" in wanted <= {"journal", "clock"} and "sqlite" not in name:
                yield case


CASES = list(
    _cases(
        test_answers,
        test_commitments,
        test_dismissals,
        test_journal,
        test_lifetime,
        test_outgoing,
        test_reanalysis,
        test_retention,
    )
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, postgres_url: str, clock: Clock) -> Iterator[Journal]:
    settings = NodeSettings(data_dir=tmp_path, jobs={"database_url": postgres_url})  # type: ignore[arg-type]
    journal = Journal.open(settings, clock)
    yield journal
    journal.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_on_postgres(case: Callable[..., None], journal: Journal, clock: Clock) -> None:
    given = {"journal": journal, "clock": clock}
    case(**{name: given[name] for name in inspect.signature(case).parameters})


def test_enough_was_asked() -> None:
    assert len(CASES) >= 30


def test_a_journal_of_the_first_schema_is_brought_up_to_date(
    tmp_path: Path, postgres_url: str, journal: Journal
) -> None:
    test_answers.done(journal)
    with psycopg.connect(postgres_url, autocommit=True) as old:
        for table in ("answers", "commitments", "commitment_requests", "commitment_objects"):
            old.execute(sql.SQL("DROP TABLE cad_node.{}").format(sql.Identifier(table)))
        old.execute("ALTER TABLE cad_node.deliveries DROP COLUMN hold")
        old.execute("UPDATE cad_node.deliveries SET state = 'waiting'")
        for column in ("made_for", "made_by", "model", "model_sha256"):
            old.execute(
                sql.SQL("ALTER TABLE cad_node.revisions DROP COLUMN {}").format(sql.Identifier(column))
            )
        old.execute("ALTER TABLE cad_node.instances DROP COLUMN dataset_sha256")
        old.execute("UPDATE cad_node.journal_info SET schema_version = 1")
    journal.close()

    again = Journal.open(NodeSettings(data_dir=tmp_path, jobs={"database_url": postgres_url}))  # type: ignore[arg-type]

    assert [item.hold for item in again.outgoing.all()] == [False, False]
    assert again.outgoing.claim("pacs", "node-1") is not None
    assert again.answers.all() == []
    assert again.commitments.all() == []
    again.close()
