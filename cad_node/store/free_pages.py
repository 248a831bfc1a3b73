"""Pages of a SQLite database that hold nothing any more, given back to the disk.

SQLite uses them again, and never returns them by itself. A new database of the node has them
taken from its end, some at a time; where a quarter of one is free, or it was made by an older
node, it is written anew as long as it is small. Both work beside a running node, which waits
for as long as a step takes.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from cad_node.errors import JobError

_LEAST_BYTES = 1 << 20
# Writing anew keeps every other writer waiting, for 30 s at most: 56 MB take two on two busy cores.
_LARGEST_BYTES = 256 << 20
_STEP_PAGES = 1000
_INCREMENTAL = 2


def give_back(path: Path, reserve_bytes: int = 0, busy_s: float = 30.0) -> int:
    """Give free pages of a database back to the disk; returns how many bytes its file is smaller.

    Parameters
    ----------
    path
        The database; where there is none, nothing is done.
    reserve_bytes
        What must stay free in the file system while it is written anew.
    busy_s
        For so long another writer is waited for.

    Raises
    ------
    JobError
        It was not possible; the database is as it was.
    """
    if not path.exists():
        return 0
    before = path.stat().st_size
    try:
        with closing(sqlite3.connect(path, timeout=busy_s, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            _give_back(connection, path, reserve_bytes)
    except sqlite3.Error as error:
        raise JobError(
            f"Free pages of {path.name} could not be given back to the disk: {error}.",
            "Nothing is lost; the next prune tries again.",
        ) from error
    return before - path.stat().st_size


def _give_back(connection: sqlite3.Connection, path: Path, reserve_bytes: int) -> None:
    page_bytes, pages, free = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count")
    )
    if free * page_bytes < _LEAST_BYTES:
        return
    is_incremental = connection.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL
    # A copy in a temporary file, and what is written back beside the database.
    needed = 2 * (pages - free) * page_bytes + reserve_bytes
    small = pages * page_bytes <= _LARGEST_BYTES and shutil.disk_usage(path.parent).free >= needed
    if small and (4 * free >= pages or not is_incremental):
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("VACUUM")
    elif is_incremental:
        # In steps, between which others may write. A script, as `execute` would end after one page.
        for _ in range(0, free, _STEP_PAGES):
            connection.executescript(f"PRAGMA incremental_vacuum({_STEP_PAGES})")
    else:
        return
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
