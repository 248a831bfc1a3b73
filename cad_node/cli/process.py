"""`cad-node process`: the pipeline over archived studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cad_node.cli.exit_codes import ALL_DONE, SOME_FAILED, USAGE
from cad_node.cli.options import Config, unusable_output
from cad_node.cli.progress import progress_bar
from cad_node.errors import SettingsError
from cad_node.logs import set_up_logging
from cad_node.settings import NodeSettings, load_settings


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
    if settings.log_level == "INFO":
        # Lines between the steps of a progress bar help nobody; DEBUG is asked for on purpose.
        settings = settings.model_copy(update={"log_level": "WARNING"})
    set_up_logging(settings.log_level)
    settings = settings.model_copy(update={"jobs": settings.jobs.model_copy(update={"workers": workers})})
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
    for path, problem in scan.unreadable:
        console.print(Text(f"{path}: {problem}", style="yellow"))
    outcomes = []
    interrupted = False
    with (
        WorkerPool(settings, min(workers, max(len(scan.studies), 1)), load_processor) as pool,
        progress_bar(console, "studies") as progress,
    ):
        pool.wait_ready()
        bar = progress.add_task("Studies", total=len(scan.studies))
        destinations = {name: make_destination(known[name], settings.results) for name in send}
        run = ArchiveRun(pool.process, output, digest, destinations)
        ended = run.run(scan.studies, workers)
        try:
            for outcome in ended:
                outcomes.append(outcome)
                progress.advance(bar)
                if outcome.error is not None:
                    console.print(Text(f"{outcome.study_instance_uid}: {outcome.error}", style="red"))
        except KeyboardInterrupt:
            interrupted = True
            pool.close()
            ended.close()
    report = write_report(output, outcomes, len(scan.unreadable))
    failed = sum(outcome.failed for outcome in outcomes) + len(scan.unreadable)
    table = Table("studies", "done before", "failed", "files unreadable", "files ignored")
    table.add_row(
        str(len(outcomes)),
        str(sum(outcome.done_before for outcome in outcomes)),
        str(sum(outcome.failed for outcome in outcomes)),
        str(len(scan.unreadable)),
        str(len(scan.ignored)),
    )
    console.print(table)
    console.print(Text(f"Report: {report}"), soft_wrap=True)
    if interrupted:
        console.print("Interrupted. Run the same command again to go on.")
    return SOME_FAILED if failed or interrupted else ALL_DONE
