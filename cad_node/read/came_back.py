"""What the headers of an object say that may be the node's own, sent back by a PACS.

A PACS that forwards whatever comes of a study forwards the node's own results to the node,
too. They are no new images, and no answers.
"""

from __future__ import annotations

import io
import zlib

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from cad_node.domain import ReceivedInstance
from cad_node.read.gate import CAPTURE_CLASSES, is_own_result

# This runs in the process that receives: only so much is looked at of what anybody may send. pydicom takes
# 30 µs and 1.4 kB for an item of 8 bytes, and inflates a data set as a whole.
_CAPTURE_BYTES = 1 << 16
# The evidence of some thousand images stands before the flag.
_REPORT_BYTES = 1 << 20


def is_own_capture(received: ReceivedInstance) -> bool:
    """Whether it is a capture that a node made, of whatever study; other classes are not looked into."""
    if received.sop_class_uid not in CAPTURE_CLASSES:
        return False
    return is_own_result(_header(received, "CodingSchemeIdentificationSequence", _CAPTURE_BYTES))


def is_verified(received: ReceivedInstance) -> bool:
    """Whether somebody has put his name to a report."""
    return str(_header(received, "VerificationFlag", _REPORT_BYTES).get("VerificationFlag", "")) == "VERIFIED"


def _header(received: ReceivedInstance, keyword: str, size_bytes: int) -> Dataset:
    """That one element, as far as so many bytes of the data set hold it and it can be read."""
    syntax, wanted = UID(received.transfer_syntax_uid), tag_for_keyword(keyword) or 0
    content = received.part10
    try:
        with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
            # The node wrote the File Meta Information, its length first.
            file.seek(144 + int.from_bytes(file.read(144)[140:], "little"))
            head = file.read(size_bytes)
        if syntax.is_deflated:
            head = zlib.decompressobj(-zlib.MAX_WBITS).decompress(head, size_bytes)
        header = read_dataset(
            io.BytesIO(head),
            syntax.is_implicit_VR,
            syntax.is_little_endian,
            stop_when=lambda tag, _vr, _length: tag > wanted,
            specific_tags=[wanted],
        )
        header.get(keyword)  # what is damaged shows here
    except Exception:  # damage may make a reader raise anything; then it is nothing that the node made
        return Dataset()
    return header
