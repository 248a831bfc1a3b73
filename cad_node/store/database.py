"""Engines for the two databases a node may keep its journal and its jobs in.

SQLite needs nothing installed and serves one machine; PostgreSQL serves several
that share a data folder. The same statements run on both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from sqlite3 import Connection as SqliteConnection

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from cad_node.errors import JobError

# Long enough to sit out another process's commit on a slow disk.
_BUSY_TIMEOUT_MS = 30_000


def postgres_url(url: str) -> sa.URL:
    """`postgresql://…` of the settings as SQLAlchemy names the driver that is installed.

    Raises
    ------
    JobError
        It is not the URL of a PostgreSQL database.
    """
    parsed: sa.URL | None
    try:
        parsed = sa.make_url(url)
    except (SQLAlchemyError, ValueError):
        parsed = None
    # An @ in a password makes its rest the host, or the port, which an error would name.
    if parsed is None or "@" in (parsed.host or ""):
        raise JobError(
            "jobs.database_url cannot be read.",
            "Write it as postgresql://user@host/database; in a password write @ as %40, : as %3A, / as %2F.",
        )
    if parsed.get_backend_name() not in {"postgresql", "postgres"} or not parsed.database:
        raise JobError(
            "jobs.database_url does not name a PostgreSQL database.",
            "Write it as postgresql://user@host/database, or leave it out to use SQLite.",
        )
    return parsed.set(drivername="postgresql+psycopg")


def postgres_engine(url: str) -> Engine:
    """Connections to PostgreSQL, each checked before use: the server may have restarted."""
    return sa.create_engine(postgres_url(url), pool_pre_ping=True, connect_args={"connect_timeout": 10})


def sqlite_engine(path: Path, *, explicit_begin: bool) -> Engine:
    """Connections to a SQLite file in WAL mode that survives a power cut.

    Parameters
    ----------
    path
        The file; its folder is made.
    explicit_begin
        True: `writing` and `reading` below say how a transaction begins. False: the
        driver begins one before the first change, which is what DBOS counts on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(f"sqlite:///{path}")

    @sa.event.listens_for(engine, "connect")
    def _set_up(connection: SqliteConnection, _record: object) -> None:
        connection.isolation_level = None if explicit_begin else "IMMEDIATE"
        connection.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
        # Of a new database alone, and before it is in WAL mode: see `free_pages.py`. To any other it would
        # write, at each new connection, and wait for whoever else is writing.
        if not connection.execute("PRAGMA page_count").fetchone()[0]:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        # Readers and one writer side by side: `cad-node jobs` looks in while the node works.
        connection.execute("PRAGMA journal_mode=WAL")
        # A commit is on the disk when it returns; WAL alone may lose the last ones in a power cut.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    if explicit_begin:

        @sa.event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            # A write lock taken late, after a read, cannot be waited for: SQLite fails at once.
            reading = connection.get_execution_options().get("reading", False)
            connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def reading(engine: Engine) -> Engine:
    """The same engine for transactions that only read and so block nobody."""
    return engine.execution_options(reading=True)


def insert_if_absent(connection: Connection, table: sa.Table, values: Mapping[str, object]) -> bool:
    """Insert a row unless its key is there; whether it was inserted."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(values).on_conflict_do_nothing()
    # Without the option SQLAlchemy does not ask psycopg how many rows an INSERT made.
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount > 0


def cause_of(error: SQLAlchemyError) -> str:
    """The database's own words, without the statement and its values."""
    return str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0].rstrip(".")
