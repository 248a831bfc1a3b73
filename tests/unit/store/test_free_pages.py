"""Pages that hold nothing go back to the disk, beside a running node and never at its cost."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from cad_node.errors import JobError
from cad_node.store import free_pages
from cad_node.store.database import sqlite_engine
from cad_node.store.free_pages import give_back

ROWS = 3000


def database(path: Path, *, incremental: bool, freed: float) -> Path:
    """Six megabytes, of which a share was freed."""
    if incremental:
        with sqlite_engine(path, explicit_begin=True).connect():
            pass
    with closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, content BLOB)")
        made.executemany("INSERT INTO rows VALUES (?, zeroblob(2000))", ((n,) for n in range(ROWS)))
        made.execute("DELETE FROM rows WHERE number < ?", (int(ROWS * freed),))
        made.commit()
    return path


def pragma(path: Path, name: str) -> int:
    with closing(sqlite3.connect(path)) as opened:
        return int(opened.execute(f"PRAGMA {name}").fetchone()[0])


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as opened:
        return int(opened.execute("SELECT count(*) FROM rows").fetchone()[0])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.mark.parametrize("incremental", [True, False])
@pytest.mark.parametrize("freed", [0.2, 0.8])
def test_free_pages_go_and_rows_stay(path: Path, incremental: bool, freed: float) -> None:
    database(path, incremental=incremental, freed=freed)
    before = path.stat().st_size

    smaller = give_back(path)

    assert smaller == before - path.stat().st_size > before * freed / 2
    assert pragma(path, "freelist_count") == 0
    assert pragma(path, "auto_vacuum") == 2
    assert rows(path) == ROWS - int(ROWS * freed)


def test_a_large_database_is_not_written_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_pages, "_LARGEST_BYTES", 1 << 20)
    assert give_back(database(path, incremental=False, freed=0.8)) == 0
    path.unlink()
    assert give_back(database(path, incremental=True, freed=0.8)) > 0


def test_without_room_for_a_copy_nothing_is_written_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    assert give_back(database(path, incremental=False, freed=0.8)) == 0


def test_little_is_left_where_it_is(path: Path) -> None:
    assert give_back(database(path, incremental=True, freed=0.01)) == 0
    assert pragma(path, "freelist_count") > 0


def test_where_there_is_no_database_none_is_made(path: Path) -> None:
    assert give_back(path) == 0
    assert not path.exists()


def test_a_writer_that_does_not_end_is_not_waited_for_for_ever(path: Path) -> None:
    database(path, incremental=False, freed=0.8)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(JobError, match="locked"):
            give_back(path, busy_s=0)
    assert rows(path) == ROWS - int(ROWS * 0.8)


def test_a_reader_is_no_hindrance(path: Path) -> None:
    database(path, incremental=False, freed=0.8)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        seen = reader.execute("SELECT count(*) FROM rows").fetchone()
        give_back(path, busy_s=0)
        assert reader.execute("SELECT count(*) FROM rows").fetchone() == seen
    assert rows(path) == seen[0]
