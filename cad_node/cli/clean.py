"""`cad-node clean`: de-identified, cleaned copies for research."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cad_node import __version__
from cad_node.cli.exit_codes import ALL_DONE, SOME_FAILED, USAGE
from cad_node.cli.options import Config, unusable_output
from cad_node.cli.progress import progress_bar
from cad_node.deidentify.options import Dates, Encoding, Keep
from cad_node.logs import set_up_logging
from cad_node.settings import NodeSettings, load_settings

if TYPE_CHECKING:
    from cad_node.clean_copy import Copier, CopyPlan
    from cad_node.clean_run import CopyOutcome


def clean(
    paths: Annotated[
        list[Path],
        typer.Argument(help="DICOM, PNG or JPEG files, folders or a DICOMDIR.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the copies.", show_default=False)
    ],
    keep_device: Annotated[
        bool, typer.Option("--keep-device", help="Keep serial numbers and names of scanner and transducer.")
    ] = False,
    keep_dates: Annotated[
        Dates,
        typer.Option("--keep-dates", help="shifted: move all dates of a patient by the same secret days."),
    ] = Dates.REMOVED,
    keep_side: Annotated[bool, typer.Option("--keep-side", help="Keep side, body part and view.")] = False,
    keep_patient: Annotated[
        bool, typer.Option("--keep-patient", help="Keep age (to 90), sex, size and weight.")
    ] = False,
    transfer_syntax: Annotated[
        Encoding | None,
        typer.Option(
            "--transfer-syntax",
            help="All are lossless. Without it: jpeg-ls where the source was compressed, else explicit-vr-le.",
        ),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--pictures", help="Folder for before/after/mask pictures. BEFORE SHOWS THE PATIENT'S NAME."
        ),
    ] = None,
    link: Annotated[
        Path | None,
        typer.Option("--link", help="CSV of which file became which copy. IT UNDOES THE PSEUDONYMS."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Images cleaned at once.")] = 1,
    config: Config = None,
) -> None:
    """Make de-identified copies: burnt-in text out of the pixels, names out of the header.

    Goes on after a bad file; what cannot be proven clean is not written. Set
    CADNODE_DEID_SECRET to resume, or to name patients alike in several runs.
    Exit code 0: all done, 1: some failed, 2: wrong usage, 78: settings.
    """
    console = Console(stderr=True)
    settings = load_settings(config)
    if problem := _wrong_usage(paths, output, pictures, link):
        console.print(Text(problem))
        raise typer.Exit(USAGE)
    if settings.log_level == "INFO":
        # Lines between the steps of a progress bar help nobody; DEBUG is asked for on purpose.
        settings = settings.model_copy(update={"log_level": "WARNING"})
    set_up_logging(settings.log_level)
    settings = settings.model_copy(update={"jobs": settings.jobs.model_copy(update={"workers": workers})})
    from cad_node.clean_copy import CopyPlan
    from cad_node.deidentify.pseudonyms import SECRET_VARIABLE

    given = os.environ.get(SECRET_VARIABLE, "")
    plan = CopyPlan(
        given.encode() or secrets.token_bytes(32),
        Keep(device=keep_device, patient=keep_patient, side=keep_side, dates=keep_dates),
        transfer_syntax,
    )
    if not given:
        console.print(
            f"No {SECRET_VARIABLE}: pseudonyms hold for this run alone, and it cannot be taken up again.",
            soft_wrap=True,
        )
    for place, what in ((pictures, "the pictures with names burnt in"), (link, "the key to the pseudonyms")):
        if place is not None:
            console.print(Text(f"{place} will hold {what}: never pass it on.", style="bold yellow"))
    raise typer.Exit(_run(console, settings, plan, paths, output, pictures, link))


def _wrong_usage(paths: list[Path], output: Path, pictures: Path | None, link: Path | None) -> str:
    for path in paths:
        if not path.exists():
            return f"{path} does not exist. Name files, folders or a DICOMDIR."
    for place in (pictures, link):
        if place is not None and place.resolve().is_relative_to(output.resolve()):
            return f"{place} lies in the output folder, which is meant to be passed on. Name another place."
    return unusable_output(output)


def _run(
    console: Console,
    settings: NodeSettings,
    plan: CopyPlan,
    paths: list[Path],
    output: Path,
    pictures: Path | None,
    link: Path | None,
) -> int:
    from functools import partial

    from cad_node.clean_run import CleanRun, find_files, write_link, write_report
    from cad_node.deidentify.pseudonyms import Pseudonyms
    from cad_node.workers import WorkerPool

    with console.status("Looking for images …"):
        found = find_files(paths, [folder for folder in (output, pictures) if folder])
    for path, problem in found.unreadable:
        console.print(Text(f"{path}: {problem}", style="yellow"))
    workers = settings.jobs.workers
    outcomes: list[CopyOutcome] = []
    interrupted = False
    with (
        WorkerPool(settings, min(workers, max(len(found.files), 1)), partial(_load, plan)) as pool,
        progress_bar(console, "images") as progress,
    ):
        run = CleanRun(pool.process, output, Pseudonyms(plan.secret), _made_by(settings, plan), pictures)
        pool.wait_ready()
        bar = progress.add_task("Images", total=len(found.files))
        ended = run.run(found.files, workers)
        try:
            for outcome in ended:
                outcomes.append(outcome)
                progress.advance(bar)
                if outcome.result.status != "cleaned" and not outcome.done_before:
                    said = f"{outcome.path}: {outcome.result.status}, {outcome.result.reason}"
                    console.print(Text(said, style="red" if outcome.result.status == "failed" else "yellow"))
        except KeyboardInterrupt:
            interrupted = True
            pool.close()
            ended.close()
    report = write_report(output, outcomes, len(found.unreadable))
    if link is not None:
        write_link(link, outcomes)
    failed = sum(outcome.result.status == "failed" for outcome in outcomes) + len(found.unreadable)
    table = Table("images", "cleaned", "done before", "refused", "failed", "files ignored")
    table.add_row(
        str(len(outcomes)),
        str(sum(outcome.result.status == "cleaned" for outcome in outcomes)),
        str(sum(outcome.done_before for outcome in outcomes)),
        str(sum(outcome.result.status == "refused" for outcome in outcomes)),
        str(failed),
        str(found.ignored),
    )
    console.print(table)
    console.print(Text(f"Report: {report}"), soft_wrap=True)
    if interrupted:
        console.print("Interrupted. With a secret of your own, run the same command again to go on.")
    return SOME_FAILED if failed or interrupted else ALL_DONE


def _load(plan: CopyPlan, settings: NodeSettings) -> Copier:
    from cad_node.clean_copy import Copier

    return Copier(settings, plan)


def _made_by(settings: NodeSettings, plan: CopyPlan) -> str:
    from cad_node.process import load_cleaner

    made_how = [
        __version__,
        settings.pipeline.model_dump(mode="json"),
        asdict(plan.keep),
        plan.encoding,
        load_cleaner(settings, with_notes=False).describe(),
    ]
    return hashlib.sha256(json.dumps(made_how, sort_keys=True).encode()).hexdigest()
