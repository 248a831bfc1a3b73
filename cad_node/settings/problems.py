"""What is wrong with the settings, in an operator's words: which key, in which file or variable, and what fits.

Values are never repeated: one of them may be a password.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError

from cad_node.settings.section import PATTERNS

PREFIX: Final = "CADNODE_"
_DELIMITER: Final = "__"

# Secrets that are no settings: they are read where they are needed, and stand in no file.
SECRETS: Final = ("CADNODE_DEID_SECRET", "CADNODE_TLS_KEY_PASSPHRASE")

_BOUNDS: Final = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "is longer than {max_length} characters",
    "string_too_short": "is empty",
    "too_short": "is an empty list",
    "literal_error": "must be {expected}",
    "value_error": ": {error}",
}
_KINDS: Final = {
    "missing": "is missing",
    "int": "must be a whole number",
    "float": "must be a number",
    "finite": "must be a number",
    "bool": "must be true or false",
    "string": "must be text in quotes",
    "path": "must be a path in quotes",
    "tuple": 'must be a list, such as ["A", "B"]',
}

Place = Sequence[str | int]


def wrong_values(error: ValidationError, tree: type[BaseModel], table: Mapping[str, Any]) -> list[str]:
    """One sentence a fault, without its full stop.

    Parameters
    ----------
    error
        What pydantic found.
    tree
        The settings that were to be made.
    table
        The file's content, in which destinations are looked up by name.
    """
    faults = error.errors(include_input=False, include_url=False)
    return [
        f"{_called(fault['loc'], table)}{_said(fault, tree)}".replace(" :", ":").removeprefix(": ")
        for fault in faults
    ]


def unknown_variables(tree: type[BaseModel]) -> list[str]:
    """One sentence for each environment variable that is meant for the node and sets nothing.

    A name without a double underscore counts only if it looks like a key: others may
    speak of something else, as the variables of a Kubernetes service called cadnode do.
    """
    names = {f"{PREFIX}{field.upper()}": field for field in tree.model_fields}
    said = []
    for variable in _variables():
        first, nested, _ = variable.upper().partition(_DELIMITER)
        if first in names or variable.upper() in SECRETS:
            continue
        near = difflib.get_close_matches(first, [*names, *SECRETS], n=1, cutoff=0.8)
        if nested or near:
            meant = f" (did you mean {near[0]}{nested}{'…' if nested else ''}?)" if near else ""
            said.append(f"{variable} in the environment names no setting{meant}")
    return said


def unreadable_variables(tree: type[BaseModel]) -> list[str]:
    """One sentence for each environment variable that must hold JSON, a list or a section, and does not."""
    return [
        f"""{variable} in the environment is no JSON; a list is written as '["US-ROOM-1", "PACS"]'"""
        for variable in _variables()
        if _needs_json(variable, tree) and not _is_json(os.environ[variable])
    ]


def _called(place: Place, table: Mapping[str, Any]) -> str:
    """The key as it stands in the file, or the variable that set it; empty for the tree as a whole."""
    variable = _variable_of(place)
    if variable:
        return f"{variable} in the environment "
    if place[:1] == ("destinations",) and len(place) > 1:
        number, keys = int(place[1]), [str(part) for part in place[2:]]
        # pydantic puts the type between number and key.
        keys = keys[1:] if keys[:1] in (["cstore"], ["folder"]) else keys
        entries = table.get("destinations")
        entry = entries[number] if isinstance(entries, list) and number < len(entries) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        whose = f"destination '{name}'" if isinstance(name, str) else f"destination number {number + 1}"
        return f"{whose}: {'.'.join(keys)} " if keys else f"{whose}: "
    return f"{'.'.join(str(part) for part in place)} " if place else ""


def _said(fault: Any, tree: type[BaseModel]) -> str:
    kind, place, context = str(fault["type"]), fault["loc"], fault.get("ctx", {})
    if kind == "extra_forbidden":
        return f"is no setting{_nearest(place, tree)}"
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(context["pattern"], str(fault["msg"]))
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return 'type must be "cstore" or "folder"'
    if place == ("destinations",) and kind == "tuple_type":
        return "is a list of tables: write [[destinations]], with two brackets"
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**context)
    return _KINDS.get(kind) or _KINDS.get(kind.split("_", maxsplit=1)[0]) or str(fault["msg"])


def _nearest(place: Place, tree: type[BaseModel]) -> str:
    """The key of the same section that looks most like an unknown one, or the section that has this key."""
    key = str(place[-1])
    siblings = {name for model in _models(place[:-1], tree) for name in model.model_fields}
    near = difflib.get_close_matches(key, sorted(siblings), n=1, cutoff=0.6)
    if near:
        return f" (did you mean {near[0]}?)"
    if key in tree.model_fields:
        return f"; {key} stands at the top of the file, above every [section]"
    for section, field in tree.model_fields.items():
        if any(key in model.model_fields for model in _parts(field.annotation)):
            home = "[[destinations]]" if section == "destinations" else f"[{section}]"
            return f"; {key} belongs to {home}"
    return ""


def _models(place: Place, tree: type[BaseModel]) -> list[type[BaseModel]]:
    """The sections that a place may lie in."""
    models = [tree]
    for part in place:
        if isinstance(part, int) or part in ("cstore", "folder"):
            continue
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        models = [model for field in fields for model in _parts(field.annotation)]
    return models


def _parts(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def _variables() -> list[str]:
    return sorted(name for name in os.environ if name.upper().startswith(PREFIX))


def _variable_of(place: Place) -> str:
    """The environment variable that set what lies at a place, or one of the tables around it."""
    known = {name.upper(): name for name in _variables()}
    parts = [str(part).upper() for part in place]
    names = (PREFIX + _DELIMITER.join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((known[name] for name in names if name in known), "")


def _needs_json(variable: str, tree: type[BaseModel]) -> bool:
    """Whether a variable stands for a list or a section, which pydantic reads as JSON."""
    models, annotation = [tree], None
    for part in variable.upper().removeprefix(PREFIX).lower().split(_DELIMITER):
        found = [model.model_fields[part].annotation for model in models if part in model.model_fields]
        if not found:
            return False
        annotation, models = found[0], list(_parts(found[0]))
    return bool(models) or get_origin(annotation) is tuple


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
