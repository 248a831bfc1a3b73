"""`cad-node demo`: a node, a scanner and a study, all on this machine."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cad_node.cli.exit_codes import ALL_DONE, SOME_FAILED
from cad_node.errors import CadNodeError, JobError
from cad_node.logs import set_up_logging
from cad_node.settings import load_settings

if TYPE_CHECKING:
    from cad_node.node import Node

_DEADLINE_S = 600.0


def demo(
    once: Annotated[
        bool,
        typer.Option("--once", help="Stop when done; exit 0 only if SEG and SR were made and read back."),
    ] = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for data and results.")] = Path(
        "cad-node-demo"
    ),
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0: any free one.")
    ] = 11112,
) -> None:
    """Start a node on loopback, send it a study over C-STORE, show what was found.

    The study holds three BUS-BRA pictures with an invented patient burnt in, and
    one colour Doppler image that must not be analysed.
    """
    from cad_node.node import Node

    terminal = Console()
    # Into a file or pipe, where 80 columns are assumed, the table needs more.
    console = terminal if terminal.is_terminal else Console(width=120)
    set_up_logging("WARNING")
    settings = load_settings(
        None,
        {
            "data_dir": output / "node",
            "log_level": "WARNING",
            "receive": {"port": port or _free_port(), "disk_reserve_bytes": 100_000_000},
            "completion": {"quiet_time_s": 2.0},
            "destinations": [{"type": "folder", "name": "results", "path": output / "results"}],
        },
    )
    _require_free(settings.receive.host, settings.receive.port)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    node = Node(settings)
    try:
        with console.status("Starting the node: loading model and OCR …"):
            node.start()
        address = f"{settings.receive.host}:{node.scp.port}"
        console.print(f"The node {settings.receive.ae_title} listens on {address}.")
        study = _send_study(console, node, output)
        with console.status("Waiting until the study is complete, analysed and delivered …"):
            _wait_until_delivered(node, study, stop)
        folder = output / "results" / study
        complete = _show(console, folder)
        if once:
            raise typer.Exit(ALL_DONE if complete else SOME_FAILED)
        console.print(
            f"Send your own studies to {settings.receive.ae_title} at {address}. Ctrl-C ends the node."
        )
        stop.wait()
    finally:
        node.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _require_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CadNodeError(
                f"Port {port} cannot be used: {error.strerror}.",
                "Choose another with --port; 0 takes a free one.",
            ) from error


def _send_study(console: Console, node: Node, output: Path) -> str:
    """Write the study to files and let the scanner, a process of its own, send them."""
    from cad_node.demo.study import make_demo_study

    datasets = make_demo_study(datetime.now().astimezone())
    study = str(datasets[0].StudyInstanceUID)
    folder = output / "scanner" / study
    folder.mkdir(parents=True)
    paths = []
    for number, dataset in enumerate(datasets, start=1):
        paths.append(folder / f"image-{number}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    receive = node.settings.receive
    scanner = subprocess.run(  # noqa: S603 our own module, our own paths
        [
            sys.executable, "-m", "cad_node.demo.send", receive.host, str(node.scp.port), receive.ae_title,
            *map(str, paths),
        ],
        check=False,
        timeout=120,
    )  # fmt: skip
    if scanner.returncode:
        raise CadNodeError(
            f"The demo's scanner could not send {scanner.returncode} of {len(paths)} objects.",
            "See the log above.",
        )
    console.print(f"A scanner sent {len(paths)} objects by C-STORE, study {study}.", soft_wrap=True)
    return study


def _wait_until_delivered(node: Node, study: str, stop: threading.Event) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline and not stop.wait(0.2):
        revisions = node.journal.revisions.of_study(study)
        for revision in revisions:
            if revision.state == "failed":
                raise JobError(f"The study failed: {revision.problem}", "See `cad-node jobs show`.")
        deliveries = node.journal.outgoing.of_study(study)
        if deliveries and all(delivery.state == "sent" for delivery in deliveries):
            return
    raise JobError("The study was not delivered in time.", "See the log above.")


def _show(console: Console, folder: Path) -> bool:
    """Print what was found and where to look; whether SEG and SR are there and readable."""
    from cad_node.encode import read_back
    from cad_node.result_files import PAGE_FILE, read_summary

    summary = read_summary(folder)
    table = Table(title="What the node found")
    for heading in (
        "image",
        "frame",
        "class",
        "P(malignant)",
        "lesions",
        "long × short axis",
        "marks removed",
    ):
        table.add_column(heading)
    for position, row in _key_rows(summary["rows"]):
        if row["status"] != "analysed":
            table.add_row(
                str(position), row["frame"], Text(f"{row['status']}: {row['reason']}", style="yellow")
            )
            continue
        axes = f"{row['long_axis_mm']} × {row['short_axis_mm']} mm" if row["long_axis_mm"] else "–"
        table.add_row(
            str(position), row["frame"], row["class"], row["p_malignant"], row["lesions"], axes,
            row["annotations_removed"],
        )  # fmt: skip
    console.print(table)
    objects = {kind: [item for item in summary["objects"] if item["kind"] == kind] for kind in ("seg", "sr")}
    # Not a table: a path that is cut cannot be opened.
    console.print("Where to look:")
    console.print(Text(f"  page       {(folder / PAGE_FILE).resolve()}"), soft_wrap=True)
    for kind, items in objects.items():
        for item in items:
            console.print(
                Text(f"  DICOM {kind.upper():4} {(folder / item['file']).resolve()}"), soft_wrap=True
            )
    read = read_back([folder / item["file"] for items in objects.values() for item in items])
    console.print(
        f"Read back with highdicom: {read.segments} segments in {len(objects['seg'])} SEG, "
        f"{read.measurement_groups} measurement groups in {len(objects['sr'])} SR."
    )
    return bool(objects["seg"]) and bool(objects["sr"]) and read.segments > 0 and read.measurement_groups > 0


def _key_rows(rows: Sequence[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """One row an image: of a loop, the frame with the most suspicious lesion."""
    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        before = best.get(row["sop_instance_uid"])
        if before is None or _suspicion(row) > _suspicion(before):
            best[row["sop_instance_uid"]] = row
    return list(enumerate(best.values(), start=1))


def _suspicion(row: dict[str, Any]) -> tuple[bool, float]:
    return bool(row["long_axis_mm"]), float(row["p_malignant"] or 0)
