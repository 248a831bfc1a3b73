"""Certificates for the tests, made when they run and good for days: a CA and what it issues, as PEM files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pair:
    """A certificate with its chain, and its key."""

    certificate: Path
    key: Path


class Authority:
    """A CA; `file` is what trusts it."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._ca = trustme.CA(organization_name=name)
        self.file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, name: str = "node", *hosts: str, days: float = 90, begins_in: float = -2) -> Pair:
        """A certificate for `hosts` that ends in so many days; the first host is its common name, too."""
        hosts = hosts or ("localhost", "127.0.0.1")
        now = datetime.now(UTC)
        leaf = self._ca.issue_cert(
            *hosts,
            common_name=hosts[0],
            not_before=now + timedelta(days=begins_in),
            not_after=now + timedelta(days=days),
        )
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}-key.pem")
        pair.certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        pair.key.touch(mode=0o600)
        pair.key.write_bytes(leaf.private_key_pem.bytes())
        return pair

    def revoke(self, pair: Pair) -> None:
        """Add a list to the CA's file that revokes the certificate."""
        ours = x509.load_pem_x509_certificate(self._ca.cert_pem.bytes())
        theirs = x509.load_pem_x509_certificates(pair.certificate.read_bytes())[0]
        now = datetime.now(UTC)
        revoked = x509.RevokedCertificateBuilder(theirs.serial_number, now - timedelta(days=1)).build()
        builder = x509.CertificateRevocationListBuilder(
            ours.subject, now - timedelta(days=1), now + timedelta(days=9)
        )
        key = load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        revocations = builder.add_revoked_certificate(revoked).sign(key, hashes.SHA256())  # type: ignore[arg-type]
        with self.file.open("ab") as file:
            file.write(revocations.public_bytes(Encoding.PEM))


def self_signed(
    folder: Path, name: str, bits: int = 2048, usage: x509.ObjectIdentifier | None = None
) -> Pair:
    """A certificate that nobody else issued, with an RSA key; `usage` is the only one that it allows."""
    key = rsa.generate_private_key(65537, bits)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        subject,
        subject,
        key.public_key(),
        x509.random_serial_number(),
        now - timedelta(days=1),
        now + timedelta(days=20),
    ).add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    pair = Pair(folder / f"{name}.pem", folder / f"{name}-key.pem")
    pair.certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    pair.key.touch(mode=0o600)
    pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return pair


def encrypt(key: Path, passphrase: str) -> None:
    """Put a key behind a passphrase."""
    plain = load_pem_private_key(key.read_bytes(), None)
    cipher = BestAvailableEncryption(passphrase.encode())
    key.write_bytes(plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, cipher))
