"""Read the UIDs of an encoded data set, and see that none of its bytes are missing.

Steps from element to element without looking at values, so that nothing of a
patient is ever decoded here, no byte can make it guess, and pixels are skipped
in one step. Any input ends in UIDs or in `UnreadableDatasetError`.

Source: PS3.5 chapter 7 (elements, sequences), annex A (transfer syntaxes).
"""

from __future__ import annotations

import mmap
import struct
import zlib
from dataclasses import dataclass

from cad_node.domain import is_valid_uid
from cad_node.errors import UnreadableDatasetError

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
_WANTED = (SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID)
_NAMES = {
    SOP_CLASS_UID: "SOP Class UID",
    SOP_INSTANCE_UID: "SOP Instance UID",
    STUDY_INSTANCE_UID: "Study Instance UID",
    SERIES_INSTANCE_UID: "Series Instance UID",
}

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
# PS3.5 table 7.1-1: these have two reserved bytes and a length of 32 bits.
_LONG_VR = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)

# Bounds on work for a hostile sender, far above real objects.
_MAXIMUM_ELEMENTS = 1_000_000
_MAXIMUM_DEPTH = 64
_DEFLATED_HEAD_BYTES = 4_000_000
_INFLATE_STEP_BYTES = 1_000_000
_DEFLATED_STEP_BYTES = 65_536


