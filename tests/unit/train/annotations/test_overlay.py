"""The truth of the generator: what it says was drawn is what differs, and nothing else."""

import numpy as np
import pytest

from cad_node.networks.annotation_bundle import KINDS
from cad_node.train.annotations import graphics
from cad_node.train.annotations.lookalikes import LOOKALIKES, membranes, sector
from cad_node.train.annotations.overlay import FAINTEST, FAINTEST_THIN, UNSURE, Canvas, annotate, contrast
from cad_node.train.annotations.patches import Patches, patch
from cad_node.train.annotations.scenes import scene
from cad_node.train.annotations.stamps import CALIPERS, Stamp, caliper, text

from .grounds import STROKES_ONLY, tissue


@pytest.mark.parametrize("seed", range(12))
def test_no_pixel_outside_the_truth_differs_from_the_tissue(seed):
    ground = tissue(seed)
    canvas = Canvas(ground)

    annotate(canvas, np.random.default_rng(seed), STROKES_ONLY)

    assert (canvas.pixels == ground)[~canvas.changed].all()
    assert not canvas.kinds[~canvas.changed].any()


def test_every_covered_pixel_has_its_kind_and_the_rim_is_unsure():
    canvas = Canvas(np.full((20, 20), 90, np.uint8))
    ink = np.zeros((5, 5), np.float32)
    ink[2] = 1.0
    ink[1] = 0.2

    drawn = canvas.draw(Stamp("caliper", "bar", ink), 4, 6, contrast=50, halo_grey=0)

    assert set(np.unique(canvas.pixels)) == {90, 100, 140}
    assert (canvas.kinds[6, 6:11] == KINDS.index("caliper")).all()
    assert (canvas.kinds[5, 6:11] == UNSURE).all()
    assert np.count_nonzero(canvas.kinds) == 10
    assert drawn is not None
    assert int(drawn.ink.sum()) == 5


def test_mark_beyond_the_rim_is_cut_and_one_outside_is_not_drawn():
    canvas = Canvas(np.full((20, 20), 90, np.uint8))
    stamp = Stamp("text", "block", np.ones((6, 6), np.float32))

    assert canvas.draw(stamp, -3, 17, contrast=40, halo_grey=0) is not None
    assert int(canvas.changed.sum()) == 9
    assert canvas.draw(stamp, 30, 5, contrast=40, halo_grey=0) is None
    assert int(canvas.changed.sum()) == 9


def test_same_seed_draws_the_same_scene_and_marks_stand_apart():
    ground = tissue(3, 420, 560)

    first, second = (scene(ground, np.random.default_rng(5), STROKES_ONLY, STROKES_ONLY) for _ in range(2))

    assert (first.pixels == second.pixels).all()
    assert len(first.marks) >= 12
    assert np.sum([mark.ink for mark in first.marks], axis=0).max() == 1
    assert (first.pixels == ground)[~first.changed].all()


@pytest.mark.parametrize("style", CALIPERS)
def test_every_caliper_style_draws_ink_within_its_stamp(style):
    stamp = caliper(np.random.default_rng(1), style)

    assert stamp.ink.max() > 0.9
    assert not stamp.ink[[0, -1]].any()
    assert not stamp.ink[:, [0, -1]].any()


def test_every_graphic_has_ink_between_none_and_all():
    rng = np.random.default_rng(2)
    makers = [*graphics.LINES, *graphics.PICTOGRAMS, lambda rng: graphics.logo(rng, STROKES_ONLY)]

    for make in makers:
        for _ in range(5):
            stamp = make(rng)
            assert 0 <= stamp.ink.min() <= stamp.ink.max() <= 1
            assert stamp.ink.max() > 0.5, stamp.name
            assert stamp.halo is None or stamp.halo.shape == stamp.ink.shape


def test_text_fills_about_the_size_that_was_asked_for():
    heights = []
    for seed in range(20):
        ink = text(np.random.default_rng(seed), "MAMA", STROKES_ONLY, (16, 16)).ink
        heights.append(np.flatnonzero(ink.any(axis=1)).size)

    assert 10 <= np.median(heights) <= 20


@pytest.mark.parametrize("lookalike", dict.fromkeys(LOOKALIKES), ids=lambda one: one.__name__)
def test_lookalikes_change_the_tissue_and_keep_its_size(lookalike):
    ground = tissue(4)

    changed = lookalike(ground, np.random.default_rng(0))

    assert changed.shape == ground.shape
    assert changed.dtype == np.uint8
    assert (changed != ground).any()


def test_sector_leaves_tissue_inside_its_fan_and_an_even_dark_ground_outside():
    ground = np.maximum(tissue(4), 60)
    shares = []
    for seed in range(30):
        shown = sector(ground, np.random.default_rng(seed))
        outside = shown < 30
        shares.append(float(outside.mean()))
        # Two greys at most: the ground itself, and the soft edge that fades into it.
        values, counts = np.unique(shown[outside], return_counts=True)
        assert not values.size or counts.max() > 0.5 * counts.sum()

    assert 0.05 < np.mean(shares) < 0.8
    assert sum(0.02 < share < 0.9 for share in shares) >= 15


def test_echoes_brighten_a_picture_and_darken_none_of_it():
    ground = tissue(4)

    brighter = 0
    for seed in range(10):
        shown = membranes(ground, np.random.default_rng(seed))
        assert (shown.astype(int) >= ground.astype(int) - 40).all()
        brighter += int((shown > ground).any())

    assert brighter >= 8


def test_thin_lines_are_not_drawn_as_faint_as_text():
    rng = np.random.default_rng(0)
    text_levels = [abs(contrast(rng, 40)) for _ in range(400)]
    thin_levels = [abs(contrast(rng, 40, FAINTEST_THIN)) for _ in range(400)]

    assert FAINTEST <= min(text_levels) < FAINTEST_THIN
    assert min(thin_levels) >= FAINTEST_THIN


def test_tissue_that_touches_a_mark_in_a_patch_is_unsure():
    ground = tissue(5)
    marks = 0
    for seed in range(6):
        _, kinds = patch(ground, Patches(size_px=128), STROKES_ONLY, np.random.default_rng(seed))
        mark = (kinds > 0) & (kinds != UNSURE)
        for rows, columns in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1)):
            beside = np.roll(mark, (rows, columns), axis=(0, 1))[1:-1, 1:-1]
            assert (kinds[1:-1, 1:-1][beside] != 0).all()
        marks += int(mark.any())

    assert marks >= 4


def test_rulers_lie_along_a_rim_in_part_of_the_pictures():
    ground = np.full((240, 300), 60, np.uint8)
    along = 0
    for seed in range(40):
        canvas = Canvas(ground)
        for mark in annotate(canvas, np.random.default_rng(seed), STROKES_ONLY):
            rows, columns = np.nonzero(mark.ink)
            if mark.stamp.name == "ruler" and (
                columns.max() < 40 or columns.min() >= 260 or rows.max() < 40 or rows.min() >= 200
            ):
                along += 1

    assert along >= 4
