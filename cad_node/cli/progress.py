"""The bars of commands that work through many things."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """Things a minute so far."""

    def __init__(self, things: str) -> None:
        super().__init__()
        self._things = things

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("–" if not speed else f"{speed * 60:.1f} {self._things}/min", style="cyan")


def progress_bar(console: Console, things: str) -> Progress:
    """A bar with count, rate and time left; `things` is the plural of what is counted."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(things),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=console,
    )


@contextmanager
def tasks_progress(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Bars of several tasks: told a title, how many are done, and of how many, a new title begins a bar."""
    with Progress(console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def advance(title: str, done: int, of: int) -> None:
            if title not in tasks:
                tasks[title] = progress.add_task(title, total=of)
            progress.update(tasks[title], completed=done)

        yield advance
