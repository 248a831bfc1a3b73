"""What the wiring itself decides; no model is loaded and no worker started."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from cad_node import node as wiring
from cad_node.deliver.event_report import PUSH_MODEL_INSTANCE
from cad_node.domain import EventReport, MadeBy, ReceivedInstance, ReportAnswer
from cad_node.encode import encode_study, load_templates
from cad_node.errors import SettingsError, SourceGoneError
from cad_node.node import Node
from cad_node.process import StudyTask
from cad_node.resources import templates_dir
from cad_node.settings import CStoreDestinationSettings, NodeSettings, ResultSettings
from cad_node.variants import Variant
from tests.factories import us_image, write
from tests.results import MADE_AT, analysed, study
from tests.unit.deliver.test_event_report import encoded, information
from tests.unit.jobs.stubs import made_by, write_results


class _Pool:
    """In place of the workers: notes what it was given, and writes a result of `model`."""

    model = made_by("1")

    def __init__(self, *_: object) -> None:
        self.tasks: list[tuple[StudyTask, bool]] = []

    def process(self, task: StudyTask, *, can_wait: bool = False) -> None:
        self.tasks.append((task, can_wait))
        write_results(task.output, "1.2.3", f"{len(self.tasks):08x}", self.model)


@pytest.fixture
def node_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[MadeBy], Node]]:
    """Call it for the node, started with another model each time."""
    made: list[Node] = []
    monkeypatch.setattr(wiring, "WorkerPool", _Pool)

    def make(model: MadeBy) -> Node:
        close()
        monkeypatch.setattr(wiring, "making", lambda _: model)
        settings = NodeSettings(data_dir=tmp_path / "data", receive={"disk_reserve_bytes": 0})  # type: ignore[arg-type]
        made.append(Node(settings))
        return made[-1]

    def close() -> None:
        for node in made:
            node.journal.close()
            node._lock.close()
        made.clear()

    yield make
    close()


@pytest.fixture
def image(tmp_path: Path) -> Dataset:
    return us_image()


def send(node: Node, image: Dataset, folder: Path) -> None:
    node._accept(
        ReceivedInstance(
            study_instance_uid=str(image.StudyInstanceUID),
            series_instance_uid=str(image.SeriesInstanceUID),
            sop_instance_uid=str(image.SOPInstanceUID),
            sop_class_uid=str(image.SOPClassUID),
            transfer_syntax_uid=str(image.file_meta.TransferSyntaxUID),
            calling_ae_title="SCANNER",
            part10=write(image, folder).read_bytes(),
        )
    )


def analyse(node: Node, image: Dataset) -> str:
    """As the engine would: close the study, make its results, note them; the revision."""
    uid = str(image.StudyInstanceUID)
    node.journal.close_study(uid)
    record = node.journal.revisions.of_study(uid)[-1]
    node._process(uid, record.revision)
    node.journal.revisions.finish(record, ["pacs"], (), node.results.made_by(uid, record.revision))
    return record.revision


def test_a_study_sent_again_is_spoken_of_once_where_its_result_is_of_another_model(
    node_of: Callable[[MadeBy], Node], image: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = node_of(made_by("1"))
    send(node, image, tmp_path)
    analyse(node, image)
    with caplog.at_level(logging.WARNING):
        send(node, image, tmp_path)
        assert "sent again" not in caplog.text

        node = node_of(made_by("2"))
        for _ in range(3):
            send(node, image, tmp_path)

    assert caplog.text.count("its result stays the one by breast-us 1") == 1
    assert "this node does now (breast-us 2)" in caplog.text
    assert len(node.journal.revisions.all()) == 1


def test_an_old_study_can_wait_and_is_given_all_that_was_made_of_it(
    node_of: Callable[[MadeBy], Node], image: Dataset, tmp_path: Path
) -> None:
    node = node_of(made_by("1"))
    send(node, image, tmp_path)
    analyse(node, image)
    for model in ("2", "3"):
        (latest,) = node.journal.reanalysis.latest()
        assert latest.last is not None
        assert node.journal.reanalysis.order(latest.last, model)
        analyse(node, image)

    assert [can_wait for _, can_wait in node.pool.tasks] == [False, True, True]  # type: ignore[attr-defined]
    earlier = [[path.parent.name[:4] for path in task.earlier] for task, _ in node.pool.tasks]  # type: ignore[attr-defined]
    assert earlier == [[], ["0001"] * 2, ["0001"] * 2 + ["0002"] * 2]


def test_a_study_of_which_a_file_is_gone_fails_instead_of_being_halved(
    node_of: Callable[[MadeBy], Node], image: Dataset, tmp_path: Path
) -> None:
    node = node_of(made_by("1"))
    send(node, image, tmp_path)
    send(node, us_image(study_instance_uid=image.StudyInstanceUID, instance_number=2), tmp_path)
    uid = str(image.StudyInstanceUID)
    revision = node.journal.close_study(uid)
    assert revision is not None
    node.inbox.files_of(uid)[0].unlink()

    with pytest.raises(SourceGoneError, match="1 of 2 files of the study are no longer in the inbox"):
        node._process(uid, revision)

    assert node.pool.tasks == []  # type: ignore[attr-defined]


def test_a_port_in_use_is_said_before_the_models_are_waited_for(node_of: Callable[[MadeBy], Node]) -> None:
    node = node_of(made_by("1"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        receive = node.settings.receive.model_copy(update={"port": other.getsockname()[1]})
        node.settings = node.settings.model_copy(update={"receive": receive})

        with pytest.raises(SettingsError, match="Cannot listen"):  # `_Pool` cannot be waited for
            node.start()


def test_captures_that_a_pacs_sends_back_open_no_study(
    node_of: Callable[[MadeBy], Node], image: Dataset, tmp_path: Path
) -> None:
    node = node_of(made_by("1"))
    send(node, image, tmp_path)
    analyse(node, image)
    made = encode_study(
        study(analysed(image)),
        {str(image.SOPInstanceUID): image},
        templates=load_templates(templates_dir()),
        settings=ResultSettings(),
        variants=[Variant("secondary_capture")],
        made_at=MADE_AT,
    )

    send(node, made[0].dataset, tmp_path)
    send(node, made[0].dataset, tmp_path)

    assert node.journal.open_studies() == []
    assert len(node.inbox.files_of(str(image.StudyInstanceUID))) == 1
    (kept,) = node.returned.files_of(str(image.StudyInstanceUID))
    assert dcmread(kept).SOPInstanceUID == made[0].dataset.SOPInstanceUID


def test_a_capture_of_a_scanner_is_an_image_like_others(
    node_of: Callable[[MadeBy], Node], tmp_path: Path
) -> None:
    node = node_of(made_by("1"))
    capture = us_image()
    capture.SOPClassUID = capture.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    send(node, capture, tmp_path)
    assert [uid for uid, _, _ in node.journal.open_studies()] == [capture.StudyInstanceUID]


def test_a_report_that_a_pacs_sends_back_is_no_answer_and_one_that_is_verified_is(
    node_of: Callable[[MadeBy], Node], image: Dataset, tmp_path: Path
) -> None:
    node = node_of(made_by("1"))
    send(node, image, tmp_path)
    revision = analyse(node, image)
    uid = str(image.StudyInstanceUID)
    report = dcmread(node.results.folder(uid, revision) / "sr.dcm")
    report.StudyInstanceUID = uid
    node.journal.taken.object_sent("pacs", uid, str(report.SOPInstanceUID))

    send(node, report, tmp_path)
    assert node.journal.answers.all() == []
    assert len(node.returned.files_of(uid)) == 1

    report.VerificationFlag = "VERIFIED"
    send(node, report, tmp_path)
    assert [one.revision for one in node.journal.answers.all()] == [""]


def test_who_is_asked_for_commitment_may_report_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "WorkerPool", _Pool)
    monkeypatch.setattr(wiring, "making", lambda _: made_by("1"))
    values: dict[str, Any] = {"host": "127.0.0.1", "port": 104, "calling_ae_title": "CADSEND"}
    destinations = (
        CStoreDestinationSettings(name="a", ae_title="KEEPS", storage_commitment=True, **values),
        CStoreDestinationSettings(name="b", ae_title="TAKES", **values),
    )
    node = Node(NodeSettings(data_dir=tmp_path / "data", destinations=destinations))
    content = encoded(information(("1.2.3",)))
    report = EventReport("KEEPS", PUSH_MODEL_INSTANCE, 1, "1.2.840.10008.1.2.1", content)

    assert node.scp._reports.called == {"KEEPS": {"CADSEND"}}
    assert node.scp._reports.record(report) is ReportAnswer.UNKNOWN_TRANSACTION

    node.journal.close()
    node._lock.close()


def test_a_data_folder_that_cannot_be_used_is_a_settings_error(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(wiring, "making", lambda _: made_by("1"))
    (tmp_path / "file").write_text("x")

    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SettingsError, match=r"The data folder .*file.* cannot be written to: .*data_dir"):
            Node(NodeSettings(data_dir=path))


def test_with_sqlite_a_second_node_of_another_name_is_refused_too(
    node_of: Callable[[MadeBy], Node], tmp_path: Path
) -> None:
    node_of(made_by("1"))
    other = NodeSettings(data_dir=tmp_path / "data", jobs={"executor_id": "node-2"})  # type: ignore[arg-type]
    for _ in range(2):  # and it leaves no lock behind
        with pytest.raises(SettingsError, match="Another node works in the data folder"):
            Node(other)


def test_a_second_node_of_the_same_name_is_refused_and_names_the_folder(
    node_of: Callable[[MadeBy], Node], tmp_path: Path
) -> None:
    node_of(made_by("1"))
    written = (tmp_path / "data" / "node-node-1.lock").read_text()

    with pytest.raises(SettingsError, match="Another node runs as node-1 on the data folder"):
        Node(NodeSettings(data_dir=tmp_path / "data"))

    assert written == (tmp_path / "data" / "node-node-1.lock").read_text() == f"{os.getpid()}\n"
