"""A TLS connection as both rooms of the network use it."""

from __future__ import annotations

import socket
import ssl
from typing import Any


class TlsSocket(ssl.SSLSocket):
    """A connection that can say whether data waits: one that is readable may hold none, only TLS's own records.

    Used from one thread, but for `shutdown`.
    """

    _ahead = b""
    failure: OSError | None = None

    def do_handshake(self, block: bool = False) -> None:
        """As the parent's; what it failed of stays in `failure`."""
        try:
            super().do_handshake(block)
        except OSError as error:
            self.failure = error
            raise

    def waits(self) -> bool:
        """Whether data, or the end of the connection, can be read at once.

        Raises
        ------
        OSError
            The connection is broken, or the peer ended it by an alert.
        """
        if self._ahead:
            return True
        timeout = self.gettimeout()
        self.settimeout(0)
        try:
            self._ahead = self.read(1)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError as error:
            self.failure = error
            raise
        finally:
            self.settimeout(timeout)
        return True

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """As the parent's."""
        if self._ahead and buflen:
            ahead, self._ahead = self._ahead, b""
            return ahead
        return super().recv(buflen, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """As the parent's."""
        if self._ahead and len(buffer):
            buffer[:1], self._ahead = self._ahead, b""
            return 1
        return super().recv_into(buffer, nbytes, flags)

    def shutdown(self, how: int) -> None:
        """End the connection, from any thread, so that whoever reads or writes comes back.

        The parent takes TLS off first; what is still to be read would then pass for plain data.
        """
        socket.socket.shutdown(self, how)
