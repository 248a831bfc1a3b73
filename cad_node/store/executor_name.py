"""The name of a node among several on one PostgreSQL: held by one of them at a time.

A node finds its own unfinished work by its `jobs.executor_id`. Two that have the same would take
up each other's work at every start, and send it twice. The name is an advisory lock of a session,
which ends with the node, however it ends. With SQLite the lock on the data folder is enough.
"""

from __future__ import annotations

import logging
import time
import zlib

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from cad_node.errors import SettingsError

logger = logging.getLogger(__name__)

_CLASS = 0x0CAD
# The server asks a silent peer after ten seconds and gives it up after 25: a machine that lost its
# power holds its name no longer than that, and a firewall forgets no connection.
_KEEPALIVE = {"tcp_keepalives_idle": 10, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}
WAIT_S = 40.0
_LOOK_S = 1.0

_HOLDER = sa.text(
    "SELECT host(client_addr) FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND granted AND classid = :kind AND objid = :name "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class ExecutorName:
    """Holds the name of a node while it runs; reached as `journal.executor_name`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine if engine.dialect.name == "postgresql" else None
        self._connection: Connection | None = None
        self._executor = ""
        self._held = self._told = False

    def claim(self, executor: str, wait_s: float | None = None) -> None:
        """Take the name; one that just ended, or lost its power, is waited for.

        Raises
        ------
        SettingsError
            Another node has it.
        """
        self._executor = executor
        wait_s = WAIT_S if wait_s is None else wait_s
        deadline = time.monotonic() + wait_s
        told = False
        while not self._take():
            if time.monotonic() >= deadline:
                where = self._holder()
                self.release()
                raise SettingsError(
                    f"Another node runs as {executor} on this database{f', from {where}' if where else ''}.",
                    "Stop it, or give this one another jobs.executor_id: each machine needs its own.",
                )
            if not told:
                logger.warning("another node runs as %s on this database; waiting for it to end", executor)
                told = True
            time.sleep(min(_LOOK_S, wait_s))

    def keep(self) -> None:
        """Take the name again where the server was restarted; to be called now and then.

        Raises
        ------
        SQLAlchemyError
            The server is away; the next call tries again.
        """
        if self._engine is None or not self._executor:
            return
        if self._held and self._connection is not None:
            try:
                self._connection.execute(sa.text("SELECT 1"))
                return
            except SQLAlchemyError:
                self._drop()
        if self._take():
            logger.info("the name %s is held again, by a new connection", self._executor)
            self._told = False
        elif not self._told:
            self._told = True
            logger.error(
                "Another node runs as %s on this database: give one of them another jobs.executor_id",
                self._executor,
            )

    def is_held(self, executor: str) -> bool:
        """Whether a node of that name runs on this database; with SQLite nobody says so."""
        if self._engine is None:
            return False
        with self._engine.connect() as connection:
            return connection.execute(_HOLDER, _key(executor)).first() is not None

    def release(self) -> None:
        """Give the name back."""
        self._executor = ""
        self._drop()

    def _take(self) -> bool:
        if self._engine is None:
            return True
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            for name, value in _KEEPALIVE.items():
                self._connection.execute(sa.text(f"SET {name} = {value}"))
        lock = sa.func.pg_try_advisory_lock(_CLASS, _number(self._executor))
        self._held = bool(self._connection.scalar(sa.select(lock)))
        return self._held

    def _holder(self) -> str:
        if self._connection is None:
            return ""
        return str(self._connection.scalar(_HOLDER, _key(self._executor)) or "")

    def _drop(self) -> None:
        self._held = False
        if self._connection is not None:
            # Not back into the pool: its session would go on holding the lock.
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


def _key(executor: str) -> dict[str, int]:
    """The lock as the server shows it: unsigned."""
    return {"kind": _CLASS, "name": _number(executor) % (1 << 32)}


def _number(executor: str) -> int:
    """A signed 32-bit number for a name, the same on every machine."""
    number = zlib.crc32(executor.encode("ascii"))
    return number - (1 << 32) if number >= 1 << 31 else number
