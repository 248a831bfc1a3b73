"""Image library of a report (TID 1600): every image of the study, analysed or not."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.sr import (
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    NumContentItem,
)

from cad_node import codes
from cad_node.encode.provenance import coded
from cad_node.encode.source import Source


def image_library(sources: Sequence[Source]) -> ContainerContentItem:
    """The library, by hand: highdicom's knows no retired ultrasound classes and needs intact headers."""
    group = ContainerContentItem(coded(codes.IMAGE_LIBRARY_GROUP), relationship_type="CONTAINS")
    group.ContentSequence = ContentSequence([_library_entry(source) for source in sources])
    library = ContainerContentItem(coded(codes.IMAGE_LIBRARY), relationship_type="CONTAINS")
    library.ContentSequence = ContentSequence([group])
    return library


def _library_entry(source: Source) -> ImageContentItem:
    reference = source.reference
    entry = ImageContentItem(
        coded(codes.SOURCE),
        referenced_sop_class_uid=reference.sop_class_uid,
        referenced_sop_instance_uid=reference.sop_instance_uid,
        relationship_type="CONTAINS",
    )
    modality = codes.ULTRASOUND if source.is_ultrasound else codes.OTHER_MODALITY
    descriptors: list[ContentItem] = [
        CodeContentItem(coded(codes.MODALITY), coded(modality), "HAS ACQ CONTEXT")
    ]
    if source.laterality is not None:
        descriptors.append(
            CodeContentItem(coded(codes.IMAGE_LATERALITY), coded(source.laterality), "HAS ACQ CONTEXT")
        )
    if reference.rows and reference.columns:
        for name, size in (
            (codes.PIXEL_DATA_ROWS, reference.rows),
            (codes.PIXEL_DATA_COLUMNS, reference.columns),
        ):
            descriptors.append(
                NumContentItem(coded(name), size, coded(codes.PIXELS), relationship_type="HAS ACQ CONTEXT")
            )
    entry.ContentSequence = ContentSequence(descriptors)
    return entry
