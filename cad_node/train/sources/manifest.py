"""The project's own list: ``manifest.csv`` over images in the published layouts."""

from __future__ import annotations

from pathlib import Path

from cad_node.errors import SettingsError
from cad_node.networks.lesion_network import CLASS_NAMES
from cad_node.train.sources.busi import is_colour_doppler
from cad_node.train.sources.sample import Listing, Row, Sample
from cad_node.train.sources.table import read_table

FILE = "manifest.csv"
_COLUMNS = ("dataset", "image", "label", "group", "conflicting_labels", "fold")


def read(folder: Path) -> Listing:
    """Every row of the manifest as it stands.

    Raises
    ------
    SettingsError
        It cannot be read, lacks a column, or names an unknown label or no fold.
    """
    path = folder / FILE
    rows = []
    for row in read_table(path, _COLUMNS):
        if row["label"] not in CLASS_NAMES or not row["fold"].isdigit():
            raise SettingsError(
                f"{path}: {row['image']} has label {row['label']!r}, fold {row['fold']!r}.",
                f"Labels are {', '.join(CLASS_NAMES)}; folds are numbers.",
            )
        sample = Sample(
            row["dataset"],
            row["image"],
            row["label"],
            row["group"],
            int(row["fold"]),
            device=row.get("device", ""),
        )
        rows.append(
            Row(
                sample,
                conflicting=row["conflicting_labels"] == "1",
                colour_doppler=is_colour_doppler(sample),
            )
        )
    return Listing(tuple(rows))
