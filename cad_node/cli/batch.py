"""What `process` and `clean` share: a run over many things, interrupted at will, told in a bar and a table."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cad_node.cli.exit_codes import ALL_DONE, SOME_FAILED
from cad_node.cli.progress import progress_bar
from cad_node.logs import set_up_logging
from cad_node.settings import NodeSettings

if TYPE_CHECKING:
    from cad_node.workers import WorkerPool

_Outcome = TypeVar("_Outcome")


def set_up_batch(settings: NodeSettings, workers: int) -> NodeSettings:
    """Begin to log; the settings of a run with so many workers."""
    if settings.log_level == "INFO":
        # Lines between the steps of a progress bar help nobody; DEBUG is asked for on purpose.
        settings = settings.model_copy(update={"log_level": "WARNING"})
    set_up_logging(settings.log_level)
    return settings.model_copy(update={"jobs": settings.jobs.model_copy(update={"workers": workers})})


def tell_unreadable(console: Console, unreadable: Sequence[tuple[Path, str]]) -> None:
    """Name the files that nothing can be made of, and why."""
    for path, problem in unreadable:
        console.print(Text(f"{path}: {problem}", style="yellow"))


def collect(
    console: Console,
    pool: WorkerPool[Any, Any],
    outcomes: Generator[_Outcome, None, None],
    total: int,
    things: str,
    tell: Callable[[_Outcome], Text | None],
) -> tuple[list[_Outcome], bool]:
    """All outcomes, or those until Ctrl-C, and whether that came; `tell` says what of one is worth a line."""
    ended: list[_Outcome] = []
    with progress_bar(console, things) as progress:
        pool.wait_ready()
        bar = progress.add_task(things.capitalize(), total=total)
        try:
            for outcome in outcomes:
                ended.append(outcome)
                progress.advance(bar)
                if (line := tell(outcome)) is not None:
                    console.print(line)
        except KeyboardInterrupt:
            pool.close()
            outcomes.close()
            return ended, True
    return ended, False


def conclude(console: Console, counts: dict[str, int], report: Path, failed: int, how_to_go_on: str) -> int:
    """Print counts and report; returns the exit code. `how_to_go_on` is said if it is not empty."""
    table = Table(*counts)
    table.add_row(*map(str, counts.values()))
    console.print(table)
    console.print(Text(f"Report: {report}"), soft_wrap=True)
    if how_to_go_on:
        console.print(f"Interrupted. {how_to_go_on}")
    return SOME_FAILED if failed or how_to_go_on else ALL_DONE
