"""Certificates, keys and CAs: loaded into a context, and looked at before anybody relies on them."""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cad_node.errors import SettingsError
from cad_node.tls.connection import TlsSocket

PASSPHRASE_VARIABLE = "CADNODE_TLS_KEY_PASSPHRASE"  # noqa: S105  its name

# RFC 9325 section 4.2, for TLS 1.2; those of TLS 1.3 are all of this kind. Level 2 refuses keys and
# signatures of less than 112 bits: RSA below 2048 bits, SHA-1.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
# X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
NOT_YET_VALID, EXPIRED = 9, 10


def bare_context(protocol: int) -> ssl.SSLContext:
    """What every context of the node has in common, before certificates are loaded."""
    context = ssl.SSLContext(protocol)
    context.sslsocket_class = TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # Whatever stands in a file of trusted certificates is trusted: a department's CA, a device's own certificate.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def load_trusted(context: ssl.SSLContext, path: Path, what: str) -> dict[Path, datetime]:
    """Trust the certificates of a file; revocation lists in it are heeded."""
    _readable(path, what)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise SettingsError(
            f"{what}: {path} holds no certificate in PEM form.",
            "It needs at least one block that begins with -----BEGIN CERTIFICATE-----.",
        ) from error
    held = context.cert_store_stats()
    if not held["x509"]:
        raise SettingsError(
            f"{what}: {path} holds revocation lists, but no certificate.", "Add the CA's to it."
        )
    if held["crl"]:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    # Old CAs may stand beside new ones; one that is good for longer is enough.
    ends = [_end(certificate) for certificate in context.get_ca_certs()]
    return {path: max(ends)} if ends else {}


def load_own(context: ssl.SSLContext, certificate: Path, key: Path, where: str) -> dict[Path, datetime]:
    """Load our certificate and key, and see that a peer would take them."""
    _readable(certificate, f"{where}.tls_certificate")
    _readable(key, f"{where}.tls_key")
    _secret(key, f"{where}.tls_key")
    is_server = context.protocol is ssl.PROTOCOL_TLS_SERVER
    peer = bare_context(ssl.PROTOCOL_TLS_CLIENT if is_server else ssl.PROTOCOL_TLS_SERVER)
    load_trusted(peer, certificate, f"{where}.tls_certificate")
    ours = bare_context(context.protocol)
    for one in (context, ours) if is_server else (context, ours, peer):
        _load_pair(one, certificate, key, where)
    ours.check_hostname = peer.check_hostname = False
    ours.verify_mode, peer.verify_mode = ssl.CERT_NONE, ssl.CERT_REQUIRED
    try:
        shown = _shown(ours, peer) if is_server else _shown(peer, ours, from_client=True)
    except ssl.SSLCertVerificationError as error:
        over = {EXPIRED: "has expired", NOT_YET_VALID: "is not valid yet"}.get(error.verify_code)
        if over:
            hint = (
                f"See its dates and put a new one in its place: openssl x509 -noout -dates -in {certificate}"
            )
        else:
            over = f"cannot be used: {error.verify_message}"
            hint = f"Its extended key usage must allow a TLS {'server' if is_server else 'client'}."
        raise SettingsError(f"{where}: the certificate in {certificate} {over}.", hint) from error
    return {certificate: min([_end(shown), *map(_end, peer.get_ca_certs())])}


def _load_pair(context: ssl.SSLContext, certificate: Path, key: Path, where: str) -> None:
    asked: list[bool] = []

    def passphrase() -> str:
        asked.append(True)
        found = os.environ.get(PASSPHRASE_VARIABLE)
        if not found:
            raise SettingsError(
                f"{where}: the key in {key} is encrypted.",
                f"Give its passphrase in the environment as {PASSPHRASE_VARIABLE}, or take a key without one.",
            )
        return found

    try:
        # Without the function OpenSSL would ask at a terminal.
        context.load_cert_chain(certificate, key, password=passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = f"the key in {key} is not that of the certificate in {certificate}"
            hint = "Put both files of one order in place; the node's certificate stands first in its file."
        elif error.reason in {"EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"}:
            problem = f"the certificate in {certificate} is too weak ({error.reason})"
            hint = "Have one made with RSA of 2048 bits or ECDSA P-256 at least, signed with SHA-256."
        elif asked:
            problem = f"the key in {key} cannot be decrypted"
            hint = f"See that {PASSPHRASE_VARIABLE} is its passphrase."
        else:
            problem = f"{key} holds no private key in PEM form"
            hint = "It needs a block that begins with -----BEGIN PRIVATE KEY-----."
        raise SettingsError(f"{where}: {problem}.", hint) from error


def _shown(server: ssl.SSLContext, client: ssl.SSLContext, *, from_client: bool = False) -> dict[str, Any]:
    """The certificate that one of the two has verified, after a handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    accepting = server.wrap_bio(to_server, to_client, server_side=True)
    asking = client.wrap_bio(to_client, to_server)
    for _ in range(4):  # two are enough
        for end in (asking, accepting):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return (accepting if from_client else asking).getpeercert() or {}


def _end(certificate: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)


def _readable(path: Path, what: str) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise SettingsError(
            f"{what}: {path} cannot be read: {error.strerror}.",
            "Put the file there, readable for the user that the node runs as.",
        ) from error


def _secret(path: Path, what: str) -> None:
    found = path.stat()
    if is_open_to_others(found.st_mode, found.st_uid, os.geteuid()):
        raise SettingsError(
            f"{what}: others than the node can read the private key {path} (mode {stat.S_IMODE(found.st_mode):04o}).",
            f"chmod 600 {path}, owned by the user that the node runs as; or chmod 640, owned by root and a group "
            "of that user alone. Where others had access, order a new one.",
        )


def is_open_to_others(mode: int, owner: int, user: int) -> bool:
    """Whether a file may be read or written by somebody besides `user` and root.

    A group may read what root owns: so are keys handed to services (systemd, Kubernetes, Debian's ssl-cert).

    Examples
    --------
    >>> is_open_to_others(0o100600, 1000, 1000), is_open_to_others(0o100640, 0, 1000)
    (False, False)
    >>> is_open_to_others(0o100640, 1000, 1000), is_open_to_others(0o100644, 0, 1000)
    (True, True)
    """
    if owner not in (0, user):
        return True
    shared = stat.S_IRWXO | (stat.S_IWGRP if owner == 0 else stat.S_IRWXG)
    return bool(mode & shared)
