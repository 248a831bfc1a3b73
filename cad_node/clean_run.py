"""A run over files to clean: each once, resumable, one report at the end.

The output folder is the state. Under `.cad-node-clean` lies one small record an
image, named by a keyed hash of its content; it holds a row of the report and no
patient data. Only what was written, or refused for what it is, counts as done.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cad_node.archive_run import few_at_a_time
from cad_node.clean_copy import PICTURE_SIGNATURES, CopyResult, CopyStatus, CopyTask
from cad_node.deidentify.pseudonyms import SECRET_VARIABLE, Pseudonyms
from cad_node.errors import CadNodeError, SettingsError
from cad_node.read import scan_files

logger = logging.getLogger(__name__)

REPORT_FILE = "report.csv"
REPORT_COLUMNS = ("input", "output", "status", "reason", "frames", "marks_removed", "seconds")
_STATE = ".cad-node-clean"
_SECRET_CHECK = "secret.check"  # noqa: S105  tells secrets apart, and gives none away


@dataclass(frozen=True)
class CopyOutcome:
    """What became of one file of the run.

    `name` stands for the file in the report: a keyed hash of its content.
    """

    position: int
    path: Path
    name: str
    result: CopyResult
    done_before: bool = False


@dataclass(frozen=True)
class Found:
    """What a run will work on, and what it cannot."""

    files: tuple[Path, ...]
    unreadable: tuple[tuple[Path, str], ...]
    ignored: int


def find_files(paths: Iterable[Path], not_below: Iterable[Path]) -> Found:
    """DICOM files and plain pictures; nothing that a run itself has written.

    Parameters
    ----------
    paths
        Files, folders, DICOMDIRs.
    not_below
        Folders that are left out, such as the output.
    """
    scan = scan_files(paths)
    left_out = [folder.resolve() for folder in not_below]

    def wanted(path: Path) -> bool:
        real = path.resolve()
        return not any(real.is_relative_to(folder) for folder in left_out)

    dicom = [path for study in scan.studies.values() for path in study]
    pictures = [path for path in scan.ignored if _is_picture(path)]
    files = tuple(path for path in (*dicom, *pictures) if wanted(path))
    unreadable = tuple(pair for pair in scan.unreadable if wanted(pair[0]))
    return Found(files, unreadable, len(scan.ignored) - len(pictures))


class CleanRun:
    """Makes copies of files in `output`, a few at a time.

    Parameters
    ----------
    copy
        Makes one copy; called from several threads.
    output
        Holds the copies, and nothing else.
    pseudonyms
        The run's.
    made_by
        Digest of software, settings and options: a copy made by others is made again.
    pictures
        Folder for pictures of before, after and mask; None: there are none.

    Raises
    ------
    SettingsError
        The folder was begun with another secret: one patient would get two names.
    """

    def __init__(
        self,
        copy: Callable[[CopyTask], CopyResult],
        output: Path,
        pseudonyms: Pseudonyms,
        made_by: str,
        pictures: Path | None = None,
    ) -> None:
        self._copy = copy
        self._output = output
        self._pseudonyms = pseudonyms
        self._made_by = f"{made_by} {pictures is not None}"
        self._pictures = pictures
        self._state = output / _STATE
        self._state.mkdir(parents=True, exist_ok=True)
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._names: set[str] = set()
        self._check_secret()
        self._owners = self._read_owners()

    def run(self, files: Sequence[Path], workers: int) -> Generator[CopyOutcome, None, None]:
        """Yield the outcome of each file as it ends; stop early by closing the iterator."""
        return few_at_a_time(lambda pair: self._one(*pair), enumerate(files, start=1), workers)

    def _one(self, position: int, path: Path) -> CopyOutcome:
        try:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return CopyOutcome(position, path, "", CopyResult(CopyStatus.FAILED, "unreadable_file"))
        name = self._pseudonyms.digest("input", content).hex()[:32]
        with self._lock:
            is_second = name in self._names
            self._names.add(name)
        if is_second:
            return CopyOutcome(position, path, name, CopyResult(CopyStatus.REFUSED, "duplicate"))
        made = self._pseudonyms.digest("made", self._made_by, content).hex()
        before = self._done(name, made)
        if before is not None:
            return CopyOutcome(position, path, name, before, done_before=True)
        return CopyOutcome(position, path, name, self._make(path, name, made))

    def _make(self, path: Path, name: str, made: str) -> CopyResult:
        unfinished = self._state / f"{name}.part"
        comparison = None if self._pictures is None else self._pictures / f"{name}.png"
        placed = ""
        try:
            result = self._copy(CopyTask(path, name, unfinished, comparison))
            if result.status is CopyStatus.CLEANED:
                result = self._place(unfinished, name, result)
                placed = result.output
            if result.status is not CopyStatus.FAILED:  # that is tried again
                record = {"made": made, "result": asdict(result)}
                _write_whole(self._state / f"{name}.json", json.dumps(record))
        except CadNodeError as error:
            logger.error("image %s: %s", name, error)
            return CopyResult(CopyStatus.FAILED, "crashed")
        except OSError as error:
            logger.error("image %s could not be written: %s", name, type(error).__name__)
            return CopyResult(CopyStatus.FAILED, "not_written")
        finally:
            unfinished.unlink(missing_ok=True)
            self._withdraw(name, placed)
        return result

    def _withdraw(self, name: str, but: str) -> None:
        """Remove copies of an image that other settings or an older version made, and that no longer hold."""
        with self._lock:
            others = [output for output, owner in self._owners.items() if owner == name and output != but]
            for output in others:
                del self._owners[output]
        for output in others:
            (self._output / output).unlink(missing_ok=True)

    def _place(self, unfinished: Path, name: str, result: CopyResult) -> CopyResult:
        """Move a finished copy to its place, unless another image holds it."""
        with self._lock:
            if self._owners.setdefault(result.output, name) != name:
                return CopyResult(CopyStatus.REFUSED, "same_sop_instance_uid", seconds=result.seconds)
        target = self._output / result.output
        target.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.replace(target)
        return result

    def _done(self, name: str, made: str) -> CopyResult | None:
        record = _read_record(self._state / f"{name}.json")
        if record is None or record["made"] != made:
            return None
        result = CopyResult(**{**record["result"], "status": CopyStatus(record["result"]["status"])})
        if result.status is CopyStatus.CLEANED and not (self._output / result.output).is_file():
            return None
        return result

    def _read_owners(self) -> dict[str, str]:
        """Which image each copy in the folder was made from."""
        records = ((path.stem, _read_record(path)) for path in self._state.glob("*.json"))
        return {
            record["result"]["output"]: name
            for name, record in records
            if record and record["result"]["output"]
        }

    def _check_secret(self) -> None:
        mine = self._pseudonyms.digest("secret").hex()
        check = self._state / _SECRET_CHECK
        if not check.exists():
            _write_whole(check, mine)
        elif check.read_text(encoding="ascii") != mine:
            raise SettingsError(
                "The output folder was begun with another secret: one patient would get two names.",
                f"Set {SECRET_VARIABLE} to the same secret as then, or name a new folder. Without a secret "
                "of your own, a run is made in one go and cannot be taken up again.",
            )


def write_report(output: Path, outcomes: Sequence[CopyOutcome], unreadable: int) -> Path:
    """Write `report.csv` over the files of this run, replacing the one before.

    It holds no path and no name that came in: `input` is a keyed hash of the file's content.
    """
    rows: list[dict[str, object]] = [
        {"input": outcome.name, **asdict(outcome.result)}
        for outcome in sorted(outcomes, key=lambda outcome: outcome.position)
    ]
    rows += [{"status": CopyStatus.FAILED.value, "reason": "unreadable_file"}] * unreadable
    return _write_csv(output / REPORT_FILE, REPORT_COLUMNS, rows)


def write_link(link: Path, outcomes: Sequence[CopyOutcome]) -> Path:
    """Write which file became which copy: what undoes the pseudonyms, for the sender alone."""
    rows: list[dict[str, object]] = [
        {"path": str(outcome.path), "input": outcome.name, "output": outcome.result.output}
        for outcome in sorted(outcomes, key=lambda outcome: outcome.position)
    ]
    return _write_csv(link, ("path", "input", "output"), rows)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[dict[str, object]]) -> Path:
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    return path


def _write_whole(path: Path, content: str) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(content, encoding="ascii")
    temporary.replace(path)


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="ascii"))
        return record if {"made", "result"} <= record.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def _is_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(PICTURE_SIGNATURES)
    except OSError:
        return False
