"""Held until accepted: a real node in a process of its own, DCMTK as workstation, Orthanc as PACS."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from cad_node.cli.answers import answers_app
from cad_node.cli.jobs import jobs_app
from cad_node.settings import load_settings
from cad_node.store.journal import Journal
from cad_node.store.schema import DeliveryState, RevisionState
from tests.answers import PATIENT, SEG, SR, key_objects
from tests.factories import us_study, write
from tests.integration.jobs_node import ROOT, wait_until
from tests.peers import Orthanc

pytestmark = [
    pytest.mark.orthanc,
    pytest.mark.dcmtk,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("storescu") is None, reason="needs Debian's dcmtk"),
]

KINDS = {"seg": SEG, "sr": SR}


class AnsweredNode:
    """The node, what it was told, and what it says."""

    def __init__(self, folder: Path, port: int, pacs: Orthanc) -> None:
        self.folder, self.port, self.pacs = folder, port, pacs
        self.config = folder / "node.toml"
        self.config.write_text(
            f"""
data_dir = "{folder / "data"}"
[receive]
port = {port}
disk_reserve_bytes = 1000000
[completion]
quiet_time_s = 0.5
[jobs]
retry_first_s = 0.2
retry_longest_s = 1.0
[[destinations]]
name = "pacs"
type = "cstore"
host = "127.0.0.1"
port = {pacs.dicom_port}
ae_title = "TESTPACS"
hold = true
[[destinations]]
name = "outbox"
type = "folder"
path = "{folder / "outbox"}"
"""
        )
        self.journal = Journal.open(load_settings(self.config))
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        with (self.folder / "node.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.answers_node", str(self.config)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", self.log

    def end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.wait(timeout=60)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    @property
    def log(self) -> str:
        return (self.folder / "node.log").read_text(errors="replace")

    def send(self, *datasets: Dataset) -> None:
        """As a workstation or scanner sends: with DCMTK."""
        files = [str(write(dataset, self.folder / "sent")) for dataset in datasets]
        # -R: only the contexts that are needed; `storescu` does not propose these classes otherwise.
        command = ["storescu", "-R", "-aet", "WORKSTATION", "-aec", "CADNODE", "127.0.0.1", str(self.port)]
        subprocess.run([*command, *files], check=True, capture_output=True, timeout=120)

    def analyse(self) -> tuple[str, dict[str, str]]:
        """Send a study and wait for its results: its UID, and the SOP Class of each result object."""
        # One image: with two, a slow machine may find the study complete after the first.
        study = us_study(images=1, patient_name=PATIENT)
        uid = str(study[0].StudyInstanceUID)
        self.send(*study)
        outbox = self.folder / "outbox" / uid / "result.json"
        wait_until(outbox.exists, f"no results: {self.log[-2000:]}")
        objects = json.loads(outbox.read_text())["objects"]
        wait_until(lambda: self.states(uid)["outbox"] is DeliveryState.SENT, "not noted")
        return uid, {item["sop_instance_uid"]: KINDS[item["kind"]] for item in objects}

    def states(self, study: str) -> dict[str, DeliveryState]:
        return {item.destination: item.state for item in self.journal.outgoing.of_study(study)}

    def studies(self) -> set[str]:
        return {record.study_instance_uid for record in self.journal.study_records()}


@pytest.fixture
def node(tmp_path: Path, orthanc: Orthanc, free_port: Callable[[], int]) -> Iterator[AnsweredNode]:
    node = AnsweredNode(tmp_path, free_port(), orthanc)
    try:
        node.start()
        yield node
    finally:
        node.end(signal.SIGKILL)
        node.journal.close()


def report_of(objects: dict[str, str]) -> dict[str, str]:
    return {uid: kind for uid, kind in objects.items() if kind == SR}


def test_an_accepted_result_reaches_the_pacs_once_through_kills(node: AnsweredNode) -> None:
    study, objects = node.analyse()
    assert len(objects) == 2
    assert node.states(study)["pacs"] is DeliveryState.HELD
    assert "pacs held" in CliRunner().invoke(jobs_app, ["list", "--config", str(node.config)]).output
    node.end(signal.SIGKILL)
    node.start()
    assert node.pacs.instances() == {}

    accepted = key_objects(study, report_of(objects))
    node.send(accepted)
    # Whatever it was doing with the answer: the next start goes on with it.
    node.end(signal.SIGKILL)
    node.start()
    wait_until(lambda: node.states(study)["pacs"] is DeliveryState.SENT, "not sent")
    node.send(accepted)
    node.send(key_objects(study, report_of(objects)))

    wait_until(lambda: len({item.sop_instance_uid for item in node.journal.answers.all()}) == 2, "not noted")
    assert set(node.pacs.instances()) == set(objects)
    # What was under way at the kill may have gone twice, under the same UIDs; nothing goes after that.
    assert len(objects) <= node.pacs.stores() <= len(objects) + 1
    assert node.states(study)["pacs"] is DeliveryState.SENT
    # Answers are no images: no study was opened for them, none was processed anew.
    assert node.studies() == {study}
    (revision,) = node.journal.revisions.all()
    assert (revision.state, revision.starts) == (RevisionState.DONE, 1)


def test_what_is_rejected_never_reaches_the_pacs_and_a_strange_answer_does_nothing(
    node: AnsweredNode,
) -> None:
    rejected, objects = node.analyse()
    node.send(key_objects(rejected, report_of(objects), "113037"))
    node.send(key_objects(rejected, report_of(objects), "113000"))
    assert node.states(rejected)["pacs"] is DeliveryState.REJECTED
    strange = key_objects("1.2.826.0.1.99", {"1.2.826.0.1.99.1": SR})
    node.send(strange)

    # The one after it goes, so the way was open all the time.
    accepted, others = node.analyse()
    node.send(key_objects(accepted, {uid: kind for uid, kind in others.items() if kind == SEG}))
    wait_until(lambda: node.states(accepted)["pacs"] is DeliveryState.SENT, "not sent")

    assert set(node.pacs.instances()) == set(others)
    assert node.states(rejected)["pacs"] is DeliveryState.REJECTED
    (kept,) = [item for item in node.journal.answers.all() if not item.revision]
    assert kept.sop_instance_uid == strange.SOPInstanceUID
    assert (node.folder / "data" / "answers" / kept.path).is_file()
    assert node.studies() == {rejected, accepted}
    assert "names no result of this node" in node.log
    output = CliRunner().invoke(answers_app, ["summary", "--config", str(node.config)]).output
    assert "name no result of this node: 1" in output
    for word in ("DOE", "JANE", "Seen by"):
        assert word not in node.log + output
    assert rejected not in output
