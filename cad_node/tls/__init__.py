"""TLS for DICOM associations, both ends.

PS3.15 section B.12, the BCP 195 profile (RFC 8996 and 9325): TLS 1.2 and 1.3, forward secrecy and
authenticated encryption only. All of it is OpenSSL by Python's `ssl`. What is wrong with our own
files is said here; what went wrong with a peer, by the room that spoke to it.

- `contexts.py` what each end speaks TLS with, and when that ends
- `files.py` certificates, keys, CAs: what is refused before it is used
- `connection.py` the socket
"""

from cad_node.tls.connection import TlsSocket
from cad_node.tls.contexts import (
    REMIND_DAYS,
    ReceiverTls,
    Secure,
    destination_tls,
    look_at_files,
    receiver_tls,
)
from cad_node.tls.files import EXPIRED, NOT_YET_VALID

__all__ = [
    "EXPIRED",
    "NOT_YET_VALID",
    "REMIND_DAYS",
    "ReceiverTls",
    "Secure",
    "TlsSocket",
    "destination_tls",
    "look_at_files",
    "receiver_tls",
]
