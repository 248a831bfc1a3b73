import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cad_node.networks.letterbox import Letterbox

_sides = st.integers(1, 900)


@settings(deadline=None)
@given(_sides, _sides, st.sampled_from([32, 192, 256]))
def test_image_fits_and_touches_two_sides(rows, columns, size):
    box = Letterbox(rows, columns, size)
    inner = box.inner_shape
    assert max(inner) == size
    assert min(inner) >= 1
    assert box.apply(np.full((rows, columns), 200, np.uint8)).shape == (size, size)


@settings(deadline=None)
@given(_sides, _sides)
def test_map_comes_back_at_source_resolution(rows, columns):
    box = Letterbox(rows, columns, 64)
    back = box.undo(box.apply(np.ones((rows, columns), np.float32)))
    assert back.shape == (rows, columns)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, 1.0, atol=1e-5)


def test_aspect_is_kept_and_the_rest_is_black():
    square = Letterbox(100, 50, 64).apply(np.full((100, 50), 90, np.uint8))
    assert (square[:, 16:48] == 90).all()
    assert not square[:, :16].any()
    assert not square[:, 48:].any()


@pytest.mark.parametrize(("rows", "columns"), [(353, 274), (471, 562), (120, 90)])
def test_a_disc_survives_the_way_there_and_back(rows, columns):
    row, column = np.ogrid[:rows, :columns]
    disc = (row - rows * 0.4) ** 2 + (column - columns * 0.6) ** 2 <= (rows / 6) ** 2
    box = Letterbox(rows, columns, 192)
    back = box.undo(box.apply(disc.astype(np.float32))) >= 0.5
    assert 2 * (back & disc).sum() / (back.sum() + disc.sum()) > 0.98
