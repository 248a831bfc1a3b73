"""`cad-node jobs`: see what became of each study, and have it done again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cad_node.cli.options import Config
from cad_node.errors import JobError
from cad_node.logs import quiet_libraries
from cad_node.settings import NodeSettings, load_settings

if TYPE_CHECKING:
    from cad_node.domain import MadeBy
    from cad_node.store.journal import Journal
    from cad_node.store.schema import CommitmentRecord, DeliveryRecord, DismissalRecord, RevisionRecord

jobs_app = typer.Typer(
    no_args_is_help=True,
    help="List and show studies, retry or dismiss what failed. Works while a node runs, and when none does.",
)


class JobState(StrEnum):
    """What a study can be looked for by: its own state, or that of a delivery or of its commitment."""

    RECEIVING = "receiving"
    WAITING = "waiting"
    QUEUED = "queued"
    PROCESSING = "processing"
    DONE = "done"
    FAILED = "failed"
    HELD = "held"
    SENDING = "sending"
    SENT = "sent"
    REFUSED = "refused"
    GIVEN_UP = "given_up"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"
    TO_ASK = "to_ask"
    ASKING = "asking"
    ASKED = "asked"
    REPORTED = "reported"
    COMMITTED = "committed"
    NOT_COMMITTED = "not_committed"
    DISMISSED = "dismissed"


_STYLES = {
    "done": "green",
    "sent": "green",
    "committed": "green",
    "not_committed": "bold red",
    "failed": "bold red",
    "refused": "bold red",
    "given_up": "bold red",
    "superseded": "dim",
    "dismissed": "dim",
}

# Of which the journal is asked together; a database takes so many values and not any number.
_ROWS_AT_ONCE = 500

StudyUid = Annotated[str, typer.Argument(help="Study Instance UID.", show_default=False)]


@jobs_app.command("list")
def list_jobs(
    state: Annotated[
        JobState | None, typer.Option("--state", help="Only studies, or deliveries, in this state.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the latest.")] = 100,
    config: Config = None,
) -> None:
    """List the studies, the latest last, and how many results were made otherwise than now."""
    from cad_node.reanalysis import otherwise_made

    rows: list[tuple[str | Text, ...]] = []
    with open_journal(config) as (settings, journal):
        making = journal.reanalysis.announced(settings.jobs.executor_id)
        counts = journal.reanalysis.counts()
        records, total = journal.revisions.latest(limit, None if state is None else state.value)
        for start in range(0, len(records), _ROWS_AT_ONCE):
            rows += _rows(journal, records[start : start + _ROWS_AT_ONCE], making)
        receiving = journal.study_records(only_open=True) if state in {None, JobState.RECEIVING} else []
    rows += [
        (record.study_instance_uid, "", Text("receiving"), "", "", f"{record.instances} instances so far")
        for record in receiving
    ]
    total += len(receiving)
    table = job_table("study", "revision", "state", "made by", "deliveries", "problem")
    for row in rows[-limit:]:
        table.add_row(*row)
    console = job_console()
    console.print(table)
    if total > limit:
        console.print(f"{total - limit} earlier ones are left out: see --limit.")
    if making is not None and (older := otherwise_made(counts, making)):
        console.print(f"{older}. See: cad-node reanalyse --all --dry-run.")


@jobs_app.command("show")
def show_job(study_instance_uid: StudyUid, config: Config = None) -> None:
    """Show every revision of a study and every delivery."""
    with open_journal(config) as (settings, journal):
        making = journal.reanalysis.announced(settings.jobs.executor_id)
        study = next(iter(journal.study_records(study_instance_uid)), None)
        revisions = journal.revisions.of_study(study_instance_uid)
        deliveries = journal.outgoing.of_study(study_instance_uid)
        commitments = _by_delivery(journal.commitments.of_study(study_instance_uid))
        failed = [
            (record.destination, uid, reason)
            for record in commitments.values()
            if record.state.value == "not_committed"
            for uid, reason in journal.commitments.open_objects(record).items()
        ]
        dismissals = journal.dismissals.of_study(study_instance_uid)
    if study is None:
        raise unknown_study(study_instance_uid)
    newest = max((record.number for record in revisions if record.state.value == "done"), default=None)
    console = job_console()
    console.print(
        f"Study {study_instance_uid}: {study.instances} instances, the last on {job_time(study.last_instance_at)}"
        f"{', more are waited for' if study.is_open else ''}"
    )
    made = job_table("revision", "state", "made by", "complete", "finished", "begun", "on", "problem")
    for record in revisions:
        made.add_row(
            f"{record.number}: {record.revision}",
            _state(record.state),
            _made_by(record, newest, making),
            job_time(record.created_at),
            job_time(record.finished_at),
            str(record.starts),
            record.executor,
            record.problem,
        )
    console.print(made)
    sent = job_table(
        "revision", "destination", "state", "attempts", "next attempt", "finished", "commitment", "problem"
    )
    for item in deliveries:
        kept = commitments.get(_key(item))
        sent.add_row(
            str(item.number),
            item.destination,
            _state(item.state),
            str(item.attempts),
            job_time(item.next_attempt_at) if item.state.value == "waiting" else "",
            job_time(item.finished_at),
            _state(kept.state) if kept else "",
            item.problem or (kept.problem if kept else ""),
        )
    console.print(sent)
    if failed:
        console.print(_failed_table(failed))
    if dismissals:
        numbers = {record.revision: str(record.number) for record in revisions}
        console.print(_dismissed_table(dismissals, numbers))


@jobs_app.command("retry")
def retry_job(
    study_instance_uid: StudyUid,
    destination: Annotated[
        str | None,
        typer.Option("--destination", help="Only the delivery there, even where it was sent before."),
    ] = None,
    config: Config = None,
) -> None:
    """Process the newest revision again where it failed or its results are lost, and deliver what was not taken.

    A destination that is not committed to it is asked again. What was dismissed of it no longer is.
    A running node begins within a second or two; otherwise the next start does.
    """
    from cad_node.cli.dismiss import whoami
    from cad_node.jobs.retry import retry
    from cad_node.store.results import RESULTS_FOLDER, ResultStore

    with open_journal(config) as (settings, journal):
        revisions = journal.revisions.of_study(study_instance_uid)
        if not revisions:
            raise unknown_study(study_instance_uid)
        console = job_console()
        if journal.dismissals.withdraw(study_instance_uid, f"{whoami()}: jobs retry"):
            console.print("It is no longer dismissed.")
            revisions = journal.revisions.of_study(study_instance_uid)
        newest = revisions[-1]
        results = ResultStore(settings.data_dir / RESULTS_FOLDER).folder(study_instance_uid, newest.revision)
        for line in retry(journal, newest, has_results=results.is_dir(), destination=destination):
            console.print(line)


@jobs_app.command("recover")
def recover_jobs(
    executor: Annotated[
        str, typer.Argument(help="`jobs.executor_id` of the machine that is gone.", show_default=False)
    ],
    config: Config = None,
) -> None:
    """Hand the unfinished work of a machine that is gone for good to those that run.

    Not needed where it comes back: started again under the same executor_id, it
    takes up its own work.
    """
    from cad_node.jobs.recovery import recover_work

    with open_journal(config) as (settings, journal):
        if executor == settings.jobs.executor_id:
            raise JobError(
                f"{executor} is the executor_id of this machine.", "Start the node: it takes up its own work."
            )
        done = recover_work(settings, journal, executor)
    job_console().print(
        f"{done.studies} studies and {done.deliveries} deliveries of {executor} are queued again."
    )


@contextmanager
def open_journal(config: Path | None) -> Iterator[tuple[NodeSettings, Journal]]:
    """The settings and the journal of the node that they name; it may be running."""
    from cad_node.store.journal import JOURNAL_FILE, Journal

    quiet_libraries()
    settings = load_settings(config)
    # Looking must not make a node's files where there was no node.
    if not settings.jobs.database_url and not (settings.data_dir / JOURNAL_FILE).exists():
        raise JobError(
            f"No node has worked in {settings.data_dir}.",
            "Name its settings with --config, or its folder with CADNODE_DATA_DIR.",
        )
    journal = Journal.open(settings)
    try:
        yield settings, journal
    finally:
        journal.close()


def unknown_study(study_instance_uid: str) -> JobError:
    """The error that says so."""
    return JobError(f"No study {study_instance_uid} in the journal.", "See: cad-node jobs list.")


def job_console() -> Console:
    """A console that says words as they are, and cuts nothing off in a pipe or a file."""
    # "[results]" in an error, or in an AE title, is no markup of rich.
    console = Console(markup=False, emoji=False)
    # Into a pipe or a file there is no width to keep to: nothing is cut off.
    return console if console.is_terminal else Console(width=240, soft_wrap=True, markup=False, emoji=False)


def job_table(*columns: str, title: str | None = None) -> Table:
    """A table whose cells fold."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _state(state: StrEnum) -> Text:
    return Text(state.value, style=_STYLES.get(state.value, "yellow"))


