"""`cad-node jobs dismiss`: say that somebody has seen to what failed, is held or was not taken."""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cad_node.cli.jobs import job_console, job_table, job_time, open_journal, unknown_study
from cad_node.cli.options import Config
from cad_node.errors import JobError

if TYPE_CHECKING:
    from cad_node.store.dismissals import Open
    from cad_node.store.journal import Journal

_DAY_S = 86400.0
_SHOWN = 100


class Dismissable(StrEnum):
    """States in which a study, a delivery or a commitment may be dismissed."""

    FAILED = "failed"
    HELD = "held"
    REFUSED = "refused"
    GIVEN_UP = "given_up"
    WAITING = "waiting"
    NOT_COMMITTED = "not_committed"


def _reason(value: str) -> str:
    text = " ".join(value.split())
    if not 1 <= len(text) <= 200 or not text.isprintable():
        raise typer.BadParameter("1 to 200 printable characters")
    return text


def dismiss_jobs(
    reason: Annotated[
        str,
        typer.Option(
            "--reason",
            parser=_reason,
            metavar="TEXT",
            help="Kept in the journal and shown by `jobs show`. A ticket, say; no patient's name.",
            show_default=False,
        ),
    ],
    study_instance_uids: Annotated[
        list[str] | None, typer.Argument(help="Study Instance UIDs.", show_default=False)
    ] = None,
    state: Annotated[
        list[Dismissable] | None,
        typer.Option("--state", help="Only what is in this state; may be given several times."),
    ] = None,
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", min=0, help="Days for which it has been so. Without UIDs: to be given."),
    ] = None,
    by: Annotated[
        str, typer.Option("--by", help="Who says so. Without it: the user of this machine.", metavar="NAME")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be dismissed, and change nothing.")
    ] = False,
    config: Config = None,
) -> None:
    """Wait no longer for what failed, is held, was refused, given up or not committed.

    It is shown as dismissed from then on, with who, when and why in `jobs show`, and goes with `prune`
    after its days. What waits for a destination that the settings no longer name may be dismissed, too.
    Taken back by `jobs retry`, by an answer to what was held, and by the study when it is sent
    again: what failed is then analysed again. Works while a node runs.
    """
    if not study_instance_uids and (not state or older_than is None):
        raise typer.BadParameter("name studies, or give both --state and --older-than")
    from cad_node.store.dismissals import DISMISSABLE

    states = [one.value for one in state] if state else DISMISSABLE
    before = time.time() - (older_than or 0) * _DAY_S
    with open_journal(config) as (settings, journal):
        named = [destination.name for destination in settings.destinations]
        found = [
            one
            for one in _found(journal, named, study_instance_uids, states)
            if older_than is None or one.since <= before
        ]
        done = found if dry_run else journal.dismissals.dismiss(found, by or whoami(), reason)
    table = job_table("study", "", "was", "since")
    for one in done[:_SHOWN]:
        table.add_row(
            one.study_instance_uid, one.destination or one.matter.value, one.state, job_time(one.since)
        )
    console = job_console()
    if done:
        console.print(table)
    if len(done) > _SHOWN:
        console.print(f"{len(done) - _SHOWN} more are left out here.")
    studies = len({one.study_instance_uid for one in done})
    count = f"{studies} {'study' if studies == 1 else 'studies'}"
    console.print(f"{count} would be dismissed. Nothing was changed." if dry_run else f"{count} dismissed.")


def whoami() -> str:
    """Who gives an order: the user behind sudo, else the one that runs it, and on which machine."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def _found(
    journal: Journal, named: Sequence[str], uids: Sequence[str] | None, states: Sequence[str]
) -> list[Open]:
    if not uids:
        return journal.dismissals.standing_open(named, states=states)
    found = []
    for uid in dict.fromkeys(uids):
        if not journal.study_records(uid):
            raise unknown_study(uid)
        mine = journal.dismissals.standing_open(named, study_instance_uid=uid, states=states)
        if not mine:
            raise JobError(
                f"Nothing of study {uid} can be dismissed: it is received or analysed at the moment, or nothing of it "
                "failed, is held or was not taken.",
                "See: cad-node jobs show.",
                study_instance_uid=uid,
            )
        found += mine
    return found
