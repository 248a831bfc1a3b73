"""BUS-BRA as it is published: Images, Masks, ``bus_data.csv``, and the patient-wise folds in ``5-fold-cv.csv``."""

from __future__ import annotations

from pathlib import Path

from cad_node.errors import SettingsError
from cad_node.train.sources.sample import Listing, Row, Sample, fold_of
from cad_node.train.sources.table import label_of, number_in, read_table

NAME = "BUS-BRA"
FILE = "bus_data.csv"
FOLDS_FILE = "5-fold-cv.csv"


def is_here(folder: Path) -> bool:
    """Whether a folder has BUS-BRA's layout."""
    return (folder / FILE).is_file() and (folder / "Images").is_dir() and (folder / "Masks").is_dir()


def read(root: Path, folder: Path) -> Listing:
    """Every image of the table; paths are relative to `root`, a group is a patient (``Case``).

    Raises
    ------
    SettingsError
        A table lacks a column, or an image or its fold is missing.
    """
    table = folder / FILE
    hashed = not (folder / FOLDS_FILE).is_file()
    folds = {} if hashed else {row["ID"]: row for row in read_table(folder / FOLDS_FILE, ("ID", "kFold"))}
    rows = []
    for row in read_table(table, ("ID", "Case", "Pathology")):
        where = f"{table}: {row['ID']}"
        path = folder / "Images" / f"{row['ID']}.png"
        if not path.is_file():
            raise SettingsError(f"{where} has no image in Images.", "Take the data set as it is published.")
        if not row["Case"].isdecimal():
            raise SettingsError(f"{where} names no patient in Case.", "Take the table as it is published.")
        group = f"busbra-{int(row['Case']):04d}"
        fold = fold_of(group) if hashed else number_in(folds.get(row["ID"], {}), "kFold", where)
        if fold is None:
            raise SettingsError(
                f"{folder / FOLDS_FILE} has no fold of {row['ID']}.", "Complete it, or remove it."
            )
        label = label_of({"label": row["Pathology"]}, where)
        image = path.relative_to(root).as_posix()
        device = row.get("Device", "")
        rows.append(Row(Sample(NAME, image, label, group, fold, device=device, hashed_fold=hashed)))
    note = f"{NAME} lies there without {FOLDS_FILE}: its folds are made by hash of the patient."
    return Listing(tuple(rows), (note,) if hashed else ())
