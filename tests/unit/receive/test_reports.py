"""Reports on storage commitments: who may send them, in which role, and what is answered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_role
from pynetdicom.association import Association

from cad_node.domain import EventReport, ReportAnswer
from cad_node.receive.contexts import STORAGE_COMMITMENT
from cad_node.receive.messages import MAXIMUM_REPORT_BYTES
from cad_node.receive.scp import Reports, StorageScp
from cad_node.settings import ReceiveSettings
from tests.receiving import US_IMAGE, RawPeer, Sender, p_data, store_command

INSTANCE = "1.2.840.10008.1.20.1.1"
# PS3.7 table 10.3-1: N-EVENT-REPORT-RQ.
N_EVENT_REPORT, N_ACTION = 0x0100, 0x0130


class Desk:
    """Notes reports, and answers as it is told to."""

    def __init__(self) -> None:
        self.heard: list[EventReport] = []
        self.answer = ReportAnswer.RECORDED

    def record(self, report: EventReport) -> ReportAnswer:
        self.heard.append(report)
        return self.answer


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def port(desk: Desk) -> Iterator[int]:
    """A node that SCANNER may send to and ARCHIVE report to; the archive knows it as CADSEND, too."""
    settings = ReceiveSettings(calling_ae_titles=("SCANNER", "BOTH"), network_timeout_s=10)
    titles = frozenset(("CADNODE", "CADSEND"))
    reports = Reports({"ARCHIVE": titles, "BOTH": titles}, desk.record)
    with StorageScp(settings, pytest.fail, lambda _: True, port=0, reports=reports) as scp:
        yield scp.port


@contextmanager
def association(
    port: int, calling: str = "ARCHIVE", called: str = "CADNODE", role: Any = (False, True)
) -> Iterator[Association]:
    """As a PACS opens it: it is the SCP, though it is the requestor; `role` is (SCU, SCP)."""
    ae = AE(ae_title=calling)
    for abstract_syntax in (STORAGE_COMMITMENT, US_IMAGE):
        ae.add_requested_context(abstract_syntax, ExplicitVRLittleEndian)
    roles = [] if role is None else [build_role(STORAGE_COMMITMENT, scu_role=role[0], scp_role=role[1])]
    opened = ae.associate("127.0.0.1", port, ae_title=called, ext_neg=roles)
    try:
        yield opened
    finally:
        if opened.is_established:
            opened.release()


def accepted(opened: Association) -> set[str]:
    return {str(context.abstract_syntax) for context in opened.accepted_contexts}


def information(content: bytes = b"") -> Dataset:
    dataset = Dataset()
    dataset.TransactionUID = "2.25.7"
    if content:
        dataset.add_new(0x00420011, "OB", content)
    return dataset


def test_a_report_is_handed_on_and_answered(port: int, desk: Desk) -> None:
    with association(port) as opened:
        (context,) = opened.accepted_contexts
        assert (context.as_scu, context.as_scp) == (False, True)
        status, _ = opened.send_n_event_report(information(), 2, STORAGE_COMMITMENT, INSTANCE)

    assert status.Status == 0x0000
    (report,) = desk.heard
    assert (report.calling_ae_title, report.sop_instance_uid, report.event_type) == ("ARCHIVE", INSTANCE, 2)
    assert report.transfer_syntax_uid == ExplicitVRLittleEndian
    assert report.information == b"\x08\x00\x95\x11UI\x06\x002.25.7"


@pytest.mark.parametrize("answer", [one for one in ReportAnswer if one is not ReportAnswer.RECORDED])
def test_each_answer_has_its_status_and_comment(port: int, desk: Desk, answer: ReportAnswer) -> None:
    desk.answer = answer

    with association(port) as opened:
        status, _ = opened.send_n_event_report(information(), 1, STORAGE_COMMITMENT, INSTANCE)
        assert (status.Status, status.ErrorComment) == (int(answer), answer.comment)
        # The association stands, and the next one is served.
        desk.answer = ReportAnswer.RECORDED
        status, _ = opened.send_n_event_report(information(), 1, STORAGE_COMMITMENT, INSTANCE)

    assert status.Status == 0x0000
    assert 0 < len(answer.comment) <= 64


@pytest.mark.parametrize("role", [None, (True, True)], ids=["no role", "both roles"])
def test_a_peer_that_negotiates_roles_loosely_is_served(port: int, desk: Desk, role: Any) -> None:
    with association(port, role=role) as opened:
        assert STORAGE_COMMITMENT in accepted(opened)
        # Not negotiated as an SCP, pynetdicom would not send it; others do.
        for context in opened.accepted_contexts:
            context._as_scp = True
        status, _ = opened.send_n_event_report(information(), 1, STORAGE_COMMITMENT, INSTANCE)

    assert status.Status == 0x0000
    assert len(desk.heard) == 1


def test_nobody_can_ask_the_node_for_a_commitment(port: int) -> None:
    with association(port, role=(True, False)) as opened:
        assert not opened.is_established


@pytest.mark.parametrize(
    ("calling", "called", "contexts"),
    [
        ("ARCHIVE", "CADNODE", {STORAGE_COMMITMENT}),
        ("ARCHIVE", "CADSEND", {STORAGE_COMMITMENT}),
        ("BOTH", "CADNODE", {STORAGE_COMMITMENT, US_IMAGE}),
        ("BOTH", "CADSEND", {STORAGE_COMMITMENT}),
        ("SCANNER", "CADNODE", {US_IMAGE}),
    ],
)
def test_each_peer_may_do_its_own(port: int, calling: str, called: str, contexts: set[str]) -> None:
    with association(port, calling, called) as opened:
        assert accepted(opened) == contexts


@pytest.mark.parametrize(
    ("calling", "called", "rejection"),
    [
        ("SCANNER", "CADSEND", (1, 1, 7)),
        ("STRANGER", "CADNODE", (1, 1, 3)),
        ("ARCHIVE", "OTHER", (1, 1, 7)),
    ],
)
def test_nobody_else_is_let_in(port: int, calling: str, called: str, rejection: tuple[int, int, int]) -> None:
    with Sender(
        port, [(STORAGE_COMMITMENT, ExplicitVRLittleEndian)], calling=calling, called=called
    ) as sender:
        assert sender.rejection == rejection


def test_without_destinations_that_are_asked_there_are_no_reports() -> None:
    with (
        StorageScp(ReceiveSettings(), pytest.fail, lambda _: True, port=0) as scp,
        association(scp.port) as opened,
    ):
        assert accepted(opened) == {US_IMAGE}


def command(field: int = N_EVENT_REPORT, data_set: int = 1) -> bytes:
    """The command set of an N-EVENT-REPORT request."""
    stored = store_command(INSTANCE, STORAGE_COMMITMENT, field, data_set)
    body = stored[12:] + b"\0\0\x02\x10\x02\0\0\0\x01\0"  # Event Type ID 1
    return stored[:8] + len(body).to_bytes(4, "little") + body


CONTEXTS = ((1, STORAGE_COMMITMENT, ExplicitVRLittleEndian), (3, US_IMAGE, ExplicitVRLittleEndian))


def test_a_report_longer_than_any_is_cut_off(port: int, desk: Desk) -> None:
    with RawPeer(port) as peer:
        assert peer.associate(contexts=CONTEXTS, calling="ARCHIVE") == 2
        peer.send(p_data(3, command()))
        for _ in range(MAXIMUM_REPORT_BYTES // 16_000 + 2):
            if not peer.send(p_data(0, bytes(16_000))):
                break
        assert peer.closed_within(10)

    assert desk.heard == []


@pytest.mark.parametrize(
    ("context_id", "message"),
    [
        (1, command(data_set=0x0101)),
        (3, command()),
        (1, command(N_ACTION)),
        (1, store_command("1.2.3", STORAGE_COMMITMENT)),
    ],
    ids=["without information", "as an image", "asked of the node", "stored as a commitment"],
)
def test_what_is_no_report_ends_the_association(
    port: int, desk: Desk, context_id: int, message: bytes
) -> None:
    with RawPeer(port) as peer:
        assert peer.associate(contexts=CONTEXTS, calling="BOTH") == 2
        peer.send(p_data(3, message, context_id))
        assert peer.closed_within(10)

    assert desk.heard == []
