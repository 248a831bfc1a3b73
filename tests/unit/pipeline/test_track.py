import numpy as np

from cad_node.domain import Probabilities
from cad_node.pipeline.segment import Finding
from cad_node.pipeline.track import number_lesions

SOMETHING = Probabilities(0.1, 0.6, 0.3)


def _blob(row: int, column: int, size: int = 20) -> Finding:
    mask = np.zeros((100, 200), dtype=np.bool_)
    mask[row : row + size, column : column + size] = True
    return Finding(mask, SOMETHING)


def _numbers(frames: list[list[Finding]]) -> list[list[int]]:
    return [[number for number, _ in here] for here in number_lesions(frames)]


def test_a_lesion_that_moves_a_little_keeps_its_number() -> None:
    assert _numbers([[_blob(10, 10 + 3 * step)] for step in range(6)]) == [[1]] * 6


def test_two_lesions_keep_their_numbers_when_their_order_changes() -> None:
    left, right = _blob(10, 10), _blob(10, 120, size=24)

    assert _numbers([[left, right], [right, left]]) == [[1, 2], [2, 1]]


def test_a_lesion_that_is_lost_for_some_frames_is_the_same_one() -> None:
    assert _numbers([[_blob(10, 10)], [], [], [_blob(10, 12)]]) == [[1], [], [], [1]]


def test_a_lesion_elsewhere_is_another_one() -> None:
    assert _numbers([[_blob(10, 10)], [_blob(70, 150)]]) == [[1], [2]]


def test_what_flickers_in_a_loop_is_dropped_and_leaves_no_gap_in_the_numbers() -> None:
    frames = [[_blob(70, 150)]] + [[_blob(10, 10)] for _ in range(9)]

    assert _numbers(frames) == [[]] + [[1]] * 9


def test_in_a_single_image_nothing_is_dropped() -> None:
    assert _numbers([[_blob(10, 10), _blob(70, 150)]]) == [[1, 2]]
