"""Reads `dicom_templates/` into `template.py`'s dataclasses, and says where a file does not fit.

The files at the top hold codes, colours and the English words. A folder named
after another language (`de`, `fr` …) holds files of the same names with what is
said differently there; what such a file leaves out stays as it is in English.
"""

from __future__ import annotations

import hashlib
import re
import string
import tomllib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeGuard, TypeVar, get_args, get_origin, get_type_hints

import jinja2
import jinja2.meta

from cad_node.codes import PRIVATE_SCHEME, Concept
from cad_node.encode.font import Font
from cad_node.encode.template import (
    PAGE_FILE,
    PAGE_NAMES,
    PageTemplate,
    PreviewTemplate,
    SegTemplate,
    Templates,
    Wording,
)
from cad_node.encode.template_outputs import (
    PdfTemplate,
    PresentationStateTemplate,
    SecondaryCaptureTemplate,
)
from cad_node.encode.template_sr import SrTemplate
from cad_node.encode.template_text import Colour, Text
from cad_node.errors import TemplateError

_T = TypeVar("_T")

# The language of the files at the top of the folder.
ENGLISH = "en"


def load_templates(folder: Path, language: str = ENGLISH) -> Templates:
    """Read and check every template in `folder`, as it reads in `language` ("en", "de" …).

    Raises
    ------
    TemplateError
        A file is missing, is not TOML or Jinja, lacks a key, has one too many,
        or holds a value that its place does not take; or there is no such language.
    """
    if language not in languages(folder):
        raise TemplateError(
            f"{folder} has no words in the language '{language}'.",
            f"There are: {', '.join(languages(folder))}. Set results.language, or add a folder of that name.",
        )

    def load(name: str, kind: type[_T]) -> _T:
        return _load(_layers(folder, language, name), kind)

    def digest(*names: str) -> str:
        return _digest(file for name in names for file in _layers(folder, language, name))

    return Templates(
        wording=load("wording.toml", Wording),
        seg=load("seg.toml", SegTemplate),
        sr=load("sr_tid1500.toml", SrTemplate),
        preview=load("preview.toml", PreviewTemplate),
        page=_load_page(folder / PAGE_FILE),
        page_words=load("page.toml", PageTemplate),
        presentation_state=load("presentation_state.toml", PresentationStateTemplate),
        secondary_capture=load("secondary_capture.toml", SecondaryCaptureTemplate),
        pdf=load("pdf.toml", PdfTemplate),
        # The page and the picture are not DICOM objects: they do not change the UIDs of SEG and SR.
        digest=digest("wording.toml", "seg.toml", "sr_tid1500.toml"),
        digests={
            "presentation_state": digest("presentation_state.toml"),
            "secondary_capture": digest("secondary_capture.toml", "pdf.toml", "preview.toml"),
            "pdf": digest("pdf.toml", "preview.toml"),
            "text_sr": digest("pdf.toml"),
        },
    )


def languages(folder: Path) -> tuple[str, ...]:
    """The languages that `folder` has words in, English first."""
    others = (path.parent.name for path in folder.glob("*/wording.toml"))
    return (ENGLISH, *sorted(others))


