"""Finds the studies among files, folders and DICOMDIRs; reads headers only."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import MediaStorageDirectoryStorage

from cad_node.errors import StudyError
from cad_node.read.gate import CAPTURE_CLASSES, ULTRASOUND_CLASSES, VOLUME_CLASS, is_own_result
from cad_node.read.headers import (
    items,
    load_header,
    looks_like_dicom,
    quiet_pydicom,
    read_with_pixels,
    text,
    texts,
)

_IMAGE_CLASSES = ULTRASOUND_CLASSES | CAPTURE_CLASSES | {VOLUME_CLASS}

# Objects with rows and columns that are made from images, not by a scanner: SEG, label map,
# parametric map, RT dose. Results of this node are among them.
_DERIVED_CLASSES = frozenset(
    (
        "1.2.840.10008.5.1.4.1.1.66.4",
        "1.2.840.10008.5.1.4.1.1.66.7",
        "1.2.840.10008.5.1.4.1.1.30",
        "1.2.840.10008.5.1.4.1.1.481.2",
    )
)


@dataclass(frozen=True)
class Scan:
    """What was found: studies by Study Instance UID, in order of discovery.

    `unreadable` names DICOM files that cannot be used, each with the problem;
    `ignored` are files that are not DICOM, and objects of a study that are no
    images where the study holds images as well.
    """

    studies: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    unreadable: tuple[tuple[Path, str], ...] = ()
    ignored: tuple[Path, ...] = ()


@dataclass
class _Findings:
    images: dict[str, list[Path]] = field(default_factory=dict)
    others: dict[str, list[Path]] = field(default_factory=dict)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    ignored: list[Path] = field(default_factory=list)


def scan_files(paths: Iterable[Path]) -> Scan:
    """Sort files, folders (with what is below them) and DICOMDIRs into studies.

    Hidden files and folders are skipped, symbolic links followed once, sockets,
    pipes and devices never opened. A file that is reached twice counts once.

    Parameters
    ----------
    paths
        A DICOMDIR that is named here stands for the files it lists, as far as
        they lie below its own folder; one found inside a folder is ignored,
        because its files are found there too.
    """
    findings = _Findings()
    seen: set[Path] = set()
    for path in _candidates(paths, findings):
        real = Path(os.path.realpath(path))
        if real in seen:
            continue
        seen.add(real)
        _sort_in(path, findings)
    studies: dict[str, tuple[Path, ...]] = {}
    for uid in dict.fromkeys((*findings.images, *findings.others)):
        if uid in findings.images:
            studies[uid] = tuple(findings.images[uid])
            findings.ignored.extend(findings.others.get(uid, ()))
        else:
            studies[uid] = tuple(findings.others[uid])
    return Scan(studies, tuple(findings.unreadable), tuple(findings.ignored))


def _candidates(paths: Iterable[Path], findings: _Findings) -> Iterator[Path]:
    """Every regular file that the given paths lead to, in a repeatable order."""
    for path in paths:
        if path.is_dir():
            yield from _walk(path, findings)
        elif not path.exists():
            findings.unreadable.append((path, "It does not exist."))
        elif not path.is_file():
            findings.unreadable.append((path, "It is neither a file nor a folder."))
        elif (directory := _directory(path)) is not None:
            yield from _listed(path, directory, findings)
        else:
            yield path


def _walk(folder: Path, findings: _Findings) -> Iterator[Path]:
    visited: set[tuple[int, int]] = set()

    def unlisted(error: OSError) -> None:
        findings.unreadable.append((Path(error.filename), f"It cannot be listed ({type(error).__name__})."))

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=unlisted):
        try:
            status = Path(parent).stat()
        except OSError:
            folders.clear()
            continue
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if not name.startswith(".") and _is_regular(path):
                yield path


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _directory(path: Path) -> Dataset | None:
    """The data set of a DICOMDIR; None where the file is something else."""
    if not path.name.upper().startswith("DICOMDIR"):
        return None
    try:
        dataset = read_with_pixels(path)
    except StudyError:
        return None
    meta = getattr(dataset, "file_meta", None)
    is_directory = isinstance(meta, Dataset) and text(meta, "MediaStorageSOPClassUID") == (
        MediaStorageDirectoryStorage
    )
    return dataset if is_directory else None


def _listed(path: Path, directory: Dataset, findings: _Findings) -> Iterator[Path]:
    """Files that a DICOMDIR refers to, as long as they lie below its own folder (PS3.10 8.5)."""
    root = Path(os.path.realpath(path.parent))
    with quiet_pydicom():
        records = items(directory, "DirectoryRecordSequence")
    for record in records:
        parts = texts(record, "ReferencedFileID")
        if not parts:
            continue
        found = _resolve(root, parts)
        if found is None:
            findings.unreadable.append((path, "It lists a file outside its folder, or one that is missing."))
        else:
            yield found


def _resolve(root: Path, parts: list[str]) -> Path | None:
    """A Referenced File ID as an existing file below `root`; media are copied with names in lower case."""
    here = root
    for part in parts:
        if part in {"", ".", ".."} or "/" in part or "\\" in part:
            return None
        exact = here / part
        if not exact.exists():
            try:
                alike = [entry for entry in sorted(here.iterdir()) if entry.name.upper() == part.upper()]
            except OSError:
                return None
            if not alike:
                return None
            exact = alike[0]
        here = exact
    real = Path(os.path.realpath(here))
    return here if real.is_relative_to(root) and _is_regular(real) else None


def _sort_in(path: Path, findings: _Findings) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError as error:
        findings.unreadable.append((path, f"It cannot be read ({type(error).__name__})."))
        return
    if not looks_like_dicom(start):
        findings.ignored.append(path)
        return
    try:
        header = load_header(path)
    except StudyError as error:
        if start[128:132] != b"DICM" or _directory(path) is not None:
            findings.ignored.append(path)  # a chance likeness, or a DICOMDIR
        else:
            findings.unreadable.append((path, error.problem))
        return
    sop_class = text(header.dataset, "SOPClassUID")
    is_image = sop_class in _IMAGE_CLASSES or ("Rows" in header.dataset and sop_class not in _DERIVED_CLASSES)
    found = findings.images if is_image and not is_own_result(header.dataset) else findings.others
    found.setdefault(text(header.dataset, "StudyInstanceUID"), []).append(path)
