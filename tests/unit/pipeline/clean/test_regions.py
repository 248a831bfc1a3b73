import numpy as np
import pytest

from cad_node.domain import Box, Frame, ImageReference
from cad_node.pipeline.clean.regions import tissue_region
from tests.factories import speckle

REFERENCE = ImageReference("2.25.1", "2.25.2", "2.25.3", "1.2.840.10008.5.1.4.1.1.6.1", 240, 320, 1)


def frame(pixels: np.ndarray, tissue: Box | None = None) -> Frame:
    return Frame(REFERENCE, 1, pixels, tissue)


def near(box: Box, bounds: tuple[int, int, int, int], pixels: int = 4) -> bool:
    found = (box.row_start, box.row_stop, box.column_start, box.column_stop)
    return all(abs(a - b) <= pixels for a, b in zip(found, bounds, strict=True))


def test_the_region_of_the_header_is_taken_as_it_is() -> None:
    pixels = speckle(tissue_box=(20, 200, 40, 300))

    assert tissue_region(frame(pixels, Box(30, 190, 50, 280)), pixels) == Box(30, 190, 50, 280)


def test_a_region_that_leaves_the_image_is_cut_at_its_rim() -> None:
    pixels = speckle()

    assert tissue_region(frame(pixels, Box(-5, 400, 10, 999)), pixels) == Box(0, 240, 10, 320)


@pytest.mark.parametrize("level", [0, 13, 60])
def test_a_constant_background_is_taken_off(level: int) -> None:
    pixels = speckle(rows=300, columns=400, tissue_box=(40, 260, 70, 350))
    screen = np.full_like(pixels, level)
    screen[40:260, 70:350] = pixels[40:260, 70:350]

    assert near(tissue_region(frame(screen), screen), (40, 260, 70, 350))


def test_bars_and_letters_beside_the_picture_are_not_part_of_it() -> None:
    pixels = speckle(rows=300, columns=400, tissue_box=(60, 280, 60, 300)).copy()
    pixels[10:24, 5:395:7] = 255
    pixels[60:280, 370:376] = 180

    assert near(tissue_region(frame(pixels), pixels), (60, 280, 60, 300))


def test_of_two_pictures_on_one_screen_both_are_kept() -> None:
    screen = np.zeros((300, 640), np.uint8)
    screen[40:280, 20:320] = speckle(240, 300)
    screen[40:280, 340:620] = speckle(240, 280, seed=1)

    assert near(tissue_region(frame(screen), screen), (40, 280, 20, 620))


def test_a_menu_beside_the_picture_is_no_second_picture() -> None:
    screen = np.zeros((300, 640), np.uint8)
    screen[40:280, 20:320] = speckle(240, 300)
    screen[40:280, 400:620] = 70
    screen[60:270:30, 410:600:3] = 255

    assert near(tissue_region(frame(screen), screen), (40, 280, 20, 320))


def test_a_picture_without_background_is_kept_whole() -> None:
    pixels = speckle()

    assert tissue_region(frame(pixels), pixels) == Box(0, 240, 0, 320)


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (40, 40)])
def test_an_implausible_result_gives_the_whole_image(shape: tuple[int, int]) -> None:
    pixels = np.zeros(shape, np.uint8)

    assert tissue_region(frame(pixels), pixels) == Box(0, shape[0], 0, shape[1])
