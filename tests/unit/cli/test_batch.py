"""What `process` and `clean` share, without anything to analyse."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from unittest.mock import Mock

import pytest
from rich.console import Console
from rich.text import Text

from cad_node.cli.batch import collect, conclude, set_up_batch, tell_unreadable
from cad_node.settings import NodeSettings


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=200)


def _numbers(until: int, *, interrupted: bool) -> Generator[int, None, None]:
    yield from range(until)
    if interrupted:
        raise KeyboardInterrupt


def test_every_outcome_is_collected_and_some_are_told(console: Console) -> None:
    pool = Mock()
    ended, interrupted = collect(
        console,
        pool,
        _numbers(4, interrupted=False),
        4,
        "studies",
        lambda number: Text(f"number {number} is odd") if number % 2 else None,
    )
    assert (ended, interrupted) == ([0, 1, 2, 3], False)
    pool.wait_ready.assert_called_once()
    pool.close.assert_not_called()
    said = console.export_text()
    assert "number 3 is odd" in said
    assert "number 2" not in said


def test_ctrl_c_ends_the_workers_and_keeps_what_was_done(console: Console) -> None:
    pool = Mock()
    ended, interrupted = collect(console, pool, _numbers(2, interrupted=True), 9, "images", lambda _: None)
    assert (ended, interrupted) == ([0, 1], True)
    pool.close.assert_called_once()


@pytest.mark.parametrize(("failed", "go_on", "code"), [(0, "", 0), (2, "", 1), (0, "Again.", 1)])
def test_exit_code_says_whether_all_is_done(console: Console, failed: int, go_on: str, code: int) -> None:
    assert conclude(console, {"studies": 17}, Path("out/report.csv"), failed, go_on) == code
    said = console.export_text()
    assert "17" in said
    assert "Report: out/report.csv" in said
    assert ("Interrupted. Again." in said) == bool(go_on)


def test_a_bar_is_not_torn_by_lines_of_the_log() -> None:
    assert set_up_batch(NodeSettings(), 3).log_level == "WARNING"
    assert set_up_batch(NodeSettings(log_level="DEBUG"), 3).log_level == "DEBUG"
    assert set_up_batch(NodeSettings(), 3).jobs.workers == 3


def test_unreadable_files_are_named(console: Console) -> None:
    tell_unreadable(console, [(Path("a.dcm"), "it is empty")])
    assert "a.dcm: it is empty" in console.export_text()
