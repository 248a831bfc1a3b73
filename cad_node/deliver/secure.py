"""The requestor's connection, plain or over TLS, and what a failure of TLS means.

All of it can be mended at one end or the other, so nothing here is a failure for ever.
"""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import suppress
from typing import Any, cast

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

from cad_node.settings import CStoreDestinationSettings
from cad_node.tls import EXPIRED, NOT_YET_VALID, TlsSocket, destination_tls

# What TLS failed of, for the reader: (what, next step).
_WORDS = {
    "silent": (
        "took the connection at {where} and gave no TLS answer within {timeout:g} s",
        "Check that port is its port for DICOM TLS; or set tls = false, or raise timeout_s.",
    ),
    "no TLS": (
        "speaks no TLS at {where}",
        "Check that port is its port for DICOM TLS; or set tls = false to send unencrypted.",
    ),
    "our certificate wanted": (
        "wants a certificate of the node",
        "Set tls_certificate and tls_key, and make their CA known to the PACS.",
    ),
    "our certificate refused": (
        "does not take the node's certificate ({said})",
        "Make the CA of tls_certificate known to the PACS, and the node itself if it asks for that; see its log.",
    ),
    "no common way": (
        "offers no TLS 1.2 or 1.3 as docs/conformance.md has it ({said})",
        "Switch on a BCP 195 profile at the PACS.",
    ),
    "closed": (
        "closed the connection at {where} during the TLS handshake",
        "Most likely it speaks no TLS there: check that port is its port for DICOM TLS, or set tls = false; "
        "if it does, its log says why it refused.",
    ),
    "refused": (
        "refused TLS at {where} ({said})",
        "It may want a certificate of the node (tls_certificate, tls_key), or other cipher suites: see its log.",
    ),
    "expired": (
        "shows a certificate that has expired",
        "Have it renewed at the PACS; if it was, check the clock here.",
    ),
    "not valid yet": ("shows a certificate that is not valid yet", "Check the clocks at both ends."),
    "wrong name": (
        "shows a certificate that is not issued to {name}",
        "Set tls_server_name to a name that stands in it, or have one made for this name; it is shown by: {look}",
    ),
    "not trusted": (
        "shows a certificate that is not trusted ({said})",
        "Put the CA that issued it into the file of tls_ca; what the PACS shows is seen by: {look}",
    ),
    "revoked": ("shows a certificate that was revoked", "Have the PACS use its new one."),
    "too weak": (
        "shows a certificate that is too weak ({said})",
        "Have one made with RSA of 2048 bits or ECDSA P-256 at least, signed with SHA-256.",
    ),
    "not usable": (
        "shows a certificate that cannot be used ({said})",
        "Have it mended; it is shown by: {look}",
    ),
}
# OpenSSL's X509_V_ERR_*, and its reasons for errors of TLS.
_CERTIFICATE_CODES = {
    NOT_YET_VALID: "not valid yet",
    EXPIRED: "expired",
    2: "not trusted",  # UNABLE_TO_GET_ISSUER_CERT
    18: "not trusted",  # DEPTH_ZERO_SELF_SIGNED_CERT
    19: "not trusted",  # SELF_SIGNED_CERT_IN_CHAIN
    20: "not trusted",  # UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    21: "not trusted",  # UNABLE_TO_VERIFY_LEAF_SIGNATURE
    23: "revoked",  # CERT_REVOKED
    62: "wrong name",  # HOSTNAME_MISMATCH
    64: "wrong name",  # IP_ADDRESS_MISMATCH
    66: "too weak",  # EE_KEY_TOO_SMALL
    67: "too weak",  # CA_KEY_TOO_SMALL
    68: "too weak",  # CA_MD_TOO_WEAK
}
_REASONS = {
    "WRONG_VERSION_NUMBER": "no TLS",
    "HTTP_REQUEST": "no TLS",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "our certificate wanted",
    "SSLV3_ALERT_BAD_CERTIFICATE": "our certificate refused",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "our certificate refused",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "our certificate refused",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "our certificate refused",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "our certificate refused",
    "TLSV1_ALERT_ACCESS_DENIED": "our certificate refused",
    "TLSV1_ALERT_DECRYPT_ERROR": "our certificate refused",
    "TLSV1_ALERT_UNKNOWN_CA": "our certificate refused",
    "TLSV1_ALERT_PROTOCOL_VERSION": "no common way",
    "UNSUPPORTED_PROTOCOL": "no common way",
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": "no common way",
}


