from dataclasses import replace

import numpy as np
import pytest

from cad_node.train.augment import (
    Augmentation,
    augment,
    away_from_lesion,
    draw_calipers,
    draw_marks,
    remove_thin_marks,
)

STILL = Augmentation(
    stretch=0, shift=0, rotation_deg=0, flip=0, gain=0, speckle=0, blur=0, jpeg=0,
    lesion_marks=0, other_marks=0, unmark=0, scale=(1.0, 1.0),
)  # fmt: skip


@pytest.fixture
def image():
    return np.full((128, 128), 80, np.uint8)


@pytest.fixture
def mask():
    row, column = np.ogrid[:128, :128]
    return (((row - 60) ** 2 + (column - 70) ** 2) < 20**2).astype(np.uint8) * 255


def test_same_random_numbers_give_the_same_view(image, mask):
    views = [augment(image, mask, 96, Augmentation(), np.random.default_rng(9)) for _ in range(2)]
    np.testing.assert_array_equal(views[0][0], views[1][0])
    np.testing.assert_array_equal(views[0][1], views[1][1])


def test_source_is_never_changed(image, mask):
    before = image.copy(), mask.copy()
    for seed in range(20):
        augment(image, mask, 96, Augmentation(), np.random.default_rng(seed))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])


def test_mask_moves_with_the_lesion(mask):
    """The image is the mask itself: whatever moves one must move the other."""
    how = replace(Augmentation(), gain=0, speckle=0, blur=0, jpeg=0, lesion_marks=0, other_marks=0, unmark=0)
    for seed in range(20):
        moved, moved_mask = augment(mask, mask, 96, how, np.random.default_rng(seed))
        np.testing.assert_array_equal(moved, moved_mask)


def test_at_least_half_of_a_lesion_stays_in_view(image, mask):
    how = replace(STILL, shift=0.45)
    shares = [
        np.count_nonzero(augment(image, mask, 128, how, np.random.default_rng(seed))[1] > 127)
        / np.count_nonzero(mask)
        for seed in range(40)
    ]
    assert sum(share >= 0.45 for share in shares) >= 38


def test_without_any_change_an_image_is_only_resized(image, mask):
    still, still_mask = augment(image, mask, 128, STILL, np.random.default_rng(0))
    np.testing.assert_array_equal(still, image)
    np.testing.assert_array_equal(still_mask, mask)


def test_calipers_are_drawn_near_the_lesion_only(image, mask):
    for seed in range(20):
        drawn = image.copy()
        draw_calipers(drawn, mask, np.random.default_rng(seed))
        rows, columns = np.nonzero(drawn != image)
        assert rows.size > 0
        distance = np.hypot(rows - 60, columns - 70)
        assert distance.max() < 40


def test_marks_appear_on_normal_images_too(image):
    changed = 0
    for seed in range(20):
        drawn = image.copy()
        draw_marks(drawn, np.random.default_rng(seed))
        changed += bool((drawn != image).any())
    assert changed >= 18


def test_thin_bright_marks_are_taken_away_and_thick_structures_stay(image):
    marked = image.copy()
    marked[30, 20:60] = 250
    marked[80:110, 80:110] = 200
    cleaned = remove_thin_marks(marked)
    assert cleaned[30, 20:60].max() <= 90
    np.testing.assert_array_equal(cleaned[85:105, 85:105], marked[85:105, 85:105])


def test_tissue_beside_a_lesion_holds_none_of_it():
    image = np.full((128, 128), 60, np.uint8)
    mask = np.zeros((128, 128), np.uint8)
    image[50:70, 80:110] = 250
    mask[50:70, 80:110] = 255
    part = away_from_lesion(image, mask, Augmentation(away=1.0), np.random.default_rng(0))
    assert part is not None
    assert part.shape == image.shape
    assert part.max() == 60


def test_no_tissue_is_shown_where_a_lesion_leaves_no_room(image):
    filled = np.full((128, 128), 255, np.uint8)
    assert away_from_lesion(image, filled, Augmentation(away=1.0), np.random.default_rng(0)) is None


def test_normal_image_has_no_lesion_to_look_away_from(image):
    empty = np.zeros((128, 128), np.uint8)
    assert away_from_lesion(image, empty, Augmentation(away=1.0), np.random.default_rng(0)) is None
