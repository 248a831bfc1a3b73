"""`cad-node process`: the pipeline over archived studies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from cad_node.cli.batch import collect, conclude, set_up_batch, tell_unreadable
from cad_node.cli.exit_codes import USAGE
from cad_node.cli.options import Config, unusable_output
from cad_node.errors import SettingsError
from cad_node.settings import NodeSettings, load_settings

if TYPE_CHECKING:
    from cad_node.archive_run import StudyOutcome


def process(
    paths: Annotated[list[Path], typer.Argument(help="Files, folders or a DICOMDIR.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results.", show_default=False)
    ],
    send: Annotated[
        list[str] | None,
        typer.Option("--send", help="Also send results to this destination of the settings."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Studies analysed at once.")] = 1,
    config: Config = None,
) -> None:
    """Analyse archived studies: SEG, SR, pictures and a page a study, and one report.csv.

    Goes on after a bad study; started again, it goes on where it was interrupted.
    Exit code 0: all done, 1: some failed, 2: wrong usage.
    """
    console = Console(stderr=True)
    settings = load_settings(config)
    missing = [path for path in paths if not path.exists()]
    if missing:
        console.print(Text(f"{missing[0]} does not exist. Name files, folders or a DICOMDIR."))
        raise typer.Exit(USAGE)
    if problem := unusable_output(output):
        console.print(Text(problem))
        raise typer.Exit(USAGE)
    settings = set_up_batch(settings, workers)
    raise typer.Exit(_run(console, settings, paths, output, send or [], workers))


def _run(
    console: Console, settings: NodeSettings, paths: list[Path], output: Path, send: list[str], workers: int
) -> int:
    from cad_node.archive_run import ArchiveRun, write_report
    from cad_node.deliver import make_destination
    from cad_node.process import load_processor, making
    from cad_node.read import scan_files
    from cad_node.workers import WorkerPool

    known = {destination.name: destination for destination in settings.destinations}
    if unknown := [name for name in send if name not in known]:
        raise SettingsError(
            f"No destination '{unknown[0]}' in the settings; there are: {', '.join(known)}.",
            "Name one of them with --send, or add it to [[destinations]].",
        )
    if held := [name for name in send if known[name].hold]:
        raise SettingsError(
            f"Destination '{held[0]}' gets results only once they are accepted, and nobody can answer this command.",
            "Leave hold out for a run over an archive, or let cad-node serve send to it.",
        )
    digest = making(settings).digest
    with console.status("Looking for DICOM files …"):
        scan = scan_files(paths)
    tell_unreadable(console, scan.unreadable)
    destinations = {name: make_destination(known[name], settings.results) for name in send}
    count = len(scan.studies)
    with WorkerPool(settings, min(workers, max(count, 1)), load_processor) as pool:
        run = ArchiveRun(pool.process, output, digest, destinations)
        ended = run.run(scan.studies, workers)
        outcomes, interrupted = collect(console, pool, ended, count, "studies", _failure)
    report = write_report(output, outcomes, len(scan.unreadable))
    failed = sum(outcome.failed for outcome in outcomes)
    counts = {
        "studies": len(outcomes),
        "done before": sum(outcome.done_before for outcome in outcomes),
        "failed": failed,
        "files unreadable": len(scan.unreadable),
        "files ignored": len(scan.ignored),
    }
    go_on = "Run the same command again to go on." if interrupted else ""
    return conclude(console, counts, report, failed + len(scan.unreadable), go_on)


def _failure(outcome: StudyOutcome) -> Text | None:
    if outcome.error is None:
        return None
    return Text(f"{outcome.study_instance_uid}: {outcome.error}", style="red")
