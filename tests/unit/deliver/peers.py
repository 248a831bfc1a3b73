"""Small real peers on loopback: what a port answers, and a PACS of pynetdicom's."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pynetdicom import AE


@contextmanager
def peer(answer: Callable[[socket.socket], object], *, reads: bool = True) -> Iterator[int]:
    """A port where whoever connects gets that answer to the first bytes, or before them."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            if reads:
                connection.recv(65536)
            answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def closes(connection: socket.socket) -> None:
    connection.close()


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def says(words: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.sendall(words)
        connection.close()

    return answer


@contextmanager
def listening(ae: AE, handlers: list[Any], **how: Any) -> Iterator[int]:
    """The port of a server of `ae`; `how` goes to `start_server`."""
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, **how)
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()
        server.server_close()
