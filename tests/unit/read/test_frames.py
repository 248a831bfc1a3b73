from __future__ import annotations

import copy
import functools
import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from cad_node.errors import PixelDecodeError
from cad_node.read import decode_frames
from cad_node.read.headers import read_with_pixels
from tests.factories import Text, draw_texts, ellipse, speckle, us_cine, us_image, write
from tests.pixel_data import jpeg, set_pixels

NATIVE = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]
LOSSLESS = [*NATIVE, RLELossless, JPEG2000Lossless, JPEGLSLossless]
LOSSY = [JPEGBaseline8Bit, JPEG2000, JPEGLSNearLossless]


@functools.cache
def scene() -> NDArray[np.uint8]:
    """A grey picture with coloured marks, as RGB."""
    grey = speckle(lesion=ellipse(), tissue_box=(28, 236, 20, 300))
    marked = draw_texts(np.repeat(grey[..., None], 3, -1), [Text("L BREAST", 4, 6, 20, (255, 220, 0))])
    marked[100:110, 60:120] = (10, 200, 30)
    return marked


def read_back(dataset: Dataset, folder: Path) -> tuple[NDArray[np.uint8], ...]:
    return decode_frames(read_with_pixels(write(dataset, folder)))


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


@pytest.mark.parametrize("frames", [None, 3])
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_grey_comes_back_exactly(tmp_path: Path, syntax: str, frames: int | None) -> None:
    image = us_image(transfer_syntax=syntax, frames=frames, lesion=ellipse())
    source = us_image(frames=frames, lesion=ellipse())
    expected = np.frombuffer(source.PixelData, np.uint8).reshape(-1, 240, 320)
    assert np.array_equal(np.stack(read_back(image, tmp_path)), expected)


@pytest.mark.parametrize("frames", [None, 3])
@pytest.mark.parametrize("syntax", LOSSY)
def test_lossy_grey_comes_back_nearly(tmp_path: Path, syntax: str, frames: int | None) -> None:
    source = us_image(frames=frames)
    expected = np.frombuffer(source.PixelData, np.uint8).reshape(-1, 240, 320)
    got = read_back(us_image(transfer_syntax=syntax, frames=frames), tmp_path)
    assert len(got) == len(expected)
    assert difference(np.stack(got), expected) < 3


@pytest.mark.parametrize(
    ("syntax", "photometric"),
    [
        *((syntax, photometric) for syntax in [*LOSSLESS, *LOSSY] for photometric in ("RGB", "YBR_FULL")),
        *((syntax, "YBR_FULL_422") for syntax in [*NATIVE, JPEGBaseline8Bit]),
    ],
)
def test_colour_comes_back_as_rgb(tmp_path: Path, syntax: str, photometric: str) -> None:
    image = us_image(pixels=scene(), photometric=photometric, transfer_syntax=syntax)
    (got,) = read_back(image, tmp_path)
    exact = photometric == "RGB" and syntax in LOSSLESS
    assert difference(got, scene()) <= (0 if exact else 4)
    assert difference(got[101:109, 70:110], scene()[101:109, 70:110]) < 12  # the green block stays green


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_colour_by_plane_comes_back(tmp_path: Path, syntax: str) -> None:
    image = us_image(pixels=scene(), photometric="RGB", planar_configuration=1, transfer_syntax=syntax)
    assert np.array_equal(read_back(image, tmp_path)[0], scene())


@pytest.mark.parametrize("syntax", [*NATIVE, RLELossless, JPEG2000Lossless])
def test_palettes_come_back_in_either_byte_order(tmp_path: Path, syntax: str) -> None:
    image = us_cine(photometric="PALETTE COLOR", transfer_syntax=syntax)
    expected = np.frombuffer(us_cine().PixelData, np.uint8).reshape(-1, 240, 320)
    assert np.array_equal(np.stack(read_back(image, tmp_path)), expected)


def test_a_colour_palette_gives_rgb(tmp_path: Path) -> None:
    image = us_image(photometric="PALETTE COLOR")
    image.BluePaletteColorLookupTableData = bytes(512)
    (got,) = read_back(image, tmp_path)
    assert got.shape == (240, 320, 3)
    assert got[..., 2].max() == 0
    assert got[..., 0].max() > 100


