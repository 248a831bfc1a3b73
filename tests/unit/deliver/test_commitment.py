from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.pdu import P_DATA_TF

from cad_node.deliver.commitment import CommitmentScu, Remedy, remedy
from cad_node.deliver.event_report import PUSH_MODEL, PUSH_MODEL_INSTANCE, read_report
from cad_node.domain import CommitmentReport, EventReport, ReportAnswer
from cad_node.errors import DestinationRefusedError, DestinationUnreachableError
from cad_node.settings import CStoreDestinationSettings
from tests.unit.deliver.peers import listening
from tests.unit.deliver.test_event_report import TRANSACTION, information
from tests.unit.jobs.stubs import SEG_STORAGE, SR_STORAGE, write_object

VERIFICATION = "1.2.840.10008.1.1"


class Pacs:
    """A Storage Commitment SCP on loopback that may report in the association that asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str, Dataset]] = []
        self.status: int = 0x0000
        self.report: Callable[[], Dataset] | None = None
        self.hasty = False
        self.answers: list[Dataset] = []
        self.reported = threading.Event()
        self.port = 0

    def handle(self, event: Any) -> tuple[int, None]:
        self.asked.append(
            (event.action_type, str(event.request.RequestedSOPInstanceUID), event.action_information)
        )
        if self.hasty and self.report is not None:
            dataset, self.report = self.report(), None
            self._report(event.assoc, dataset)
        return self.status, None

    def sent(self, event: Any) -> None:
        # Once the request is answered, and once only: the report is a P-DATA-TF, too.
        if self.asked and self.report is not None and isinstance(event.pdu, P_DATA_TF):
            dataset, self.report = self.report(), None
            threading.Thread(target=self._report, args=(event.assoc, dataset)).start()

    def _report(self, association: Any, dataset: Dataset) -> None:
        status, _ = association.send_n_event_report(dataset, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        self.answers.append(status)
        self.reported.set()


@contextmanager
def serving(pacs: Pacs, abstract_syntax: str = PUSH_MODEL) -> Iterator[Pacs]:
    ae = AE(ae_title="PACS")
    ae.add_supported_context(abstract_syntax, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    handlers = [(evt.EVT_N_ACTION, pacs.handle), (evt.EVT_PDU_SENT, pacs.sent)]
    with listening(ae, handlers) as pacs.port:
        yield pacs


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    with serving(Pacs()) as pacs:
        yield pacs


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_object(tmp_path / "seg-001.dcm", "1.2.3", "1.2.3.1", SEG_STORAGE)
    write_object(tmp_path / "sr.dcm", "1.2.3", "1.2.3.2", SR_STORAGE)
    return tmp_path


def scu(port: int, **changes: Any) -> CommitmentScu:
    values = {"name": "pacs", "host": "127.0.0.1", "port": port, "ae_title": "PACS", "timeout_s": 5.0}
    return CommitmentScu(
        CStoreDestinationSettings(**{**values, "storage_commitment": True, "commitment_wait_s": 0, **changes})
    )


def ask(asker: CommitmentScu, results: Path, **changes: Any) -> None:
    values = {"on_report": pytest.fail, "is_reported": lambda: False, **changes}
    asker.request(TRANSACTION, asker.objects(results), **values)


def test_it_asks_for_what_was_sent(pacs: Pacs, results: Path) -> None:
    ask(scu(pacs.port), results)

    ((action, instance, asked),) = pacs.asked
    assert (action, instance, asked.TransactionUID) == (1, PUSH_MODEL_INSTANCE, TRANSACTION)
    assert [
        (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in asked.ReferencedSOPSequence
    ] == [(SEG_STORAGE, "1.2.3.1"), (SR_STORAGE, "1.2.3.2")]
    assert len(asked) == 2


def test_a_report_in_the_same_association_is_heard_and_answered(pacs: Pacs, results: Path) -> None:
    heard: list[EventReport] = []
    pacs.report = lambda: information(("1.2.3.1", "1.2.3.2"))

    def on_report(report: EventReport) -> ReportAnswer:
        heard.append(report)
        return ReportAnswer.RECORDED

    ask(scu(pacs.port, commitment_wait_s=30), results, on_report=on_report)

    assert pacs.reported.wait(10)
    assert [one.Status for one in pacs.answers] == [0x0000]
    (report,) = heard
    assert read_report(report) == CommitmentReport(TRANSACTION, frozenset(("1.2.3.1", "1.2.3.2")), {})


def test_a_report_that_comes_before_the_response_is_heard_too(pacs: Pacs, results: Path) -> None:
    heard: list[EventReport] = []
    pacs.report, pacs.hasty = lambda: information(("1.2.3.1",)), True

    def on_report(report: EventReport) -> ReportAnswer:
        heard.append(report)
        return ReportAnswer.RECORDED

    ask(scu(pacs.port), results, on_report=on_report)

    assert [one.Status for one in pacs.answers] == [0x0000]
    assert len(heard) == len(pacs.asked) == 1


def test_a_report_that_is_not_known_is_answered_so(pacs: Pacs, results: Path) -> None:
    pacs.report = information

    ask(scu(pacs.port, commitment_wait_s=30), results, on_report=lambda _: ReportAnswer.UNKNOWN_TRANSACTION)

    assert pacs.reported.wait(10)
    assert [(one.Status, one.ErrorComment) for one in pacs.answers] == [
        (0x0115, "No such transaction with this peer")
    ]


def test_it_does_not_wait_for_what_came_otherwise(pacs: Pacs, results: Path) -> None:
    looked: list[bool] = []

    def is_reported() -> bool:
        looked.append(True)
        return len(looked) > 2

    # It would wait for a minute; the deadline of the test run is no part of what is shown.
    ask(scu(pacs.port, commitment_wait_s=60), results, is_reported=is_reported)

    assert len(looked) == 3


def test_a_peer_that_sends_without_end_is_cut_off(pacs: Pacs, results: Path) -> None:
    dataset = information(("1.2.3.1",))
    dataset.add_new(0x00420011, "OB", bytes(3_000_000))
    pacs.report = lambda: dataset

    ask(scu(pacs.port, commitment_wait_s=60), results)

    assert pacs.reported.wait(10)
    assert not any("Status" in one for one in pacs.answers)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (0x0110, DestinationUnreachableError),
        (0x0124, DestinationUnreachableError),
        (0x0213, DestinationUnreachableError),
        (0x0119, DestinationRefusedError),
        (0x0123, DestinationRefusedError),
        (0x0211, DestinationRefusedError),
        (0xC123, DestinationUnreachableError),
    ],
)
def test_a_request_that_is_not_taken_is_tried_again_or_shown(
    pacs: Pacs, results: Path, status: int, error: type[Exception]
) -> None:
    pacs.status = status

    with pytest.raises(error, match=f"0x{status:04X} when asked for storage commitment"):
        ask(scu(pacs.port), results)


def test_a_pacs_without_storage_commitment_is_named() -> None:
    with (
        serving(Pacs(), VERIFICATION) as pacs,
        pytest.raises(DestinationRefusedError, match="offers no Storage Commitment") as raised,
    ):
        scu(pacs.port).verify()

    assert "storage_commitment off here" in raised.value.hint


def test_a_pacs_with_it_is_verified_without_a_request(pacs: Pacs) -> None:
    scu(pacs.port).verify()

    assert pacs.asked == []


@pytest.mark.parametrize(
    ("reason", "what"),
    [
        (0x0112, Remedy.SEND_AGAIN),
        (0x0110, Remedy.ASK_AGAIN),
        (0x0213, Remedy.ASK_AGAIN),
        (0x0131, Remedy.ASK_AGAIN),
        (None, Remedy.ASK_AGAIN),
        (0x0122, Remedy.NONE),
        (0x0119, Remedy.NONE),
        (0xABCD, Remedy.NONE),
    ],
)
def test_each_failure_reason_has_its_remedy(reason: int | None, what: Remedy) -> None:
    assert remedy(reason)[0] is what
