"""Compression of a finished object, lossless always."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from cad_node.encode.provenance import file_meta
from cad_node.settings import TransferSyntax

UIDS: dict[TransferSyntax, str] = {
    "explicit-little-endian": ExplicitVRLittleEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg-ls": JPEGLSLossless,
    "jpeg-2000": JPEG2000Lossless,
}


def put_transfer_syntax(dataset: Dataset, name: TransferSyntax) -> None:
    """Have the object in this transfer syntax; its pixels must be 8 bits or more for the codecs.

    The lossless codecs leave Lossy Image Compression as the source said it.
    """
    uid = UIDS[name]
    if uid == dataset.file_meta.TransferSyntaxUID:
        return
    if uid != DeflatedExplicitVRLittleEndian:  # that one is a matter of writing
        dataset.compress(uid, generate_instance_uid=False)
    dataset.file_meta = file_meta(dataset, uid)
