"""The order, the promises and the cine logic, with detectors that a test can see through."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from cad_node.domain import Annotation, Box, Frame, ImageReference, Laterality, PixelSpacing
from cad_node.errors import CadNodeError, CleaningError, PixelDecodeError
from cad_node.pipeline.clean import DETECTORS, INPAINTERS, Cleaner
from cad_node.pipeline.clean.marks import Mark, Picture
from cad_node.settings import PipelineSettings
from tests.factories import speckle

REFERENCE = ImageReference("2.25.1", "2.25.2", "2.25.3", "1.2.840.10008.5.1.4.1.1.6.1", 120, 160, 1)
SPOT = Box(40, 46, 50, 80)
OTHER_SPOT = Box(80, 86, 50, 80)


class WhiteSpots:
    """Finds the test's two places where they are white; counts how often it was asked."""

    def __init__(self) -> None:
        self.searches = 0

    def describe(self) -> str:
        return "white spots"

    def find(self, picture: Picture) -> list[Mark]:
        self.searches += 1
        return [
            Mark(Annotation(spot, "text", 1.0), np.ones(spot.shape, dtype=bool))
            for spot in (SPOT, OTHER_SPOT)
            if (picture.grey[spot.slices] == 255).all()
        ]


def tissue(seed: int) -> np.ndarray:
    return np.minimum(speckle(120, 160, seed=seed), 200).astype(np.uint8)


def frame(pixels: np.ndarray, number: int = 1, tissue_box: Box | None = None) -> Frame:
    return Frame(REFERENCE, number, pixels, tissue_box, PixelSpacing(0.1, 0.2))


def loop(marked: Sequence[Sequence[Box]], moving: bool = True) -> list[Frame]:
    frames = []
    for index, spots in enumerate(marked):
        pixels = tissue(index if moving else 0)
        for spot in spots:
            pixels[spot.slices] = 255
        frames.append(frame(pixels, index + 1))
    return frames


def cleaner() -> tuple[Cleaner, WhiteSpots]:
    detector = WhiteSpots()
    return Cleaner(PipelineSettings(verify_cleaning=False), detectors=[detector]), detector


@pytest.mark.parametrize("name", sorted(INPAINTERS))
def test_only_the_mark_and_its_margin_change(name: str) -> None:
    pixels = tissue(1)
    pixels[SPOT.slices] = 255
    subject = Cleaner(PipelineSettings(inpainting=name, verify_cleaning=False), detectors=[WhiteSpots()])

    clean = next(subject.clean_image([frame(pixels)]))

    changed = clean.pixels != pixels
    assert not (changed & ~clean.removed).any()
    assert clean.removed[SPOT.slices].all()
    assert clean.removed.sum() <= (6 + 4) * (30 + 4)
    assert clean.pixels[SPOT.slices].max() < 255
    assert [one.box for one in clean.annotations] == [SPOT]
    assert clean.spacing == PixelSpacing(0.1, 0.2)


def test_outside_the_region_everything_is_zero() -> None:
    pixels = tissue(1)
    region = Box(10, 110, 20, 150)

    clean = next(cleaner()[0].clean_image([frame(pixels, tissue_box=region)]))

    outside = np.ones(pixels.shape, bool)
    outside[region.slices] = False
    assert clean.region == region
    assert not clean.pixels[outside].any()
    assert (clean.pixels[region.slices] == pixels[region.slices]).all()


def test_the_pictures_of_a_split_screen_stay_known() -> None:
    halves = (Box(0, 120, 0, 80), Box(0, 120, 80, 160))
    split = replace(frame(tissue(1), tissue_box=Box(0, 120, 0, 160)), pictures=halves)

    assert next(cleaner()[0].clean_image([split])).looked_at == halves


def test_colour_frames_become_grey() -> None:
    pixels = np.repeat(tissue(2)[..., None], 3, axis=2)

    clean = next(cleaner()[0].clean_image([frame(pixels)]))

    assert clean.pixels.shape == (120, 160)
    assert (clean.pixels == pixels[..., 0]).all()


def test_every_detector_and_the_inpainter_are_described() -> None:
    lines = Cleaner(PipelineSettings(inpainting="telea")).describe()

    assert len(lines) == len(DETECTORS) + 4
    assert all("\n" not in line for line in lines)
    assert "Telea" in lines[-2]
    assert "check" in lines[-1]


