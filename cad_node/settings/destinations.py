"""`[[destinations]]`: where results go, and what each place takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from cad_node.settings.results import ObjectKind, SegType, SrClass, TransferSyntax
from cad_node.settings.section import HOST_NAME, NAME, AeTitle, Port, Section, check_pair


class _Destination(Section):
    name: str = Field(pattern=NAME, description="Name of the destination, unique.")
    hold: bool = Field(
        False,
        description="Keep results until they are accepted; see `cad-node answers`. Rejected ones never go.",
    )
    objects: tuple[ObjectKind, ...] = Field(
        ("seg", "sr"),
        min_length=1,
        description="What is sent there: `seg`, `sr`, `presentation_state`, `secondary_capture`, `pdf`, `text_sr`.",
    )
    sr_class: SrClass | None = Field(
        None, examples=["comprehensive"], description="Instead of `results.sr_class`."
    )
    seg_type: SegType | None = Field(
        None, examples=["fractional"], description="Instead of `results.seg_type`."
    )
    transfer_syntax: TransferSyntax | None = Field(
        None, examples=["rle"], description="Instead of `results.transfer_syntax`."
    )

    @field_validator("objects")
    @classmethod
    def _each_once(cls, value: tuple[ObjectKind, ...]) -> tuple[ObjectKind, ...]:
        if len(value) != len(set(value)):
            raise ValueError("the same object is named twice")
        return value


class CStoreDestinationSettings(_Destination):
    """A PACS that takes results by C-STORE."""

    type: Literal["cstore"] = "cstore"
    host: str = Field(description="Host of the PACS.")
    port: Port = Field(description="Its port.")
    ae_title: AeTitle = Field(description="Its AE title.")
    calling_ae_title: AeTitle = Field("CADNODE", description="AE title that the node gives itself there.")
    timeout_s: float = Field(30.0, gt=0, le=600, description="Deadline for connecting and for each answer.")
    tls: bool = Field(False, description="Speak DICOM TLS to it; off by default.")
    tls_ca: Path | None = Field(
        None,
        examples=["/etc/cad-node/tls/pacs-ca.pem"],
        description="PEM file of the CAs that its certificate must come from, or that certificate itself. "
        "Absent: the CAs that this machine trusts.",
    )
    tls_server_name: str | None = Field(
        None,
        pattern=HOST_NAME,
        examples=["pacs.example.org"],
        description="Name or IP address that its certificate must be issued to. Absent: `host`.",
    )
    tls_certificate: Path | None = Field(
        None,
        examples=["/etc/cad-node/tls/node.pem"],
        description="PEM file of the node's certificate and those that issued it, where the PACS asks for one.",
    )
    tls_key: Path | None = Field(
        None,
        examples=["/etc/cad-node/tls/node-key.pem"],
        description="PEM file of its private key; see `receive.tls_key`.",
    )
    storage_commitment: bool = Field(
        False,
        description="Have the PACS confirm that it keeps what it took (Storage Commitment). It must know the node's "
        "address and port, since it reports back there.",
    )
    commitment_ae_titles: tuple[AeTitle, ...] = Field(
        (),
        examples=[["PACS", "PACS_STGCMT"]],
        description="AE titles under which the PACS reports back. Empty: its `ae_title`.",
    )
    commitment_wait_s: float = Field(
        2.0,
        ge=0,
        le=60,
        description="So long the report is awaited in the association that asked; then in one that the PACS opens.",
    )
    commitment_timeout_s: float = Field(
        3600.0, gt=0, le=604800, description="No report for so long: commitment is asked for again."
    )
    commitment_tries: int = Field(
        3,
        ge=1,
        le=20,
        description="Asked for so often, what is missing there sent again, then not committed.",
    )

    @property
    def reporting_ae_titles(self) -> tuple[str, ...]:
        """AE titles under which the PACS reports commitment; none where it is not asked for."""
        return (self.commitment_ae_titles or (self.ae_title,)) if self.storage_commitment else ()

    @model_validator(mode="after")
    def _tls_is_whole(self) -> CStoreDestinationSettings:
        check_pair(self.tls_certificate, self.tls_key)
        given = [name for name in ("tls_ca", "tls_server_name", "tls_certificate") if getattr(self, name)]
        if given and not self.tls:
            raise ValueError(f"{given[0]} is set, but tls is not: results would go out unencrypted")
        return self


class FolderDestinationSettings(_Destination):
    """A folder with SEG, SR, pictures and one page a study."""

    type: Literal["folder"] = "folder"
    path: Path = Field(description="Folder that results are written to, one sub-folder a study.")


DestinationSettings = Annotated[
    CStoreDestinationSettings | FolderDestinationSettings, Field(discriminator="type")
]
