"""The one settings tree: what an operator can change, with unit, bounds and reason.

Read once, by the doors, and handed down as the smallest part a room needs.
Precedence: command line, `CADNODE_*` environment, `node.toml`, default. Unknown
keys are refused. `deploy/node.example.toml` and the table in
`docs/settings.md` are generated from this file.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from cad_node.errors import SettingsError

# PS3.5 table 6.2-1, VR AE: at most 16 characters, no backslash, no control characters.
AeTitle = Annotated[
    str,
    Field(
        min_length=1,
        max_length=16,
        pattern=r"^[\x21-\x5B\x5D-\x7E]([\x20-\x5B\x5D-\x7E]*[\x21-\x5B\x5D-\x7E])?$",
    ),
]
Port = Annotated[int, Field(ge=1, le=65535)]
SeriesNumber = Annotated[int, Field(ge=1, le=2147483647)]

ObjectKind = Literal["seg", "sr", "presentation_state", "secondary_capture", "pdf", "text_sr"]
SrClass = Literal["comprehensive-3d", "comprehensive", "enhanced"]
SegType = Literal["binary", "fractional", "labelmap"]
SegScope = Literal["image", "series"]
TransferSyntax = Literal["explicit-little-endian", "deflated", "rle", "jpeg-ls", "jpeg-2000"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def _check_pair(certificate: Path | None, key: Path | None) -> None:
    if (certificate is None) is not (key is None):
        raise ValueError("tls_certificate and tls_key go together; one of them is missing")


class ReceiveSettings(_Section):
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
        _check_pair(self.tls_certificate, self.tls_key)
        if self.tls_client_ca is not None and not self.tls:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key; without them there is no TLS")
        return self


class CompletionSettings(_Section):
    """When a study counts as complete."""

    quiet_time_s: float = Field(
        20.0, ge=0, le=86400, description="No new instance for so long: the study is complete."
    )
    forced_end_s: float = Field(
        600.0, gt=0, le=86400, description="Processed after so long even if instances keep arriving."
    )


class JobsSettings(_Section):
    """The durable work queue."""

    database_url: str | None = Field(
        None,
        description="PostgreSQL, as `postgresql://user@host/database`; absent: SQLite in the data folder. "
        "Keep passwords out of the file: `CADNODE_JOBS__DATABASE_URL` or `PGPASSFILE`.",
        examples=["postgresql://cadnode@database.example.org/cadnode"],
        repr=False,
    )
    executor_id: str = Field(
        "node-1", pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Stable name of this machine among several."
    )
    workers: int = Field(1, ge=1, le=64, description="Studies analysed at the same time.")
    retry_first_s: float = Field(
        10.0, gt=0, description="Wait before the second delivery attempt; then it doubles."
    )
    retry_longest_s: float = Field(3600.0, gt=0, description="Longest wait between two attempts.")
    retry_give_up_s: float = Field(
        604800.0, gt=0, description="Give up on an unreachable destination after so long."
    )

    def delay_s(self, attempts: int) -> float:
        """Wait after the nth failure, doubling up to the longest."""
        doubled = self.retry_first_s * 2.0 ** min(attempts - 1, 30)
        return min(doubled, self.retry_longest_s)


class PipelineSettings(_Section):
    """What is done to an image. Every field here is part of the derived result UIDs."""

    model: str = Field(
        "breast-us", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Name of the folder under models."
    )
    annotation_model: str = Field(
        "annotations",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="Name of the folder under models with the network that finds burnt-in marks.",
    )
    inpainting: Literal["navier-stokes", "telea"] = Field(
        "navier-stokes", description="How found annotations are filled in."
    )
    ocr_confidence: float = Field(
        0.5, ge=0, le=1, description="Text is removed when read with at least this."
    )
    verify_cleaning: bool = Field(
        True,
        description="Read each cleaned picture with a second OCR, and refuse an image on which text is left. "
        "Off: nobody has checked that names are gone.",
    )
    verify_confidence: float = Field(
        0.5, ge=0, le=1, description="What the second OCR reads with at least this counts as left."
    )
    smallest_lesion_mm2: float = Field(
        4.0, ge=0, description="Smaller findings are dropped, where calibrated."
    )
    breast_only: bool = Field(
        False, description="Refuse images whose header names another body part than breast or axilla."
    )


class RuntimeSettings(_Section):
    """How fast, never what."""

    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="Where the networks run.")
    threads: int = Field(
        0,
        ge=0,
        le=256,
        description="CPU threads of the networks a worker; 0: half the cores, shared by the workers.",
    )
    study_deadline_s: float = Field(
        3600.0, gt=0, description="A study that takes longer is ended and marked as failed."
    )
    models_dir: Path | None = Field(
        None,
        examples=["/etc/cad-node/models"],
        description="Folder of your own models, looked into before the shipped ones.",
    )
    templates_dir: Path | None = Field(
        None,
        examples=["/etc/cad-node/dicom_templates"],
        description="Your own `dicom_templates`, instead of the shipped ones.",
    )


class ResultSettings(_Section):
    """What comes back. A destination may have another class, type or transfer syntax than these."""

    language: str = Field(
        "en",
        pattern=r"^[a-z]{2}(-[A-Z]{2})?$",
        description="Language of reports, pictures and pages: en, de, fr, es, pt, or that of a folder which "
        "you put into your `dicom_templates`.",
    )
    sr_class: SrClass = Field(
        "comprehensive-3d",
        description="SOP Class of the structured report; older PACS take only the latter two.",
    )
    seg_type: SegType = Field(
        "binary", description="Segmentation Type. OHIF shows `binary` alone; see docs/conformance.md."
    )
    seg_scope: SegScope = Field(
        "image",
        description="A segmentation for each image, or one for all single-frame images of a series that are "
        "alike in size and calibration.",
    )
    transfer_syntax: TransferSyntax = Field(
        "explicit-little-endian",
        description="`rle`, `jpeg-ls` and `jpeg-2000` are lossless and compress what has 8-bit pixels: secondary "
        "captures, fractional and labelmap segmentations. `deflated` compresses every object; OHIF shows a "
        "deflated capture black.",
    )
    seg_series_number: SeriesNumber = Field(9001, description="Series Number of the segmentations.")
    sr_series_number: SeriesNumber = Field(9002, description="Series Number of the structured reports.")
    presentation_state_series_number: SeriesNumber = Field(
        9003, description="Series Number of the presentation states."
    )
    secondary_capture_series_number: SeriesNumber = Field(
        9004, description="Series Number of the secondary captures."
    )
    pdf_series_number: SeriesNumber = Field(9005, description="Series Number of the PDF.")
    text_sr_series_number: SeriesNumber = Field(9006, description="Series Number of the plain-text reports.")


# PS3.16 CID 7010; a code value of its own making is allowed.
TitleCode = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,16}$")]


class AnswerSettings(_Section):
    """What a radiologist's answer, a key object that names a result, means."""

    accept_titles: tuple[TitleCode, ...] = Field(
        ("113000", "113020"),
        description="Document titles (CID 7010) that accept: 113000 Of Interest, 113020 For Report Attachment.",
    )
    reject_titles: tuple[TitleCode, ...] = Field(
        ("113001", "113037", "113038"),
        description="Document titles that reject: 113001 Rejected for Quality Reasons, 113037 Rejected for Patient "
        "Safety Reasons, 113038 Incorrect Modality Worklist Entry.",
    )
    calling_ae_titles: tuple[AeTitle, ...] = Field(
        (), description="AE titles whose answers count. Empty: all that may send."
    )

    @model_validator(mode="after")
    def _one_meaning_a_title(self) -> AnswerSettings:
        if both := sorted({*self.accept_titles} & {*self.reject_titles}):
            raise ValueError(f"document title {both[0]} accepts and rejects")
        return self


