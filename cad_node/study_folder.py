"""The folder of one archived study: its results, and what they took the place of.

A folder is replaced as a whole. A power cut leaves the former or the new one, and the next run
takes up what it finds.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from cad_node.deliver.objects import result_objects
from cad_node.result_files import read_summary
from cad_node.store.on_disk import sync_tree
from cad_node.store.results import object_files

INPUT_FILE = "input.sha256"
CONTENTS_FILE = "contents.sha256"
# What the folder held before, a folder for each time that something else was made.
EARLIER_FOLDER = "earlier"
# Objects made of files that have changed since under the same UIDs: nothing of them is used again.
OUTDATED_FOLDER = "outdated"


def is_done(folder: Path, key: str) -> bool:
    """Whether its results are whole and were made of what `key` is the digest of."""
    record = folder / INPUT_FILE
    return record.is_file() and record.read_text() == key and has_rows(folder)


def has_rows(folder: Path) -> bool:
    """Whether the summary is there and whole: a power cut may leave an empty file."""
    try:
        return "rows" in read_summary(folder)
    except (FileNotFoundError, ValueError, TypeError):
        return False


def contents_of(files: Iterable[Path]) -> frozenset[str]:
    """Digests of what the files hold, wherever they lie; a file that cannot be read says nothing."""
    digests = set()
    for path in files:
        with contextlib.suppress(OSError), path.open("rb") as file:
            digests.add(hashlib.file_digest(file, "sha256").hexdigest())
    return frozenset(digests)


def is_of_others(folder: Path, contents: frozenset[str]) -> bool:
    """Whether a file that its results were made of has changed or is gone; one more changes nothing."""
    record = folder / CONTENTS_FILE
    return record.is_file() and not set(record.read_text().split()) <= contents


def all_objects(folder: Path) -> list[Path]:
    """The DICOM objects that it has held, the oldest first; none of those that are outdated."""
    return [path for one in (*_numbered(folder / EARLIER_FOLDER), folder) for path in object_files(one)]


def set_aside(folder: Path, objects: Iterable[Path], new: Path) -> None:
    """Copy objects of former files into `new`, where no later run takes them up."""
    kept = _copy_numbered(folder, new, OUTDATED_FOLDER)
    target = new / OUTDATED_FOLDER / _next_number(kept)
    for path in objects:
        inner = target / path.parent.relative_to(folder)
        inner.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, inner)


def keep_earlier(folder: Path, new: Path) -> None:
    """Copy into `new` what `folder` keeps, and those of its objects that `new` has no more."""
    kept = _copy_numbered(folder, new, EARLIER_FOLDER)
    _copy_numbered(folder, new, OUTDATED_FOLDER)
    made = {one.sop_instance_uid for one in result_objects(new)}
    if replaced := [one.path for one in result_objects(folder) if one.sop_instance_uid not in made]:
        target = new / EARLIER_FOLDER / _next_number(kept)
        target.mkdir(parents=True)
        for path in replaced:
            shutil.copy2(path, target)


def put_in_place(new: Path, folder: Path) -> None:
    """Have `new`, safe from a power cut, in the place of `folder`; cut short, one of the two can be found."""
    sync_tree(new)
    if folder.is_dir():
        folder.rename(_replaced(folder))
    new.rename(folder)
    shutil.rmtree(_replaced(folder), ignore_errors=True)


def put_back(folder: Path) -> None:
    """Take up what was cut short while a folder was put in the place of another."""
    if _replaced(folder).is_dir():
        if folder.is_dir():
            shutil.rmtree(_replaced(folder), ignore_errors=True)
        else:
            _replaced(folder).rename(folder)


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.replaced")


def _numbered(folder: Path) -> list[Path]:
    """Its folders 0001, 0002 and so on."""
    return sorted(folder.glob("[0-9]*"), key=lambda path: int(path.name))


def _next_number(kept: list[Path]) -> str:
    return f"{int(kept[-1].name) + 1 if kept else 1:04d}"


def _copy_numbered(folder: Path, new: Path, name: str) -> list[Path]:
    kept = _numbered(folder / name)
    for path in kept:
        shutil.copytree(path, new / name / path.name)
    return kept
