"""A run over archived studies: every study once, resumable, one report at the end.

The output folder is the state: a study whose `result.json` was made from the
same files by the same model and settings is not processed again. Objects that
others took the place of are kept below the study's folder: a UID that comes up
again names the object that it named before, and a report knows its predecessor.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from cad_node.deliver import Destination
from cad_node.domain import Status
from cad_node.encode import REPORT_COLUMNS
from cad_node.errors import CadNodeError, DeliveryError, StudyError
from cad_node.process import StudyTask
from cad_node.result_files import StudySummary, read_summary
from cad_node.study_folder import (
    CONTENTS_FILE,
    INPUT_FILE,
    all_objects,
    contents_of,
    has_rows,
    is_done,
    is_of_others,
    keep_earlier,
    put_back,
    put_in_place,
    set_aside,
)

logger = logging.getLogger(__name__)

REPORT_FILE = "report.csv"
_PATH_COLUMNS = ("seg", "sr", "preview")

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")


@dataclass(frozen=True)
class StudyOutcome:
    """What became of one study; `error` holds no patient data."""

    study_instance_uid: str
    images: int
    done_before: bool = False
    error: CadNodeError | None = None
    failed_rows: int = 0

    @property
    def failed(self) -> bool:
        """Whether the run as a whole must say that something failed."""
        return self.error is not None or self.failed_rows > 0


class ArchiveRun:
    """Processes studies into `output`, a few at a time.

    Parameters
    ----------
    process
        Makes the results of one task; called from several threads.
    output
        One sub-folder a study, named by its Study Instance UID.
    made_by
        Digest of model, settings and software: a result made by others is remade.
    destinations
        Where each study's results are sent, too.
    """

    def __init__(
        self,
        process: Callable[[StudyTask], StudySummary],
        output: Path,
        made_by: str,
        destinations: Mapping[str, Destination],
    ) -> None:
        self._process = process
        self._output = output
        self._made_by = made_by
        self._destinations = destinations

    def run(self, studies: Mapping[str, Sequence[Path]], workers: int) -> Generator[StudyOutcome, None, None]:
        """Yield the outcome of each study as it ends; stop early by closing the iterator."""
        return few_at_a_time(lambda study: self._one(*study), studies.items(), workers)

    def _one(self, study_instance_uid: str, files: Sequence[Path]) -> StudyOutcome:
        folder = self._output / study_instance_uid
        try:
            key = self._input_key(files)
            put_back(folder)
            before = is_done(folder, key)
            if not before:
                self._make(study_instance_uid, files, folder, key)
            self._send(folder)
        except (CadNodeError, OSError) as error:
            problem = error if isinstance(error, CadNodeError) else _unusable(error)
            logger.error("study %s: %s", study_instance_uid, problem)
            return StudyOutcome(study_instance_uid, len(files), error=problem)
        failed = sum(row["status"] == Status.FAILED for row in read_summary(folder)["rows"])
        return StudyOutcome(study_instance_uid, len(files), done_before=before, failed_rows=failed)

    def _make(self, study_instance_uid: str, files: Sequence[Path], folder: Path, key: str) -> None:
        unfinished = self._output / f".{study_instance_uid}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        contents, earlier = contents_of(files), all_objects(folder)
        changed = is_of_others(folder, contents)
        self._process(
            StudyTask(tuple(files), unfinished, datetime.now(UTC), () if changed else tuple(earlier))
        )
        if changed:
            # A corrected patient, or a repaired image: what was said of the former files must not be said again.
            logger.warning(
                "study %s: a file changed or is gone since its results were made; they are made anew, in part under "
                "the same UIDs: delete the former ones where a PACS holds them, or it may keep those",
                study_instance_uid,
            )
            set_aside(folder, earlier, unfinished)
        else:
            keep_earlier(folder, unfinished)
        (unfinished / INPUT_FILE).write_text(key, encoding="ascii")
        (unfinished / CONTENTS_FILE).write_text("\n".join(sorted(contents)) + "\n", encoding="ascii")
        put_in_place(unfinished, folder)

    def _send(self, folder: Path) -> None:
        """Send what this destination has not got; a later run goes on where this one failed."""
        for name, destination in self._destinations.items():
            record = folder / f"sent-{name}.json"
            sent = _sent(record)

            def on_sent(uid: str, sent: list[str] = sent, record: Path = record) -> None:
                sent.append(uid)
                temporary = record.with_suffix(".tmp")
                temporary.write_text(json.dumps(sent), encoding="ascii")
                temporary.replace(record)

            try:
                destination.send(folder, already_sent=frozenset(sent), on_sent=on_sent)
            except DeliveryError as error:
                error.hint = f"{error.hint} Run the command again to send what is missing.".strip()
                raise

    def _input_key(self, files: Iterable[Path]) -> str:
        digest = hashlib.sha256(self._made_by.encode())
        for path in sorted(files):
            state = path.stat()
            digest.update(f"{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\0".encode())
        return digest.hexdigest()


def _unusable(error: OSError) -> StudyError:
    """A file of the study is gone, or the output cannot be written; its name stays out, it may be a patient's."""
    return StudyError(
        f"A file of the study cannot be read, or its results cannot be written ({error.strerror or 'incomplete'}).",
        "Check the files and the room in the output folder, then run the command again.",
    )


def _sent(record: Path) -> list[str]:
    """What a destination has; nothing where the record is damaged: sending again is harmless."""
    try:
        return [str(uid) for uid in json.loads(record.read_text(encoding="ascii"))]
    except (FileNotFoundError, ValueError, TypeError):
        return []


def few_at_a_time(
    work: Callable[[_Item], _Outcome], items: Iterable[_Item], workers: int
) -> Generator[_Outcome, None, None]:
    """Yield what `work` makes of each item as it ends; stop early by closing the iterator."""
    todo = iter(items)
    pending: set[Future[_Outcome]] = set()
    with ThreadPoolExecutor(workers, thread_name_prefix="study") as threads:
        try:
            while True:
                # One more than can run: a worker never waits, an interrupt never waits long.
                while len(pending) <= workers and (item := next(todo, None)) is not None:
                    pending.add(threads.submit(work, item))
                if not pending:
                    return
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            for future in pending:
                future.cancel()


def write_report(output: Path, outcomes: Sequence[StudyOutcome], unreadable: int) -> Path:
    """Write `report.csv` over the studies of this run, replacing the one before.

    A study without results, or whose results could not be made anew, has one row that says so.
    """
    report = output / REPORT_FILE
    temporary = report.with_suffix(".csv.tmp")
    with temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, REPORT_COLUMNS, restval="")
        writer.writeheader()
        for outcome in sorted(outcomes, key=lambda outcome: outcome.study_instance_uid):
            writer.writerows(_rows(output, outcome))
        writer.writerows(
            {"status": Status.FAILED.value, "reason": "unreadable_file"} for _ in range(unreadable)
        )
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(report)
    return report


def _rows(output: Path, outcome: StudyOutcome) -> Iterator[dict[str, str]]:
    uid = outcome.study_instance_uid
    folder = output / uid
    # What lies there still after a failure are results of other files, another model or other settings.
    is_unsent = isinstance(outcome.error, DeliveryError)
    if (outcome.error is not None and not is_unsent) or not has_rows(folder):
        problem = outcome.error.problem if outcome.error else "no result"
        yield {"study_instance_uid": uid, "status": Status.FAILED.value, "reason": problem}
        return
    for row in read_summary(folder)["rows"]:
        yield {
            column: f"{uid}/{value}" if column in _PATH_COLUMNS and value else value
            for column, value in row.items()
        }
