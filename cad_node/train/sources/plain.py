"""A plain folder: pictures, masks, and ``images.csv``, which a researcher writes.

What would spoil a figure in silence is an error here: an image without a group, a
lesion without a mask, a mask that cannot be seen, one picture in two groups.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.errors import SettingsError
from cad_node.read.tint import gate_pixels
from cad_node.train.sources.files import DRAWN_LEVEL, FilePicture, find_masks, read_grey
from cad_node.train.sources.sample import Listing, Row, Sample, fold_of, pseudonym
from cad_node.train.sources.table import TABLE_FILE, label_of, number_in, read_table

# The same for every such folder, so that a model is never scored on a renamed copy of what it has seen.
NAME = "own"
_HINT = (
    "It needs image, label, and group or patient; it may have mask, fold, dataset and device. "
    "Where every image is another patient's, repeat its name as group."
)


@dataclass(frozen=True)
class _Line:
    """A row of the table with what lies behind it."""

    where: str
    image: str
    label: str
    identity: str
    """What must not be torn, as it is written; never leaves this module if it is a patient's number."""
    is_patient: bool
    fold: int | None
    dataset: str
    device: str
    picture: FilePicture
    content: str
    masked: bool
    coloured: bool


def is_here(folder: Path) -> bool:
    """Whether a folder has such a table."""
    return (folder / TABLE_FILE).is_file()


def read(folder: Path) -> Listing:
    """Every row of ``images.csv``; every picture is looked at once.

    Raises
    ------
    SettingsError
        The table or a picture is not as it must be.
    """
    path = folder / TABLE_FILE
    table = read_table(path, ("image", "label"), _HINT)
    if "group" not in table[0] and "patient" not in table[0]:
        raise SettingsError(f"{path} does not say which images belong together.", _HINT)
    lines = [_line(folder, row, f"{path}, row {number}") for number, row in enumerate(table, start=2)]
    contradicted = _contradicted(lines)
    _refuse_same_names(lines)
    given = _given_folds(lines)
    # One missing fold is enough: from then on, another table is another split.
    hashed = {line.dataset for line in lines if line.identity not in given}
    names = [line.image for line in lines]
    rows = tuple(
        Row(
            Sample(
                line.dataset,
                line.image,
                line.label,
                pseudonym(line.identity, names) if line.is_patient else line.identity,
                given.get(line.identity) or fold_of(line.identity),
                device=line.device,
                hashed_fold=line.dataset in hashed,
                picture=line.picture,
            ),
            conflicting=line.content in contradicted or (line.label == "normal" and line.masked),
            colour_doppler=line.coloured,
        )
        for line in _first_of_each(lines)
    )
    notes = [
        f"Folds of {name} are made by hash of the group, where none is given." for name in sorted(hashed)
    ]
    return Listing(rows, tuple(notes))


def _line(folder: Path, row: Mapping[str, str], where: str) -> _Line:
    image = row["image"].replace("\\", "/")
    path = folder / image
    if not image or PurePosixPath(image).is_absolute() or ".." in PurePosixPath(image).parts:
        raise SettingsError(f"{where} names no image below the data folder.", "Give its path from there.")
    if not path.is_file():
        raise SettingsError(f"{where}: there is no {image}.", "Paths are relative to the data folder.")
    group, patient = row.get("group", ""), row.get("patient", "")
    if not group and not patient:
        raise SettingsError(f"{where} has neither a group nor a patient.", _HINT)
    label = label_of(row, where)
    named = [part.strip().replace("\\", "/") for part in row.get("mask", "").split(";") if part.strip()]
    masks = named or find_masks(folder, image)
    pixels = _decoded(path, where)
    masked = [_is_drawn(folder / mask, pixels.shape[:2], where) for mask in masks]
    if label != "normal" and not any(masked):
        raise SettingsError(
            f"{where}: {image} is {label} and has no drawn lesion.",
            "Name its mask in the column mask, lay it beside the image as NAME_mask.png, or leave the row out.",
        )
    content = path.read_bytes()
    return _Line(
        where,
        image,
        label,
        group or f"patient {patient}",
        not group,
        number_in(row, "fold", where),
        row.get("dataset", "") or NAME,
        row.get("device", ""),
        FilePicture(image, tuple(masks), _stamp([path, *(folder / mask for mask in masks)])),
        hashlib.sha256(content).hexdigest(),
        any(masked),
        gate_pixels(pixels) is not None,
    )


def _decoded(path: Path, where: str) -> NDArray[np.uint8]:
    """Pixels as the gate takes them: grey, or RGB."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        dicom = path.suffix.lower() in {".dcm", ".dicom", ".ima"}
        raise SettingsError(
            f"{where}: {path} is not a readable picture.",
            "DICOM images are named by the column sop_instance_uid, not image."
            if dicom
            else "Check the data folder.",
        )
    return np.asarray(pixels, dtype=np.uint8)


def _is_drawn(path: Path, shape: tuple[int, ...], where: str) -> bool:
    """Whether a mask shows a lesion."""
    mask = read_grey(path)
    if mask.shape != shape:
        raise SettingsError(f"{where}: the mask {path} has another size than its image.", "Draw it anew.")
    brightest = int(mask.max())
    if 0 < brightest <= DRAWN_LEVEL:
        raise SettingsError(
            f"{where}: the brightest pixel of the mask {path} is {brightest} of 255.",
            "A lesion is white (255) on black (0).",
        )
    return brightest > 0


def _stamp(paths: Sequence[Path]) -> str:
    """Changes when one of the files does."""
    states = [path.stat() for path in paths]
    return hashlib.sha256(repr([(one.st_size, one.st_mtime_ns) for one in states]).encode()).hexdigest()[:16]


def _contradicted(lines: Sequence[_Line]) -> set[str]:
    """Pictures that stand there with two labels, by content; one that stands in two groups is refused."""
    labels, groups = defaultdict(set), defaultdict(set)
    for line in lines:
        labels[line.content].add(line.label)
        groups[line.content].add(line.identity)
        if len(groups[line.content]) > 1:
            raise SettingsError(
                f"{line.where}: {line.image} is the same picture as one of another group.",
                "Give both the same group, or leave one out: it would be learned from and scored.",
            )
    return {content for content, names in labels.items() if len(names) > 1}


def _refuse_same_names(lines: Sequence[_Line]) -> None:
    """Cleaned copies of all images must have different names."""
    owner: dict[PurePosixPath, str] = {}
    for line in lines:
        if owner.setdefault(PurePosixPath(line.image).with_suffix(".png"), line.image) != line.image:
            raise SettingsError(
                f"{line.where}: another image differs from {line.image} only in its suffix.", "Rename one."
            )


def _first_of_each(lines: Sequence[_Line]) -> list[_Line]:
    """One line an image: named twice, it is there once."""
    return list({line.image: line for line in reversed(lines)}.values())[::-1]


def _given_folds(lines: Sequence[_Line]) -> dict[str, int]:
    """The fold that a group is given in any of its rows; two are an error, found where all sources' are."""
    given: dict[str, int] = {}
    for line in lines:
        if line.fold is not None and given.setdefault(line.identity, line.fold) != line.fold:
            raise SettingsError(
                f"{line.where} tears a group: another image of it has another fold.",
                "All images of a group (a patient) must be in one fold.",
            )
    return given
