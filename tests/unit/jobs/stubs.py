"""What stands in for the rooms around the job engine: an inbox, an analysis, a destination."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from cad_node.deliver.objects import result_objects
from cad_node.domain import MadeBy, StoredInstance
from cad_node.store.results import ResultStore

SEG_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
SR_STORAGE = "1.2.840.10008.5.1.4.1.1.88.34"
US_STORAGE = "1.2.840.10008.5.1.4.1.1.6.1"


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


def stored(study: str = "1.2.3", number: int = 1, content: str = "a") -> StoredInstance:
    """An instance as the inbox announces it."""
    return StoredInstance(
        study_instance_uid=study,
        series_instance_uid=f"{study}.1",
        sop_instance_uid=f"{study}.1.{number}",
        sop_class_uid=US_STORAGE,
        transfer_syntax_uid=str(ExplicitVRLittleEndian),
        path=PurePosixPath(study) / f"{number}.dcm",
        sha256=hashlib.sha256(content.encode()).hexdigest(),
        size_bytes=1000,
        calling_ae_title="SCANNER",
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def made_by(model: str) -> MadeBy:
    """By what a node with that model makes its results."""
    digest = hashlib.sha256(model.encode()).hexdigest()
    return MadeBy(digest, f"breast-us {model}", digest)


def write_object(path: Path, study: str, sop_instance_uid: str, sop_class_uid: str = SR_STORAGE) -> Path:
    """A small Part 10 file: all that storing and sending look at."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = sop_instance_uid
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = f"{study}.9"
    dataset.PatientID = "TEST"
    dataset.PatientName = "Test^Patient"
    dataset.StudyDate = dataset.StudyTime = dataset.AccessionNumber = dataset.StudyID = ""
    dataset.Modality = "SR" if sop_class_uid == SR_STORAGE else "SEG"
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_results(folder: Path, study: str, revision: str, made: MadeBy | None = None) -> None:
    """A result folder as the encoder leaves it: a SEG that stays the same and a SR per revision."""
    write_object(folder / "seg-001.dcm", study, f"{study}.9.1", SEG_STORAGE)
    write_object(folder / "sr.dcm", study, f"{study}.9.{int(revision[:8], 16) + 2}")
    (folder / "preview-001.png").write_bytes(b"png")
    (folder / "index.html").write_text("<p>result</p>")
    content: dict[str, object] = {"study_instance_uid": study}
    if made is not None:
        name, _, version = made.model.partition(" ")
        provenance = {"model_name": name, "model_version": version, "model_sha256": made.model_sha256}
        content |= {"made_by": made.digest, "provenance": provenance}
    (folder / "result.json").write_text(json.dumps(content))


def processing(
    results: ResultStore,
    seconds: float = 0.0,
    before: Callable[[str, str], None] = lambda *_: None,
    made: MadeBy | None = None,
) -> Callable[[str, str], None]:
    """A process function that makes such results; `before` may fail."""

    def process(study: str, revision: str) -> None:
        before(study, revision)
        time.sleep(seconds)
        results.commit(study, revision, lambda folder: write_results(folder, study, revision, made))

    return process


class FakeDestination:
    """Takes everything, or fails with the next of `errors` after `take` objects."""

    def __init__(self, *errors: Exception, take: int = 0) -> None:
        self.errors = list(errors)
        self.take = take
        self.received: list[str] = []
        self.folders: list[str] = []

    def send(self, results: Path, already_sent: Collection[str], on_sent: Callable[[str], None]) -> None:
        error = self.errors.pop(0) if self.errors else None
        held = (item.sop_instance_uid for item in result_objects(results))
        uids = [uid for uid in held if uid not in already_sent]
        for uid in uids[: self.take] if error else uids:
            self.received.append(uid)
            on_sent(uid)
        if error:
            raise error
        self.folders.append(results.name)

    def verify(self) -> None: ...
