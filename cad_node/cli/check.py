"""`cad-node check`: whether the node would work as it is set up."""

from __future__ import annotations

import getpass
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from cad_node.cli.exit_codes import ALL_DONE, SETTINGS, SOME_FAILED
from cad_node.cli.jobs import job_console, job_table
from cad_node.cli.options import Config
from cad_node.errors import CadNodeError, SettingsError
from cad_node.logs import quiet_libraries
from cad_node.settings import (
    CStoreDestinationSettings,
    NodeSettings,
    ReceiveSettings,
    is_loopback,
    load_settings,
)
from cad_node.tls import REMIND_DAYS, Secure, destination_tls, receiver_tls

if TYPE_CHECKING:
    from cad_node.deliver import CommitmentScu


def check(config: Config = None) -> None:
    """Validate the settings, echo each destination, verify the model, say what would be done.

    Exit code 0: all is well, 1: a destination or the port does not answer, 78: settings.
    """
    quiet_libraries()
    settings = load_settings(config)
    table = job_table("what", "result", "detail", title="cad-node check")
    worst = ALL_DONE
    for what, test, code in _checks(settings):
        try:
            table.add_row(what, Text("ok", style="green"), Text(test()))
        except CadNodeError as error:
            worst = max(worst, code)
            table.add_row(what, Text("failed", style="bold red"), Text(str(error)))
    job_console().print(table)
    raise typer.Exit(worst)


def _checks(settings: NodeSettings) -> list[tuple[str, Callable[[], str], int]]:
    from cad_node.deliver import commitment_scus, make_destination

    checks: list[tuple[str, Callable[[], str], int]] = [
        ("settings", lambda: "every key is known and within bounds", SETTINGS),
        ("model", lambda: _model(settings), SETTINGS),
        ("device", lambda: _device(settings), SETTINGS),
        ("templates", lambda: _templates(settings), SETTINGS),
        ("who may send", lambda: _senders(settings), SETTINGS),
        ("encryption", lambda: _encryption(settings.receive), SETTINGS),
        ("port", lambda: _port(settings), SOME_FAILED),
        ("data folder", lambda: _data_folder(settings), SETTINGS),
        ("disk", lambda: _disk(settings), SOME_FAILED),
        ("results", lambda: _results(settings), SOME_FAILED),
    ]
    for destination in settings.destinations:

        def echo(destination: object = destination) -> str:
            make_destination(destination).verify()  # type: ignore[arg-type]
            return _taken(destination)

        checks.append((f"destination {destination.name}", echo, SOME_FAILED))
    for name, scu in commitment_scus(settings).items():
        checks.append((f"commitment of {name}", lambda scu=scu: _commitment(settings, scu), SOME_FAILED))  # type: ignore[misc]
    return checks


def _commitment(settings: NodeSettings, scu: CommitmentScu) -> str:
    scu.verify()
    receive, destination = settings.receive, scu.settings
    if is_loopback(receive.host) and not is_loopback(destination.host):
        raise CadNodeError(
            f"{destination.host} cannot report back: the node listens on {receive.host} alone.",
            "Set receive.host to an address that it reaches.",
        )
    titles = " or ".join(destination.reporting_ae_titles)
    return f"offered; {titles} reports to {destination.calling_ae_title} on {receive.host}:{receive.port}"


def _taken(destination: object) -> str:
    if not isinstance(destination, CStoreDestinationSettings):
        return "can be written to"
    return f"answers over TLS{_ends(destination_tls(destination))}" if destination.tls else "answers"


def _encryption(receive: ReceiveSettings) -> str:
    if not receive.tls:
        return "none: the port speaks DICOM without TLS"
    ends = _ends(receiver_tls(receive))
    whom = f"of {receive.tls_client_ca}" if receive.tls_client_ca else "not asked for"
    return f"TLS 1.2 and 1.3; senders' certificates: {whom}{ends}"


def _ends(tls: Secure) -> str:
    """When each file ends, the soonest first."""
    days = sorted((left, path) for path, left in tls.days_left().items())
    return "".join(
        f"; {path} ends in {left} days{': renew it' if left <= REMIND_DAYS else ''}" for left, path in days
    )


