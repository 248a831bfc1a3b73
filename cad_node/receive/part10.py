"""File Meta Information for a data set that came without (PS3.10 section 7.1).

Written by hand as bytes: it stands in front of bytes that must stay exactly as
they came, and nothing here may depend on what is in them.
"""

from __future__ import annotations

import struct

from cad_node import __version__

# A UUID-derived UID (PS3.5 annex B.2), drawn once for this implementation.
IMPLEMENTATION_CLASS_UID = "2.25.209144071093412926116217571229914387017"
# VR SH: at most 16 characters.
IMPLEMENTATION_VERSION_NAME = f"CADNODE_{__version__}"[:16]

PREAMBLE = b"\0" * 128 + b"DICM"


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0" if vr in (b"UI", b"OB") else b" "
    if vr == b"OB":
        return struct.pack("<HH2sHI", 0x0002, element, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 0x0002, element, vr, len(value)) + value


def file_header(
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    calling_ae_title: str,
    called_ae_title: str,
) -> bytes:
    """Preamble, prefix and File Meta Information, up to the first byte of the data set.

    The sender is named both as Source (0002,0016), where most software looks,
    and as Sending Application Entity Title (0002,0017); the node as Receiving
    (0002,0018).
    """
    calling = calling_ae_title.encode("ascii", "replace")[:16]
    called = called_ae_title.encode("ascii", "replace")[:16]
    elements = b"".join(
        (
            _element(0x0001, b"OB", b"\x00\x01"),
            _element(0x0002, b"UI", sop_class_uid.encode("ascii")),
            _element(0x0003, b"UI", sop_instance_uid.encode("ascii")),
            _element(0x0010, b"UI", transfer_syntax_uid.encode("ascii")),
            _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii")),
            _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
            _element(0x0016, b"AE", calling),
            _element(0x0017, b"AE", calling),
            _element(0x0018, b"AE", called),
        )
    )
    group_length = struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(elements))
    return PREAMBLE + group_length + elements
