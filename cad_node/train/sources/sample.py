"""What every layout of training data is read into: one row an image, in a group and in a fold."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cad_node.networks.lesion_network import CLASS_NAMES

FOLDS = 5


class Picture(Protocol):
    """Where the pixels and the drawn lesions of an image are, if not where the public data sets have them.

    Frozen, and cheap to copy to another process; its `repr` changes with the files.
    """

    def read(self, folder: Path) -> NDArray[np.uint8]:
        """Grey levels, `(rows, columns)`."""
        ...

    def drawn(self, folder: Path) -> list[NDArray[np.bool_]]:
        """The drawn lesions, one array each, none of them empty."""
        ...


@dataclass(frozen=True)
class Sample:
    """One image. `image` is its name, and its path below the data folder where it is a picture file.

    `hashed_fold`: the folds of its data set are not written down anywhere, but made of the groups' names.
    """

    dataset: str
    image: str
    label: str
    group: str
    fold: int
    device: str = field(default="", compare=False)
    hashed_fold: bool = field(default=False, compare=False)
    picture: Picture | None = field(default=None, compare=False)

    @property
    def target(self) -> int:
        """Index of the label in `CLASS_NAMES`."""
        return CLASS_NAMES.index(self.label)


@dataclass(frozen=True)
class Row:
    """An image that was found, and whether its label or its colours forbid its use."""

    sample: Sample
    conflicting: bool = False
    colour_doppler: bool = False


@dataclass(frozen=True)
class Listing:
    """All rows of a data folder, and what its user must know of them, in sentences without names."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def fold_of(group: str) -> int:
    """Fold 1 to 5 of a group, by its name alone: more images or other groups do not move it.

    Examples
    --------
    >>> fold_of("patient 7") == fold_of("patient 7")
    True
    """
    digest = hashlib.sha256(f"fold of {group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % FOLDS + 1


def pseudonym(patient: str, others: Sequence[str]) -> str:
    """What stands for a patient in scorecards and messages.

    Patient IDs are short enough to be tried one by one, so that a plain hash hides
    nothing. This one is keyed by `others`, the names of all images of the folder:
    whoever does not have the images cannot try.
    """
    key = hashlib.sha256("\n".join(sorted(others)).encode()).digest()
    return "patient-" + hashlib.blake2b(patient.encode(), key=key, digest_size=6).hexdigest()
