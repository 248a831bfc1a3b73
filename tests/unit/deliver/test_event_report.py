from __future__ import annotations

from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from cad_node.deliver.event_report import PUSH_MODEL_INSTANCE, read_report
from cad_node.domain import CommitmentReport, EventReport, ReportAnswer

TRANSACTION = "2.25.7"


def item(uid: str, reason: int | None = None) -> Dataset:
    one = Dataset()
    one.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.66.4"
    one.ReferencedSOPInstanceUID = uid
    if reason is not None:
        one.FailureReason = reason
    return one


def information(
    committed: tuple[str, ...] = (),
    failed: dict[str, int | None] | None = None,
    transaction: str = TRANSACTION,
) -> Dataset:
    """Event Information as a PACS makes it, PS3.4 table J.3-2."""
    dataset = Dataset()
    dataset.TransactionUID = transaction
    if committed:
        dataset.ReferencedSOPSequence = [item(uid) for uid in committed]
    if failed is not None:
        dataset.FailedSOPSequence = [item(uid, reason) for uid, reason in failed.items()]
    return dataset


def encoded(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    buffer = DicomFileLike(BytesIO())
    buffer.is_implicit_VR = syntax == ImplicitVRLittleEndian
    buffer.is_little_endian = syntax != ExplicitVRBigEndian
    write_dataset(buffer, dataset)
    return buffer.parent.getvalue()  # type: ignore[no-any-return]


def reported(
    content: bytes,
    event_type: int = 1,
    syntax: str = ExplicitVRLittleEndian,
    instance: str = PUSH_MODEL_INSTANCE,
) -> EventReport:
    return EventReport("PACS", instance, event_type, syntax, content)


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian], ids=lambda uid: uid.name
)
def test_it_is_read_in_each_transfer_syntax(syntax: str) -> None:
    content = encoded(information(("1.1", "1.2"), {"1.3": 0x0112}), syntax)

    found = read_report(reported(content, 2, syntax))

    assert found == CommitmentReport(TRANSACTION, frozenset(("1.1", "1.2")), {"1.3": 0x0112})


def test_what_is_named_twice_has_failed() -> None:
    found = read_report(reported(encoded(information(("1.1", "1.2"), {"1.2": 0x0110})), 2))

    assert found == CommitmentReport(TRANSACTION, frozenset(("1.1",)), {"1.2": 0x0110})


@pytest.mark.parametrize("reason", [None, 0])
def test_a_failure_without_a_reason_is_a_failure(reason: int | None) -> None:
    found = read_report(reported(encoded(information(failed={"1.1": reason})), 2))

    assert found == CommitmentReport(TRANSACTION, frozenset(), {"1.1": 0x0110})


def test_a_report_that_names_nothing_commits_to_nothing() -> None:
    assert read_report(reported(encoded(information()))) == CommitmentReport(TRANSACTION, frozenset(), {})


def test_another_event_is_not_known() -> None:
    assert read_report(reported(encoded(information()), 3)) is ReportAnswer.UNKNOWN_EVENT


def test_another_instance_is_not_known() -> None:
    report = reported(encoded(information()), instance="1.2.3")

    assert read_report(report) is ReportAnswer.UNKNOWN_INSTANCE


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        encoded(Dataset()),
        bytes(range(256)) * 8,
        # A sequence in a sequence in a sequence …
        b"\x08\x00\x99\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 5000,
    ],
    ids=["nothing", "a byte", "no transaction", "noise", "deep"],
)
def test_what_cannot_be_read_is_said_to_be_so(content: bytes) -> None:
    assert read_report(reported(content)) is ReportAnswer.UNREADABLE


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_transaction_that_is_no_uid_is_not_looked_for() -> None:
    content = encoded(information(("1.1",))).replace(b"2.25.7", b"2.25.x")

    assert read_report(reported(content)) is ReportAnswer.UNREADABLE
