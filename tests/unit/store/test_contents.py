"""Whether two files hold the same pixels."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from pydicom.uid import DeflatedExplicitVRLittleEndian

from cad_node.store.contents import same_pixels
from tests.factories import us_image, write


def test_the_same_picture_under_two_headers_has_the_same_pixels(tmp_path: Path) -> None:
    one = write(us_image(seed=1, patient_id="1"), tmp_path, "one.dcm")
    other = write(us_image(seed=1, patient_id="2"), tmp_path, "other.dcm")
    third = write(us_image(seed=2), tmp_path, "third.dcm")

    assert same_pixels(one.read_bytes(), other)
    assert not same_pixels(one, third)


def test_a_deflated_data_set_is_not_inflated_to_be_compared(tmp_path: Path) -> None:
    image = us_image()
    image.PixelData = bytes(50_000_000)
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = write(image, tmp_path)
    tracemalloc.start()
    try:
        assert not same_pixels(path, path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
