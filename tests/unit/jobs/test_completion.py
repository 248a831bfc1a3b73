from __future__ import annotations

import pytest

from cad_node.jobs.completion import due_studies
from cad_node.settings import CompletionSettings

SETTINGS = CompletionSettings(quiet_time_s=20, forced_end_s=600)


@pytest.mark.parametrize(
    ("first", "last", "now", "due"),
    [
        (0.0, 0.0, 19.9, False),
        (0.0, 0.0, 20.0, True),
        (0.0, 15.0, 34.9, False),
        (0.0, 15.0, 35.0, True),
        (0.0, 599.0, 599.9, False),  # still arriving
        (0.0, 599.0, 600.0, True),  # still arriving, but for too long
    ],
)
def test_a_study_is_due_after_the_quiet_time_or_the_forced_end(
    first: float, last: float, now: float, due: bool
) -> None:
    assert bool(due_studies([("1.2", first, last)], SETTINGS, now, 0.0)) is due


def test_time_in_which_the_node_was_down_is_no_quiet_time() -> None:
    study = [("1.2", 0.0, 5.0)]

    assert due_studies(study, SETTINGS, now=1010.0, listening_since=1000.0) == []
    assert due_studies(study, SETTINGS, now=1020.0, listening_since=1000.0) == ["1.2"]


def test_a_clock_set_back_by_a_day_keeps_no_study_open() -> None:
    assert due_studies([("1.2", 86400.0, 86400.0)], SETTINGS, now=10.0, listening_since=0.0) == ["1.2"]


def test_studies_are_due_one_by_one_in_their_order() -> None:
    studies = [("1.1", 0.0, 0.0), ("1.2", 5.0, 15.0), ("1.3", 0.0, 1.0)]

    assert due_studies(studies, SETTINGS, 25.0, 0.0) == ["1.1", "1.3"]