def _rows(
    journal: Journal, records: Sequence[RevisionRecord], making: MadeBy | None
) -> Iterator[tuple[str | Text, ...]]:
    """What `list` says of some revisions."""
    from cad_node.store.schema import RevisionState

    uids = tuple({record.study_instance_uid for record in records})
    newest = {
        record.study_instance_uid: record.number
        for record in journal.revisions.of_study(*uids)
        if record.state is RevisionState.DONE
    }
    deliveries: dict[tuple[str, str], list[DeliveryRecord]] = {}
    for delivery in journal.outgoing.of_study(*uids):
        deliveries.setdefault((delivery.study_instance_uid, delivery.revision), []).append(delivery)
    commitments = _by_delivery(journal.commitments.of_study(*uids))
    reasons = {
        (item.study_instance_uid, item.revision): f"dismissed: {item.reason}"
        for item in journal.dismissals.standing()
    }
    for record in records:
        sent = deliveries.get((record.study_instance_uid, record.revision), [])
        kept = [commitments[_key(item)] for item in sent if _key(item) in commitments]
        problems = [record.problem, *(item.problem for item in sent), *(item.problem for item in kept)]
        problem = reasons.get((record.study_instance_uid, record.revision), "")
        problem = problem or next(filter(None, problems), "")
        if record.made_for and record.state is RevisionState.WAITING:
            mine = making is not None and record.made_for == making.digest
            problem = "to be analysed again" if mine else "to be analysed again by another model or settings"
        yield (
            record.study_instance_uid,
            str(record.number),
            _state(record.state),
            _made_by(record, newest.get(record.study_instance_uid), making),
            _summary(sent, commitments),
            problem,
        )


