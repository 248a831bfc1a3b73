"""`cad-node reanalyse`: have old studies analysed by the model and settings of today."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from cad_node.cli.exit_codes import ALL_DONE, SOME_FAILED
from cad_node.cli.jobs import job_console, job_table, open_journal, unknown_study
from cad_node.cli.options import Config

if TYPE_CHECKING:
    from cad_node.domain import MadeBy
    from cad_node.reanalysis import Candidate
    from cad_node.store.journal import Journal
    from cad_node.store.reanalysis import LatestRevision

_SHOWN = 100


def reanalyse(
    study: Annotated[
        list[str] | None, typer.Option("--study", help="Study Instance UID; may be given several times.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option("--since", formats=["%Y-%m-%d"], help="Studies received on this day or later."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every study.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be queued, and queue nothing.")
    ] = False,
    config: Config = None,
) -> None:
    """Queue studies again whose newest result was made by another model or other settings than these.

    A running node with these settings takes them up while no study that comes in needs it,
    otherwise the next start does. Repeating the command queues nothing twice.
    Exit code 0: all done, 1: some were refused, 2: wrong usage, 78: settings or model.
    """
    if [bool(study), since is not None, everything].count(True) != 1:
        raise typer.BadParameter("give --study, --since or --all, one of them")
    from cad_node.process import making
    from cad_node.reanalysis import REFUSED, Decision, choose, order
    from cad_node.store.inbox import INBOX_FOLDER

    with open_journal(config) as (settings, journal):
        now = making(settings)
        chosen = list(choose(journal, settings.data_dir / INBOX_FOLDER, now, _wanted(journal, study, since)))
        done = chosen if dry_run else list(order(journal, chosen, now))
        announced = journal.reanalysis.announced(settings.jobs.executor_id)
    console = job_console()
    console.print(_table(done, now))
    for candidate in [one for one in done if one.decision in REFUSED or study][:_SHOWN]:
        console.print(f"{candidate.study_instance_uid}: {candidate.problem or candidate.decision.value}")
    queued = sum(one.decision is Decision.QUEUED for one in done)
    withdrawn = sum(one.withdrawn for one in done)
    _say(console, queued, withdrawn, dry_run=dry_run)
    if announced is not None and announced.digest != now.digest and not dry_run:
        console.print(
            f"The node was last started with {announced.model} and its settings of then: "
            "start it anew, or it will not take them up."
        )
    raise typer.Exit(SOME_FAILED if any(one.decision in REFUSED for one in done) else ALL_DONE)


def _wanted(journal: Journal, study: list[str] | None, since: datetime | None) -> list[LatestRevision]:
    if study:
        found = []
        for uid in dict.fromkeys(study):
            named = journal.reanalysis.latest(uid)
            if not named:
                raise unknown_study(uid)
            found += named
        return found
    every = journal.reanalysis.latest()
    # A day begins at midnight by this machine's clock, as the times that `jobs` shows.
    return [one for one in every if since is None or one.last_instance_at >= since.timestamp()]


def _table(done: list[Candidate], now: MadeBy) -> object:
    from cad_node.reanalysis import difference

    table = job_table("newest result by", "against now", "studies", "")
    rows = Counter(
        (one.made.model or "none", difference(one.made, now) if one.made.model else "", one.decision.value)
        for one in done
    )
    for (model, how, decision), count in sorted(rows.items()):
        table.add_row(model, how, str(count), decision)
    return table


def _say(console: Console, queued: int, withdrawn: int, *, dry_run: bool) -> None:
    if dry_run:
        console.print(f"{queued} studies would be queued. Nothing was changed.")
    elif queued:
        console.print(f"{queued} studies are queued; they go behind every study that comes in.")
    else:
        console.print("Nothing was queued.")
    if withdrawn and not dry_run:
        console.print(f"{withdrawn} orders for another model were withdrawn.")
