"""The journal's days: those on which a node ran, by which the age of a study is counted.

What is removed after thirty days must have been there for thirty. A clock that is a year
ahead for a night would make all of it a year old. So days count on which a node ran; a longer
gap between two of them, whether the node was off or the clock leapt, does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from cad_node.store.database import insert_if_absent, reading
from cad_node.store.tables import days_lived, deliveries, instances, revisions, sent_objects, studies

DAY_S = 86400.0
# A weekend of which the journal of an older node says nothing counts.
_GAP_DAYS = 2


class Lifetime:
    """On which days a node ran; reached as `journal.lifetime`."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._reading = reading(engine)
        self._clock = clock

    def note_alive(self) -> None:
        """Note that a node runs today, by its clock."""
        today = int(self._clock() // DAY_S)
        with self._reading.begin() as connection:
            if connection.scalar(sa.select(sa.exists().where(days_lived.c.day == today))):
                return
        with self._engine.begin() as connection:
            insert_if_absent(connection, days_lived, {"day": today})

    def days_ago(self, days: float, now: float | None = None) -> float:
        """When it was so many days ago, gaps left out; by the clock alone before the first day that is known.

        Parameters
        ----------
        now
            Seconds since 1970, as what is returned; None: by the journal's clock.
        """
        now = self._clock() if now is None else now
        query = (
            sa.select(days_lived.c.day)
            .where(days_lived.c.day <= int(now // DAY_S))
            .order_by(days_lived.c.day.desc())
        )
        with self._reading.begin() as connection:
            return days_ago(connection.scalars(query), days, now)

    def has_passed(self, seconds: float, since: float) -> bool:
        """Whether so many seconds have passed since then, gaps left out."""
        return since <= self.days_ago(seconds / DAY_S)


def days_ago(lived: Iterable[int], days: float, now: float) -> float:
    """When it was so many days ago.

    Parameters
    ----------
    lived
        Days since 1970 up to `now` on which a node ran, the latest first.

    Examples
    --------
    The node ran on the days 1 to 10, then its clock leapt by 365 days.

    >>> days_ago(range(10, 0, -1), 5, 375.5 * DAY_S) / DAY_S
    6.5
    """
    left_s = days * DAY_S
    until, start = now, int(now // DAY_S)  # of days that count, one after the other
    for day in lived:
        if until - start * DAY_S >= left_s:
            break
        if start - day - 1 > _GAP_DAYS:
            left_s -= until - start * DAY_S
            until = (day + 1) * DAY_S
        start = day
    return until - left_s


def seed_days(connection: Connection) -> None:
    """Note the days of which an older journal shows that a node ran."""
    times = (
        studies.c.first_instance_at,
        studies.c.last_instance_at,
        instances.c.received_at,
        revisions.c.created_at,
        revisions.c.finished_at,
        deliveries.c.since,
        deliveries.c.finished_at,
        sent_objects.c.sent_at,
    )
    found = {
        int(seconds // DAY_S)
        for column in times
        for seconds in connection.scalars(sa.select(column).where(column.is_not(None)).distinct())
    }
    for day in found:
        insert_if_absent(connection, days_lived, {"day": day})