def _made_by(record: RevisionRecord, newest: int | None, making: MadeBy | None) -> str:
    """The model of a result; of a study's newest, whether it would be made otherwise now."""
    from cad_node.reanalysis import difference

    how = difference(record.made, making) if making is not None and record.number == newest else ""
    return f"{record.model or 'unknown'} ({how} now)" if how else record.model


def _summary(
    deliveries: Sequence[DeliveryRecord], commitments: Mapping[tuple[str, str, str], CommitmentRecord]
) -> Text:
    parts = []
    for item in deliveries:
        part = Text.assemble(f"{item.destination} ", _state(item.state))
        # While anything is sent again, that is what there is to say.
        if item.state.value == "sent" and (kept := commitments.get(_key(item))):
            part.append(Text.assemble(" (", _state(kept.state), ")"))
        parts.append(part)
    return Text(", ").join(parts)


def _key(record: DeliveryRecord | CommitmentRecord) -> tuple[str, str, str]:
    return record.study_instance_uid, record.revision, record.destination


def _by_delivery(
    records: Iterable[CommitmentRecord],
) -> dict[tuple[str, str, str], CommitmentRecord]:
    return {_key(record): record for record in records}


def _failed_table(failed: Iterable[tuple[str, str, int | None]]) -> Table:
    from cad_node.deliver.commitment import remedy

    table = job_table("destination", "object not committed", "reason")
    for destination, uid, reason in failed:
        table.add_row(destination, uid, remedy(reason)[1])
    return table


def _dismissed_table(dismissals: Iterable[DismissalRecord], numbers: Mapping[str, str]) -> Table:
    table = job_table("revision", "dismissed", "was", "on", "by", "reason", "withdrawn", "through")
    for item in dismissals:
        table.add_row(
            numbers.get(item.revision, ""),
            item.destination or item.matter.value,
            item.was,
            job_time(item.dismissed_at),
            item.dismissed_by,
            item.reason,
            job_time(item.withdrawn_at),
            item.withdrawn_by,
        )
    return table


def job_time(seconds: float | None) -> str:
    """Seconds since 1970 as local time."""
    return (
        "" if seconds is None else datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    )
