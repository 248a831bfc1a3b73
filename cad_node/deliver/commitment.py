"""Asks a PACS whether it keeps what it took: the SCU of Storage Commitment (PS3.4 annex J).

The report on a request may come in the association that asked, for a short while, or
later in one that the PACS opens to the node's own port (`receive/`).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from threading import Event
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.pdu import P_DATA_TF

from cad_node.deliver.association import open_association, refused, unreachable
from cad_node.deliver.event_report import PUSH_MODEL, PUSH_MODEL_INSTANCE
from cad_node.deliver.objects import ResultObject, result_objects
from cad_node.domain import EventReport, ReportAnswer
from cad_node.settings import CStoreDestinationSettings
from cad_node.variants import Variant

_CONTEXT = (PUSH_MODEL, (ExplicitVRLittleEndian, ImplicitVRLittleEndian))
_REQUEST = 1  # PS3.4 table J.3-1: Action Type ID
# What a PACS may send in the association that asked; a report on 5000 objects is less.
_MAXIMUM_BYTES = 1_000_000
_LOOK_S = 0.1

_HINT = "Switch it on there, or storage_commitment off here, then: cad-node jobs retry."
_LACKING = ("offers no Storage Commitment: no presentation context was accepted", _HINT)

# PS3.7 section 10.1.4.1.10: statuses that may be others later; the deliveries' table has the same ones.
_FOR_NOW = frozenset((0x0110, 0x0124, 0x0210, 0x0213))


class Remedy(Enum):
    """What is done about an object that a PACS does not commit itself to."""

    SEND_AGAIN = "send again"
    ASK_AGAIN = "ask again"
    NONE = "none"


# PS3.3 section C.14.1.1. None: the report did not speak of the object.
_REASONS: dict[int | None, tuple[Remedy, str]] = {
    None: (Remedy.ASK_AGAIN, "not spoken of"),
    0x0110: (Remedy.ASK_AGAIN, "processing failure"),
    0x0112: (Remedy.SEND_AGAIN, "no such object instance"),
    0x0119: (Remedy.NONE, "class and instance conflict"),
    0x0122: (Remedy.NONE, "SOP Class not supported"),
    0x0131: (Remedy.ASK_AGAIN, "duplicate Transaction UID"),
    0x0213: (Remedy.ASK_AGAIN, "out of resources"),
}


def remedy(reason: int | None) -> tuple[Remedy, str]:
    """What is done about a Failure Reason (0008,1197), and its meaning.

    Examples
    --------
    >>> remedy(0x0112)
    (<Remedy.SEND_AGAIN: 'send again'>, '0x0112 no such object instance')
    """
    what, words = _REASONS.get(reason, (Remedy.NONE, "unknown reason"))
    return what, words if reason is None else f"0x{reason:04X} {words}"


class CommitmentScu:
    """Asks one PACS; used from one thread at a time."""

    def __init__(
        self, settings: CStoreDestinationSettings, wanted: Collection[Variant] | None = None
    ) -> None:
        self._settings = settings
        self._wanted = wanted

    @property
    def settings(self) -> CStoreDestinationSettings:
        """Of the destination."""
        return self._settings

    def objects(self, results: Path) -> list[ResultObject]:
        """What was sent there of a result folder.

        Raises
        ------
        DestinationRefusedError
            The folder cannot be read any more.
        """
        return result_objects(results, self._wanted)

    def request(
        self,
        transaction_uid: str,
        objects: Sequence[ResultObject],
        on_report: Callable[[EventReport], ReportAnswer],
        is_reported: Callable[[], bool],
    ) -> None:
        """Ask, and wait a short while for the report.

        Parameters
        ----------
        on_report
            Called with a report that comes in the same association.
        is_reported
            Whether it has come in another one, or nobody wants to wait: then there is no waiting.

        Raises
        ------
        DestinationUnreachableError
            The PACS did not take the request for now.
        DestinationRefusedError
            It does not commit itself to anything, or not to such a request.
        """
        heard = _Report(on_report)
        association = open_association(self._settings, [_CONTEXT], heard.handlers, lacking=_LACKING)
        _serve_reports_meanwhile(association)
        try:
            self._ask(association, transaction_uid, objects)
            deadline = time.monotonic() + self._settings.commitment_wait_s
            while association.is_established and time.monotonic() < deadline and not is_reported():
                if heard.answered.wait(_LOOK_S):
                    break
        finally:
            if association.is_established:
                association.release()

    def verify(self) -> None:
        """See whether the PACS offers Storage Commitment, without asking for any.

        Raises
        ------
        DestinationUnreachableError, DestinationRefusedError
            As in `request`.
        """
        open_association(self._settings, [_CONTEXT], lacking=_LACKING).release()

    def _ask(self, association: Association, transaction_uid: str, objects: Sequence[ResultObject]) -> None:
        # Orthanc, for one, drops the association of whoever it could not report back to.
        log = (
            f"It must know AE title {self._settings.calling_ae_title} with the node's address and port; "
            "its log may say more."
        )
        try:
            status, _ = association.send_n_action(
                _information(transaction_uid, objects), _REQUEST, PUSH_MODEL, PUSH_MODEL_INSTANCE
            )
        except RuntimeError as error:
            raise unreachable(self._settings, "closed the association", log) from error
        except ValueError as error:
            raise refused(self._settings, *_LACKING) from error
        if "Status" not in status:
            raise unreachable(self._settings, "did not answer when asked for storage commitment", log)
        code = int(status.Status)
        if code == 0x0000 or 0xB000 <= code <= 0xBFFF:
            return
        problem = f"answered 0x{code:04X} when asked for storage commitment"
        if code in _FOR_NOW or not 0x0100 <= code <= 0x02FF:
            raise unreachable(self._settings, problem, log)
        raise refused(self._settings, problem, _HINT)


class _Report:
    """Listens for the report in the association that asked."""

    def __init__(self, on_report: Callable[[EventReport], ReportAnswer]) -> None:
        self.answered = Event()
        self._on_report = on_report
        self._heard = False
        self._received = 0
        self.handlers = [
            (evt.EVT_N_EVENT_REPORT, self._reported),
            (evt.EVT_PDU_SENT, self._sent),
            (evt.EVT_DATA_RECV, self._count),
        ]

    def _reported(self, event: Any) -> tuple[int | Dataset, None]:
        request = event.request
        information = request.EventInformation
        answer = self._on_report(
            EventReport(
                calling_ae_title="",
                sop_instance_uid=str(request.AffectedSOPInstanceUID),
                event_type=int(request.EventTypeID),
                transfer_syntax_uid=str(event.context.transfer_syntax),
                information=information.getvalue() if information is not None else b"",
            )
        )
        self._heard = True
        return status_of(answer), None

    def _sent(self, event: Any) -> None:
        # Only when the answer is on its way may the association be released.
        if self._heard and isinstance(event.pdu, P_DATA_TF):
            self.answered.set()

    def _count(self, event: Any) -> None:
        self._received += len(event.data)
        if self._received > _MAXIMUM_BYTES:
            connection = event.assoc.dul.socket
            if connection is not None and connection.socket is not None:
                with suppress(OSError):
                    connection.socket.shutdown(socket.SHUT_RDWR)


def _serve_reports_meanwhile(association: Association) -> None:
    """Take a report that comes before the response to the request.

    Nothing forbids it (PS3.4 section J.3); pynetdicom would take it for a bad response and abort.
    """
    take = association.dimse.get_msg

    def get_msg(block: bool = False) -> tuple[Any, Any]:
        context_id: Any
        context_id, message = take(block)
        while block and isinstance(message, N_EVENT_REPORT) and message.is_valid_request:
            association._serve_request(message, context_id)
            context_id, message = take(block)
        return context_id, message

    association.dimse.get_msg = get_msg  # type: ignore[method-assign]


def status_of(answer: ReportAnswer) -> int | Dataset:
    """The answer to a report as pynetdicom takes it from a handler."""
    if answer is ReportAnswer.RECORDED:
        return int(answer)
    dataset = Dataset()
    dataset.Status = int(answer)
    dataset.ErrorComment = answer.comment
    return dataset


def _information(transaction_uid: str, objects: Sequence[ResultObject]) -> Dataset:
    """Action Information, PS3.4 table J.3-1."""
    dataset = Dataset()
    dataset.TransactionUID = transaction_uid
    items = []
    for one in objects:
        item = Dataset()
        item.ReferencedSOPClassUID = one.sop_class_uid
        item.ReferencedSOPInstanceUID = one.sop_instance_uid
        items.append(item)
    dataset.ReferencedSOPSequence = Items(items)
    return dataset
