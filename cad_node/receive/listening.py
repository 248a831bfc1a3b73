"""Whether an address can be listened on; otherwise why not, and what helps."""

from __future__ import annotations

import errno
import socket

from cad_node.errors import SettingsError
from cad_node.settings import ReceiveSettings


def cannot_listen(error: OSError, settings: ReceiveSettings) -> SettingsError:
    """The error to raise in place of the system's own: each cause has its next step."""
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        hint = "Set receive.host to an address of this machine, or to 0.0.0.0 for all of them."
    elif error.errno == errno.EACCES:
        hint = "Ports below 1024 need the right to bind them (CAP_NET_BIND_SERVICE), or choose another receive.port."
    else:
        hint = "A running node holds its own port; otherwise stop what holds it, or change receive.port."
    return SettingsError(f"Cannot listen on {settings.host} port {settings.port}: {error.strerror}.", hint)


def look_at_port(settings: ReceiveSettings) -> None:
    """See whether the port is free, for a moment: another may still come first.

    Raises
    ------
    SettingsError
        The address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise cannot_listen(error, settings) from error
