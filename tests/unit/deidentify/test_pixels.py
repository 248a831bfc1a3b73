from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000, ExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from cad_node.deidentify.options import Encoding, Keep
from cad_node.deidentify.pixels import (
    TRANSFER_SYNTAXES,
    check_written,
    keep_lossy_history,
    keep_regions,
    lossless_syntax,
    put_pixels,
)
from cad_node.deidentify.profile import deidentify
from cad_node.deidentify.pseudonyms import Pseudonyms
from cad_node.domain import Box
from cad_node.errors import EncodeError
from cad_node.read.headers import read_header
from tests.factories import dummy_region, region, us_cine, us_image, write


def header_copy(dataset: Dataset, folder: Path) -> Dataset:
    return deidentify(read_header(write(dataset, folder)), Keep(), Pseudonyms(b"a secret of some length"))


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("frames", [None, 3])
@pytest.mark.parametrize("columns", [64, 63])
def test_every_encoding_gives_back_every_pixel(
    encoding: Encoding, colour: bool, frames: int | None, columns: int, tmp_path: Path
) -> None:
    source = us_image(rows=61, columns=64) if frames is None else us_cine(rows=61, columns=64, frames=frames)
    shape = (frames or 1, 61, columns, *((3,) if colour else ()))
    stack = np.random.default_rng(5).integers(0, 255, shape, np.uint8)
    stack[:, :, :20] = 0
    copy = header_copy(source, tmp_path)

    put_pixels(copy, stack, TRANSFER_SYNTAXES[encoding])

    path = write(copy, tmp_path, "copy.dcm")
    check_written(path, stack)
    changed = stack.copy()
    changed[0, 3, 40] ^= 1
    with pytest.raises(EncodeError, match="differs"):
        check_written(path, changed)


def test_what_was_applied_to_the_pixels_leaves_the_header(tmp_path: Path) -> None:
    source = us_image(
        photometric="PALETTE COLOR",
        attributes={"WindowCenter": "40", "WindowWidth": "80", "RescaleSlope": "2"},
    )
    copy = header_copy(source, tmp_path)

    put_pixels(copy, np.zeros((1, 240, 320), np.uint8), ExplicitVRLittleEndian)

    assert copy.PhotometricInterpretation == "MONOCHROME2"
    for gone in ("WindowCenter", "WindowWidth", "RescaleSlope", "RedPaletteColorLookupTableDescriptor"):
        assert gone not in copy


@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence"])
def test_a_table_that_was_applied_to_the_pixels_is_not_applied_again(keyword: str, tmp_path: Path) -> None:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [256, 0, 8])
    table.add_new("LUTData", "US", list(range(255, -1, -1)))
    copy = header_copy(us_image(attributes={keyword: [table]}), tmp_path)
    stack = np.full((1, 240, 320), 30, np.uint8)
    stack[:, :100] = 90

    put_pixels(copy, stack, ExplicitVRLittleEndian)

    check_written(write(copy, tmp_path, "copy.dcm"), stack)


def test_the_file_meta_information_is_new(tmp_path: Path) -> None:
    source = us_image()
    source.file_meta.SourceApplicationEntityTitle = "US-ROOM-DOE"
    copy = header_copy(source, tmp_path)

    put_pixels(copy, np.zeros((1, 240, 320), np.uint8), ExplicitVRLittleEndian)

    assert copy.file_meta.MediaStorageSOPInstanceUID == copy.SOPInstanceUID != source.SOPInstanceUID
    assert "SourceApplicationEntityTitle" not in copy.file_meta


def test_compressed_stays_compressed_and_plain_stays_plain() -> None:
    assert lossless_syntax(JPEGBaseline8Bit) == JPEGLSLossless
    assert lossless_syntax(RLELossless) == JPEGLSLossless
    assert lossless_syntax(ExplicitVRLittleEndian) == ExplicitVRLittleEndian


def test_regions_that_were_blanked_go_and_bounds_that_overhang_are_mended(tmp_path: Path) -> None:
    cleaned = Box(20, 240, 10, 320)
    kept, overhanging = region((20, 120, 10, 310)), region((120, 240, 10, 320))
    overhanging.RegionLocationMaxY1, overhanging.RegionLocationMaxX1 = 240, 320
    blanked = region((0, 60, 0, 60), data_type=10)
    copy = header_copy(us_image(regions=(dummy_region(240, 320), kept, overhanging, blanked)), tmp_path)

    keep_regions(copy, cleaned)

    bounds = [
        (item.RegionLocationMinY0, item.RegionLocationMaxY1, item.RegionLocationMaxX1)
        for item in copy.SequenceOfUltrasoundRegions
    ]
    assert bounds == [(20, 119, 309), (120, 239, 319)]


def test_no_region_is_better_than_a_false_one(tmp_path: Path) -> None:
    copy = header_copy(us_image(regions=(dummy_region(240, 320),)), tmp_path)

    keep_regions(copy, Box(0, 240, 0, 320))

    assert "SequenceOfUltrasoundRegions" not in copy


def test_the_lossy_history_is_kept_and_said_where_the_source_did_not(tmp_path: Path) -> None:
    told = us_image(photometric="YBR_FULL_422", transfer_syntax=JPEGBaseline8Bit)
    silent = us_image(attributes={"LossyImageCompression": None})
    plain = us_image()
    copies = [header_copy(one, tmp_path) for one in (told, silent, plain)]

    for copy, syntax in zip(copies, (JPEGBaseline8Bit, JPEG2000, ExplicitVRLittleEndian), strict=True):
        keep_lossy_history(copy, syntax, 7.25)

    assert copies[0].LossyImageCompressionRatio == told.LossyImageCompressionRatio
    assert copies[0].LossyImageCompressionMethod == "ISO_10918_1"
    assert (copies[1].LossyImageCompression, copies[1].LossyImageCompressionRatio) == ("01", 7.25)
    assert copies[1].LossyImageCompressionMethod == "ISO_15444_1"
    assert copies[2].LossyImageCompression == "00"