def test_a_palette_of_8_bit_values_in_16_bit_entries_is_not_black(tmp_path: Path) -> None:
    image = us_image(photometric="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(image, f"{colour}PaletteColorLookupTableData", np.arange(256, dtype="<u2").tobytes())
    expected = np.frombuffer(us_image().PixelData, np.uint8).reshape(240, 320)
    assert np.array_equal(read_back(image, tmp_path)[0], expected)


def test_a_broken_palette_is_a_decode_error(tmp_path: Path) -> None:
    image = us_image(photometric="PALETTE COLOR", attributes={"GreenPaletteColorLookupTableData": b"ab"})
    with pytest.raises(PixelDecodeError, match="palette"):
        read_back(image, tmp_path)


def test_rgb_with_equal_channels_becomes_grey(tmp_path: Path) -> None:
    (got,) = read_back(us_image(photometric="RGB"), tmp_path)
    assert got.shape == (240, 320)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    shown = read_back(us_image(photometric="MONOCHROME1", lesion=ellipse()), tmp_path)
    assert np.array_equal(shown[0], read_back(us_image(lesion=ellipse()), tmp_path)[0])


@pytest.mark.parametrize("label", ["YBR_FULL", "YBR_FULL_422"])
def test_rgb_that_a_router_left_labelled_ybr_is_seen(tmp_path: Path, label: str) -> None:
    image = us_image(pixels=scene(), photometric="RGB", attributes={"PhotometricInterpretation": label})
    assert np.array_equal(read_back(image, tmp_path)[0], scene())


def test_ybr_labelled_rgb_is_seen(tmp_path: Path) -> None:
    image = us_image(pixels=scene(), photometric="YBR_FULL", attributes={"PhotometricInterpretation": "RGB"})
    assert difference(read_back(image, tmp_path)[0], scene()) < 2


@pytest.mark.parametrize("label", ["RGB", "YBR_FULL_422"])
@pytest.mark.parametrize("keep_rgb", [True, False])
@pytest.mark.parametrize("marked", [True, False])
def test_jpeg_colours_are_right_whatever_label_and_markers_say(
    tmp_path: Path, label: str, *, keep_rgb: bool, marked: bool
) -> None:
    stream = jpeg(scene(), keep_rgb=keep_rgb)
    if not marked:
        stream = _without_markers(stream)
    image = us_image(pixels=scene(), photometric="RGB", transfer_syntax=JPEGBaseline8Bit)
    image.PixelData = encapsulate([stream])
    image.PhotometricInterpretation = label
    assert difference(read_back(image, tmp_path)[0], scene()) < 4


def test_unclear_colours_follow_the_label(tmp_path: Path) -> None:
    gaudy = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    stream = _without_markers(jpeg(gaudy, quality=100))
    shown = {}
    for label in ("RGB", "YBR_FULL_422"):
        image = us_image(pixels=gaudy, photometric="RGB", transfer_syntax=JPEGBaseline8Bit, regions=())
        image.PixelData = encapsulate([stream])
        image.PhotometricInterpretation = label
        shown[label] = read_back(image, tmp_path)[0]
    decoded = np.asarray(Image.open(io.BytesIO(stream)))
    assert difference(shown["YBR_FULL_422"], decoded) < 2
    assert difference(shown["RGB"], decoded) > 20


def test_ybr_partial_is_stretched(tmp_path: Path) -> None:
    full = us_image(pixels=scene(), photometric="YBR_FULL")
    stored = np.frombuffer(full.PixelData, np.uint8).reshape(240, 320, 3).astype(float)
    scale, offset = np.array((219, 224, 224)) / 255, np.array((16, 128, 128))
    partial = np.rint((stored - (0, 128, 128)) * scale + offset).astype(np.uint8)
    full.PixelData = partial.tobytes()
    full.PhotometricInterpretation = "YBR_PARTIAL_422"  # not subsampled, as its length tells
    assert difference(read_back(full, tmp_path)[0], scene()) < 2


@pytest.mark.parametrize("syntax", [*LOSSLESS])
@pytest.mark.parametrize("bits", [12, 16])
def test_deep_grey_is_scaled_by_its_bits(tmp_path: Path, syntax: str, bits: int) -> None:
    grey = speckle()
    deep = grey.astype(np.uint16) << (bits - 8)
    deep[0, 0] = 2**bits - 1
    image = us_image(pixels=deep, bits_stored=bits, transfer_syntax=syntax)
    (got,) = read_back(image, tmp_path)
    assert difference(got[1:], grey[1:]) <= 1
    assert got[0, 0] == 255


@pytest.mark.parametrize("syntax", [*LOSSLESS])
@pytest.mark.parametrize(("high", "below"), [(15, 0), (15, 0b1010), (13, 0b01)])
def test_samples_that_do_not_lie_at_the_lower_end_are_found_by_high_bit(
    tmp_path: Path, syntax: str, high: int, below: int
) -> None:
    samples = speckle().astype(np.uint16) << 4
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    low = us_image(pixels=samples, bits_stored=12, attributes=window)
    placed = us_image(
        pixels=samples << (high - 11) | below, bits_stored=16, transfer_syntax=syntax, attributes=window
    )
    placed.BitsStored, placed.HighBit = 12, high
    assert np.array_equal(read_back(placed, tmp_path)[0], read_back(low, tmp_path / "low")[0])


def test_eight_bit_values_in_sixteen_bits_keep_their_brightness(tmp_path: Path) -> None:
    image = us_image(pixels=speckle(), bits_stored=16)
    assert np.array_equal(read_back(image, tmp_path)[0], speckle())


def test_a_window_is_applied_to_deep_pixels(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(320, dtype=np.uint16) * 10, (240, 1))
    window = {"WindowCenter": 1000, "WindowWidth": 1000, "VOILUTFunction": "LINEAR_EXACT"}
    (got,) = read_back(us_image(pixels=ramp, bits_stored=16, attributes=window), tmp_path)
    assert got[0, 49] == 0
    assert got[0, 151] == 255
    assert abs(int(got[0, 100]) - 127) <= 1


def test_rescale_comes_before_the_window(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(320, dtype=np.uint16) * 10, (240, 1))
    attributes = {
        "RescaleSlope": 2, "RescaleIntercept": -1000,
        "WindowCenter": 1000, "WindowWidth": 2000, "VOILUTFunction": "LINEAR_EXACT",
    }  # fmt: skip
    (got,) = read_back(us_image(pixels=ramp, bits_stored=16, attributes=attributes), tmp_path)
    assert abs(int(got[0, 100]) - 127) <= 1  # 100 * 10 * 2 - 1000 is the centre


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": 127, "WindowWidth": 254},
        {"WindowCenter": 5000, "WindowWidth": 10},  # all black
        {"WindowCenter": -500, "WindowWidth": 10},  # all white
        {"RescaleSlope": 0, "RescaleIntercept": 0},
        {},
    ],
)
def test_a_window_that_cuts_nothing_or_everything_leaves_8_bits_alone(
    tmp_path: Path, window: dict[str, Any]
) -> None:
    image = us_image(attributes=window)
    expected = np.frombuffer(image.PixelData, np.uint8).reshape(240, 320)
    assert np.array_equal(read_back(image, tmp_path)[0], expected)


