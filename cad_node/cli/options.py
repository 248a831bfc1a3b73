"""Options that several commands share."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from cad_node.errors import SettingsError
from cad_node.resources import is_installed, models_dir
from cad_node.settings.section import NAME, PATTERNS

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Settings file (node.toml). Without it: defaults and CADNODE_* variables."
    ),
]


def unusable_output(folder: Path) -> str:
    """Why nothing can be written to a folder, and the next step; empty where something can. Makes the folder."""
    if folder.exists() and not folder.is_dir():
        return f"{folder} is a file. Name a folder for --output."
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"{folder} cannot be written to: {error.strerror}. Name another folder for --output."


def model_folder(export: str, output: Path | None) -> Path:
    """The folder to write a model to, looked at before hours of training.

    Raises
    ------
    SettingsError
        No node could name the model, nothing can be written there, or `output` is None in an
        installed package, where models of one's own would lie among those that the next update replaces.
    """
    if not re.fullmatch(NAME, export):
        raise SettingsError(
            f"--export '{export}' is no name for a model: it {PATTERNS[NAME]}.",
            "The node finds a model by it. Say where it goes with --output.",
        )
    if output is None and is_installed():
        raise SettingsError(
            "A model of yours would lie in the installed package, which an update replaces.",
            "Name a folder with --output, and the same in [runtime] models_dir for the node.",
        )
    folder = output or models_dir()
    if problem := unusable_output(folder):
        raise SettingsError("The model could not be written when it is made.", problem)
    return folder / export
