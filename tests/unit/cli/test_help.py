from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

from cad_node.cli import app

COMMANDS = [
    command.callback
    for one in (app, *(group.typer_instance for group in app.registered_groups))
    if one is not None
    for command in one.registered_commands
    if command.callback is not None
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_no_help_text_loses_a_word_to_markup(command: Callable[..., Any]) -> None:
    # rich takes what stands in square brackets for a style, and shows nothing in its place.
    assert not re.search(r"\[[a-z]", inspect.getdoc(command) or "")
