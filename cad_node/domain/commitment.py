"""What a PACS says of the results that it took: Storage Commitment (PS3.4 annex J)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum


@dataclass(frozen=True)
class EventReport:
    """An N-EVENT-REPORT of the Storage Commitment Push Model as it came, not yet read.

    `calling_ae_title` is empty where it came in the association that the node had
    opened. `information` is the encoded Event Information.
    """

    calling_ae_title: str
    sop_instance_uid: str
    event_type: int
    transfer_syntax_uid: str
    information: bytes = field(repr=False)


@dataclass(frozen=True)
class CommitmentReport:
    """What it says: the objects that the PACS is committed to, and why not to the others.

    `failed` holds the Failure Reason (0008,1197) of each SOP Instance UID.
    """

    transaction_uid: str
    committed: frozenset[str]
    failed: Mapping[str, int]


class ReportAnswer(IntEnum):
    """How the node answers a report; the values are the statuses of PS3.7 section 10.1.1.1.8."""

    RECORDED = 0x0000
    FAULT = 0x0110
    UNKNOWN_INSTANCE = 0x0112
    UNKNOWN_EVENT = 0x0113
    UNKNOWN_TRANSACTION = 0x0115
    UNREADABLE = 0x0212

    @property
    def comment(self) -> str:
        """The Error Comment (0000,0902) that goes with it, at most 64 characters."""
        return _COMMENTS[self]


_COMMENTS = {
    ReportAnswer.RECORDED: "",
    ReportAnswer.FAULT: "Processing failure in the node",
    ReportAnswer.UNKNOWN_INSTANCE: "Not the Storage Commitment Push Model instance",
    ReportAnswer.UNKNOWN_EVENT: "Event type is neither 1 nor 2",
    ReportAnswer.UNKNOWN_TRANSACTION: "No such transaction with this peer",
    ReportAnswer.UNREADABLE: "Cannot understand the event information",
}