def _model(settings: NodeSettings) -> str:
    from cad_node.networks.annotation_bundle import load_annotation_bundle
    from cad_node.networks.bundle import load_bundle
    from cad_node.process import find_model

    bundle = load_bundle(find_model(settings))
    marks = load_annotation_bundle(find_model(settings, settings.pipeline.annotation_model))
    return ", ".join(
        f"{one.name} {one.version}, sha256 {one.sha256[:16]}… as its metadata says" for one in (bundle, marks)
    )


def _device(settings: NodeSettings) -> str:
    from cad_node.networks.runtime import require_device

    require_device(settings.runtime.device)
    return f"the networks run on {settings.runtime.device}"


def _templates(settings: NodeSettings) -> str:
    from cad_node.encode import languages, load_templates
    from cad_node.resources import templates_dir

    folder = settings.runtime.templates_dir or templates_dir()
    load_templates(folder, settings.results.language)
    # The others, too: who edits them should hear of it before choosing them.
    known = languages(folder)
    for language in known:
        load_templates(folder, language)
    return f"every template is complete; in use: {settings.results.language}, there are: {', '.join(known)}"


def _senders(settings: NodeSettings) -> str:
    titles = settings.receive.calling_ae_titles
    if titles:
        return f"{', '.join(titles)}, when they call {settings.receive.ae_title}"
    return f"any AE title from this machine alone, when it calls {settings.receive.ae_title}"


def _port(settings: NodeSettings) -> str:
    from cad_node.receive.listening import look_at_port

    receive = settings.receive
    look_at_port(receive)
    reach = "this machine only" if is_loopback(receive.host) else "the network"
    return f"{receive.host}:{receive.port} is free; reachable from {reach}"


def _data_folder(settings: NodeSettings) -> str:
    """Whether this user can work there. The folder is not made: the node may be another user's."""
    folder = settings.data_dir.resolve()
    try:
        there = _nearest(folder)
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise SettingsError(
            f"{folder} cannot be written to by {getpass.getuser()}: {error.strerror}.",
            "Set data_dir to a folder of the user that the node runs as, and run this check as that user.",
        ) from error
    if there != folder:
        return f"{getpass.getuser()} can make {folder}"
    if folder.stat().st_mode & 0o007:
        raise SettingsError(
            f"Every user of this machine can look into {folder}, which holds patient data.",
            f"chmod o= {folder}",
        )
    return f"{getpass.getuser()} can write to {folder}"


def _nearest(folder: Path) -> Path:
    """The folder, or what there is of the path to it."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _disk(settings: NodeSettings) -> str:
    folder = _nearest(settings.data_dir.resolve())
    free = shutil.disk_usage(folder).free
    reserve = settings.receive.disk_reserve_bytes
    if free < reserve:
        raise CadNodeError(
            f"{free / 1e9:.1f} GB free, less than the reserve of {reserve / 1e9:.1f} GB: every study would "
            "be refused.",
            "Free some space, or lower receive.disk_reserve_bytes.",
        )
    return f"{free / 1e9:.1f} GB free, of which {reserve / 1e9:.1f} GB are kept"


def _results(settings: NodeSettings) -> str:
    from cad_node.process import making
    from cad_node.reanalysis import otherwise_made
    from cad_node.store.journal import JOURNAL_FILE, Journal

    # Looking must not make a node's files where there was no node.
    if not settings.jobs.database_url and not (settings.data_dir / JOURNAL_FILE).exists():
        return "none yet"
    journal = Journal.open(settings)
    try:
        counts, waiting = journal.reanalysis.counts(), sum(journal.reanalysis.waiting().values())
    finally:
        journal.close()
    queued = f"; {waiting} studies wait to be analysed again" if waiting else ""
    older = otherwise_made(counts, making(settings))
    if older:
        return f"{older}; see cad-node reanalyse --all --dry-run{queued}"
    return f"{sum(counts.values())} stored, none made otherwise than now{queued}"
