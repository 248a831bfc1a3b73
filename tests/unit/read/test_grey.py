"""Grey as a reader sees it: each expected curve is PS3.3's own formula, and DCMTK's picture but for one level."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from cad_node.read import decode_frames
from cad_node.read.headers import read_with_pixels
from tests.factories import us_image, write

RAMP_8 = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
RAMP_12 = np.tile(np.arange(0, 4096, 16, dtype=np.uint16), (64, 1))


def table(
    entries: NDArray[np.integer], first: int = 0, bits: int = 8, *, words: bool = False, big: bool = False
) -> Dataset:
    """One item of a Modality or VOI LUT Sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries) % 2**16, first % 2**16, bits])
    if words:
        item.add_new("LUTData", "OW", entries.astype(">u2" if big else "<u2").tobytes())
    else:
        item.add_new("LUTData", "US", [int(one) for one in entries])
    item.ModalityLUTType = "US"
    return item


def square(bits: int, count: int = 256) -> NDArray[np.integer]:
    return np.rint((2**bits - 1) * (np.arange(count) / (count - 1)) ** 2).astype(np.int64)


def shown(folder: Path, pixels: NDArray[Any] = RAMP_8, bits: int = 8, **attributes: Any) -> NDArray[np.int64]:
    """A row of the picture of a ramp."""
    options = {
        name: attributes.pop(name) for name in ("photometric", "transfer_syntax") if name in attributes
    }
    image = us_image(pixels=pixels, bits_stored=bits, attributes=attributes, **options)
    (frame,) = decode_frames(read_with_pixels(write(image, folder)))
    return frame[0].astype(np.int64)


def assert_alike(got: NDArray[np.int64], expected: NDArray[Any], most: float = 1) -> None:
    np.testing.assert_allclose(got, np.rint(expected), atol=most)


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize(
    "transfer_syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_a_table_of_greys_is_applied(
    tmp_path: Path, keyword: str, bits: int, words: bool, transfer_syntax: str
) -> None:
    big = transfer_syntax == ExplicitVRBigEndian
    item = table(square(bits), bits=bits, words=words, big=big)
    got = shown(tmp_path, transfer_syntax=transfer_syntax, **{keyword: [item]})
    assert_alike(got, 255 * (np.arange(256) / 255) ** 2)


def test_two_entries_of_a_table_may_share_a_word(tmp_path: Path) -> None:
    item = table(square(8))
    item["LUTData"].VR = "OW"
    item["LUTData"].value = square(8).astype(np.uint8).tobytes()
    assert_alike(shown(tmp_path, VOILUTSequence=[item]), square(8))


def test_values_beside_a_table_become_its_ends(tmp_path: Path) -> None:
    short = table(np.arange(0, 1000) * 255 // 999, first=1000)
    got = shown(tmp_path, RAMP_12, 12, VOILUTSequence=[short])
    assert (got[0], got[62], got[-1]) == (0, 0, 255)
    assert abs(got[94] - (94 * 16 - 1000) * 255 / 999) <= 1


def test_a_table_may_begin_below_zero(tmp_path: Path) -> None:
    values = np.tile(np.linspace(-128, 127, 256).astype(np.int16), (64, 1))
    item = table(square(8), first=-128)
    got = shown(tmp_path, values.view(np.uint16), 16, PixelRepresentation=1, VOILUTSequence=[item])
    assert_alike(got, square(8))


def test_a_table_that_names_sixteen_bits_and_uses_twelve_is_not_dark(tmp_path: Path) -> None:
    got = shown(tmp_path, VOILUTSequence=[table(square(12), bits=16)])
    assert_alike(got, square(8))


def test_of_table_and_window_the_table_is_shown(tmp_path: Path) -> None:
    got = shown(tmp_path, VOILUTSequence=[table(square(8))], WindowCenter=100, WindowWidth=100)
    assert_alike(got, square(8))


def test_the_table_of_the_window_comes_after_that_of_the_modality(tmp_path: Path) -> None:
    reverse = table(np.arange(256)[::-1])
    got = shown(tmp_path, ModalityLUTSequence=[reverse], VOILUTSequence=[table(square(8))])
    assert_alike(got, square(8)[::-1])


def broken(change: Callable[[Dataset], None]) -> Dataset:
    item = table(square(8))
    change(item)
    return item


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize(
    "item",
    [
        Dataset(),
        broken(lambda item: setattr(item, "LUTDescriptor", [256, 0])),
        broken(lambda item: setattr(item, "LUTData", [1, 2, 3])),
        broken(lambda item: delattr(item, "LUTData")),
    ],
)
def test_a_broken_table_is_left_out(tmp_path: Path, keyword: str, item: Dataset) -> None:
    assert_alike(shown(tmp_path, **{keyword: [item]}), np.arange(256), 0)


def test_a_table_that_shows_nothing_gives_way_to_the_window(tmp_path: Path) -> None:
    flat = table(np.full(256, 7))
    got = shown(tmp_path, VOILUTSequence=[flat], WindowCenter=100, WindowWidth=101)
    assert (got[49], got[150]) == (0, 255)


@pytest.mark.parametrize(
    ("pixels", "bits", "centre", "width"),
    [(RAMP_8, 8, 100, 100), (RAMP_8, 8, 128, 256), (RAMP_12, 12, 2000, 900)],
)
def test_a_sigmoid_is_a_sigmoid(
    tmp_path: Path, pixels: NDArray[Any], bits: int, centre: float, width: float
) -> None:
    got = shown(tmp_path, pixels, bits, WindowCenter=centre, WindowWidth=width, VOILUTFunction="SIGMOID")
    assert_alike(got, 255 / (1 + np.exp(-4 * (pixels[0] - float(centre)) / width)))


@pytest.mark.parametrize(
    "attributes",
    [
        {"RescaleSlope": "0.01", "RescaleIntercept": "0"},
        {"RescaleSlope": "0.01", "RescaleIntercept": "-7"},
        {"RescaleSlope": "4", "RescaleIntercept": "100"},
        {
            "RescaleSlope": "0.00392156862745", "RescaleIntercept": "0", "WindowCenter": "0.5",
            "WindowWidth": "1", "VOILUTFunction": "LINEAR_EXACT",
        },
    ],
)  # fmt: skip
def test_a_rescale_alone_makes_no_picture_darker(tmp_path: Path, attributes: dict[str, str]) -> None:
    assert_alike(shown(tmp_path, **attributes), np.arange(256))


def test_a_falling_rescale_turns_the_greys_round(tmp_path: Path) -> None:
    got = shown(tmp_path, RescaleSlope="-1", RescaleIntercept="255")
    assert_alike(got, np.arange(256)[::-1])


@pytest.mark.parametrize(
    ("photometric", "shape", "turned"),
    [
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME2", None, False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "LIN OD", False),
    ],
)
def test_small_values_are_bright_where_label_and_shape_say_so(
    tmp_path: Path, photometric: str, shape: str | None, turned: bool
) -> None:
    dark = RAMP_8 // 3
    got = shown(tmp_path, dark, photometric=photometric, PresentationLUTShape=shape)
    assert_alike(got, 255 - dark[0] if turned else dark[0], 0)


@pytest.mark.parametrize(("photometric", "shape"), [("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")])
def test_where_label_and_shape_contradict_each_other_the_darker_picture_is_taken(
    tmp_path: Path, photometric: str, shape: str
) -> None:
    dark = RAMP_8 // 3
    for stored in (dark, 255 - dark):
        got = shown(tmp_path, stored, photometric=photometric, PresentationLUTShape=shape)
        assert_alike(got, dark[0], 0)
