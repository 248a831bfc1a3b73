"""Marks taken off the colours of the source, and nothing else touched."""

import numpy as np
import pytest

from cad_node.domain import Box, CleanFrame, Frame, ImageReference
from cad_node.errors import CleaningError
from cad_node.pipeline.clean.colour_copy import COLOUR_MARGIN_PX, check_copy, chroma, colour_copy
from cad_node.pipeline.clean.inpaint import navier_stokes
from tests.factories import speckle

REFERENCE = ImageReference("2.25.1", "2.25.2", "2.25.3", "1.2.840.10008.5.1.4.1.1.6.1", 120, 160, 1)
REGION = Box(10, 110, 10, 150)
MARK = Box(40, 48, 60, 90)


def clean_frame(removed: np.ndarray, grey: np.ndarray, number: int = 1) -> CleanFrame:
    return CleanFrame(number, grey, REGION, None, (), removed)


def marked() -> np.ndarray:
    removed = np.zeros((120, 160), bool)
    removed[MARK.slices] = True
    return removed


def tinted(mark: tuple[int, int, int]) -> np.ndarray:
    """Grey tissue with faint colour, and a mark."""
    pixels = np.repeat(speckle(120, 160)[..., None], 3, axis=2)
    pixels[..., 2] = np.minimum(pixels[..., 2].astype(int) + 3, 255)
    pixels[MARK.slices] = mark
    return pixels


def test_colour_outside_the_marks_is_the_source_s_and_outside_the_region_is_nothing() -> None:
    pixels = tinted((255, 255, 255))

    copy, removed = colour_copy(
        Frame(REFERENCE, 1, pixels), clean_frame(marked(), pixels[..., 0]), navier_stokes
    )

    outside = np.ones((120, 160), bool)
    outside[REGION.slices] = False
    assert not copy[outside].any()
    untouched = ~removed & ~outside
    assert np.array_equal(copy[untouched], pixels[untouched])
    assert np.array_equal(removed, marked())
    assert copy[MARK.slices].max() < 255
    assert (copy[MARK.slices][..., 2] > copy[MARK.slices][..., 0]).mean() > 0.9


def test_a_coloured_mark_takes_its_fringe_with_it() -> None:
    pixels = tinted((255, 230, 0))

    _copy, removed = colour_copy(
        Frame(REFERENCE, 1, pixels), clean_frame(marked(), pixels[..., 0]), navier_stokes
    )

    wider = Box(
        MARK.row_start - COLOUR_MARGIN_PX,
        MARK.row_stop + COLOUR_MARGIN_PX,
        MARK.column_start - COLOUR_MARGIN_PX,
        MARK.column_stop + COLOUR_MARGIN_PX,
    )
    assert removed.sum() > marked().sum()
    assert not removed[: wider.row_start].any()
    assert removed[wider.row_start, MARK.column_start + 5]
    assert removed[MARK.row_start + 2, wider.column_start]


def test_a_grey_source_gives_the_cleaned_picture_itself() -> None:
    grey = speckle(120, 160)
    cleaned = np.zeros_like(grey)

    copy, removed = colour_copy(Frame(REFERENCE, 1, grey), clean_frame(marked(), cleaned), navier_stokes)

    assert np.array_equal(copy, cleaned)
    assert np.array_equal(removed, marked())


def test_a_clean_frame_of_another_picture_is_refused() -> None:
    with pytest.raises(CleaningError):
        colour_copy(
            Frame(REFERENCE, 2, speckle(120, 160)), clean_frame(marked(), speckle(120, 160)), navier_stokes
        )


def test_letters_of_the_tissue_s_brightness_are_seen_by_their_colour() -> None:
    grey = np.full((120, 160, 3), 120, np.uint8)
    assert chroma(grey, REGION) is None
    assert chroma(grey[..., 0], REGION) is None
    grey[MARK.slices] = (150, 110, 90)

    seen = chroma(grey, REGION)

    assert seen is not None
    assert seen.max() == 255
    assert (seen > 0).sum() == MARK.area


@pytest.mark.parametrize("shown", ["brightness", "colour"])
def test_a_copy_in_which_text_can_be_read_is_refused(shown: str) -> None:
    pixels = np.full((120, 160, 3), 60, np.uint8)
    pixels[MARK.slices] = (200, 200, 200) if shown == "brightness" else (90, 55, 30)

    def reads_what_stands_out(view: np.ndarray) -> bool:
        return bool(view.max() > 199)

    with pytest.raises(CleaningError, match="still be read"):
        check_copy(pixels, REGION, reads_what_stands_out)
    check_copy(np.full((120, 160, 3), 60, np.uint8), REGION, reads_what_stands_out)
