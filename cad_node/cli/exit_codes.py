"""What each kind of error means to the shell. One table, tested complete."""

from __future__ import annotations

from typing import Final

from cad_node.errors import (
    CadNodeError,
    ModelError,
    SettingsError,
    TemplateError,
)

ALL_DONE: Final = 0
SOME_FAILED: Final = 1
USAGE: Final = 2
# sysexits.h EX_CONFIG: the operator's settings, model or template.
SETTINGS: Final = 78

EXIT_CODES: Final[tuple[tuple[type[CadNodeError], int], ...]] = (
    (SettingsError, SETTINGS),
    (ModelError, SETTINGS),
    (TemplateError, SETTINGS),
    (CadNodeError, SOME_FAILED),
)


def exit_code(error: CadNodeError) -> int:
    """Exit code for an error that ended a command."""
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))
