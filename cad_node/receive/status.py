"""One table: the DIMSE status a sender gets for each of our errors.

The codes are those of PS3.4 table B.2-1 (Storage) and PS3.7 annex C. Senders
decide by them: 0xA7xx means try again later, 0xA9xx and 0xCxxx mean that the
same object will be refused again.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from cad_node.errors import (
    CadNodeError,
    InboxFullError,
    MismatchedObjectError,
    ReceiveError,
    UnreadableDatasetError,
    UnsupportedObjectError,
)

SUCCESS = 0x0000


@dataclass(frozen=True)
class Refusal:
    """A status, and the Error Comment (0000,0902) that goes with it, at most 64 characters."""

    status: int
    comment: str


# An error finds the entry of its nearest ancestor; every ReceiveError has its own.
STATUS_OF: dict[type[CadNodeError], Refusal] = {
    InboxFullError: Refusal(0xA700, "Out of resources: spool is full, try again later"),
    ReceiveError: Refusal(0xA701, "Out of resources: spool cannot be written"),
    MismatchedObjectError: Refusal(0xA900, "Data set does not match the C-STORE request"),
    UnreadableDatasetError: Refusal(0xC000, "Cannot understand the data set"),
    UnsupportedObjectError: Refusal(0x0122, "SOP Class is not the one negotiated"),
    CadNodeError: Refusal(0x0110, "Processing failure in the node"),
}


def refusal_for(error: BaseException) -> Refusal:
    """Status for `error`; one that is not ours counts as a processing failure."""
    for kind in type(error).__mro__:
        if kind in STATUS_OF:
            return STATUS_OF[kind]
    return STATUS_OF[CadNodeError]


def status_dataset(refusal: Refusal) -> Dataset:
    """The refusal as pynetdicom takes it from a handler."""
    dataset = Dataset()
    dataset.Status = refusal.status
    dataset.ErrorComment = refusal.comment
    return dataset
