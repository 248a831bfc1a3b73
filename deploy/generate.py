"""Writes `node.example.toml`, `docs/settings.md` and a part of the README from the code.

Run by `make docs`; a test fails when the files are not what this would write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cad_node.settings import CStoreDestinationSettings, FolderDestinationSettings, NodeSettings

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "deploy" / "node.example.toml"
TABLE = ROOT / "docs" / "settings.md"
README = ROOT / "README.md"

SCORECARD = ROOT / "models" / "breast-us" / "scorecard.json"

_FIGURES = {
    "lesion_dice": "lesion Dice",
    "lesion_iou": "lesion IoU",
    "lesions_detected": "lesions detected",
    "normals_with_false_lesion": "normal images with a false lesion",
    "accuracy": "accuracy, three classes",
    "auc_benign_malignant": "AUC, benign against malignant",
    "calibration_error": "expected calibration error",
}

_DESTINATIONS: tuple[tuple[type[BaseModel], dict[str, Any]], ...] = (
    (
        CStoreDestinationSettings,
        {"name": "pacs", "host": "pacs.example.org", "port": 2762, "ae_title": "PACS", "tls": True},
    ),
    (FolderDestinationSettings, {"name": "outbox", "path": "/var/lib/cad-node/outbox"}),
)


def example_toml() -> str:
    """Every key with its description and default, commented out; two destinations as examples."""
    lines = [
        "# Settings of a CAD node. Every key is shown with its default; remove the # to change one.",
        "# Each can be given as an environment variable, too: CADNODE_RECEIVE__PORT=104, lists as JSON:",
        "# CADNODE_RECEIVE__CALLING_AE_TITLES='[\"US1\"]'.",
        "",
    ]
    for section, fields in _sections():
        if section:
            lines.append(f"[{section}]")
        for name, field in fields:
            lines += [f"# {field.description}", f"#{name} = {_toml(field)}", ""]
    for model, example in _DESTINATIONS:
        lines += [f"# {(model.__doc__ or '').splitlines()[0]}", "#[[destinations]]"]
        for name, field in model.model_fields.items():
            value = json.dumps(example[name]) if name in example else _toml(field)
            lines.append(f"#{name} = {value}  # {field.description or 'Kind of destination.'}")
        lines.append("")
    return "\n".join(lines)


def settings_table() -> str:
    """The same as a Markdown table a section."""
    lines = [
        "# Settings",
        "",
        "Generated from `cad_node/settings/` by `make docs`. Precedence: command line, `CADNODE_*` environment",
        "(`CADNODE_RECEIVE__PORT=104`, lists as JSON: `CADNODE_RECEIVE__CALLING_AE_TITLES='[\"US1\"]'`), `node.toml`,",
        "default. Unknown keys and variables are refused.",
        "",
    ]
    for section, fields in _sections():
        lines += [f"## `[{section}]`" if section else "## Top of the file", ""]
        lines += _table([(name, field, _default(field)) for name, field in fields])
    for model, _ in _DESTINATIONS:
        lines += [f"## `[[destinations]]`, type `{model.model_fields['type'].default}`", ""]
        lines += _table(
            [
                (name, field, "required" if field.is_required() else _default(field))
                for name, field in model.model_fields.items()
            ]
        )
    return "\n".join(lines).rstrip() + "\n"


def readme() -> str:
    """The README with what `cad-node explain` prints under the defaults, and the model's figures."""
    from cad_node.cli.explain import explanation

    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(explanation(NodeSettings()), start=1))
    text = _replaced(README.read_text(encoding="utf-8"), "explain", steps)
    return _replaced(text, "figures", figures_table(json.loads(SCORECARD.read_text(encoding="utf-8"))))


def figures_table(scorecard: dict[str, Any]) -> str:
    """The chief figures of a scorecard as a Markdown table."""
    variants = ("annotations_left_in", "annotations_removed")
    columns = [(dataset, variant) for dataset in ("BUSI", "BUS-BRA") for variant in variants]
    lines = [
        "| | " + " | ".join(f"{dataset}, {variant.replace('_', ' ')}" for dataset, variant in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for key, name in _FIGURES.items():
        cells = [_figure(scorecard[variant][dataset].get(key)) for dataset, variant in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _figure(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return "–"
    low, high = figure["interval_95"]
    return f"{figure['value']:.3f} [{low:.2f}, {high:.2f}]"


def _replaced(text: str, name: str, content: str) -> str:
    """Put `content` between the markers of that name."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{content}\n{end}{after}"


def _sections() -> Iterator[tuple[str, list[tuple[str, FieldInfo]]]]:
    top: list[tuple[str, FieldInfo]] = []
    nested: list[tuple[str, list[tuple[str, FieldInfo]]]] = []
    for name, field in NodeSettings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            nested.append((name, list(kind.model_fields.items())))
        elif name != "destinations":
            top.append((name, field))
    yield "", top
    yield from nested


def _table(rows: list[tuple[str, FieldInfo, str]]) -> list[str]:
    lines = ["| key | default | meaning |", "|---|---|---|"]
    lines += [
        f"| `{name}` | {default} | {field.description or 'Kind of destination.'}{_bounds(field)} |"
        for name, field, default in rows
    ]
    return [*lines, ""]


def _bounds(field: FieldInfo) -> str:
    said = []
    for limit in field.metadata:
        for sign, attribute in ((">", "gt"), ("≥", "ge"), ("<", "lt"), ("≤", "le")):
            if (value := getattr(limit, attribute, None)) is not None:
                said.append(f"{sign} {value}")
    return f" ({', '.join(said)})" if said else ""


def _default(field: FieldInfo) -> str:
    return "absent" if field.default is None else f"`{_toml(field)}`"


def _toml(field: FieldInfo) -> str:
    value = field.default
    if value is None:  # TOML knows no null: the key is absent, and what one could write is shown
        value = (field.examples or [""])[0]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return json.dumps(list(value))
    if isinstance(value, Path):
        return json.dumps(value.as_posix())
    return json.dumps(value)


def main() -> None:
    """Write all of them."""
    EXAMPLE.write_text(example_toml(), encoding="utf-8")
    TABLE.write_text(settings_table(), encoding="utf-8")
    README.write_text(readme(), encoding="utf-8")


if __name__ == "__main__":
    main()
