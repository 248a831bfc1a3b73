"""`cad-node prune`: free the disk of studies that are finished."""

from __future__ import annotations

import time
from collections import Counter
from typing import Annotated

import typer

from cad_node.cli.exit_codes import ALL_DONE, SOME_FAILED
from cad_node.cli.jobs import job_console, job_table, open_journal
from cad_node.cli.options import Config
from cad_node.errors import JobError


def prune(
    older_than: Annotated[
        float,
        typer.Option(
            "--older-than",
            min=1,
            help="Days since anything was last received, analysed or sent.",
            show_default=False,
        ),
    ],
    results: Annotated[
        bool, typer.Option("--results", help="Remove stored results, too: SEG, SR, pictures, pages.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")
    ] = False,
    by_clock: Annotated[
        bool, typer.Option("--by-clock", help="Count the days on which no node ran, too.")
    ] = False,
    config: Config = None,
) -> None:
    """Remove the received files of studies that are analysed and taken by every destination.

    So do other contents that came under their UIDs, and answers to them; also results that were sent back, and
    objects that failed the node's own check. What failed, is held, was not taken or not committed stays,
    however old, until it is dismissed (`jobs dismiss`). The journal remembers all: a study that is sent again is
    neither analysed nor sent a second time. Works while a node runs.
    Days are those on which a node ran: a clock that leaps ahead makes nothing old.
    Exit code 0: all done, 1: something could not be removed, 2: wrong usage, 78: settings.
    """
    from cad_node.jobs.workflows import JOBS_FILE
    from cad_node.leftovers import sweep
    from cad_node.retention import prune as remove
    from cad_node.store.free_pages import give_back
    from cad_node.store.journal import JOURNAL_FILE
    from cad_node.store.lifetime import DAY_S

    with open_journal(config) as (settings, journal):
        lived = journal.lifetime.days_ago(older_than)
        by_the_clock = time.time() - older_than * DAY_S
        before = by_the_clock if by_clock else lived
        done = list(
            remove(journal, settings.data_dir, older_than, results=results, dry_run=dry_run, before=before)
        )
        beside = sweep(journal, settings.data_dir, older_than, dry_run=dry_run, before=before)
    smaller, unfreed = 0, []
    for name in () if dry_run or settings.jobs.database_url else (JOURNAL_FILE, JOBS_FILE):
        try:
            smaller += give_back(settings.data_dir / name, settings.receive.disk_reserve_bytes)
        except JobError as error:
            unfreed.append(str(error))
    console = job_console()
    if not by_clock and (left_out := round((by_the_clock - lived) / DAY_S)):
        console.print(
            f"{left_out} days are not counted, as no node ran on them or the clock leapt: with --by-clock they are."
        )
    table = job_table("studies", "", "MB")
    for standing, count in Counter(one.standing for one in done).items():
        freed = sum(one.freed_bytes for one in done if one.standing is standing)
        table.add_row(str(count), standing.value, f"{freed / 1e6:.1f}" if freed else "")
    if done:
        console.print(table)
    others = job_table("files", "", "stay", "MB")
    for kind in beside:
        if kind.removed or kind.kept:
            others.add_row(
                str(kind.removed), kind.what.value, str(kind.kept), f"{kind.freed_bytes / 1e6:.1f}"
            )
    if others.row_count:
        console.print(others)
    failed = [one for one in done if one.problem]
    for one in failed:
        console.print(f"{one.study_instance_uid}: not removed: {one.problem}")
    problems = [problem for kind in beside for problem in kind.problems]
    for problem in problems:
        console.print(f"not removed: {problem}")
    for problem in unfreed:
        console.print(problem)
    if smaller > 0:
        console.print(f"The databases are {smaller / 1e6:.1f} MB smaller.")
    freed = sum(one.freed_bytes for one in done) + sum(kind.freed_bytes for kind in beside)
    console.print(
        f"{freed / 1e6:.1f} MB would be freed. Nothing was changed."
        if dry_run
        else f"{freed / 1e6:.1f} MB were freed."
    )
    raise typer.Exit(SOME_FAILED if failed or problems else ALL_DONE)
