"""How connections to SQLite stand in each other's way."""

from __future__ import annotations

from pathlib import Path

import pytest

from cad_node.store import database
from cad_node.store.database import reading, sqlite_engine


def test_a_new_connection_that_reads_waits_for_no_writer_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_MS", 0)
    path, wal = tmp_path / "some.db", tmp_path / "some.db-wal"
    engine, other = (sqlite_engine(path, explicit_begin=True) for _ in range(2))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE one (number INTEGER)")
    before = wal.stat().st_size

    with engine.begin() as writing:
        writing.exec_driver_sql("INSERT INTO one VALUES (1)")
        with reading(other).begin() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM one").scalar_one() == 0
        writing.rollback()

    assert wal.stat().st_size == before
    engine.dispose()
    other.dispose()