def test_a_long_loop_is_not_windowed_all_at_once(tmp_path: Path) -> None:
    loop = us_cine(frames=40, rows=120, columns=160)
    loop.WindowCenter, loop.WindowWidth = 100, 80
    dataset = read_with_pixels(write(loop, tmp_path))
    decode_frames(dataset)  # what is made once
    tracemalloc.start()
    try:
        decode_frames(dataset)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 40 * 120 * 160  # 14 bytes a pixel where all frames are made wider together


def test_signed_pixels_are_scaled_from_least_to_greatest(tmp_path: Path) -> None:
    values = np.tile(np.linspace(-1000, 1000, 320).astype(np.int16), (240, 1))
    image = us_image(pixels=values.view(np.uint16), bits_stored=16, attributes={"PixelRepresentation": 1})
    (got,) = read_back(image, tmp_path)
    assert (got[0, 0], got[0, -1]) == (0, 255)


def test_many_fragments_a_frame_without_offset_table_are_joined(tmp_path: Path) -> None:
    image = us_cine(frames=2, photometric="RGB", transfer_syntax=JPEGBaseline8Bit)
    streams = [jpeg(np.full((240, 320, 3), level, np.uint8)) for level in (50, 200)]
    image.PixelData = encapsulate(streams, fragments_per_frame=3, has_bot=False)
    assert [round(float(frame.mean()), -1) for frame in read_back(image, tmp_path)] == [50, 200]