class _ClosingSocket(AssociationSocket):
    """Leaves no socket open and waits for no peer for ever.

    The parent's stays open where it never connected, and a PACS that is down is tried often. Once connected the
    parent has no deadline: a PACS that stops reading, or in the middle of a message stops sending, holds its thread.
    """

    sent_at = 0.0  # by the monotonic clock: when the peer, or its network, took something last

    def connect(self, primitive: T_CONNECT) -> None:
        super().connect(primitive)
        if self.socket is not None:
            self.socket.settimeout(self.assoc.network_timeout)

    def send(self, bytestream: bytes) -> None:
        """As the parent's, noting each piece that goes: one message may be as large as an object."""
        left = memoryview(bytestream)
        try:
            while left:
                left = left[cast(socket.socket, self.socket).send(left) :]
                self.sent_at = time.monotonic()
        except Exception:  # as the parent has it: whatever it is, the connection is over
            self.event_queue.put("Evt17")
        else:
            evt.trigger(self.assoc, evt.EVT_DATA_SENT, {"data": bytestream})

    def _shutdown_socket(self) -> None:
        if self.socket is not None:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()


class _SecureSocket(_ClosingSocket):
    """Says that there is something to read only where there is: TLS's own records are none of the association's."""

    @property
    def ready(self) -> bool:
        if not super().ready:
            return False
        try:
            return cast(TlsSocket, self.socket).waits()
        except OSError:
            self.event_queue.put("Evt17")
            return False


class _PlainAE(AE):
    """Opens one association without TLS."""

    def _create_socket(
        self, assoc: Association, address: AddressInformation, tls_args: Any
    ) -> AssociationSocket:
        return _ClosingSocket(assoc, address=address)


class _SecureAE(AE):
    """Opens one association over TLS."""

    def __init__(self, settings: CStoreDestinationSettings) -> None:
        super().__init__(ae_title=settings.calling_ae_title)
        tls = destination_tls(settings)
        tls.remind()
        self._context = tls.context
        self._server_name = settings.tls_server_name or settings.host
        self.connection: TlsSocket | None = None

    def _create_socket(
        self, assoc: Association, address: AddressInformation, tls_args: Any
    ) -> AssociationSocket:
        made = _SecureSocket(assoc, address=address)
        made.socket = self._context.wrap_socket(
            cast(socket.socket, made.socket), server_hostname=self._server_name
        )
        self.connection = cast(TlsSocket, made.socket)
        return made


def application_entity(settings: CStoreDestinationSettings) -> AE:
    """What opens an association with the destination, over TLS where it is to.

    Certificates are read each time: those that were renewed count from the next association on.

    Raises
    ------
    SettingsError
        A file that TLS needs cannot be used.
    """
    return _SecureAE(settings) if settings.tls else _PlainAE(ae_title=settings.calling_ae_title)


def last_sent_at(association: Association) -> float:
    """When something was last sent, by the monotonic clock; 0 where nothing ever was."""
    made = association.dul.socket
    return made.sent_at if isinstance(made, _ClosingSocket) else 0.0


def tls_failure(association: Association) -> OSError | None:
    """What TLS failed of with the peer; None where it did not."""
    ae = association.ae
    return ae.connection.failure if isinstance(ae, _SecureAE) and ae.connection else None


def why_no_tls(settings: CStoreDestinationSettings, error: OSError) -> tuple[str, str]:
    """What a failure of TLS means, to go on after the destination's name, and the next step."""
    said = ""
    if isinstance(error, ssl.SSLCertVerificationError):
        kind, said = _CERTIFICATE_CODES.get(error.verify_code, "not usable"), error.verify_message
    elif isinstance(error, TimeoutError):
        kind = "silent"
    elif isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        said = error.reason or "without a reason"
        kind = _REASONS.get(said, "refused")
    else:
        kind = "closed"
    where = f"{settings.host}:{settings.port}"
    what, step = _WORDS[kind]
    words = {
        "where": where,
        "timeout": settings.timeout_s,
        "said": said,
        "name": settings.tls_server_name or settings.host,
        "look": f"openssl s_client -showcerts -connect {where}",
    }
    return what.format(**words), step.format(**words)
