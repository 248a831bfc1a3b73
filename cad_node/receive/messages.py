"""DIMSE messages, put together one at a time and within bounds.

A data set goes from the socket to its buffer in one copy. What a peer may not
do ends in `ProtocolViolationError`, and that in an A-ABORT.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import struct
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydicom import config
from pydicom.uid import UID
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_primitives import C_ECHO, C_STORE, N_EVENT_REPORT
from pynetdicom.pdu_primitives import P_DATA

from cad_node.domain import is_valid_uid
from cad_node.receive.contexts import STORAGE_COMMITMENT, WITHOUT_OBJECTS
from cad_node.receive.incoming import IncomingDataset

if TYPE_CHECKING:
    from cad_node.receive.association import NodeAssociation
    from cad_node.receive.connection import Limits

logger = logging.getLogger(__name__)

# A C-STORE request is some 300 bytes (PS3.7 table 9.3-1).
_MAXIMUM_COMMAND_BYTES = 16_384
# A report on a commitment needs some 150 bytes an object.
MAXIMUM_REPORT_BYTES = 1_000_000
# A sender slower than this holds a place for nothing.
SLOWEST_BYTES_PER_S = 4096

# PS3.7 annex E: Command Field values and the elements that we read.
_C_STORE_RQ, _C_ECHO_RQ, _N_EVENT_REPORT_RQ, _C_CANCEL_RQ = 0x0001, 0x0030, 0x0100, 0x0FFF
_AFFECTED_SOP_CLASS, _COMMAND_FIELD, _MESSAGE_ID = 0x0002, 0x0100, 0x0110
_DATA_SET_TYPE, _AFFECTED_SOP_INSTANCE, _EVENT_TYPE = 0x0800, 0x1000, 0x1002
_NO_DATA_SET = 0x0101
_RESPONSE = 0x8000
_FIELDS = {C_STORE: _C_STORE_RQ, C_ECHO: _C_ECHO_RQ, N_EVENT_REPORT: _N_EVENT_REPORT_RQ}
_MESSAGE_ID_RESPONDED_TO, _STATUS, _ERROR_COMMENT = 0x0120, 0x0900, 0x0902


class ProtocolViolationError(Exception):
    """The peer broke the protocol or a bound; the association is aborted."""


class PresentationData:
    """A received P-DATA-TF, cut into its fragments without copying (PS3.8 section 9.3.5)."""

    def __init__(self, pdu: bytearray) -> None:
        self._body = memoryview(pdu)[6:]

    def fragments(self) -> Iterator[tuple[int, int, memoryview]]:
        """Presentation context ID, message control header and bytes of each fragment."""
        position, end = 0, len(self._body)
        while position < end:
            if end - position < 6:
                raise ProtocolViolationError("a fragment is cut off.")
            length, context_id, control = struct.unpack_from(">LBB", self._body, position)
            if not 2 <= length <= end - position - 4:
                raise ProtocolViolationError("a fragment has an impossible length.")
            yield context_id, control, self._body[position + 6 : position + 4 + length]
            position += 4 + length

    def to_primitive(self) -> PresentationData:
        """Itself: the state machine hands on what this returns."""
        return self


class HardenedDimse(DIMSEServiceProvider):
    """Puts messages together, one at a time, each within its bounds."""

    def __init__(self, association: NodeAssociation, limits: Limits) -> None:
        super().__init__(association)
        self._association = association
        self._limits = limits
        self._wakeup = threading.Event()
        self._command = bytearray()
        self._began: float | None = None
        self._request: C_STORE | N_EVENT_REPORT | None = None
        self._maximum_bytes = limits.maximum_instance_bytes
        self._context_id = 0
        self._incoming: IncomingDataset | None = None
        self._unanswered = False
        self._answered_uid: str | None = None

    def wake(self) -> None:
        """Let `get_msg` return at once."""
        self._wakeup.set()

    def get_msg(self, block: bool = False) -> tuple[Any, Any]:
        """Next request, or two Nones; waits a moment for it, for the caller does nothing else."""
        with contextlib.suppress(queue.Empty):
            return self.msg_queue.get_nowait()
        self._wakeup.wait(0.25)
        self._wakeup.clear()
        with contextlib.suppress(queue.Empty):
            return self.msg_queue.get_nowait()
        return None, None

    def take_dataset(self) -> IncomingDataset | None:
        """The data set of the request being served; the caller discards it."""
        incoming, self._incoming = self._incoming, None
        return incoming

    def discard(self) -> None:
        """Let go of a data set that will not be finished."""
        incoming = self.take_dataset()
        if incoming is not None:
            incoming.discard()

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """Send the answer; only now may the next request come."""
        self._unanswered = False
        self.dul._idle_timer.restart()  # storing may have taken longer than a peer may be silent
        message = encode_response(primitive, self._answered_uid)
        if 0 < self.maximum_pdu_size < len(message) + 6:  # PS3.8 annex D.1: 0 is unlimited
            super().send_msg(primitive, context_id)
            return
        fragment = P_DATA()
        fragment.presentation_data_value_list.append((context_id, b"\x03" + message))
        self.dul.send_pdu(fragment)

    def receive_primitive(self, primitive: Any) -> None:
        """Take the fragments of one P-DATA-TF, a `PresentationData`."""
        try:
            for context_id, control, fragment in primitive.fragments():
                self._take(context_id, control, fragment)
        except ProtocolViolationError as error:
            logger.warning("Association aborted: %s", error)
            self.discard()
            self.dul.event_queue.put("Evt19")

    def _take(self, context_id: int, control: int, fragment: memoryview) -> None:
        if self._unanswered:
            # PS3.7 D.3.3.3: without asynchronous operations negotiated, one at a time.
            raise ProtocolViolationError("a request came before the last one was answered.")
        now = time.monotonic()
        if self._began is None:
            self._began = now
        received = self._incoming.size_bytes if self._incoming else len(self._command)
        if now - self._began > self._limits.network_timeout_s + received / SLOWEST_BYTES_PER_S:
            raise ProtocolViolationError("a message comes too slowly.")
        is_last = bool(control & 2)
        if control & 1:  # PS3.8 annex E.2: command, else data set
            self._take_command(context_id, fragment, is_last)
        else:
            self._take_data(context_id, fragment, is_last)

    def _take_command(self, context_id: int, fragment: memoryview, is_last: bool) -> None:
        if self._request is not None:
            raise ProtocolViolationError("a command came within a data set.")
        self._command += fragment
        if len(self._command) > _MAXIMUM_COMMAND_BYTES:
            raise ProtocolViolationError("a command of impossible length.")
        if not is_last:
            return
        if context_id not in self._association._accepted_cx:
            raise ProtocolViolationError("a presentation context that was not accepted.")
        command = _read_command(bytes(self._command))
        self._command = bytearray()
        self._context_id = context_id
        field = _number(command, _COMMAND_FIELD)
        has_data = _number(command, _DATA_SET_TYPE) != _NO_DATA_SET
        service = self._association.abstract_syntax(context_id)
        if field == _C_STORE_RQ and has_data and service not in WITHOUT_OBJECTS:
            self._maximum_bytes = self._limits.maximum_instance_bytes
            self._request = _primitive(C_STORE, command, context_id)
            self._incoming = self._association.begin_dataset(
                _text(command, _AFFECTED_SOP_CLASS), _text(command, _AFFECTED_SOP_INSTANCE), context_id
            )
            named = _text(command, _AFFECTED_SOP_INSTANCE)
            self._answered_uid = named if is_valid_uid(named) else None
        elif field == _N_EVENT_REPORT_RQ and has_data and service == STORAGE_COMMITMENT:
            self._answered_uid = None
            self._maximum_bytes = MAXIMUM_REPORT_BYTES
            self._request = _primitive(N_EVENT_REPORT, command, context_id)
            self._incoming = self._association.begin_report(
                _text(command, _AFFECTED_SOP_CLASS), _text(command, _AFFECTED_SOP_INSTANCE), context_id
            )
        elif field == _C_ECHO_RQ and not has_data:
            self._complete(_primitive(C_ECHO, command, context_id))
        elif field == _C_CANCEL_RQ and not has_data:
            self._began = None  # nothing that we do can be cancelled
        else:
            raise ProtocolViolationError("a request that this node does not serve.")

    def _take_data(self, context_id: int, fragment: memoryview, is_last: bool) -> None:
        if self._request is None or self._incoming is None or context_id != self._context_id:
            raise ProtocolViolationError("a data set came without its command.")
        if self._incoming.size_bytes + len(fragment) > self._maximum_bytes:
            raise ProtocolViolationError("a data set is larger than this node takes.")
        self._incoming.write(fragment)
        if is_last:
            request, self._request = self._request, None
            self._complete(request)

    def _complete(self, request: C_STORE | C_ECHO | N_EVENT_REPORT) -> None:
        self._began = None
        self._unanswered = True
        self.msg_queue.put((self._context_id, request))
        self.wake()


def _read_command(encoded: bytes) -> dict[int, bytes]:
    """Elements of a command set, always implicit VR little endian (PS3.7 section 6.3)."""
    elements: dict[int, bytes] = {}
    position = 0
    while position < len(encoded):
        if len(encoded) - position < 8:
            raise ProtocolViolationError("a command is cut off.")
        group, element, length = struct.unpack_from("<HHI", encoded, position)
        position += 8
        if group != 0 or length > len(encoded) - position:
            raise ProtocolViolationError("a command is malformed.")
        elements[element] = encoded[position : position + length]
        position += length
    return elements


def encode_response(
    primitive: C_STORE | C_ECHO | N_EVENT_REPORT, sop_instance_uid: str | None = None
) -> bytes:
    """Command set of a response (PS3.7 tables 9.3-2, 9.3-13 and 10.3-2).

    By hand: through pydicom it costs as much time as receiving a small image.
    `sop_instance_uid` is that of a C-STORE request, which the primitive need not have.
    """
    field = _RESPONSE | _FIELDS[type(primitive)]
    values: list[tuple[int, bytes | None]] = [
        (_AFFECTED_SOP_CLASS, _encoded(primitive.AffectedSOPClassUID, b"\0")),
        (_COMMAND_FIELD, struct.pack("<H", field)),
        (_MESSAGE_ID_RESPONDED_TO, struct.pack("<H", primitive.MessageIDBeingRespondedTo)),
        (_DATA_SET_TYPE, struct.pack("<H", _NO_DATA_SET)),
        (_STATUS, struct.pack("<H", primitive.Status)),
        (_ERROR_COMMENT, _encoded(primitive.ErrorComment, b" ")),
    ]
    if not isinstance(primitive, C_ECHO):
        named = sop_instance_uid or primitive.AffectedSOPInstanceUID
        values.append((_AFFECTED_SOP_INSTANCE, _encoded(named, b"\0")))
    if isinstance(primitive, N_EVENT_REPORT):
        values.append((_EVENT_TYPE, struct.pack("<H", primitive.EventTypeID)))
    body = b"".join(
        struct.pack("<HHI", 0, element, len(value)) + value for element, value in values if value is not None
    )
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def _encoded(text: str | None, padding: bytes) -> bytes | None:
    if text is None:
        return None
    value = str(text).encode("ascii")
    return value + padding * (len(value) % 2)


def _number(command: dict[int, bytes], element: int) -> int:
    value = command.get(element, b"")
    if len(value) != 2:
        raise ProtocolViolationError("a command lacks a number.")
    return int.from_bytes(value, "little")


def _text(command: dict[int, bytes], element: int) -> str:
    try:
        return command.get(element, b"").rstrip(b"\0 ").decode("ascii")
    except UnicodeDecodeError as error:
        raise ProtocolViolationError("a command holds text that is not ASCII.") from error


def _primitive(
    kind: type[C_STORE | C_ECHO | N_EVENT_REPORT], command: dict[int, bytes], context_id: int
) -> Any:
    """The request as pynetdicom's services take it; what they need to answer, not its data set.

    A UID that breaks PS3.5 section 9.1 is left out: it is taken or refused by its text,
    and pydicom would warn about it, quoting it.
    """
    request = kind()
    request.MessageID = _number(command, _MESSAGE_ID)
    sop_class = _text(command, _AFFECTED_SOP_CLASS)
    request.AffectedSOPClassUID = sop_class if _keeps_rules(sop_class) else None
    if not isinstance(request, C_ECHO):
        sop_instance = _text(command, _AFFECTED_SOP_INSTANCE)
        request.AffectedSOPInstanceUID = sop_instance if _keeps_rules(sop_instance) else None
    if isinstance(request, N_EVENT_REPORT):
        request.EventTypeID = _number(command, _EVENT_TYPE)
    request._context_id = context_id
    return request


def _keeps_rules(uid: str) -> bool:
    return is_valid_uid(uid) and UID(uid, validation_mode=config.IGNORE).is_valid
