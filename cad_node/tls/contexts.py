"""The context of each end: of the receiver's port, renewed while it runs, and of a destination."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from cad_node.errors import SettingsError
from cad_node.settings import CStoreDestinationSettings, NodeSettings, ReceiveSettings
from cad_node.tls.files import bare_context, load_own, load_trusted

logger = logging.getLogger(__name__)

REMIND_DAYS = 30

_reminded: dict[Path, date] = {}


@dataclass(frozen=True)
class Secure:
    """A context that may be used, and when what it was made from ends."""

    context: ssl.SSLContext
    ends: dict[Path, datetime] = field(default_factory=dict)

    def days_left(self, today: date | None = None) -> dict[Path, int]:
        """For how many days more each file is good."""
        today = today or datetime.now(UTC).date()
        return {path: (end.date() - today).days for path, end in self.ends.items()}

    def remind(self, today: date | None = None) -> None:
        """Say in the log, once a day and file, what ends within `REMIND_DAYS` days."""
        today = today or datetime.now(UTC).date()
        for path, left in self.days_left(today).items():
            if left <= REMIND_DAYS and _reminded.get(path) != today:
                _reminded[path] = today
                when = f"ends in {left} days" if left >= 0 else "has expired"
                logger.warning("The certificate in %s %s: put a new one in its place.", path, when)


def receiver_tls(settings: ReceiveSettings) -> Secure:
    """What the receiver's port speaks TLS with.

    Raises
    ------
    SettingsError
        A file cannot be read or used, or does not fit another; the certificate is over.
    """
    if settings.tls_certificate is None or settings.tls_key is None:
        raise SettingsError("receive.tls_certificate and receive.tls_key are not set.", "Name both files.")
    context = bare_context(ssl.PROTOCOL_TLS_SERVER)
    # No resumption: each association begins with the certificates.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    ends = load_own(context, settings.tls_certificate, settings.tls_key, "receive")
    if settings.tls_client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        ends |= load_trusted(context, settings.tls_client_ca, "receive.tls_client_ca")
    return Secure(context, ends)


def destination_tls(settings: CStoreDestinationSettings) -> Secure:
    """What a destination is spoken to with; whoever uses it gives the name that it must have.

    Raises
    ------
    SettingsError
        As in `receiver_tls`.
    """
    where = f"destinations.{settings.name}"
    context = bare_context(ssl.PROTOCOL_TLS_CLIENT)
    ends: dict[Path, datetime] = {}
    if settings.tls_ca is not None:
        ends |= load_trusted(context, settings.tls_ca, f"{where}.tls_ca")
    else:
        context.load_default_certs()
    if settings.tls_certificate is not None and settings.tls_key is not None:
        ends |= load_own(context, settings.tls_certificate, settings.tls_key, where)
    return Secure(context, ends)


def look_at_files(settings: NodeSettings) -> None:
    """See at start whether all that TLS needs is there, and remind of what ends soon.

    A destination that cannot be spoken to keeps nobody from sending; its deliveries say the same.

    Raises
    ------
    SettingsError
        The receiver would not work.
    """
    if settings.receive.tls:
        receiver_tls(settings.receive).remind()
    for destination in settings.destinations:
        if isinstance(destination, CStoreDestinationSettings) and destination.tls:
            try:
                destination_tls(destination).remind()
            except SettingsError as error:
                logger.error("%s Until then nothing can be sent there.", error)


class ReceiverTls:
    """The receiver's context, made anew when a file was replaced: certificates are renewed while it runs.

    Where the new files do not fit, as between the copying of a certificate and of its key, the old stay in use.
    """

    def __init__(self, settings: ReceiveSettings) -> None:
        self._settings = settings
        files = (settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
        self._files = tuple(path for path in files if path is not None)
        self._lock = threading.Lock()
        self._seen = _stamps(self._files)
        self._secure = receiver_tls(settings)

    def context(self) -> ssl.SSLContext:
        """What the next connection is spoken to with."""
        with self._lock:
            stamps = _stamps(self._files)
            if stamps != self._seen:
                self._seen = stamps
                try:
                    self._secure = receiver_tls(self._settings)
                except SettingsError as error:
                    logger.error(
                        "The TLS files have changed and cannot be used; the former stay in use. %s", error
                    )
                else:
                    logger.info("The TLS files have changed; new connections use them.")
            self._secure.remind()
            return self._secure.context


def _stamps(paths: Sequence[Path]) -> list[tuple[int, int, int] | None]:
    """What changes when a file is replaced or written."""
    stamps: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            stamps.append(None)
        else:
            stamps.append((found.st_ino, found.st_size, found.st_mtime_ns))
    return stamps
