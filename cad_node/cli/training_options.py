"""Options that the commands of the training share, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cad_node.errors import ModelNotFoundError, SettingsError
from cad_node.resources import model_names, models_dir

if TYPE_CHECKING:
    from cad_node.train.splits import SplitKind


Export = Annotated[str, typer.Option("--export", help="Name of the model folder to write.")]
ModelFolders = Annotated[
    Path | None,
    typer.Option("--output", help="Where model folders are; default: in a checkout the shipped ones."),
]
ModelVersion = Annotated[str, typer.Option("--version", help="Version of the exported model.")]
CleanCopies = Annotated[
    Path | None, typer.Option("--clean-cache", help="Copies without annotations, under the same paths.")
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="CPU threads.")]
AllThreads = Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0: all cores.")]


def parse_folds(text: str) -> tuple[int, ...]:
    """Numbers of a list like "1,2,3".

    Raises
    ------
    SettingsError
        It is no such list.
    """
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError as error:
        raise SettingsError(f"'{text}' is no list of folds.", "Write it like 1,2,3,4.") from error


def parse_names(text: str) -> tuple[str, ...]:
    """Names of a list like "BUSI,BUS-BRA", each once, in its order."""
    return tuple(name for name in dict.fromkeys(part.strip() for part in text.split(",")) if name)


def parse_split(text: str) -> SplitKind:
    """The kind of split that is named.

    Raises
    ------
    SettingsError
        There is none of this name.
    """
    from cad_node.train.splits import SplitKind

    try:
        return SplitKind(text)
    except ValueError as error:
        raise SettingsError(f"There is no split '{text}'.", f"Splits are: {', '.join(SplitKind)}.") from error


def find_model(name: str) -> Path:
    """Folder of a shipped model, or the folder that is named.

    Raises
    ------
    ModelNotFoundError
        It is neither.
    """
    for folder in (models_dir() / name, Path(name)):
        if folder.is_dir():
            return folder
    raise ModelNotFoundError(
        f"There is no model '{name}': neither a folder here nor a shipped one.",
        f"Name the path of a model folder, or one of these: {', '.join(model_names(models_dir()))}.",
    )
