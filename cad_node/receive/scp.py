"""The Storage SCP: checks each instance, hands it on, answers with a status.

An instance is answered with success only after `accept` came back, and `accept`
comes back only when the instance is safe. With the spool below its reserve,
associations still stand and C-ECHO is answered, so that the sender's operator
sees "node full", not "node gone"; each C-STORE gets 0xA700, which senders queue
and repeat, while its bytes are dropped as they come.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext

from cad_node.domain import EventReport, ReceivedInstance, ReportAnswer, is_valid_uid
from cad_node.errors import (
    CadNodeError,
    InboxFullError,
    MismatchedObjectError,
    ReceiveError,
    SettingsError,
    UnreadableDatasetError,
    UnsupportedObjectError,
)
from cad_node.logs import study_context
from cad_node.receive.association import (
    CALLED_AE_TITLE_NOT_RECOGNISED,
    CALLING_AE_TITLE_NOT_RECOGNISED,
    NodeAssociation,
    Rejection,
)
from cad_node.receive.connection import Limits
from cad_node.receive.contexts import supported_contexts
from cad_node.receive.incoming import IncomingDataset, StoreRequest
from cad_node.receive.listening import cannot_listen
from cad_node.receive.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, file_header
from cad_node.receive.server import ReceiveServer
from cad_node.receive.status import SUCCESS, Refusal, refusal_for, status_dataset
from cad_node.settings import ReceiveSettings, is_loopback
from cad_node.tls import ReceiverTls

logger = logging.getLogger(__name__)

_STOP_S = 5.0


@dataclass(frozen=True)
class Reports:
    """Who reports on storage commitments, and who is told of it.

    `called` holds for each calling AE title the AE titles under which it knows the
    node; `record` makes a report safe.
    """

    called: Mapping[str, frozenset[str]] = field(default_factory=dict)
    record: Callable[[EventReport], ReportAnswer] = lambda _: ReportAnswer.UNKNOWN_TRANSACTION


class StorageScp:
    """C-ECHO and C-STORE on one port, and N-EVENT-REPORT of those who report on commitments.

    Parameters
    ----------
    settings
        Address, AE titles and limits.
    accept
        Makes an instance safe; raises a `CadNodeError` when it cannot. Called
        from several threads at once.
    has_room
        Whether that many bytes more may be taken.
    port
        Listens here instead of on the port of the settings; 0 takes a free one.
    spill_folder
        Where large data sets are put while they come in, best in the file system
        of the spool; None keeps all in memory.
    reports
        Who reports on storage commitments; without it nobody.

    Raises
    ------
    SettingsError
        Nobody is named as a sender, but the address is not loopback; or a file for TLS cannot be used.
    """

    def __init__(
        self,
        settings: ReceiveSettings,
        accept: Callable[[ReceivedInstance], None],
        has_room: Callable[[int], bool],
        *,
        port: int | None = None,
        spill_folder: Path | None = None,
        reports: Reports | None = None,
    ) -> None:
        if not settings.calling_ae_titles and not is_loopback(settings.host):
            raise SettingsError(
                "receive.host is reachable from the network, but receive.calling_ae_titles names nobody.",
                "List the AE titles that may send.",
            )
        self._settings = settings
        self._accept = accept
        self._has_room = has_room
        self._port = settings.port if port is None else port
        self._spill_folder = spill_folder
        self._reports = reports or Reports()
        self._tls = ReceiverTls(settings).context if settings.tls else None
        self._limits = Limits(
            settings.maximum_pdu_bytes, settings.maximum_instance_bytes, settings.network_timeout_s
        )
        self._ae = AE(settings.ae_title)
        self._ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self._ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        self._ae.acse_timeout = settings.network_timeout_s
        self._ae.dimse_timeout = settings.network_timeout_s
        self._ae.network_timeout = settings.network_timeout_s
        # Counted by the server, which does not count silent connections; this one never bites.
        self._ae.maximum_associations = 1_000_000
        self._server: ReceiveServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, after `start`."""
        if self._server is None:
            return self._port
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listen, in a thread of its own.

        Raises
        ------
        SettingsError
            The address cannot be listened on.
        """
        host = "127.0.0.1" if self._settings.host == "localhost" else self._settings.host
        try:
            self._server = ReceiveServer(
                (host, self._port), self._settings.maximum_associations, self._associate, self._check
            )
        except OSError as error:
            raise cannot_listen(error, self._settings) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, name="receive", daemon=True
        )
        self._thread.start()
        how = "DICOM TLS" if self._settings.tls else "DICOM, without TLS"
        logger.info("Listening as %s on %s port %d: %s", self._settings.ae_title, host, self.port, how)

    def stop(self) -> None:
        """Stop listening and end what is open; what was not answered will be sent again."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        open_now = self._server.associations
        for association in open_now:
            if association.is_established:
                association.abort(block=False)
            else:
                association.drop()
        deadline = time.monotonic() + _STOP_S
        for association in open_now:
            association.join(max(0.0, deadline - time.monotonic()))
            association.drop()
        self._server = None
        self._thread = None

    def __enter__(self) -> StorageScp:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _associate(self, server: ReceiveServer, client: Any, address: tuple[Any, ...]) -> NodeAssociation:
        association = NodeAssociation(
            server, client, address, self._ae, self._contexts, self._limits, self._begin, self._tls
        )
        association.bind(evt.EVT_C_STORE, self._store)
        association.bind(evt.EVT_N_EVENT_REPORT, self._report)
        return association

    def _check(self, request: A_ASSOCIATE) -> Rejection | None:
        """Why a requestor is not let in, by its AE titles."""
        if self._may_store(request) or self._may_report(request):
            return None
        if request.called_ae_title != self._settings.ae_title:
            return CALLED_AE_TITLE_NOT_RECOGNISED
        return CALLING_AE_TITLE_NOT_RECOGNISED

    def _may_store(self, request: A_ASSOCIATE) -> bool:
        allowed = self._settings.calling_ae_titles
        known = not allowed or request.calling_ae_title in allowed
        return known and request.called_ae_title == self._settings.ae_title

    def _may_report(self, request: A_ASSOCIATE) -> bool:
        return request.called_ae_title in self._reports.called.get(request.calling_ae_title or "", ())

    def _contexts(self, request: A_ASSOCIATE) -> list[PresentationContext]:
        return supported_contexts(stores=self._may_store(request), reports=self._may_report(request))

    def _begin(self, request: StoreRequest) -> IncomingDataset:
        """Decide, before the data set comes, whether its bytes are kept."""
        refusal = self._refusal(request)
        if refusal is not None:
            return IncomingDataset(request, b"", None, refusal)
        header = file_header(
            request.sop_class_uid,
            request.sop_instance_uid,
            request.transfer_syntax_uid,
            request.calling_ae_title,
            self._settings.ae_title,
        )
        return IncomingDataset(request, header, self._spill_folder, has_room=self._has_room)

    def _refusal(self, request: StoreRequest) -> ReceiveError | None:
        if not is_valid_uid(request.sop_instance_uid):
            return UnreadableDatasetError("Affected SOP Instance UID is not a valid UID.")
        if request.sop_class_uid != request.abstract_syntax_uid:
            return UnsupportedObjectError("The SOP Class is not that of the presentation context.")
        if not self._has_room(0):
            return InboxFullError("The spool is below its reserve.", "Free space for it.")
        return None

    def _store(self, event: Any) -> int | Dataset:
        """Serve one C-STORE request; nothing but a status comes out."""
        association: NodeAssociation = event.assoc
        incoming = association.messages.take_dataset()
        try:
            received = self._received(incoming)
            with study_context(received.study_instance_uid):
                self._accept(received)
        except CadNodeError as error:
            logger.warning("Instance refused: %s", error)
            association.refused += 1
            return status_dataset(refusal_for(error))
        except Exception as error:
            # Not the message: it may quote the data set.
            where = traceback.extract_tb(error.__traceback__)[-1]
            logger.error("Instance refused: %s at %s:%d", type(error).__name__, where.name, where.lineno)
            association.refused += 1
            return status_dataset(refusal_for(error))
        finally:
            if incoming is not None:
                incoming.discard()
        association.stored += 1
        return SUCCESS

    def _report(self, event: Any) -> tuple[int | Dataset, None]:
        """Serve one N-EVENT-REPORT request; nothing but a status comes out."""
        association: NodeAssociation = event.assoc
        incoming = association.messages.take_dataset()
        answer = ReportAnswer.UNREADABLE
        if incoming is not None:
            information = incoming.part10()
            incoming.discard()
            if isinstance(information, bytes):
                answer = self._reports.record(
                    EventReport(
                        calling_ae_title=association.calling_ae_title,
                        sop_instance_uid=incoming.request.sop_instance_uid,
                        event_type=int(event.request.EventTypeID),
                        transfer_syntax_uid=incoming.request.transfer_syntax_uid,
                        information=information,
                    )
                )
        if answer is ReportAnswer.RECORDED:
            return SUCCESS, None
        logger.warning("Report refused with 0x%04X: %s", answer, answer.comment)
        return status_dataset(Refusal(int(answer), answer.comment)), None

    def _received(self, incoming: IncomingDataset | None) -> ReceivedInstance:
        if incoming is None:
            raise UnreadableDatasetError("The request came without a data set.")
        if incoming.refusal is not None:
            raise incoming.refusal
        request = incoming.request
        identity = incoming.identity(self._settings.maximum_instance_bytes)
        if identity.sop_class_uid != request.sop_class_uid:
            raise MismatchedObjectError("The data set is of another SOP Class than the request says.")
        if identity.sop_instance_uid != request.sop_instance_uid:
            raise MismatchedObjectError("The data set is another SOP Instance than the request says.")
        return ReceivedInstance(
            study_instance_uid=identity.study_instance_uid,
            series_instance_uid=identity.series_instance_uid,
            sop_instance_uid=identity.sop_instance_uid,
            sop_class_uid=identity.sop_class_uid,
            transfer_syntax_uid=request.transfer_syntax_uid,
            calling_ae_title=request.calling_ae_title,
            part10=incoming.part10(),
        )
