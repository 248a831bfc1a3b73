"""Options that several commands share."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

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