def test_a_failing_detector_lets_nothing_out_and_says_nothing_of_what_it_read() -> None:
    class Broken(WhiteSpots):
        def find(self, picture: Picture) -> list[Mark]:
            raise RuntimeError("DOE^JANE")

    subject = Cleaner(PipelineSettings(verify_cleaning=False), detectors=[Broken()])

    with pytest.raises(CleaningError) as caught:
        list(subject.clean_image([frame(tissue(1))]))
    assert "DOE" not in str(caught.value)
    assert caught.value.study_instance_uid == "2.25.1"
    with pytest.raises(CleaningError):
        list(subject.clean_image(loop([[]] * 5)))


def test_a_frame_that_does_not_decode_keeps_its_own_error() -> None:
    class Torn(Sequence):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index):
            if index == 1:
                raise PixelDecodeError("Frame 2 is torn.")
            return frame(tissue(index))

    with pytest.raises(CadNodeError, match="torn"):
        list(cleaner()[0].clean_image(Torn()))


@pytest.mark.parametrize("count", [1, 2, 3, 12, 13, 14, 25, 40])
def test_each_frame_of_a_loop_comes_out_once_and_in_order(count: int) -> None:
    subject, _ = cleaner()

    numbers = [one.frame_number for one in subject.clean_image(loop([[SPOT]] * count))]

    assert numbers == list(range(1, count + 1))


def test_a_mark_that_stands_is_removed_from_every_frame_but_searched_for_in_few() -> None:
    subject, detector = cleaner()

    cleaned = list(subject.clean_image(loop([[SPOT]] * 30)))

    assert all(one.removed[SPOT.slices].all() for one in cleaned)
    assert all([a.box for a in one.annotations] == [SPOT] for one in cleaned)
    assert detector.searches == 4


def test_frames_without_the_mark_are_left_alone() -> None:
    marked = [[SPOT]] * 5 + [[]] * 8

    cleaned = list(cleaner()[0].clean_image(loop(marked)))

    assert [one.removed[SPOT.slices].all() for one in cleaned] == [bool(spots) for spots in marked]


def test_a_mark_that_appears_and_vanishes_inside_a_stretch_is_caught() -> None:
    marked = [[SPOT]] * 4 + [[SPOT, OTHER_SPOT]] * 4 + [[SPOT]] * 5

    cleaned = list(cleaner()[0].clean_image(loop(marked)))

    caught = [one.removed[OTHER_SPOT.slices].all() for one in cleaned]
    assert caught == [OTHER_SPOT in spots for spots in marked]


def test_a_mark_that_appears_on_a_frozen_picture_is_caught() -> None:
    marked = [[]] * 4 + [[OTHER_SPOT]] * 3 + [[]] * 6

    cleaned = list(cleaner()[0].clean_image(loop(marked, moving=False)))

    assert [one.removed.any() for one in cleaned] == [bool(spots) for spots in marked]


def test_moving_tissue_costs_no_more_than_a_few_extra_searches() -> None:
    subject, detector = cleaner()

    cleaned = list(subject.clean_image(loop([[]] * 37)))

    assert not any(one.removed.any() for one in cleaned)
    assert detector.searches <= 4 + 2 * 3


class _TypedAt:
    """Reads one note, wherever it is told to."""

    def __init__(self, box: Box) -> None:
        self.box = box

    def describe(self) -> str:
        return "a note"

    def read(self, grey: np.ndarray, region: Box) -> tuple[Mark, ...]:
        ink = np.ones(self.box.shape, dtype=bool)
        return (Mark(Annotation(self.box, "text", 1.0), ink, "LT BREAST 3:00"),)


@pytest.mark.parametrize(("row", "side"), [(10, None), (70, Laterality.LEFT)])
def test_what_is_typed_on_a_picture_that_is_left_out_says_nothing_of_this_one(
    row: int, side: Laterality | None
) -> None:
    one = Frame(REFERENCE, 1, tissue(1), Box(0, 120, 0, 80), None, (Box(0, 60, 80, 160),))
    reader = _TypedAt(Box(row, row + 8, 90, 150))
    subject = Cleaner(PipelineSettings(verify_cleaning=False), detectors=[], surroundings=reader)

    assert subject.clean_frame(one).notes.laterality is side
