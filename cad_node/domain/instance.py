"""SOP Instances on their way from the network to the inbox, and the UIDs that name them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

# PS3.5 section 9.1 forbids leading zeros, and roots above 2 are nobody's; scanners write both, and results
# must name their source as it is. Digits and single dots are no path out of a folder, whatever they say.
_UID = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)


def is_valid_uid(value: str) -> bool:
    """Whether `value` can name an instance, and so a file: digits and single dots, at most 64 characters."""
    return len(value) <= 64 and _UID.fullmatch(value) is not None


@dataclass(frozen=True)
class ReceivedInstance:
    """One instance as a sender delivered it, checked but not yet stored.

    The UIDs are valid (`is_valid_uid`) and so safe as names of files.
    `part10` is the whole file: preamble, File Meta Information, and the data
    set's bytes exactly as they came; or, for a large one, the path where it was
    put while it came in, for the taker to move away.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    part10: bytes | Path = field(compare=False, repr=False)


@dataclass(frozen=True)
class StoredInstance:
    """One instance that lies in the inbox, safe from a power cut.

    `path` is relative to the inbox's folder; `sha256` is that of the whole file,
    `dataset_sha256` that of its data set alone, which is the same whoever sent it when.
    `received_at` is in UTC.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: PurePosixPath
    sha256: str
    size_bytes: int
    calling_ae_title: str
    received_at: datetime
    dataset_sha256: str = ""
