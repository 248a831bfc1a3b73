"""pynetdicom's socket and Upper Layer, made fit for an open port.

Stock pynetdicom waits for ever inside a PDU and believes any announced length.
Here every read has a deadline and every length a bound. Nothing polls: the
thread sleeps until the peer or the association has something for it.

What is overridden depends on the inside of pynetdicom; the version is pinned,
and `tests/integration/test_receive_attacks.py` guards the behaviour.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pynetdicom.dul import DULServiceProvider
from pynetdicom.transport import AssociationSocket

from cad_node.receive.handshake import why_no_handshake
from cad_node.receive.messages import PresentationData, ProtocolViolationError
from cad_node.tls import TlsSocket

if TYPE_CHECKING:
    from cad_node.receive.association import NodeAssociation

logger = logging.getLogger(__name__)

# 128 presentation contexts with 40 transfer syntaxes each need less.
MAXIMUM_ASSOCIATE_BYTES = 262_144
# A few senders count the PDU's own header in, or not, when they fill the limit.
PDU_SLACK_BYTES = 64
# For how long a peer is listened to after its association was ended.
_LINGER_S = 0.5

# PS3.8 section 9.3: PDU types.
_ASSOCIATE_RQ, _P_DATA, _RELEASE_RQ, _RELEASE_RP, _ABORT = 0x01, 0x04, 0x05, 0x06, 0x07
# RFC 8446 section 5.1: a TLS connection begins with a record of this type.
_TLS_HANDSHAKE = 0x16
# A-ABORT by the service provider, reason not specified (PS3.8 table 9-26).
_ABORT_PDU = bytes((_ABORT, 0, 0, 0, 0, 4, 0, 0, 2, 0))


@dataclass(frozen=True)
class Limits:
    """Bounds on what one peer may do."""

    maximum_pdu_bytes: int
    maximum_instance_bytes: int
    network_timeout_s: float


class HardenedSocket(AssociationSocket):
    """A connection whose reads end: by data, by deadline, or by a refused length."""

    def __init__(self, association: NodeAssociation, client: socket.socket, limits: Limits) -> None:
        super().__init__(association, client_socket=client)
        self._limits = limits
        self._awaits_body = False
        self._deadline = time.monotonic() + limits.network_timeout_s
        self._associated = False
        # The upper layer must also wake up when there is something to send.
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._poller = select.poll()
        self._poller.register(client, select.POLLIN)
        self._poller.register(self._wake_reader, select.POLLIN)
        self._fileno = client.fileno()
        self._client = client
        self._tls: TlsSocket | None = None
        self._is_shut = False

    def secure(self, context: ssl.SSLContext) -> bool:
        """Speak TLS from now on; within the time that the first PDU has to arrive in.

        Returns
        -------
        bool
            False where the peer left without a word, as those do that see whether a port is open.

        Raises
        ------
        ProtocolViolationError
            It speaks no TLS, or is not let in; the connection is closed.
        """
        try:
            first = self._first_byte()
            if first == bytes((_ASSOCIATE_RQ,)):
                self._answer_without_tls()
                raise ProtocolViolationError("it speaks DICOM without TLS, which this port does not.")
            if first:
                self._shake_hands(context)
        except OSError as error:
            self._shut()
            raise ProtocolViolationError(why_no_handshake(error)) from error
        return bool(first)

    def _first_byte(self) -> bytes:
        """What comes first, left to be read again; nothing when the peer is gone."""
        self._client.settimeout(self._remaining())
        try:
            return self._client.recv(1, socket.MSG_PEEK)
        except ConnectionError:
            return b""

    def _shake_hands(self, context: ssl.SSLContext) -> None:
        client = cast(
            TlsSocket, context.wrap_socket(self._client, server_side=True, do_handshake_on_connect=False)
        )
        self._client = self.socket = self._tls = client
        if self._is_shut:  # by another thread, a moment ago
            self._shut()
        client.settimeout(self._remaining())
        client.do_handshake()

    def _remaining(self) -> float:
        return max(0.001, self._deadline - time.monotonic())

    def _answer_without_tls(self) -> None:
        # Its request is read, or the closing would reset the connection before the answer is seen.
        header = self.recv(6)
        if header:
            self.recv(struct.unpack(">BBL", header)[2])
        self._refuse()

    def wake(self) -> None:
        """Let `ready` return at once."""
        with contextlib.suppress(OSError):
            self._wake_writer.send(b"\0")

    @property
    def ready(self) -> bool:
        """Whether data can be read; waits a little for it while nothing else is to be done."""
        if self.socket is None or not self._is_connected:
            return False
        dul = self.assoc.dul
        idle = dul.event_queue.empty() and dul.to_provider_queue.empty()
        try:
            if self._tls is not None and self._tls.pending():
                return True  # decrypted already: the descriptor does not tell
            found = self._poller.poll(100 if idle else 0)
            if any(descriptor != self._fileno for descriptor, _ in found):
                self._wake_reader.recv(4096)
            readable = any(descriptor == self._fileno for descriptor, _ in found)
            return readable and (self._tls is None or self._tls.waits())
        except (OSError, ValueError):
            self.event_queue.put("Evt17")
            return False

    def recv(self, nr_bytes: int) -> bytearray:
        """Read the header of a PDU or, at the next call, its body.

        Comes back short when the peer is gone, too slow, or announces what it
        may not send; the connection is closed then.
        """
        is_header = not self._awaits_body
        if is_header and self._associated:
            self._deadline = time.monotonic() + self._limits.network_timeout_s
        received = bytearray(nr_bytes)
        with memoryview(received) as view:
            filled = self._fill(view)
        if filled < nr_bytes:
            self._shut()
            return bytearray()
        if is_header:
            try:
                self._check_header(received)
            except ProtocolViolationError as error:
                logger.warning("Connection closed: %s", error)
                self._refuse()
                return bytearray()
        self._awaits_body = is_header
        return received

    def _fill(self, view: memoryview) -> int:
        filled = 0
        client = self.socket
        while client is not None and filled < len(view):
            remaining = self._deadline - time.monotonic()
            if remaining <= 0:
                logger.warning("Connection closed: a PDU did not arrive in time.")
                return filled
            try:
                client.settimeout(remaining)
                count = client.recv_into(view[filled:])
            except OSError:
                count = 0
            if count == 0:
                return filled
            filled += count
        return filled

    def _check_header(self, header: bytearray) -> None:
        kind, _, length = struct.unpack(">BBL", header)
        if not self._associated and kind not in (_ASSOCIATE_RQ, _ABORT):
            if kind == _TLS_HANDSHAKE and self._tls is None:
                raise ProtocolViolationError(
                    "it speaks TLS, which this port does not: see receive.tls_certificate."
                )
            raise ProtocolViolationError("it does not begin with an A-ASSOCIATE-RQ.")
        if kind == _ASSOCIATE_RQ:
            if self._associated:
                raise ProtocolViolationError("a second A-ASSOCIATE-RQ.")
            if not 68 <= length <= MAXIMUM_ASSOCIATE_BYTES:
                raise ProtocolViolationError("an A-ASSOCIATE-RQ of impossible length.")
            self._associated = True
        elif kind == _P_DATA:
            if length > self._limits.maximum_pdu_bytes + PDU_SLACK_BYTES:
                raise ProtocolViolationError("a P-DATA-TF longer than was negotiated.")
        elif kind in (_RELEASE_RQ, _RELEASE_RP, _ABORT):
            if length != 4:
                raise ProtocolViolationError("a PDU of impossible length.")
        else:
            raise ProtocolViolationError("a PDU that a requestor does not send.")

    def send(self, bytestream: bytes) -> None:
        """Send all, or close: a peer that does not read is not waited for for ever."""
        client = self.socket
        try:
            if client is None:
                raise OSError("closed")
            client.settimeout(self._limits.network_timeout_s)
            client.sendall(bytestream)
        except OSError:
            self._shut()
            self.event_queue.put("Evt17")

    def _refuse(self) -> None:
        client = self.socket
        if client is not None:
            with contextlib.suppress(OSError):
                client.settimeout(0)
                client.send(_ABORT_PDU)
        self._shut()

    def _shut(self) -> None:
        self._is_shut = True
        with contextlib.suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)

    def _shutdown_socket(self) -> None:
        # Only `release` closes: a descriptor closed here might be polled under its next owner.
        self._shut()

    def release(self) -> None:
        """Give the descriptors back; for the end of the association's thread."""
        self._shut()
        self._client.close()
        self._wake_reader.close()
        self._wake_writer.close()


