"""BUSI as it is published: folders benign, malignant and normal, masks beside the images.

BUSI publishes no patients, and nearly half of its images have a near-duplicate,
some of them under another class. Neither can be seen from the folder. Which images
belong together, which contradict each other and which show colour Doppler was
found out by looking at all of them, and is kept in ``busi.csv``; so are the folds
of the project's figures. Other images in the same layout are therefore refused:
nobody has said which of them belong together.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from cad_node.errors import SettingsError
from cad_node.networks.lesion_network import CLASS_NAMES
from cad_node.train.sources.sample import Listing, Row, Sample

NAME = "BUSI"
DEVICE = "GE LOGIQ E9"


class Known(NamedTuple):
    """What is known of an image of BUSI."""

    group: str
    fold: int
    conflicting: bool
    colour_doppler: bool
    rows: int
    columns: int


@cache
def known_images() -> dict[str, Known]:
    """All 780 images, by class folder and file name."""
    with files(__package__).joinpath("busi.csv").open(encoding="utf-8") as file:
        return {
            row["image"]: Known(
                row["group"],
                int(row["fold"]),
                row["conflicting"] == "1",
                row["colour_doppler"] == "1",
                int(row["rows"]),
                int(row["columns"]),
            )
            for row in csv.DictReader(file)
        }


def is_colour_doppler(sample: Sample) -> bool:
    """Whether it is one of five pictures with a colour Doppler box that BUSI publishes as B-mode."""
    if sample.dataset != NAME:
        return False
    known = known_images().get("/".join(sample.image.split("/")[-2:]))
    return known is not None and known.colour_doppler


def is_here(folder: Path) -> bool:
    """Whether a folder has BUSI's layout."""
    return any(next((folder / label).glob("*_mask.png"), None) is not None for label in CLASS_NAMES)


def read(root: Path, folder: Path) -> Listing:
    """The images of BUSI, or some of them; paths are relative to `root`.

    Raises
    ------
    SettingsError
        An image is not BUSI's.
    """
    rows, strange = [], 0
    for label in CLASS_NAMES:
        for path in sorted((folder / label).glob("*.png")):
            if "_mask" in path.stem:
                continue
            known = known_images().get(f"{label}/{path.name}")
            if known is None or _size(path) != (known.rows, known.columns):
                strange += 1
                continue
            image = path.relative_to(root).as_posix()
            sample = Sample(NAME, image, label, known.group, known.fold, device=DEVICE)
            rows.append(Row(sample, known.conflicting, known.colour_doppler))
    if strange:
        raise SettingsError(
            f"{folder} has the layout of BUSI, but {strange} of its {strange + len(rows)} images are not BUSI's: "
            "nobody has said which of them are of one patient.",
            "Write images.csv with the columns image, label and group, as docs/training.md has it.",
        )
    return Listing(tuple(rows))


def _size(path: Path) -> tuple[int, int]:
    """Rows and columns by the file's head; nothing is decoded."""
    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except OSError as error:
        raise SettingsError(f"{path} is not a readable image.", "Check the data folder.") from error
