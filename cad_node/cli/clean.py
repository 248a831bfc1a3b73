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
from rich.text import Text

from cad_node import __version__
from cad_node.cli.batch import collect, conclude, set_up_batch, tell_unreadable
from cad_node.cli.exit_codes import USAGE
from cad_node.cli.options import Config, unusable_output
from cad_node.deidentify.options import Dates, Encoding, Keep
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
    settings = set_up_batch(settings, workers)
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

    from cad_node.clean_copy import CopyStatus
    from cad_node.clean_run import CleanRun, find_files, write_link, write_report
    from cad_node.deidentify.pseudonyms import Pseudonyms
    from cad_node.workers import WorkerPool

    with console.status("Looking for images …"):
        found = find_files(paths, [folder for folder in (output, pictures) if folder])
    tell_unreadable(console, found.unreadable)
    workers, count = settings.jobs.workers, len(found.files)
    with WorkerPool(settings, min(workers, max(count, 1)), partial(_load, plan)) as pool:
        run = CleanRun(pool.process, output, Pseudonyms(plan.secret), _made_by(settings, plan), pictures)
        ended = run.run(found.files, workers)
        outcomes, interrupted = collect(console, pool, ended, count, "images", _not_cleaned)
    report = write_report(output, outcomes, len(found.unreadable))
    if link is not None:
        write_link(link, outcomes)
    statuses = [outcome.result.status for outcome in outcomes]
    failed = statuses.count(CopyStatus.FAILED) + len(found.unreadable)
    counts = {
        "images": len(outcomes),
        "cleaned": statuses.count(CopyStatus.CLEANED),
        "done before": sum(outcome.done_before for outcome in outcomes),
        "refused": statuses.count(CopyStatus.REFUSED),
        "failed": failed,
        "files ignored": found.ignored,
    }
    go_on = "With a secret of your own, run the same command again to go on." if interrupted else ""
    return conclude(console, counts, report, failed, go_on)


def _not_cleaned(outcome: CopyOutcome) -> Text | None:
    status = outcome.result.status
    if status == "cleaned" or outcome.done_before:
        return None
    style = "red" if status == "failed" else "yellow"
    return Text(f"{outcome.path}: {status}, {outcome.result.reason}", style=style)


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
