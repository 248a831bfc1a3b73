"""Senders for the tests of the receiver: a polite one, and one that says what it likes.

Both work byte by byte on a blocking socket: what they see is what was sent, whatever
the load of the machine.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from cad_node.domain import ReceivedInstance
from cad_node.receive.scp import StorageScp
from cad_node.settings import ReceiveSettings
from tests.certificates import Pair

US_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
EXPLICIT = "1.2.840.10008.1.2.1"
VERIFICATION = "1.2.840.10008.1.1"


class Receiver:
    """A running receiver on a free port that keeps what it accepts in a list.

    With a pair it speaks TLS, and `connect` and `send` do.
    """

    def __init__(self, spill_folder: Path | None = None, pair: Pair | None = None, **settings: Any) -> None:
        self.tls: ssl.SSLContext | None = None
        if pair is not None:
            settings |= {"tls_certificate": pair.certificate, "tls_key": pair.key}
            self.tls = ssl.create_default_context(cafile=pair.certificate)
            self.tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        self.accepted: list[ReceivedInstance] = []
        self.error: Exception | None = None
        self.room = True
        self._lock = threading.Lock()
        settings = {"network_timeout_s": 10.0, **settings}
        self.scp = StorageScp(
            ReceiveSettings(**settings), self._accept, lambda _: self.room, port=0, spill_folder=spill_folder
        )

    @property
    def port(self) -> int:
        return self.scp.port

    def connect(self) -> RawPeer:
        """A peer that says what it likes."""
        return RawPeer(self.port, tls=self.tls)

    def send(self, datasets: Sequence[Dataset], **options: Any) -> list[int]:
        """Send in one association; returns the status of each."""
        return send(self.port, datasets, **({"tls": self.tls} | options))

    def _accept(self, received: ReceivedInstance) -> None:
        if self.error is not None:
            raise self.error
        with self._lock:
            self.accepted.append(received)

    def __enter__(self) -> Receiver:
        self.scp.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.scp.stop()


def dataset_bytes(dataset: Dataset) -> bytes:
    """The encoded data set as a sender puts it on the wire, without File Meta Information."""
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return without_meta(buffer.getvalue())


def without_meta(part10: bytes) -> bytes:
    """The data set of a Part 10 file whose meta information begins with its group length."""
    return part10[144 + int.from_bytes(part10[140:144], "little") :]


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether `condition` came true within the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


# Byte by byte, PS3.8 section 9.3: for what no library would send.


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """A PDU; `length` overrides the true one."""
    return struct.pack(">BBL", kind, 0, len(body) if length is None else length) + body


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def associate_request(
    contexts: Sequence[tuple[int, str, str]] = ((1, US_IMAGE, EXPLICIT),),
    called: str = "CADNODE",
    calling: str = "SCANNER",
    maximum_pdu: int = 16384,
) -> bytes:
    """An A-ASSOCIATE-RQ for (context ID, SOP Class, transfer syntax)."""
    body = struct.pack(">HH", 1, 0) + called.ljust(16).encode() + calling.ljust(16).encode() + bytes(32)
    body += _item(0x10, b"1.2.840.10008.3.1.1.1")
    for context_id, sop_class, transfer_syntax in contexts:
        syntaxes = _item(0x30, sop_class.encode()) + _item(0x40, transfer_syntax.encode())
        body += _item(0x20, bytes((context_id, 0, 0, 0)) + syntaxes)
    user = _item(0x51, struct.pack(">L", maximum_pdu)) + _item(0x52, b"2.25.1")
    return pdu(1, body + _item(0x50, user))


def p_data(control: int, fragment: bytes, context_id: int = 1) -> bytes:
    """A P-DATA-TF with one fragment; control 3 ends a command, 0 and 2 are data."""
    return pdu(4, struct.pack(">LBB", len(fragment) + 2, context_id, control) + fragment)


def store_command(sop_instance: str, sop_class: str = US_IMAGE, field: int = 1, data_set: int = 1) -> bytes:
    """The command set of a C-STORE request."""
    values = [
        (0x0002, _even(sop_class)),
        (0x0100, struct.pack("<H", field)),
        (0x0110, struct.pack("<H", 7)),
        (0x0700, struct.pack("<H", 0)),
        (0x0800, struct.pack("<H", data_set)),
        (0x1000, _even(sop_instance)),
    ]
    body = b"".join(struct.pack("<HHI", 0, element, len(value)) + value for element, value in values)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def _even(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


class RawPeer:
    """A TCP connection that says what it likes."""

    def __init__(self, port: int, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection((host, port), 10)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname=host)
        self.answer = b""

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, content: bytes) -> bool:
        """Whether the peer still took it."""
        try:
            self.socket.sendall(content)
        except OSError:
            return False
        return True

    def receive_pdu(self, seconds: float = 10.0) -> tuple[int, bytes]:
        """Type and body of the next PDU; type 0 when the connection was closed."""
        self.socket.settimeout(seconds)
        header = self._exactly(6)
        if len(header) < 6:
            return 0, b""
        kind, _, length = struct.unpack(">BBL", header)
        return kind, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            try:
                more = self.socket.recv(count - len(content))
            except ConnectionError:
                return content
            if not more:
                return content
            content += more
        return content

    def associate(self, **options: Any) -> int:
        """Ask for an association; returns the type of the answer (2 accept, 3 reject, 7 abort, 0 closed)."""
        self.send(associate_request(**options))
        kind, self.answer = self.receive_pdu()
        return kind

    def closed_within(self, seconds: float) -> bool:
        """Whether the peer closes, with or without an A-ABORT, before the time is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                if not self.socket.recv(4096):
                    return True
            except TimeoutError:
                return False
            except OSError:
                return True
        return False