class _CallingQueue(queue.Queue[Any]):
    """A queue that tells when something was put into it."""

    def __init__(self, on_put: Callable[[], None]) -> None:
        super().__init__()
        self._on_put = on_put

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._on_put()


class HardenedUpperLayer(DULServiceProvider):
    """The state machine's thread: wakes by need, and never dies of what a peer sends."""

    def __init__(self, association: NodeAssociation, wake_association: Callable[[], None]) -> None:
        super().__init__(association)
        self._wake_association = wake_association
        self.to_user_queue = _CallingQueue(wake_association)
        self.to_provider_queue = _CallingQueue(self._wake_self)
        self._run_loop_delay = 0  # `HardenedSocket.ready` does the waiting
        self._over_since: float | None = None
        self.daemon = True

    def _wake_self(self) -> None:
        if isinstance(self.socket, HardenedSocket):
            self.socket.wake()

    def _decode_pdu(self, bytestream: bytearray) -> tuple[Any, str]:
        if bytestream[0] == _P_DATA:
            return PresentationData(bytestream), "Evt10"
        return super()._decode_pdu(bytestream)

    def _is_transport_event(self) -> bool:
        if self.state_machine.current_state == "Sta13" and self.socket is not None:
            # The association is over. What still comes is read, or the peer would not see
            # the A-ABORT, but not for as long as it likes to send.
            self._over_since = self._over_since or time.monotonic()
            if time.monotonic() - self._over_since > _LINGER_S:
                self.socket.close()
                return True
        return super()._is_transport_event()

    def kill_dul(self) -> None:
        """Stop the thread, which may be waiting."""
        super().kill_dul()
        self._wake_self()

    def run_reactor(self) -> None:
        """Run until the connection is over; any fault closes it."""
        try:
            super().run_reactor()
        except Exception as error:
            logger.warning("Connection closed: the upper layer failed with %s.", type(error).__name__)
        finally:
            self._kill_thread = True
            self.state_machine.current_state = "Sta1"
            self.to_user_queue.put(None)  # whoever waits for an association waits in vain
