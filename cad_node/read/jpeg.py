"""What a compressed stream says about itself, before any decoder is trusted with it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_APP14, _SOS = 0xEE, 0xDA
# Start of frame, ISO 10918-1 table B.1 (0xC4, 0xC8 and 0xCC are none), and JPEG-LS, ISO 14495-1 C.1.
_STARTS_OF_FRAME = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD9)))
_J2K_START = b"\xff\x4f\xff\x51"  # SOC, SIZ: ISO 15444-1 A.4.1, A.5.1


@dataclass(frozen=True)
class StreamInfo:
    """Size and colour of one compressed frame.

    `is_rgb` is True or False where the stream itself tells by Adobe marker or
    component names, None where it does not.
    """

    rows: int
    columns: int
    components: int
    precision: int
    is_rgb: bool | None = None


def stream_info(stream: bytes) -> StreamInfo | None:
    """Header of a JPEG, JPEG-LS or JPEG 2000 stream; None where it is none of them or broken."""
    try:
        start = stream.find(_J2K_START, 0, 256)  # a JP2 box may come first
        return _jpeg_2000(stream, start) if start >= 0 else _jpeg(stream)
    except (struct.error, IndexError):
        return None


def declare_untransformed(stream: bytes) -> bytes:
    """A JPEG stream whose Adobe marker says that its components are stored as they are.

    With it a decoder returns three components without turning them from YCbCr
    into RGB, so that the colour space is ours to decide. An end marker that was
    lost is put back.
    """
    kept = [_SOI]
    for marker, segment in _segments(stream):
        if marker == _APP14 and segment[4:9] == b"Adobe":
            continue
        if marker == 0xE0 and segment[4:8] == b"JFIF":  # to libjpeg it outranks the Adobe marker
            continue
        kept.append(segment)
    # Adobe technical note 5116: version 100, two flags, transform 0.
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
    ended = kept[-1].rstrip(b"\0")
    kept[-1] = ended if ended.endswith(_EOI) else kept[-1] + _EOI
    return b"".join((kept[0], adobe, *kept[1:]))


def _segments(stream: bytes) -> list[tuple[int, bytes]]:
    """All segments up to the first scan, each with its marker; the scan and what follows are one."""
    if stream[:2] != _SOI:
        raise IndexError("no start of image")
    found: list[tuple[int, bytes]] = []
    at = 2
    while True:
        while stream[at] == 0xFF and stream[at + 1] == 0xFF:  # fill bytes, B.1.1.2
            at += 1
        if stream[at] != 0xFF:
            raise IndexError("no marker")
        marker = stream[at + 1]
        if marker == _SOS:
            found.append((marker, stream[at:]))
            return found
        length = 0 if marker in _STANDALONE else struct.unpack_from(">H", stream, at + 2)[0]
        found.append((marker, stream[at : at + 2 + length]))
        at += 2 + length


def _jpeg(stream: bytes) -> StreamInfo | None:
    transform: int | None = None
    frame: bytes | None = None
    for marker, segment in _segments(stream):
        if marker == _APP14 and segment[4:9] == b"Adobe" and len(segment) >= 16:
            transform = segment[15]
        elif marker in _STARTS_OF_FRAME:
            frame = segment
    if frame is None:
        return None
    precision, rows, columns, components = struct.unpack_from(">BHHB", frame, 4)
    names = frame[10 : 10 + 3 * components : 3]
    is_rgb: bool | None = None
    if transform is not None:
        is_rgb = transform == 0
    elif names in (b"RGB", b"rgb"):
        is_rgb = True
    return StreamInfo(rows, columns, components, precision, is_rgb)


def _jpeg_2000(stream: bytes, start: int) -> StreamInfo:
    right, bottom, left, top = struct.unpack_from(">IIII", stream, start + 8)
    components, precision = struct.unpack_from(">HB", stream, start + 40)
    coding = stream.find(b"\xff\x52", start, start + 4096)  # COD, ISO 15444-1 A.6.1
    # Octet 4 of COD's parameters says whether a component transform was used; every decoder undoes it.
    is_rgb = True if coding >= 0 and stream[coding + 8] == 1 else None
    return StreamInfo(bottom - top, right - left, components, (precision & 0x7F) + 1, is_rgb)