def _layers(folder: Path, language: str, name: str) -> tuple[Path, ...]:
    """The file that all languages share, then that of this one, if it has any."""
    translated = folder / language / name
    return (folder / name, translated) if translated.is_file() else (folder / name,)


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise TemplateError(f"{file} does not exist.", "Copy it from the shipped templates.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"{file} cannot be read as UTF-8 text.", "Save it again as UTF-8.") from error


@dataclass(frozen=True)
class _Layer:
    """One file: the shared one, or what a language puts over it."""

    file: Path
    text: str
    table: dict[str, Any]


def _load(files: Sequence[Path], kind: type[_T]) -> _T:
    layers = []
    for file in files:
        text = _read(file)
        try:
            layers.append(_Layer(file, text, tomllib.loads(text)))
        except tomllib.TOMLDecodeError as error:
            raise TemplateError(f"{file} is not valid TOML: {error}.", "Mend the line it names.") from error
    table: dict[str, Any] = {}
    for layer in layers:
        table = _laid_over(table, layer.table)
    built: _T = _Builder(tuple(layers)).build(kind, table, ())
    return built


def _laid_over(lower: dict[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are joined key by key, and lists entry by entry; anything else is replaced."""
    joined = dict(lower)
    for key, value in upper.items():
        below = joined.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            joined[key] = _laid_over(below, value)
        elif _is_tables(below) and _is_tables(value) and len(below) == len(value):
            joined[key] = [_laid_over(one, other) for one, other in zip(below, value, strict=True)]
        else:
            joined[key] = value
    return joined


def _is_tables(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _load_page(file: Path) -> jinja2.Template:
    text = _read(file)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    try:
        unknown = jinja2.meta.find_undeclared_variables(environment.parse(text)) - PAGE_NAMES
        page = environment.from_string(text)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"{file}, line {error.lineno}: {error.message}.", "Mend that line.") from error
    if unknown:
        raise TemplateError(
            f"{file} uses unknown names: {', '.join(sorted(unknown))}.",
            f"The page knows: {', '.join(sorted(PAGE_NAMES))}.",
        )
    return page


@dataclass(frozen=True)
class _Builder:
    """Turns the table of one or two files into its dataclass, or says where it does not fit."""

    layers: tuple[_Layer, ...]

    def build(self, kind: Any, value: Any, path: tuple[str, ...]) -> Any:
        if kind is Concept or kind is Font:
            return self._concept(value, path) if kind is Concept else self._font(value, path)
        if is_dataclass(kind):
            return self._section(kind, value, path)
        if get_origin(kind) is Mapping:
            keys, values = get_args(kind)
            return self._by_enum(keys, values, value, path)
        if kind in (Colour, int, float):
            return self._number(kind, value, path)
        if get_origin(kind) is tuple:
            return self._list(get_args(kind)[0], value, path)
        rules = get_args(kind)[1] if get_origin(kind) is Annotated else Text()
        return self._string(value, path, rules)

    def _section(self, kind: Any, value: Any, path: tuple[str, ...]) -> Any:
        # A field named like a word of Python has an underscore after it.
        hints = {
            name.rstrip("_"): (name, hint) for name, hint in get_type_hints(kind, include_extras=True).items()
        }
        self._same_keys(value, set(hints), path)
        fields = {name: self.build(hint, value[key], (*path, key)) for key, (name, hint) in hints.items()}
        try:
            return kind(**fields)
        except ValueError as error:
            self._refuse(path, str(error))

    def _by_enum(self, keys: type[StrEnum], kind: Any, value: Any, path: tuple[str, ...]) -> Any:
        self._same_keys(value, {str(key) for key in keys}, path)
        return {key: self.build(kind, value[str(key)], (*path, str(key))) for key in keys}

    def _concept(self, value: Any, path: tuple[str, ...]) -> Concept:
        self._same_keys(value, set(Concept._fields), path, optional={"version"})
        # SH takes 16 characters, LO 64: PS3.3 table 8.8-1.
        for key, longest in (("value", 16), ("scheme", 16), ("meaning", 64), ("version", 16)):
            if key in value:
                self._string(value[key], (*path, key), Text(longest=longest))
        concept = Concept(**value)
        if concept.scheme.startswith("99") and concept.scheme != PRIVATE_SCHEME:
            self._refuse(path, f"unknown private coding scheme '{concept.scheme}'; ours is {PRIVATE_SCHEME}")
        return concept

    def _font(self, value: Any, path: tuple[str, ...]) -> Font:
        font = Font(self.layers[0].file.parent / self._string(value, path, Text()))
        try:
            font.at(20)
        except OSError:
            self._refuse(path, f"{font.path} is not a font that can be read")
        return font

    def _list(self, kind: Any, value: Any, path: tuple[str, ...]) -> Any:
        if not isinstance(value, list) or not value:
            self._refuse(path, "a list in brackets is needed")
        return tuple(self.build(kind, one, (*path, str(place))) for place, one in enumerate(value))

    def _number(self, kind: Any, value: Any, path: tuple[str, ...]) -> Any:
        if kind == Colour:
            return self._colour(value, path)
        return self._size(value, path) if kind is int else self._percentage(value, path)

    def _percentage(self, value: Any, path: tuple[str, ...]) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 100:
            self._refuse(path, "a number from 0 to 100 is needed")
        return float(value)

    def _colour(self, value: Any, path: tuple[str, ...]) -> Colour:
        if not isinstance(value, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
            self._refuse(path, "a colour is written like '#2ec4b6'")
        return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)

    def _size(self, value: Any, path: tuple[str, ...]) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 4096:
            self._refuse(path, "a whole number from 1 to 4096 is needed")
        return int(value)

    def _string(self, value: Any, path: tuple[str, ...], rules: Text) -> str:
        if not isinstance(value, str) or not value.strip():
            self._refuse(path, "a text is needed")
        try:
            used = {name for _, name, _, _ in string.Formatter().parse(value) if name is not None}
        except ValueError:
            self._refuse(path, "braces do not match")
        if not used <= set(rules.placeholders):
            known = ", ".join(f"{{{name}}}" for name in rules.placeholders) or "none"
            self._refuse(path, f"unknown placeholder; this text may hold: {known}")
        if len(value) > rules.longest:
            self._refuse(path, f"longer than {rules.longest} characters")
        if "\\" in value or any(ord(letter) < 32 for letter in value):
            self._refuse(path, "backslashes and control characters cannot be written to DICOM")
        if rules.pattern and not re.fullmatch(rules.pattern, value):
            self._refuse(path, f"does not match {rules.pattern}")
        return value

    def _same_keys(
        self, value: Any, wanted: set[str], path: tuple[str, ...], optional: Set[str] = frozenset()
    ) -> None:
        if not isinstance(value, dict):
            self._refuse(path, f"a table with {', '.join(sorted(wanted))} is needed")
        for key in sorted(set(value) - wanted):
            self._refuse((*path, key), "unknown key")
        for key in sorted(wanted - optional - set(value)):
            self._refuse(path, f"key '{key}' is missing")

    def _refuse(self, path: tuple[str, ...], why: str) -> NoReturn:
        layer = next((one for one in reversed(self.layers) if _holds(one.table, path)), self.layers[0])
        line = _line(layer.text, path)
        place = f"{layer.file}, line {line}" if line else f"{layer.file}"
        named = f", {'.'.join(path)}" if path else ""
        raise TemplateError(f"{place}{named}: {why}.", "Compare with the shipped template.")


def _holds(table: Any, path: Sequence[str]) -> bool:
    """Whether the table says something at `path`."""
    for key in path:
        if isinstance(table, list) and key.isdigit() and int(key) < len(table):
            table = table[int(key)]
        elif isinstance(table, dict) and key in table:
            table = table[key]
        else:
            return False
    return True


def _line(text: str, path: Sequence[str]) -> int:
    """Line of the key that `path` names, or of the nearest thing above it; 0 where none is found."""
    if not path:
        return 0
    found = 0
    section = ""
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if header := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
            section = header.group(1)
            if section == path[0]:
                found = number
        elif key := re.match(r"\s*([A-Za-z0-9_-]+)\s*=", line):
            here = (section, key.group(1)) if section else (key.group(1),)
            if here == tuple(path[: len(here)]):
                return _line_in_list(lines, number, path[len(here) :])
    return found


def _line_in_list(lines: Sequence[str], start: int, path: Sequence[str]) -> int:
    """Line of an entry of the list that begins at line `start`: one in braces a line."""
    if not path or not path[0].isdigit():
        return start
    entries = [
        number for number, line in enumerate(lines[start:], start=start + 1) if line.lstrip().startswith("{")
    ]
    return entries[int(path[0])] if int(path[0]) < len(entries) else start