class Sender(RawPeer):
    """A well-behaved sender: one association, one request at a time.

    Parameters
    ----------
    contexts
        (SOP Class, transfer syntax) of each presentation context; the IDs count 1, 3, 5.
    """

    def __init__(
        self,
        port: int,
        contexts: Sequence[tuple[str, str]] = ((US_IMAGE, EXPLICIT), (VERIFICATION, EXPLICIT)),
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        **options: Any,
    ) -> None:
        super().__init__(port, host, tls)
        self._contexts = list(contexts)
        numbered = [(2 * number + 1, *context) for number, context in enumerate(contexts)]
        self.kind = self.associate(contexts=numbered, **options)

    def __exit__(self, *_: object) -> None:
        if self.kind == 2 and self.send(pdu(5, bytes(4))):
            with contextlib.suppress(OSError):
                self.receive_pdu()
        super().__exit__()

    @property
    def established(self) -> bool:
        """Whether the association was accepted."""
        return self.kind == 2

    @property
    def rejection(self) -> tuple[int, int, int] | None:
        """Result, source and reason of an A-ASSOCIATE-RJ."""
        return (self.answer[1], self.answer[2], self.answer[3]) if self.kind == 3 else None

    @property
    def results(self) -> list[int]:
        """Result of each presentation context, 0 for acceptance."""
        found, position = {}, 68
        while position < len(self.answer):
            kind, _, length = struct.unpack_from(">BBH", self.answer, position)
            if kind == 0x21:
                found[self.answer[position + 4]] = self.answer[position + 6]
            position += 4 + length
        return [found[2 * number + 1] for number in range(len(self._contexts))]

    def echo(self) -> int:
        """Status of a C-ECHO; -1 when none came."""
        context_id = 2 * [sop_class for sop_class, _ in self._contexts].index(VERIFICATION) + 1
        self.send(p_data(3, store_command("", VERIFICATION, 0x30, 0x0101), context_id))
        return self._status()

    def store(self, dataset: Dataset) -> int:
        """Status of a C-STORE in the context that fits; -1 when none came."""
        context = (str(dataset.SOPClassUID), str(dataset.file_meta.TransferSyntaxUID))
        return self.store_bytes(
            context[0], str(dataset.SOPInstanceUID), dataset_bytes(dataset), self._contexts.index(context)
        )

    def store_bytes(self, sop_class: str, sop_instance: str, content: bytes, context: int = 0) -> int:
        """Status of a C-STORE of these very bytes under these very UIDs."""
        context_id = 2 * context + 1
        self.send(p_data(3, store_command(sop_instance, sop_class), context_id))
        steps = range(0, len(content), 16_000)
        for start in steps:
            last = 2 if start == steps[-1] else 0
            if not self.send(p_data(last, content[start : start + 16_000], context_id)):
                break
        return self._status()

    def _status(self) -> int:
        try:
            kind, body = self.receive_pdu(20)
        except OSError:
            return -1
        if kind != 4:
            return -1
        command, position = body[6:], 0
        while position < len(command):
            _, element, length = struct.unpack_from("<HHI", command, position)
            if element == 0x0900:
                return int.from_bytes(command[position + 8 : position + 10], "little")
            position += 8 + length
        return -1


def send(port: int, datasets: Sequence[Dataset], **options: Any) -> list[int]:
    """Send in one association; returns the status of each."""
    contexts = sorted({(str(one.SOPClassUID), str(one.file_meta.TransferSyntaxUID)) for one in datasets})
    with Sender(port, contexts, **options) as sender:
        return [sender.store(dataset) for dataset in datasets]
