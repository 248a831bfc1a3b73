"""An ICC profile of sRGB for the Color Softcopy Presentation State.

The standard wants one of class `scnr` or `spac` there (PS3.3 C.11.15); the sRGB
profiles that come with libraries are display profiles (`mntr`). This one is
written from the published numbers: the primaries and curve of IEC 61966-2-1,
adapted to D50 as ICC.1 wants it.
"""

from __future__ import annotations

import struct
from functools import lru_cache

# ICC.1:2001-04: profile version 2.1, which every reader knows.
_VERSION = 0x02100000
_D50 = (0.9642, 1.0, 0.8249)
# Columns of sRGB to XYZ, Bradford-adapted from D65 to D50.
_PRIMARIES = {
    b"rXYZ": (0.4360747, 0.2225045, 0.0139322),
    b"gXYZ": (0.3850649, 0.7168786, 0.0971045),
    b"bXYZ": (0.1430804, 0.0606169, 0.7141733),
}
_CURVE_POINTS = 1024
_NAME = "sRGB as input"
_COPYRIGHT = "No copyright, use freely"


@lru_cache(maxsize=1)
def srgb_input_profile() -> bytes:
    """The profile; always the same bytes."""
    tags = {
        b"desc": _description(_NAME),
        b"cprt": b"text\0\0\0\0" + _COPYRIGHT.encode("ascii") + b"\0",
        b"wtpt": _xyz(_D50),
        **{name: _xyz(column) for name, column in _PRIMARIES.items()},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve()),
    }
    offset = 128 + 4 + 12 * len(tags)
    table, body = b"", b""
    placed: dict[bytes, tuple[int, int]] = {}
    for name, content in tags.items():
        if content not in placed:  # the three curves are one
            placed[content] = offset + len(body), len(content)
            body += content + b"\0" * (-len(content) % 4)
        table += name + struct.pack(">II", *placed[content])
    size = offset + len(body)
    return _header(size) + struct.pack(">I", len(tags)) + table + body


def _header(size: int) -> bytes:
    return (
        struct.pack(">I4sI", size, b"\0\0\0\0", _VERSION)
        + b"scnrRGB XYZ "
        + struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
        + b"acsp"
        + b"\0" * 24  # platform, flags, device
        + struct.pack(">I", 0)  # perceptual
        + b"".join(_fixed(value) for value in _D50)
        + b"\0" * 48
    )


def _fixed(value: float) -> bytes:
    """s15Fixed16Number."""
    return struct.pack(">i", round(value * 65536))


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(_fixed(value) for value in values)


def _curve() -> bytes:
    values = []
    for index in range(_CURVE_POINTS):
        encoded = index / (_CURVE_POINTS - 1)
        linear = encoded / 12.92 if encoded <= 0.04045 else ((encoded + 0.055) / 1.055) ** 2.4
        values.append(round(linear * 65535))
    return struct.pack(f">4sII{_CURVE_POINTS}H", b"curv", 0, _CURVE_POINTS, *values)


def _description(text: str) -> bytes:
    """textDescriptionType: the ASCII name, and empty names in Unicode and ScriptCode."""
    ascii_name = text.encode("ascii") + b"\0"
    return (
        struct.pack(">4sII", b"desc", 0, len(ascii_name))
        + ascii_name
        + struct.pack(">II", 0, 0)
        + struct.pack(">HB", 0, 0)
        + b"\0" * 67
    )
