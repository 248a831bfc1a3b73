"""`[receive]`: the C-STORE door."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import Field, model_validator

from cad_node.settings.section import AeTitle, Port, Section, check_pair


class ReceiveSettings(Section):
    """The C-STORE door."""

    ae_title: AeTitle = Field("CADNODE", description="AE title that senders must call.")
    host: str = Field(
        "127.0.0.1", description="Address to listen on. Anything but loopback needs `calling_ae_titles`."
    )
    port: Port = Field(11112, description="TCP port to listen on.")
    calling_ae_titles: tuple[AeTitle, ...] = Field(
        (),
        description="AE titles that may send. Empty: none, but any while listening on loopback.",
    )
    maximum_associations: int = Field(
        20, ge=1, le=500, description="Associations served at once; more are rejected."
    )
    maximum_pdu_bytes: int = Field(
        131072, ge=16384, le=1048576, description="Largest PDU that a sender may use."
    )
    maximum_instance_bytes: int = Field(
        2_000_000_000, ge=1_000_000, description="Largest single instance that is taken."
    )
    network_timeout_s: float = Field(30.0, gt=0, le=600, description="A peer silent for so long is cut off.")
    disk_reserve_bytes: int = Field(
        2_000_000_000,
        ge=0,
        description="Refuse with 0xA700 when less than this would stay free on the spool.",
    )
    tls_certificate: Path | None = Field(
        None,
        examples=["/etc/cad-node/tls/node.pem"],
        description="PEM file of the node's certificate and those that issued it. With it the port speaks DICOM "
        "TLS, and nothing else; its usual number is 2762.",
    )
    tls_key: Path | None = Field(
        None,
        examples=["/etc/cad-node/tls/node-key.pem"],
        description="PEM file of its private key, readable by nobody else. If encrypted, the passphrase is "
        "`CADNODE_TLS_KEY_PASSPHRASE` in the environment.",
    )
    tls_client_ca: Path | None = Field(
        None,
        examples=["/etc/cad-node/tls/senders-ca.pem"],
        description="PEM file of the CAs whose certificates senders must show. Absent: senders need none.",
    )

    @property
    def tls(self) -> bool:
        """Whether the port speaks TLS."""
        return self.tls_certificate is not None

    @model_validator(mode="after")
    def _tls_is_whole(self) -> ReceiveSettings:
        check_pair(self.tls_certificate, self.tls_key)
        if self.tls_client_ca is not None and not self.tls:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key; without them there is no TLS")
        return self


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
