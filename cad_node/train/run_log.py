"""``log.csv`` of a run folder: a row for each time that the run looked at itself."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from cad_node.errors import SettingsError

LOG_FILE = "log.csv"


def append_row(run: Path, row: Mapping[str, float]) -> None:
    """Add a row; the first one names the columns."""
    path = run / LOG_FILE
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def last_row(run: Path) -> dict[str, float]:
    """The last row of a run's log.csv: how many epochs, how many cleaned copies.

    Raises
    ------
    SettingsError
        Nothing was trained there.
    """
    try:
        with (run / LOG_FILE).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {key: float(value) for key, value in rows[-1].items()}
    except (OSError, IndexError) as error:
        raise SettingsError(f"No epoch has been trained in {run}.", "Train longer.") from error
