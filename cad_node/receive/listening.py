"""Why an address cannot be listened on, and what helps."""

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
