"""The DICOM objects of a result folder, as far as sending them needs to know them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from cad_node.errors import DestinationRefusedError


@dataclass(frozen=True)
class ResultObject:
    """One object: its file, and what its File Meta Information says."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


def result_objects(results: Path) -> list[ResultObject]:
    """The objects in the order to send them: what is referred to comes first, SEG before SR.

    Raises
    ------
    DestinationRefusedError
        A file is not a Part 10 file: no attempt can succeed.
    """
    paths = sorted(results.glob("*.dcm"), key=lambda path: (path.name.startswith("sr"), path.name))
    return [_describe(path) for path in paths]


def _describe(path: Path) -> ResultObject:
    try:
        meta = read_file_meta_info(path)
        return ResultObject(
            path,
            str(meta.MediaStorageSOPClassUID),
            str(meta.MediaStorageSOPInstanceUID),
            str(meta.TransferSyntaxUID),
        )
    except (InvalidDicomError, EOFError, AttributeError) as error:
        raise DestinationRefusedError(
            f"Result file {path.name} is not a DICOM file.", "Have it made anew: cad-node jobs retry."
        ) from error
