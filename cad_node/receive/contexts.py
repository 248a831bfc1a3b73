"""What is negotiated: SOP Classes, each with the same transfer syntaxes.

UIDs are written out as PS3.6 annex A has them, so that the list can be read
beside a scanner's conformance statement. `docs/conformance.md` repeats the
tables; a test compares them.
"""

from __future__ import annotations

from pynetdicom import build_context
from pynetdicom.presentation import PresentationContext

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
# They carry no objects.
WITHOUT_OBJECTS = frozenset((VERIFICATION, STORAGE_COMMITMENT))

STORAGE_CLASSES: dict[str, str] = {
    "1.2.840.10008.5.1.4.1.1.6.1": "Ultrasound Image Storage",
    "1.2.840.10008.5.1.4.1.1.3.1": "Ultrasound Multi-frame Image Storage",
    "1.2.840.10008.5.1.4.1.1.6": "Ultrasound Image Storage (retired)",
    "1.2.840.10008.5.1.4.1.1.3": "Ultrasound Multi-frame Image Storage (retired)",
    "1.2.840.10008.5.1.4.1.1.6.2": "Enhanced US Volume Storage",
    "1.2.840.10008.5.1.4.1.1.7": "Secondary Capture Image Storage",
    "1.2.840.10008.5.1.4.1.1.7.1": "Multi-frame Single Bit Secondary Capture Image Storage",
    "1.2.840.10008.5.1.4.1.1.7.2": "Multi-frame Grayscale Byte Secondary Capture Image Storage",
    "1.2.840.10008.5.1.4.1.1.7.3": "Multi-frame Grayscale Word Secondary Capture Image Storage",
    "1.2.840.10008.5.1.4.1.1.7.4": "Multi-frame True Color Secondary Capture Image Storage",
}

# What a radiologist says of a result comes back as one of these. They are taken without
# compression: such an object is a few kilobytes, and nothing inflated has to be bounded.
ANSWER_CLASSES: dict[str, str] = {
    "1.2.840.10008.5.1.4.1.1.88.59": "Key Object Selection Document Storage",
    "1.2.840.10008.5.1.4.1.1.88.11": "Basic Text SR Storage",
    "1.2.840.10008.5.1.4.1.1.88.22": "Enhanced SR Storage",
    "1.2.840.10008.5.1.4.1.1.88.33": "Comprehensive SR Storage",
    "1.2.840.10008.5.1.4.1.1.88.34": "Comprehensive 3D SR Storage",
}

# The order is our preference where a sender offers several in one context. It
# offers what it can convert to, so whatever could cost it quality comes last.
DECODED_SYNTAXES: dict[str, str] = {
    "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
    "1.2.840.10008.1.2": "Implicit VR Little Endian",
    "1.2.840.10008.1.2.2": "Explicit VR Big Endian (retired)",
    "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
    "1.2.840.10008.1.2.5": "RLE Lossless",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless, First-Order Prediction",
    "1.2.840.10008.1.2.4.57": "JPEG Lossless, Process 14",
    "1.2.840.10008.1.2.4.90": "JPEG 2000, lossless only",
    "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000, lossless only",
    "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000 with RPCL, lossless only",
    "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Near-lossless",
    "1.2.840.10008.1.2.4.51": "JPEG Extended, Process 2 and 4",
    "1.2.840.10008.1.2.4.50": "JPEG Baseline, Process 1",
}

# Taken and kept, so that no study is torn apart; answered "not analysed".
VIDEO_SYNTAXES: dict[str, str] = {
    "1.2.840.10008.1.2.4.100": "MPEG2 Main Profile / Main Level",
    "1.2.840.10008.1.2.4.100.1": "Fragmentable MPEG2 Main Profile / Main Level",
    "1.2.840.10008.1.2.4.101": "MPEG2 Main Profile / High Level",
    "1.2.840.10008.1.2.4.101.1": "Fragmentable MPEG2 Main Profile / High Level",
    "1.2.840.10008.1.2.4.102": "MPEG-4 AVC/H.264 High Profile / Level 4.1",
    "1.2.840.10008.1.2.4.102.1": "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1",
    "1.2.840.10008.1.2.4.103": "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
    "1.2.840.10008.1.2.4.103.1": "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
    "1.2.840.10008.1.2.4.104": "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video",
    "1.2.840.10008.1.2.4.104.1": "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video",
    "1.2.840.10008.1.2.4.105": "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video",
    "1.2.840.10008.1.2.4.105.1": "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video",
    "1.2.840.10008.1.2.4.106": "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2",
    "1.2.840.10008.1.2.4.106.1": "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2",
    "1.2.840.10008.1.2.4.107": "HEVC/H.265 Main Profile / Level 5.1",
    "1.2.840.10008.1.2.4.108": "HEVC/H.265 Main 10 Profile / Level 5.1",
}


def supported_contexts(*, stores: bool = True, reports: bool = False) -> list[PresentationContext]:
    """Presentation contexts for the acceptor: C-ECHO, and what the requestor may do.

    Whatever else it proposes is rejected context by context; the association stands.

    Parameters
    ----------
    stores
        It may send: C-STORE of every class above.
    reports
        It may report on commitments: N-EVENT-REPORT, as the SCP that has opened the
        association (PS3.4 section J.3.3.1.3). One that negotiates no role is taken, too.
    """
    native = list(DECODED_SYNTAXES)[:3]  # PS3.4 A.4: C-ECHO carries no data set
    storage = [*DECODED_SYNTAXES, *VIDEO_SYNTAXES]
    contexts = [build_context(VERIFICATION, native)]
    if stores:
        contexts += [build_context(sop_class, storage) for sop_class in STORAGE_CLASSES]
        contexts += [build_context(sop_class, native) for sop_class in ANSWER_CLASSES]
    if reports:
        commitment = build_context(STORAGE_COMMITMENT, native)
        commitment.scu_role, commitment.scp_role = False, True
        contexts.append(commitment)
    return contexts