def test_a_jpeg_without_end_marker_is_read(tmp_path: Path) -> None:
    image = us_image(pixels=scene(), photometric="YBR_FULL_422", transfer_syntax=JPEGBaseline8Bit)
    image.PixelData = encapsulate([jpeg(scene()).removesuffix(b"\xff\xd9")])
    assert difference(read_back(image, tmp_path)[0], scene()) < 4


def test_fewer_frames_than_announced_are_an_error(tmp_path: Path) -> None:
    for syntax in (ExplicitVRLittleEndian, RLELossless, JPEGBaseline8Bit):
        image = us_cine(frames=2, transfer_syntax=syntax)
        image.NumberOfFrames = 5
        with pytest.raises(PixelDecodeError):
            read_back(image, tmp_path)


def test_more_frames_than_announced_are_left_out(tmp_path: Path) -> None:
    for syntax in (ExplicitVRLittleEndian, JPEGBaseline8Bit):
        image = us_cine(frames=3, transfer_syntax=syntax)
        image.NumberOfFrames = 2
        assert len(read_back(image, tmp_path)) == 2


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEG2000Lossless, JPEGLSLossless])
def test_a_stream_larger_than_its_header_says_is_not_decoded(tmp_path: Path, syntax: str) -> None:
    image = us_image(transfer_syntax=syntax, attributes={"Rows": 24, "Columns": 32})
    with pytest.raises(PixelDecodeError, match="another size"):
        read_back(image, tmp_path)


@pytest.mark.parametrize("syntax", [*LOSSLESS, *LOSSY])
def test_broken_pixels_are_a_decode_error_without_patient_data(tmp_path: Path, syntax: str) -> None:
    image = us_image(transfer_syntax=syntax, patient_name="DOE^JANE")
    broken = copy.deepcopy(image)
    if image["PixelData"].is_undefined_length or syntax in [RLELossless, *LOSSLESS[5:], *LOSSY]:
        broken.PixelData = encapsulate([b"\xff\xd8\xff\xe0" + b"\1" * 100])
    else:
        broken.PixelData = image.PixelData[:1000]
    with pytest.raises(PixelDecodeError) as caught:
        read_back(broken, tmp_path)
    assert "DOE" not in str(caught.value)


def test_set_pixels_and_decode_agree_on_odd_sizes(tmp_path: Path) -> None:
    for syntax in (ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless):
        odd = np.arange(33 * 35 * 3, dtype=np.uint32).astype(np.uint8).reshape(33, 35, 3)
        odd[..., 1:] = odd[..., :1]
        odd[3, 3] = (9, 8, 7)
        image = us_image(pixels=odd, photometric="RGB", transfer_syntax=syntax, regions=())
        assert np.array_equal(read_back(image, tmp_path)[0], odd)
        set_pixels(image, odd[None], "RGB", syntax)
        assert np.array_equal(read_back(image, tmp_path)[0], odd)


def _without_markers(stream: bytes) -> bytes:
    """The stream without JFIF and Adobe segments, its components named 1, 2, 3."""
    kept, at = [stream[:2]], 2
    while stream[at + 1] != 0xDA:
        length = 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        segment = bytearray(stream[at : at + length])
        if segment[1] == 0xC0:
            segment[10::3] = bytes(range(1, 1 + len(segment[10::3])))
        if segment[1] not in (0xE0, 0xEE):
            kept.append(bytes(segment))
        at += length
    scan = bytearray(stream[at:])
    scan[5], scan[7], scan[9] = 1, 2, 3
    return b"".join((*kept, bytes(scan)))
