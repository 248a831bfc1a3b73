"""Why a peer and the node did not come to speak TLS, in words for the log.

OpenSSL's own words are fixed, or numbers: nothing that a peer says is repeated.
"""

from __future__ import annotations

import ssl

_NO_TLS = "it does not speak TLS, which this port does."
_NO_COMMON_WAY = "it offers neither TLS 1.3 nor TLS 1.2 with a cipher suite of docs/conformance.md."
_NODE_NOT_TRUSTED = (
    "it does not take the node's certificate; it may not know the CA, or the name, or want another."
)

_WORDS = {
    "HTTP_REQUEST": _NO_TLS,
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "NO_SHARED_CIPHER": _NO_COMMON_WAY,
    "NO_PROTOCOLS_AVAILABLE": _NO_COMMON_WAY,
    "UNSUPPORTED_PROTOCOL": _NO_COMMON_WAY,
    "VERSION_TOO_LOW": _NO_COMMON_WAY,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it showed no certificate; one of a CA in receive.tls_client_ca is needed.",
    "SSLV3_ALERT_BAD_CERTIFICATE": _NODE_NOT_TRUSTED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _NODE_NOT_TRUSTED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _NODE_NOT_TRUSTED,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _NODE_NOT_TRUSTED,
    "TLSV1_ALERT_UNKNOWN_CA": _NODE_NOT_TRUSTED,
}


def why_no_handshake(error: OSError) -> str:
    """What the handshake failed of, as the rest of a sentence.

    Examples
    --------
    >>> why_no_handshake(TimeoutError())
    'no TLS handshake came about in time.'
    """
    if isinstance(error, TimeoutError):
        return "no TLS handshake came about in time."
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}; see receive.tls_client_ca."
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) or not isinstance(error, ssl.SSLError):
        return "it broke off the TLS handshake; it may not take the node's certificate."
    return _WORDS.get(error.reason or "", f"the TLS handshake failed ({error.reason}).")
