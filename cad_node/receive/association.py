"""One association, as the acceptor: who is let in, and what is served."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pynetdicom import AE, evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO, C_STORE, N_EVENT_REPORT
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import StorageServiceClass, VerificationServiceClass
from pynetdicom.service_class_n import StorageCommitmentServiceClass
from pynetdicom.transport import AddressInformation

from cad_node.receive.connection import HardenedSocket, HardenedUpperLayer, Limits
from cad_node.receive.incoming import IncomingDataset, StoreRequest
from cad_node.receive.messages import HardenedDimse, ProtocolViolationError

if TYPE_CHECKING:
    from cad_node.receive.server import ReceiveServer

logger = logging.getLogger(__name__)

# (result, source, reason) of an A-ASSOCIATE-RJ, PS3.8 table 9-21.
Rejection = tuple[int, int, int]
CALLED_AE_TITLE_NOT_RECOGNISED: Rejection = (1, 1, 7)
CALLING_AE_TITLE_NOT_RECOGNISED: Rejection = (1, 1, 3)
LOCAL_LIMIT_EXCEEDED: Rejection = (2, 3, 2)
# What each says to whoever reads the log.
REJECTED_FOR = {
    CALLED_AE_TITLE_NOT_RECOGNISED: "that called AE title is not receive.ae_title",
    CALLING_AE_TITLE_NOT_RECOGNISED: "its AE title is not in receive.calling_ae_titles",
    LOCAL_LIMIT_EXCEEDED: "receive.maximum_associations are open already; it may try again",
}

# The retired classes are storage classes too, which pynetdicom does not know.
_SERVICES = {
    C_STORE: StorageServiceClass,
    C_ECHO: VerificationServiceClass,
    N_EVENT_REPORT: StorageCommitmentServiceClass,
}


class NodeAssociation(Association):
    """An association that asks its server before it says yes."""

    def __init__(
        self,
        server: ReceiveServer,
        client: socket.socket,
        address: tuple[Any, ...],
        ae: AE,
        contexts: Callable[[A_ASSOCIATE], list[PresentationContext]],
        limits: Limits,
        begin: Callable[[StoreRequest], IncomingDataset],
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self._tls = tls
        self.peer = str(address[0])
        self._receive_server = server
        self._begin = begin
        self.admitted = False
        self.stored = 0
        self.refused = 0
        self.messages = HardenedDimse(self, limits)
        self.dimse = self.messages
        self.dul = HardenedUpperLayer(self, self.messages.wake)
        # The setters hand the timeouts on to the upper layer, which was just replaced.
        self.acse_timeout = ae.acse_timeout
        self.network_timeout = ae.network_timeout
        self._client = HardenedSocket(self, client, limits)
        self.set_socket(self._client)
        self.acceptor.ae_title = ae.ae_title
        self.acceptor.maximum_length = limits.maximum_pdu_bytes
        self.acceptor.address_info = AddressInformation.from_tuple(client.getsockname())
        self.acceptor.implementation_class_uid = ae.implementation_class_uid
        self.acceptor.implementation_version_name = ae.implementation_version_name
        self._contexts = contexts
        self.requestor.address_info = AddressInformation.from_tuple(address)

    def _bind_defaults(self) -> None:
        # Without the notification handlers, which format every message for a debug log.
        for event in evt._INTERVENTION_EVENTS:
            self.bind(event, evt.get_default_handler(event))

    @property
    def calling_ae_title(self) -> str:
        """AE title that the peer gives itself."""
        return str(self.requestor.ae_title)

    def abstract_syntax(self, context_id: int) -> str:
        """What was accepted under a presentation context ID; empty: nothing."""
        context = self._accepted_cx.get(context_id)
        return "" if context is None else str(context.abstract_syntax)

    def begin_dataset(self, sop_class: str, sop_instance: str, context_id: int) -> IncomingDataset:
        """Ask where the bytes of the data set go that follows a C-STORE request."""
        return self._begin(self._request(sop_class, sop_instance, context_id))

    def begin_report(self, sop_class: str, sop_instance: str, context_id: int) -> IncomingDataset:
        """Where the Event Information goes that follows an N-EVENT-REPORT request: memory alone."""
        return IncomingDataset(self._request(sop_class, sop_instance, context_id), b"")

    def _request(self, sop_class: str, sop_instance: str, context_id: int) -> StoreRequest:
        context = self._accepted_cx[context_id]
        return StoreRequest(
            sop_class_uid=sop_class,
            sop_instance_uid=sop_instance,
            abstract_syntax_uid=str(context.abstract_syntax),
            transfer_syntax_uid=str(context.transfer_syntax[0]),
            calling_ae_title=self.calling_ae_title,
        )

    def drop(self) -> None:
        """Close the connection without a word."""
        self._client._shut()

    def run_reactor(self) -> None:
        """Negotiate, serve, and leave nothing behind, whatever the peer does."""
        try:
            if self._tls is not None and not self._client.secure(self._tls()):
                return
            self.dul.start()
            self._started_dul = True
            self._dul_ready.wait()
            primitive = self.dul.receive_pdu(wait=True, timeout=self.acse_timeout)
            if isinstance(primitive, A_ASSOCIATE):
                self._negotiate(primitive)
            if self.is_established:
                self._run_reactor()
        except ProtocolViolationError as error:
            logger.warning("Connection from %s closed: %s", self.peer, error)
        except Exception as error:
            logger.warning("Association ended: it failed with %s.", type(error).__name__)
        finally:
            self.is_established = False
            self._client._shut()
            self.dul.kill_dul()
            if self._started_dul:
                self.dul.join(5)
            self.messages.discard()
            self._client.release()
            self._receive_server.forget(self)
            if self.stored or self.refused:
                logger.info(
                    "Association with %r ended: %d stored, %d refused",
                    self.calling_ae_title,
                    self.stored,
                    self.refused,
                )

    def _negotiate(self, request: A_ASSOCIATE) -> None:
        self.requestor.primitive = request
        rejection = self._receive_server.admit(self, request)
        if rejection is None:
            self.admitted = True
            self.acceptor.supported_contexts = self._contexts(request)
            self.acse.negotiate_association()
            return
        logger.warning(
            "Association of %a at %s, which calls %a, rejected: %s",
            request.calling_ae_title,
            self.peer,
            request.called_ae_title,
            REJECTED_FOR[rejection],
        )
        self.acse.send_reject(*rejection)
        self.kill()

    def _serve_request(self, msg: Any, context_id: int) -> None:
        service = _SERVICES[type(msg)](self)
        self._is_paused = True
        service.SCP(msg, self._accepted_cx[context_id])
        self._is_paused = False
