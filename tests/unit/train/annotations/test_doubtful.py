"""Copies that a machine cleaned: where a mark may be left, and that it is not learned as tissue."""

import numpy as np

from cad_node.train.annotations.data import doubtful
from cad_node.train.annotations.overlay import UNSURE
from cad_node.train.annotations.patches import Patches, patch

from .grounds import STROKES_ONLY, tissue


def _removed(*places: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    copy = np.maximum(tissue(1), 1)
    image = copy.copy()
    for row, column in places:
        image[row : row + 5, column : column + 5] = 255
    return image, copy


def test_what_lies_between_two_removed_marks_is_doubtful() -> None:
    image, copy = _removed((120, 80), (120, 220))

    found = doubtful(image, copy)

    assert found[122, 80:225].all()
    assert not found[60].any()
    assert not found[180].any()


def test_notes_at_the_rim_are_joined_with_nothing() -> None:
    image, copy = _removed((2, 2), (230, 290), (120, 150))

    found = doubtful(image, copy)

    assert found[120:125, 150:155].all()
    assert found[2:7, 2:7].all()
    assert not found[60, 75]
    assert not found[175, 220]


def test_between_ticks_that_were_removed_along_a_side_other_ticks_may_be_left() -> None:
    image, copy = _removed((60, 292), (180, 292))

    found = doubtful(image, copy)

    assert found[120, 292:297].all()
    assert not found[120, 100]
    assert not found[10, 292]


def test_a_copy_that_lost_only_its_background_is_not_doubtful() -> None:
    image = tissue(1)
    copy = image.copy()
    copy[:, :40] = 0

    assert not doubtful(image, copy).any()


def test_doubtful_tissue_does_not_count_and_what_is_drawn_on_it_does() -> None:
    ground = tissue(2)
    everywhere = np.ones(ground.shape, dtype=bool)
    how = Patches(size_px=96, zoom=0.0)

    found: set[int] = set()
    for seed in range(8):
        picture, kinds = patch(ground, how, STROKES_ONLY, np.random.default_rng(seed), everywhere)
        plain, truth = patch(ground, how, STROKES_ONLY, np.random.default_rng(seed))
        np.testing.assert_array_equal(picture, plain)
        np.testing.assert_array_equal(kinds[kinds != UNSURE], truth[kinds != UNSURE])
        assert not (kinds == 0).any()
        found |= set(np.unique(kinds))

    assert found > {UNSURE}