@dataclass(frozen=True)
class Identity:
    """The four UIDs that say what an instance is and where it belongs, all valid."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str


def read_identity(
    encoded: bytes | memoryview | mmap.mmap, transfer_syntax_uid: str, maximum_bytes: int
) -> Identity:
    """UIDs of an encoded data set, which is walked to its end to see that it is complete.

    Parameters
    ----------
    encoded
        The data set without File Meta Information, as it came.
    transfer_syntax_uid
        The negotiated transfer syntax.
    maximum_bytes
        A deflated data set that grows larger is refused.

    Raises
    ------
    UnreadableDatasetError
        The data set is truncated or not one, or lacks one of the UIDs. The
        sender is at fault.
    """
    with memoryview(encoded) as view:
        if transfer_syntax_uid == DEFLATED:
            found = _walk_deflated(view, maximum_bytes)
        else:
            found = _walk(
                view,
                implicit=transfer_syntax_uid == IMPLICIT_LITTLE_ENDIAN,
                order=">" if transfer_syntax_uid == EXPLICIT_BIG_ENDIAN else "<",
            )
    return Identity(*(_uid(found, tag) for tag in _WANTED))


def _uid(found: dict[int, bytes], tag: int) -> str:
    if tag not in found:
        raise UnreadableDatasetError(f"The data set lacks {_NAMES[tag]}.", "The sender must add it.")
    value = found[tag].rstrip(b"\0 ").decode("ascii", "replace")
    if not is_valid_uid(value):
        raise UnreadableDatasetError(f"{_NAMES[tag]} is not a valid UID.", "The sender must correct it.")
    return value


class _Walker:
    """A position in encoded elements."""

    def __init__(self, view: memoryview, implicit: bool, order: str) -> None:
        self.view = view
        self.end = len(view)
        self.position = 0
        self.implicit = implicit
        self._tag = struct.Struct(f"{order}HH")
        self._short = struct.Struct(f"{order}H")
        self._long = struct.Struct(f"{order}I")
        self._left = _MAXIMUM_ELEMENTS

    def header(self, implicit: bool) -> tuple[int, bytes, int]:
        """Tag, VR and length of the next element; leaves the position at its value."""
        self._left -= 1
        if self._left < 0:
            raise UnreadableDatasetError("The data set has too many elements.")
        at = self.position
        if self.end - at < 8:
            raise _truncated()
        group, element = self._tag.unpack_from(self.view, at)
        tag = group << 16 | element
        vr = b"" if implicit or group == 0xFFFE else bytes(self.view[at + 4 : at + 6])
        if vr in _LONG_VR:
            if self.end - at < 12:
                raise _truncated()
            self.position = at + 12
            return tag, vr, self._long.unpack_from(self.view, at + 8)[0]
        self.position = at + 8
        # Some senders slip into implicit VR within an explicit data set; readers follow them.
        if vr.isalpha() and vr.isupper():
            return tag, vr, self._short.unpack_from(self.view, at + 6)[0]
        return tag, vr, self._long.unpack_from(self.view, at + 4)[0]

    def skip(self, length: int) -> None:
        """Step over a value, all of whose bytes must be there."""
        if length > self.end - self.position:
            raise _truncated()
        self.position += length

    def skip_sequence(self, implicit: bool) -> None:
        """Step over items up to the end of a sequence of undefined length.

        Encapsulated pixels look the same: items of defined length, then the
        delimiter (PS3.5 A.4).
        """
        in_item = [False]  # one entry for each open sequence (False) and open item (True)
        while in_item:
            tag, vr, length = self.header(implicit)
            if tag == (_ITEM_END if in_item[-1] else _SEQUENCE_END):
                in_item.pop()
                self.skip(length)
            elif not in_item[-1] and tag != _ITEM:
                raise UnreadableDatasetError("A sequence holds something that is not an item.")
            elif length != _UNDEFINED:
                self.skip(length)
            elif len(in_item) >= _MAXIMUM_DEPTH:
                raise UnreadableDatasetError("Sequences are nested too deeply.")
            elif vr == b"UN":
                # PS3.5 6.2.2 note 2: UN of undefined length holds implicit VR, whatever is around it.
                self.skip_sequence(implicit=True)
            else:
                in_item.append(not in_item[-1])


def _truncated() -> UnreadableDatasetError:
    return UnreadableDatasetError("The data set ends in the middle of an element.", "Send it again.")


def _walk(view: memoryview, implicit: bool, order: str, *, head_only: bool = False) -> dict[int, bytes]:
    """Values of the wanted elements on the top level; all of the data set is walked.

    With `head_only`, only up to the last of them.
    """
    found: dict[int, bytes] = {}
    walker = _Walker(view, implicit, order)
    while walker.end - walker.position >= 8:
        tag, vr, length = walker.header(implicit)
        if tag >> 16 < 0x0004:
            # PS3.5 section 7.1: groups 0000 and 0002 have no place in a data set.
            raise UnreadableDatasetError("The data set begins with elements of another kind.")
        if head_only and tag > SERIES_INSTANCE_UID:
            return found
        if length == _UNDEFINED:
            walker.skip_sequence(implicit or vr == b"UN")
            continue
        start = walker.position
        walker.skip(length)
        if tag in _WANTED:
            found[tag] = bytes(view[start : start + min(length, 128)])
    if any(view[walker.position :]):
        raise _truncated()
    return found


def _walk_deflated(view: memoryview, maximum_bytes: int) -> dict[int, bytes]:
    """Read the head of a deflated data set; inflate the rest only to see its end.

    PS3.5 A.5: a raw deflate stream, padded to even length. Inflating goes step
    by step, so that a small stream cannot fill the memory.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    head = bytearray()
    size = 0
    try:
        for start in range(0, len(view), _DEFLATED_STEP_BYTES):
            tail: bytes | memoryview = view[start : start + _DEFLATED_STEP_BYTES]
            while not inflater.eof:
                inflated = inflater.decompress(tail, _INFLATE_STEP_BYTES)
                tail = inflater.unconsumed_tail
                if not inflated and not tail:
                    break
                size += len(inflated)
                if size > maximum_bytes:
                    raise UnreadableDatasetError("The deflated data set is larger than this node takes.")
                if len(head) < _DEFLATED_HEAD_BYTES:
                    head += inflated
    except zlib.error as error:
        raise UnreadableDatasetError("The data set is not a deflate stream.") from error
    if not inflater.eof:
        raise _truncated()
    with memoryview(head) as head_view:
        return _walk(head_view, implicit=False, order="<", head_only=size > len(head))
