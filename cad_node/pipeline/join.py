"""Which lesions of several images are the same, as far as the sonographer's text tells.

Joined only where both images name side, clock face and plane, these agree, and
each image shows one lesion: with two on an image, nobody knows which of them
the text means. Nothing is ever joined by looks.
"""

from __future__ import annotations

from collections.abc import Sequence

from cad_node.domain import ImageResult, LengthUnit, Lesion, LesionKey, ScanPlane

# The two ways in which a lesion is shown twice: planes at right angles to each other.
_CROSSED = (
    {ScanPlane.RADIAL, ScanPlane.ANTIRADIAL},
    {ScanPlane.SAGITTAL, ScanPlane.TRANSVERSE},
)
# Distances from the nipple that are typed for one lesion differ by the width of a probe at most.
_NIPPLE_TOLERANCE_MM = 10.0
# One lesion is not more than twice as long in one plane as in another.
_LENGTH_FACTOR = 2.0


def join_lesions(images: Sequence[ImageResult]) -> tuple[tuple[LesionKey, ...], ...]:
    """Groups of two and more lesions that are the same, in the order of the images."""
    groups: list[list[ImageResult]] = []
    for image in images:
        if len({lesion.number for lesion in image.lesions}) != 1:
            continue
        for group in groups:
            if all(_agree(image, other) for other in group):
                group.append(image)
                break
        else:
            groups.append([image])
    return tuple(
        tuple(LesionKey(image.reference.sop_instance_uid, image.lesions[0].number) for image in group)
        for group in groups
        if len(group) > 1
    )


def _agree(first: ImageResult, second: ImageResult) -> bool:
    one, other = first.notes, second.notes
    if None in (one.laterality, one.clock_face, one.plane, other.plane):
        return False
    if (one.laterality, one.clock_face) != (other.laterality, other.clock_face):
        return False
    if one.quadrant is not None and other.quadrant is not None and one.quadrant is not other.quadrant:
        return False
    if one.plane is not other.plane and {one.plane, other.plane} not in _CROSSED:
        return False
    if one.nipple_distance_mm is not None and other.nipple_distance_mm is not None:
        away = abs(one.nipple_distance_mm - other.nipple_distance_mm)
        if away > _NIPPLE_TOLERANCE_MM:
            return False
    return _alike_in_size(first.lesions, second.lesions)


def _alike_in_size(first: Sequence[Lesion], second: Sequence[Lesion]) -> bool:
    """By the largest appearance of each; without a scale nothing speaks against it."""
    sizes = [one.measurements for one in (*first, *second)]
    if any(one.unit is LengthUnit.PIXEL for one in sizes):
        return True
    lengths = [max(one.measurements.long_axis.length for one in lesions) for lesions in (first, second)]
    return max(lengths) <= _LENGTH_FACTOR * min(lengths)