class _Destination(_Section):
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Name of the destination, unique.")
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
        pattern=r"^[A-Za-z0-9_]([A-Za-z0-9_.:-]{0,252}[A-Za-z0-9_])?$",
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
        _check_pair(self.tls_certificate, self.tls_key)
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


class NodeSettings(BaseSettings):
    """All settings of a node."""

    model_config = SettingsConfigDict(
        env_prefix="CADNODE_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        validate_default=True,
    )

    data_dir: Path = Field(Path("cad-node-data"), description="Spool, journal, jobs and stored results.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least level that is logged."
    )
    receive: ReceiveSettings = ReceiveSettings()
    completion: CompletionSettings = CompletionSettings()
    jobs: JobsSettings = JobsSettings()
    pipeline: PipelineSettings = PipelineSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    results: ResultSettings = ResultSettings()
    answers: AnswerSettings = AnswerSettings()
    destinations: tuple[DestinationSettings, ...] = Field(
        (), description="Where results go. None: a folder `outbox` inside `data_dir`."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line, then environment, then the file; no dotenv."""
        toml = TomlConfigSettingsSource(settings_cls, toml_file=_current_file)
        return init_settings, env_settings, toml

    @field_validator("destinations")
    @classmethod
    def _names_differ(cls, value: tuple[DestinationSettings, ...]) -> tuple[DestinationSettings, ...]:
        names = [destination.name for destination in value]
        if len(names) != len(set(names)):
            raise ValueError("two destinations have the same name")
        return value

    @model_validator(mode="after")
    def _nobody_unnamed_from_outside(self) -> NodeSettings:
        if not is_loopback(self.receive.host) and not self.receive.calling_ae_titles:
            raise ValueError(
                "receive.host is reachable from the network, but receive.calling_ae_titles names nobody; "
                "list the AE titles that may send"
            )
        return self

    @model_validator(mode="after")
    def _folder_by_default(self) -> NodeSettings:
        if not self.destinations:
            outbox = FolderDestinationSettings(name="outbox", path=self.data_dir / "outbox")
            object.__setattr__(self, "destinations", (outbox,))
        return self


# The file of the load in progress: pydantic-settings asks for sources by class, not by call.
_current_file: Path | None = None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> NodeSettings:
    """Read the settings from options, environment and file.

    Parameters
    ----------
    config
        A `node.toml`; None: defaults and environment only.
    overrides
        Nested values that win over everything else, as the command line gives them.

    Raises
    ------
    SettingsError
        The file is absent or not TOML, a key is unknown or a value out of bounds.
    """
    global _current_file  # noqa: PLW0603  see its comment
    if config is not None and not config.is_file():
        raise SettingsError(
            f"Settings file {config} does not exist.", "Give --config the path of a node.toml."
        )
    _current_file = config
    try:
        return NodeSettings(**dict(overrides or {}))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{config} is not valid TOML: {error}.", "Mend the line it names.") from error
    except ValidationError as error:
        # Values are left out on purpose: one of them may be a password.
        lines = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'settings'}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        )
        where = str(config) if config else "The settings"
        raise SettingsError(f"{where}: {lines}.", "See docs/settings.md for every key.") from error
    finally:
        _current_file = None
