"""`cad-node answers`: what radiologists said of results, and how often they agreed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from cad_node.cli.jobs import job_console, job_table, job_time, open_journal
from cad_node.cli.options import Config
from cad_node.domain import LesionClass, Verdict

if TYPE_CHECKING:
    from cad_node.store.schema import AnswerRecord

answers_app = typer.Typer(
    no_args_is_help=True,
    help="Record and list what radiologists say of results. Works while a node runs, and when none does.",
)

_GIVEN = (Verdict.ACCEPT, Verdict.REJECT, Verdict.CORRECT)


def _verdict(value: str) -> Verdict:
    if value not in {verdict.value for verdict in _GIVEN}:
        raise typer.BadParameter(f"accept, reject or correct, not '{value}'")
    return Verdict(value)


@answers_app.command("record")
def record_answer(
    study_instance_uid: Annotated[str, typer.Argument(help="Study Instance UID.", show_default=False)],
    verdict: Annotated[
        Verdict,
        typer.Option("--verdict", parser=_verdict, metavar="accept|reject|correct", show_default=False),
    ],
    lesion: Annotated[
        int | None,
        typer.Option(
            "--lesion", help="Its place on the page, 1 the most suspicious. Without: the whole result."
        ),
    ] = None,
    corrected: Annotated[
        LesionClass | None, typer.Option("--class", help="The right class, with `correct`.")
    ] = None,
    config: Config = None,
) -> None:
    """Say of the newest result of a study, or of one lesion in it, whether it is right.

    Results that a destination is to get only once they are accepted go out within a
    second or two. A rejection that was a mistake is taken back by accepting.
    """
    from cad_node.answers import ANSWERS_FOLDER, AnswerDesk
    from cad_node.store.results import RESULTS_FOLDER, ResultStore

    with open_journal(config) as (settings, journal):
        results = ResultStore(settings.data_dir / RESULTS_FOLDER)
        desk = AnswerDesk(journal, results, settings.answers, settings.data_dir / ANSWERS_FOLDER)
        result = desk.record_command(study_instance_uid, verdict, lesion=lesion, corrected=corrected)
        deliveries = journal.outgoing.of_study(study_instance_uid)
    console = job_console()
    what = f"lesion {result.lesion(lesion)}" if lesion else f"the whole result, {len(result.lesions)} lesions"
    console.print(f"Noted: {verdict.value}, {what}.")
    for item in deliveries:
        if item.hold:
            console.print(f"Revision {item.number}, {item.destination}: {item.state.value}")


@answers_app.command("list")
def list_answers(
    study_instance_uid: Annotated[
        str | None, typer.Option("--study", help="Only those to this study.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the latest.")] = 100,
    config: Config = None,
) -> None:
    """List the answers, the latest last; one that names no result of the node has no model."""
    with open_journal(config) as (_, journal):
        records = journal.answers.all(study_instance_uid)
    table = job_table(
        "study", "lesion", "verdict", "named", "corrected", "model", "title", "from", "received"
    )
    for record in records[-limit:]:
        table.add_row(
            record.study_instance_uid,
            str(record.number) if record.number else "all",
            record.verdict.value,
            record.named if record.revision else "",
            record.corrected,
            record.model,
            record.title,
            record.calling_ae_title or record.way.value,
            job_time(record.received_at),
        )
    console = job_console()
    console.print(table)
    if len(records) > limit:
        console.print(f"{len(records) - limit} earlier ones are left out: see --limit.")


@answers_app.command("summary")
def summarise_answers(config: Config = None) -> None:
    """Count how often radiologists agreed, by class and model version; holds no patient data.

    What was said last of a result or a lesion counts.
    """
    with open_journal(config) as (_, journal):
        latest = journal.answers.latest()
        strangers = len({item.sop_instance_uid for item in journal.answers.all() if not item.revision})
    console = job_console()
    results = job_table("model", "results", "accepted", "rejected", "corrected", "unclear", title="Results")
    for model, records in _groups((item.model, item) for item in latest if not item.number):
        results.add_row(model[0], *_counts(records))
    console.print(results)
    lesions = job_table(
        "model", "named", "lesions", "accepted", "rejected", "corrected", "to", "agreed", title="Lesions"
    )
    for key, records in _groups((item.model, item.named, item) for item in latest if item.number):
        total, *counts, _ = _counts(records)
        to = Counter(item.corrected for item in records if item.corrected)
        lesions.add_row(
            *key,
            total,
            *counts,
            ", ".join(f"{name} {count}" for name, count in sorted(to.items())),
            f"{100 * int(counts[0]) / len(records):.0f} %",
        )
    console.print(lesions)
    console.print(f"Answers that name no result of this node: {strangers}")


def _groups(
    items: Iterable[tuple[str | AnswerRecord, ...]],
) -> list[tuple[tuple[str, ...], list[AnswerRecord]]]:
    """Records, the last of each tuple, by what stands before them."""
    groups: dict[tuple[str, ...], list[AnswerRecord]] = {}
    for *key, record in items:
        groups.setdefault(tuple(map(str, key)), []).append(record)  # type: ignore[arg-type]
    return sorted(groups.items())


def _counts(records: list[AnswerRecord]) -> list[str]:
    found = Counter(record.verdict for record in records)
    return [str(len(records)), *(str(found[verdict]) for verdict in Verdict)]
