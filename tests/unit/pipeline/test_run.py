"""What the order of the steps passes on; the steps themselves are stand-ins."""

from collections.abc import Iterator, Sequence

import numpy as np

from cad_node.domain import Box, CleanFrame, Frame, NotAnalysed, Status, UltrasoundImage
from cad_node.pipeline.run import Steps, analyse_image
from tests.factories import us_image
from tests.results import NORMAL, provenance, reference


def _clean(frames: Sequence[Frame]) -> Iterator[CleanFrame]:
    for one in frames:
        nothing = np.zeros(one.pixels.shape, dtype=bool)
        yield CleanFrame(one.frame_number, one.pixels, Box(0, 9, 0, 9), one.spacing, (), nothing)


def test_pictures_that_were_left_out_stay_known_in_the_result() -> None:
    named, left_out = reference(us_image()), (Box(0, 9, 10, 19),)
    frames = (Frame(named, 1, np.zeros((9, 19), np.uint8), Box(0, 9, 0, 9), None, left_out),)
    steps = Steps(lambda _: None, _clean, lambda _: ((), NORMAL), provenance())

    result = analyse_image(UltrasoundImage(named, frames, left_out=left_out), steps)

    assert (result.status, result.is_partial) == (Status.ANALYSED, True)
    assert (result.left_out, result.reason) == (left_out, NotAnalysed.OTHER_PICTURE)
