"""Days are those on which a node ran: a clock that leaps makes nothing old."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from cad_node.store.journal import Journal
from cad_node.store.lifetime import DAY_S, days_ago, seed_days
from cad_node.store.tables import days_lived
from tests.unit.jobs.stubs import Clock
from tests.unit.store.test_reanalysis import received


def live(journal: Journal, clock: Clock, days: int) -> None:
    """The node runs for so many days more."""
    for _ in range(days):
        clock.forward(DAY_S)
        journal.lifetime.note_alive()


@pytest.mark.parametrize(
    ("lived", "days", "expected"),
    [
        (range(100, 0, -1), 30, 70.5),
        ([], 30, 70.5),
        ([100], 30, 70.5),
        ([99, 96, 93], 30, 70.5),  # weekends
        ([100, *range(50, 0, -1)], 30, 21.5),  # off for 49 days
        ([*range(100, 90, -1), *range(50, 0, -1)], 5, 95.5),  # before the time that is asked for
        ([*range(100, 90, -1), *range(80, 70, -1), *range(60, 0, -1)], 25, 55.5),  # twice
        ([*range(100, 90, -1), 60], 30, 40.5),  # before the first that is known, by the clock
    ],
    ids=["each day", "none", "today", "weekends", "off", "long ago", "twice", "first"],
)
def test_gaps_do_not_count(lived: list[int], days: float, expected: float) -> None:
    assert days_ago(lived, days, 100.5 * DAY_S) / DAY_S == expected


def test_a_clock_that_is_a_year_ahead_makes_nothing_old(journal: Journal, clock: Clock) -> None:
    live(journal, clock, 40)
    real = clock.now
    clock.forward(365 * DAY_S)
    journal.lifetime.note_alive()
    assert journal.lifetime.days_ago(30) <= real - 29 * DAY_S
    clock.forward(DAY_S)
    journal.lifetime.note_alive()
    assert journal.lifetime.days_ago(30) <= real - 28 * DAY_S


def test_once_it_is_right_again_it_counts_as_before(journal: Journal, clock: Clock) -> None:
    live(journal, clock, 40)
    clock.forward(365 * DAY_S)
    journal.lifetime.note_alive()
    clock.forward(-364 * DAY_S)
    assert journal.lifetime.days_ago(30) == clock.now - 30 * DAY_S


def test_a_day_is_noted_once(journal: Journal, clock: Clock) -> None:
    for _ in range(3):
        journal.lifetime.note_alive()
    with journal._engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(days_lived)) == 1


def test_an_older_journal_knows_days_by_what_happened_on_them(journal: Journal, clock: Clock) -> None:
    received(journal, "1.2.3")
    clock.forward(2 * DAY_S)
    received(journal, "1.2.4")
    happened = clock.now
    clock.forward(100 * DAY_S)

    with journal._engine.begin() as connection:
        seed_days(connection)

    assert happened - 4 * DAY_S < journal.lifetime.days_ago(4) < happened - 2 * DAY_S
