"""Tables that come with images: read, and refused with what they ought to hold."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from pathlib import Path

from cad_node.errors import SettingsError
from cad_node.networks.lesion_network import CLASS_NAMES

TABLE_FILE = "images.csv"


def read_table(path: Path, needed: Collection[str], hint: str = "") -> list[dict[str, str]]:
    """Rows of a CSV file with a head line, every value stripped, every column there.

    Raises
    ------
    SettingsError
        The file cannot be read, lacks a column, or has no row.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [
                {key.strip(): (value or "").strip() for key, value in row.items() if key is not None}
                for row in csv.DictReader(file)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(
            f"{path} cannot be read ({type(error).__name__}).", "Write it as CSV with commas, in UTF-8."
        ) from error
    if not rows or any(column not in rows[0] for column in needed):
        raise SettingsError(
            f"{path} lacks columns.", hint or f"It needs {', '.join(needed)} and at least one row."
        )
    return rows


def label_of(row: Mapping[str, str], where: str) -> str:
    """The row's label, in lower case.

    Raises
    ------
    SettingsError
        It is none of the three.
    """
    label = row["label"].lower()
    if label not in CLASS_NAMES:
        raise SettingsError(
            f"{where} has the label {row['label']!r}.", f"Labels are {', '.join(CLASS_NAMES)}."
        )
    return label


def number_in(row: Mapping[str, str], column: str, where: str) -> int | None:
    """A whole number of 1 or more in a column; None where there is nothing.

    Raises
    ------
    SettingsError
        There is something else.
    """
    text = row.get(column, "")
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise SettingsError(f"{where} has the {column} {text!r}.", "It is a number from 1 on, or nothing.")
    return int(text)
