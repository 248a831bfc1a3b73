"""The whole tree, and how it is read from options, environment and file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as VariableError

from cad_node.errors import SettingsError
from cad_node.settings.destinations import DestinationSettings, FolderDestinationSettings
from cad_node.settings.jobs import CompletionSettings, JobsSettings
from cad_node.settings.pipeline import PipelineSettings, RuntimeSettings
from cad_node.settings.problems import unknown_variables, unreadable_variables, wrong_values
from cad_node.settings.receive import ReceiveSettings, is_loopback
from cad_node.settings.results import AnswerSettings, ResultSettings


class NodeSettings(BaseSettings):
    """All settings of a node."""

    model_config = SettingsConfigDict(
        env_prefix="CADNODE_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        validate_default=True,
    )

    data_dir: Path = Field(
        Path("cad-node-data"),
        description="Spool, journal, jobs and stored results. Without a leading slash it lies where the command is "
        "called: name it in full.",
    )
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
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=dict(_current_table))

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
_current_table: Mapping[str, Any] = {}


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
        The file cannot be read or is not TOML, a key or a variable is unknown, or a value out of bounds.
    """
    global _current_table  # noqa: PLW0603  see its comment
    table = _read(config) if config is not None else {}
    _current_table = table
    try:
        settings = NodeSettings(**dict(overrides or {}))
        problems = unknown_variables(NodeSettings)
    except VariableError:
        problems = unreadable_variables(NodeSettings)
    except ValidationError as error:
        problems = wrong_values(error, NodeSettings, table) + unknown_variables(NodeSettings)
    finally:
        _current_table = {}
    if problems:
        where = str(config) if config else "The settings"
        raise SettingsError(f"{where}: {'; '.join(problems)}.", "See docs/settings.md for every key.")
    return settings


def _read(config: Path) -> dict[str, Any]:
    """The file's content as it stands there. A byte order mark, as Windows editors put it, is passed over."""
    try:
        text = config.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise SettingsError(
            f"Settings file {config} does not exist.", "Give --config the path of a node.toml."
        ) from error
    except OSError as error:
        raise SettingsError(
            f"Settings file {config} cannot be read: {error.strerror}.",
            "Give --config the path of a node.toml, and let the user read it that the node runs as.",
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SettingsError(
            f"{config} is not UTF-8: line {line} holds a character of another encoding.",
            "Save the file as UTF-8.",
        ) from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        hint = "Mend the line it names."
        if "\\" in text:
            hint += " Paths with a backslash stand in single quotes: 'C:\\data'."
        raise SettingsError(f"{config} is not valid TOML: {error}.", hint) from error
