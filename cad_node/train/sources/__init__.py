"""The layouts that training data may lie in; each is read into the same rows.

Which one it is, the folder says by what lies in it. To add one: a module with a
function that reads it into a `Listing`, and a line in `read_listing`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from cad_node.errors import SettingsError
from cad_node.read import scan_files
from cad_node.train.sources import busbra, busi, dicom, manifest, plain
from cad_node.train.sources.sample import Listing, Picture, Row, Sample
from cad_node.train.sources.table import TABLE_FILE

__all__ = ["Listing", "Picture", "Row", "Sample", "read_listing"]

_PUBLISHED = (busi, busbra)
_EXPECTED = (
    "Expected: the folders benign, malignant and normal of BUSI; Images, Masks and bus_data.csv of BUS-BRA; "
    f"both below it; pictures with {TABLE_FILE}; DICOM images with SEGs; or manifest.csv. "
    "docs/training.md describes each."
)


def read_listing(folder: Path) -> Listing:
    """The rows of a data folder, whatever its layout.

    Raises
    ------
    SettingsError
        It is none of the layouts, two at once, or not as its layout must be.
    """
    if not folder.is_dir():
        raise SettingsError(f"There is no folder {folder}.", "Name the data folder with --data.")
    has_manifest, has_table = (folder / manifest.FILE).is_file(), plain.is_here(folder)
    if has_manifest and has_table:
        raise SettingsError(
            f"{folder} holds {manifest.FILE} and {TABLE_FILE}.",
            "Leave the one that names the images you mean.",
        )
    if has_manifest:
        return manifest.read(folder)
    if has_table:
        return dicom.read(folder) if dicom.names_instances(folder) else plain.read(folder)
    published = _published(folder)
    if published is not None:
        return published
    scan = scan_files([folder])
    if scan.studies:
        return dicom.read(folder, scan)
    raise SettingsError(f"No training data are found in {folder}: it holds {_contents(folder)}.", _EXPECTED)


def _published(folder: Path) -> Listing | None:
    """The public data sets in a folder, or directly below it."""
    below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    here = [(layout, place) for place in (folder, *below) for layout in _PUBLISHED if layout.is_here(place)]
    names = [layout.NAME for layout, _ in here]
    if len(set(names)) < len(names):
        raise SettingsError(f"{folder} holds a data set twice.", "Leave one of them.")
    if not here:
        return None
    listings = [layout.read(folder, place) for layout, place in here]
    return Listing(
        tuple(row for listing in listings for row in listing.rows),
        tuple(note for listing in listings for note in listing.notes),
    )


def _contents(folder: Path) -> str:
    """What lies in a folder, by kinds: names may be those of patients."""
    found: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if path.is_dir():
            found["folders"] += 1
        else:
            found[f"{path.suffix.lower()} files" if path.suffix[1:].isalpha() else "other files"] += 1
    return ", ".join(f"{count} {kind}" for kind, count in found.most_common(6)) or "nothing"
