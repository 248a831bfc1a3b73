"""The listening socket: counts connections before any of them costs a thread."""

from __future__ import annotations

import logging
import socket
import socketserver
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from pynetdicom.pdu_primitives import A_ASSOCIATE

from cad_node.receive.association import LOCAL_LIMIT_EXCEEDED, NodeAssociation, Rejection

logger = logging.getLogger(__name__)

# Connections beyond the associations served: being negotiated, rejected, or silent.
_WAITING_CONNECTIONS = 32


class ReceiveServer(socketserver.TCPServer):
    """Accepts connections and keeps count of them.

    When too many are open, one gives way, of the machine that has most silent ones
    the one silent for longest: a crowd cannot keep a scanner out.

    Parameters
    ----------
    address
        Host and port to listen on; port 0 takes a free one.
    maximum_associations
        Associations served at once.
    make_association
        Makes the association of a new connection.
    check
        Why a requestor is rejected, None if it is not.
    """

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        maximum_associations: int,
        make_association: Callable[[ReceiveServer, socket.socket, tuple[Any, ...]], NodeAssociation],
        check: Callable[[A_ASSOCIATE], Rejection | None],
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._maximum_associations = maximum_associations
        self._make_association = make_association
        self._check = check
        self._lock = threading.Lock()
        self._associations: dict[NodeAssociation, None] = {}  # oldest first
        super().__init__(address, socketserver.BaseRequestHandler)

    @property
    def associations(self) -> list[NodeAssociation]:
        """Every connection that is open now, negotiated or not."""
        with self._lock:
            return list(self._associations)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection and set it up."""
        try:
            client, address = self.socket.accept()
        except OSError:
            time.sleep(0.05)  # out of descriptors: the connection stays pending, do not spin
            raise
        # Answers are small and waited for: Nagle's algorithm would cost 40 ms each.
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return client, address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start an association of its own for the connection, if there is room."""
        with self._lock:
            if len(self._associations) >= self._maximum_associations + _WAITING_CONNECTIONS:
                silent = self._most_dispensable()
                if silent is None:
                    self.shutdown_request(request)
                    return
                logger.warning("Too many connections: the one silent for longest is closed.")
                del self._associations[silent]
                silent.drop()
        association = self._make_association(self, request, client_address)
        with self._lock:
            self._associations[association] = None
        association.start()

    def _most_dispensable(self) -> NodeAssociation | None:
        """The connection silent for longest, of the machine that has most of them."""
        silent = [one for one in self._associations if not one.admitted]
        crowds = Counter(one.peer for one in silent)
        return max(silent, key=lambda one: crowds[one.peer], default=None)

    def admit(self, association: NodeAssociation, request: A_ASSOCIATE) -> Rejection | None:
        """Why the association is rejected; None lets it in."""
        rejection = self._check(request)
        if rejection is not None:
            return rejection
        with self._lock:
            if sum(one.admitted for one in self._associations) >= self._maximum_associations:
                return LOCAL_LIMIT_EXCEEDED
            association.admitted = True
        return None

    def forget(self, association: NodeAssociation) -> None:
        """Give the place of an association that is over to others."""
        with self._lock:
            self._associations.pop(association, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say that a connection could not be served; the next one may."""
        logger.error("A connection could not be served: %s", type(sys.exception()).__name__)
