"""What a running node asks its journal again and again must not cost more with every study it has seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from cad_node.store.journal import Journal
from tests.unit.jobs.stubs import stored

STUDY = "1.2.3"


def plan(journal: Journal, ask: Callable[[Journal], object]) -> list[str]:
    """How SQLite goes about all that is asked."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        asked.append((statement, parameters))

    sa.event.listen(journal._engine, "before_cursor_execute", note)
    ask(journal)
    sa.event.remove(journal._engine, "before_cursor_execute", note)
    with journal._reading.begin() as connection:
        return [
            row.detail
            for statement, parameters in asked
            if statement.startswith(("SELECT", "UPDATE"))
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


@pytest.mark.parametrize(
    "ask",
    [
        lambda journal: journal.open_studies(),
        lambda journal: journal.study_records(only_open=True),
        lambda journal: journal.revisions.startable(),
        lambda journal: journal.revisions.started(),
        lambda journal: journal.reanalysis.startable("5eed"),
        lambda journal: journal.reanalysis.busy("node-1"),
        lambda journal: journal.outgoing.claim("pacs", "node-1", 3600),
        lambda journal: journal.outgoing.hurry("pacs"),
        lambda journal: journal.commitments.due("pacs", 3600),
    ],
)
def test_no_look_at_what_is_to_be_done_reads_what_is_done(
    journal: Journal, ask: Callable[[Journal], object]
) -> None:
    assert not [step for step in plan(journal, ask) if step.startswith("SCAN ")]


@pytest.mark.parametrize(
    "ask",
    [
        lambda journal: journal.reanalysis.newest_result(STUDY),
        lambda journal: journal.revisions.names_several_patients(STUDY),
        lambda journal: journal.taken.objects_sent("pacs", STUDY),
        lambda journal: journal.taken.was_sent(STUDY, "1.2.3.9.1"),
        lambda journal: journal.outgoing.of_study(STUDY),
        lambda journal: journal.commitments.of_study(STUDY),
        lambda journal: journal.retention.standing(STUDY, 0.0),
        lambda journal: journal.record_instance(stored(STUDY)),
    ],
)
def test_what_is_asked_of_a_study_reads_that_study_alone(
    journal: Journal, ask: Callable[[Journal], object]
) -> None:
    steps = plan(journal, ask)

    searches = [step for step in steps if step.startswith("SEARCH ")]
    assert searches
    assert all("study_instance_uid=?" in step for step in searches)
    assert not [step for step in steps if step.startswith("SCAN ") and "CONSTANT ROW" not in step]


def test_a_delivery_that_is_due_is_compared_with_those_of_its_study_alone(journal: Journal) -> None:
    steps = plan(journal, lambda journal: journal.outgoing.claim("pacs", "node-1", 3600))

    compared = [step for step in steps if step.startswith(("SEARCH earlier", "SEARCH behind"))]
    assert len(compared) == 2
    assert all("study_instance_uid=?" in step for step in compared)
