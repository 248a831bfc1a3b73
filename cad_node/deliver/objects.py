"""The DICOM objects of a result folder, as far as sending them needs to know them."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from cad_node.errors import DestinationRefusedError
from cad_node.variants import Variant


@dataclass(frozen=True)
class ResultObject:
    """One object: its file, and what its File Meta Information says."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


def result_objects(results: Path, wanted: Collection[Variant] | None = None) -> list[ResultObject]:
    """The objects in the order to send them: what is referred to comes first, the SR last.

    Parameters
    ----------
    results
        A result folder. Its `result.json` says of which variant each object is; one
        that does not speak of variants holds only what every destination wants.
    wanted
        The variants to send; None: all.

    Raises
    ------
    DestinationRefusedError
        A file is not a Part 10 file, or the results were made when the settings
        asked for other variants: no attempt can succeed.
    """
    paths = sorted(results.glob("*.dcm"), key=lambda path: (path.name.startswith("sr"), path.name))
    variants = _variants(results)
    if wanted is None or variants is None:
        return [_describe(path) for path in paths]
    made, by_file = variants
    names = {variant.name for variant in wanted}
    if missing := sorted(names - made):
        raise DestinationRefusedError(
            f"The results of a study were made without '{missing[0]}', which the settings now ask for.",
            "Remove its result folder, then have it made anew: cad-node jobs retry.",
        )
    return [_describe(path) for path in paths if by_file.get(path.name) in names]


def _variants(results: Path) -> tuple[set[str], dict[str, str]] | None:
    """All variants that were made, and the one of each file, by name."""
    try:
        content = json.loads((results / "result.json").read_text(encoding="utf-8"))
        return set(content["variants"]), {item["file"]: item["variant"] for item in content["objects"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None


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
