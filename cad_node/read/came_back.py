"""What the headers of an object say that may be the node's own, sent back by a PACS.

A PACS that forwards whatever comes of a study forwards the node's own results to the node,
too. They are no new images, and no answers.
"""

from __future__ import annotations

import io
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from cad_node.read.gate import CAPTURE_CLASSES, is_own_result


def is_own_capture(sop_class_uid: str, part10: bytes | Path) -> bool:
    """Whether it is a capture that a node made, of whatever study; other classes are not looked into."""
    if sop_class_uid not in CAPTURE_CLASSES:
        return False
    return is_own_result(_header(part10, "CodingSchemeIdentificationSequence"))


def is_verified(part10: bytes | Path) -> bool:
    """Whether somebody has put his name to a report."""
    return str(_header(part10, "VerificationFlag").get("VerificationFlag", "")) == "VERIFIED"


def _header(part10: bytes | Path, keyword: str) -> Dataset:
    """That one element, if it is there and can be read."""
    try:
        source = io.BytesIO(part10) if isinstance(part10, bytes) else part10
        header = dcmread(source, stop_before_pixels=True, specific_tags=[keyword])
        header.get(keyword)  # what is damaged shows here
    except Exception:  # damage may make a reader raise anything; then it is nothing that the node made
        return Dataset()
    return header
