"""Read what a PACS reports of a commitment (PS3.4 table J.3-2)."""

from __future__ import annotations

from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from cad_node.domain import CommitmentReport, EventReport, ReportAnswer, is_valid_uid

PUSH_MODEL = "1.2.840.10008.1.20.1"
PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"

# PS3.4 section J.3.3: all committed; not all.
_EVENTS = (1, 2)
# PS3.3 section C.14.1.1: for an object that fails without a reason.
_PROCESSING_FAILURE = 0x0110


def read_report(report: EventReport) -> CommitmentReport | ReportAnswer:
    """What it says, or the answer to one that says nothing that can be used.

    An object is committed only where the report names it and does not name it as failed, too.
    """
    if report.sop_instance_uid != PUSH_MODEL_INSTANCE:
        return ReportAnswer.UNKNOWN_INSTANCE
    if report.event_type not in _EVENTS:
        return ReportAnswer.UNKNOWN_EVENT
    syntax = UID(report.transfer_syntax_uid)
    try:
        dataset = read_dataset(
            BytesIO(report.information), syntax.is_implicit_VR, syntax.is_little_endian, bytelength=None
        )
        transaction_uid = str(dataset.get("TransactionUID", ""))
        committed = frozenset(str(item.ReferencedSOPInstanceUID) for item in _items(dataset, "Referenced"))
        failed = {
            str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason") or _PROCESSING_FAILURE)
            for item in _items(dataset, "Failed")
        }
    except Exception:  # whatever a peer's bytes make of the reader; nothing of them is repeated
        return ReportAnswer.UNREADABLE
    if not is_valid_uid(transaction_uid):
        return ReportAnswer.UNREADABLE
    return CommitmentReport(transaction_uid, committed - failed.keys(), failed)


def _items(dataset: Dataset, which: str) -> list[Dataset]:
    return list(dataset.get(f"{which}SOPSequence") or ())
