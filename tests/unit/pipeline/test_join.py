from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cad_node.domain import ImageResult, Laterality, LesionKey, Quadrant, ScanPlane, SonographerNotes
from cad_node.pipeline.join import join_lesions
from tests.factories import us_image
from tests.results import BENIGN, LARGE, SMALL, Drawn, analysed

NOTES = SonographerNotes(
    laterality=Laterality.LEFT, clock_face=2.0, nipple_distance_mm=30.0, plane=ScanPlane.RADIAL
)
ONE: Drawn = {1: [(1, LARGE, BENIGN)]}


def image(drawn: Drawn | None = None, **changes: Any) -> ImageResult:
    found = analysed(us_image(), ONE if drawn is None else drawn)
    frames = tuple(replace(frame, notes=replace(NOTES, **changes)) for frame in found.frames)
    return replace(found, frames=frames)


def key(of: ImageResult) -> LesionKey:
    return LesionKey(of.reference.sop_instance_uid, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"plane": ScanPlane.ANTIRADIAL},
        {"nipple_distance_mm": None},
        {"nipple_distance_mm": 35.0},
        {"quadrant": Quadrant.UPPER_OUTER},
    ],
)
def test_what_agrees_is_one_lesion(changes: dict[str, Any]) -> None:
    first, second = image(), image(**changes)
    assert join_lesions([first, second]) == ((key(first), key(second)),)


@pytest.mark.parametrize(
    "changes",
    [
        {"laterality": Laterality.RIGHT},
        {"laterality": None},
        {"clock_face": 2.5},
        {"clock_face": None},
        {"plane": None},
        {"plane": ScanPlane.SAGITTAL},
        {"nipple_distance_mm": 60.0},
        {"drawn": {1: [(1, LARGE, BENIGN), (2, SMALL, BENIGN)]}},
        {"drawn": {1: [(1, SMALL, BENIGN)]}},  # less than half as long
        {"drawn": {}},
    ],
)
def test_what_does_not_agree_is_not_claimed(changes: dict[str, Any]) -> None:
    assert join_lesions([image(), image(**changes)]) == ()


def test_quadrants_that_differ_keep_lesions_apart() -> None:
    pair = image(quadrant=Quadrant.UPPER_INNER), image(quadrant=Quadrant.UPPER_OUTER)
    assert join_lesions(pair) == ()


def test_three_images_of_one_lesion_and_one_of_another_make_one_group() -> None:
    first, other, second, third = image(), image(clock_face=9.0), image(plane=ScanPlane.ANTIRADIAL), image()
    assert join_lesions([first, other, second, third]) == ((key(first), key(second), key(third)),)
