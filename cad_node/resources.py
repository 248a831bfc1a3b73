"""Where the shipped models and templates lie.

In an installed wheel they are inside the package; in a checkout they stand at
its top, where the people who edit them look for them.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _shipped(name: str) -> Path:
    installed = _PACKAGE / "_shipped" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def models_dir() -> Path:
    """Folder of the models that come with the node."""
    return _shipped("models")


def is_installed() -> bool:
    """Whether the models are those of an installed wheel, not of a checkout."""
    return models_dir().is_relative_to(_PACKAGE)


def model_names(*folders: Path) -> list[str]:
    """What there is to choose from in folders of models."""
    inner = (path for folder in folders if folder.is_dir() for path in folder.iterdir())
    return sorted({path.name for path in inner if path.is_dir() and not path.name.startswith(".")})


def templates_dir() -> Path:
    """Folder of the DICOM templates that come with the node."""
    return _shipped("dicom_templates")
