"""What was seen of each image, kept as it is found, so that an interrupted run goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cad_node.train.cases import Case, case_from_json, case_to_json

ROWS_FILE = "cases.jsonl"


@dataclass(frozen=True)
class Row:
    """One picture: what the network made of each treatment, or None where the cleaner refused it.

    `drawing` is None for the picture as published, else the number of the drawing on
    it. `removed_px` is what the cleaner filled; `covered` says, by kind of drawn mark
    and for each of them, whether it was filled.
    """

    image: str
    drawing: int | None
    cases: Mapping[str, Case] | None
    removed_px: int = 0
    covered: Mapping[str, list[bool]] = field(default_factory=dict)


class Rows:
    """Rows in a file, one a line, below a line that says by what they were made.

    Rows made by anything else (another model, cleaner or seed) are dropped.
    """

    def __init__(self, path: Path, made_by: Mapping[str, Any]) -> None:
        self._path = path
        self._rows: dict[tuple[str, int | None], Row] = {}
        head = json.dumps({"made_by": made_by}, sort_keys=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        if lines and lines[0] == head:
            for line in lines[1:]:
                try:
                    row = _parse(line)
                except (ValueError, TypeError, KeyError):
                    continue  # the run ended while it was written
                self._rows[row.image, row.drawing] = row
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [head, *(_line(row) for row in self._rows.values())]
        path.write_text("\n".join(kept) + "\n", encoding="utf-8")

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def find(self, image: str, drawing: int | None) -> Row | None:
        """The row of a picture, if it was seen."""
        return self._rows.get((image, drawing))

    def add(self, row: Row) -> Row:
        """Keep a row, in the file as well."""
        self._rows[row.image, row.drawing] = row
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(row) + "\n")
        return row


def _line(row: Row) -> str:
    cases = None if row.cases is None else {name: case_to_json(case) for name, case in row.cases.items()}
    return json.dumps(asdict(row) | {"cases": cases}, allow_nan=False)


def _parse(line: str) -> Row:
    content = json.loads(line)
    cases = content["cases"]
    if cases is not None:
        cases = {name: case_from_json(values) for name, values in cases.items()}
    return Row(content["image"], content["drawing"], cases, content["removed_px"], content["covered"])
