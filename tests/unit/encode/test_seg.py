from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from highdicom.seg import Segmentation
from pydicom.uid import SegmentationStorage, UltrasoundMultiFrameImageStorage

from cad_node.domain import PixelSpacing
from cad_node.encode import Templates, derive_uid
from cad_node.errors import EncodeError
from tests.factories import Ellipse, us_cine, us_image
from tests.results import BENIGN, LARGE, MALIGNANT, SMALL, analysed, study
from tests.unit.encode.encoding import encode


def test_masks_come_back_as_they_went_in(templates: Templates) -> None:
    source = us_image()
    image = analysed(source, {1: [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]})
    seg = Segmentation.from_dataset(encode(study(image), [source], templates)[0].dataset)
    masks = seg.get_pixels_by_source_instance([source.SOPInstanceUID], ignore_spatial_locations=True)
    assert seg.SOPClassUID == SegmentationStorage
    assert seg.SegmentationType == "BINARY"
    np.testing.assert_array_equal(masks[0, ..., 0], LARGE.mask(240, 320))
    np.testing.assert_array_equal(masks[0, ..., 1], SMALL.mask(240, 320))


def test_overlapping_lesions_keep_their_own_pixels(templates: Templates) -> None:
    source = us_image()
    other = Ellipse(125, 170, 30, 45)
    image = analysed(source, {1: [(1, LARGE, MALIGNANT), (2, other, BENIGN)]})
    seg = Segmentation.from_dataset(encode(study(image), [source], templates)[0].dataset)
    masks = seg.get_pixels_by_source_instance([source.SOPInstanceUID], ignore_spatial_locations=True)
    assert seg.SegmentsOverlap == "YES"
    np.testing.assert_array_equal(masks[0, ..., 1], other.mask(240, 320))


@pytest.mark.parametrize("size", [(241, 321), (7, 5), (480, 640)])
def test_sizes_that_fill_no_whole_byte_are_packed_right(templates: Templates, size: tuple[int, int]) -> None:
    rows, columns = size
    shape = Ellipse(rows / 2, columns / 2, rows / 3, columns / 3)
    source = us_cine(frames=3, pixels=np.zeros((3, rows, columns), np.uint8))
    image = analysed(source, {1: [(1, shape, MALIGNANT)], 3: [(1, shape, MALIGNANT)]})
    seg = Segmentation.from_dataset(encode(study(image), [source], templates)[0].dataset)
    masks = seg.get_pixels_by_source_frame(
        source.SOPInstanceUID, [1, 2, 3], ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(masks[0, ..., 0], shape.mask(rows, columns))
    assert not masks[1].any()
    np.testing.assert_array_equal(masks[2, ..., 0], shape.mask(rows, columns))


def test_a_cine_has_a_segment_a_lesion_and_a_frame_wherever_it_shows(templates: Templates) -> None:
    source = us_cine(frames=4)
    moved = Ellipse(122, 165, 30, 45)
    drawn = {
        1: [(1, LARGE, BENIGN)],
        2: [(1, moved, MALIGNANT), (3, SMALL, BENIGN)],
        4: [(3, SMALL, BENIGN)],
    }
    dataset = encode(study(analysed(source, drawn)), [source], templates)[0].dataset
    seg = Segmentation.from_dataset(dataset)
    assert seg.number_of_segments == 2
    assert seg.NumberOfFrames == 4
    assert [item.SegmentLabel for item in seg.SegmentSequence] == [
        "Lesion 1 (malignant)",
        "Lesion 3 (benign)",
    ]
    masks = seg.get_pixels_by_source_frame(
        source.SOPInstanceUID,
        [1, 2, 3, 4],
        ignore_spatial_locations=True,
        assert_missing_frames_are_empty=True,
    )
    np.testing.assert_array_equal(masks[1, ..., 0], moved.mask(240, 320))
    np.testing.assert_array_equal(masks[3, ..., 1], SMALL.mask(240, 320))
    assert not masks[2].any()
    assert not masks[3, ..., 0].any()
    referenced = {
        item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPClassUID
        for item in seg.PerFrameFunctionalGroupsSequence
    }
    assert referenced == {UltrasoundMultiFrameImageStorage}


def test_a_cine_of_one_frame_is_referenced_by_its_frame(templates: Templates) -> None:
    source = us_cine(frames=1)
    image = analysed(source, {1: [(1, LARGE, MALIGNANT)]})
    seg = Segmentation.from_dataset(encode(study(image), [source], templates)[0].dataset)
    masks = seg.get_pixels_by_source_frame(source.SOPInstanceUID, [1], ignore_spatial_locations=True)
    np.testing.assert_array_equal(masks[0, ..., 0], LARGE.mask(240, 320))


def test_segments_name_the_lesion_the_algorithm_and_the_colour_of_the_class(templates: Templates) -> None:
    source = us_image()
    image = analysed(source, {1: [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]})
    dataset = encode(study(image), [source], templates)[0].dataset
    first, second = dataset.SegmentSequence
    assert first.TrackingUID == derive_uid("lesion", source.SOPInstanceUID, "1")
    algorithm = first.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == "CAD Node breast-us"
    assert "1.0.0" in algorithm.AlgorithmVersion
    assert "0.1.0" in algorithm.AlgorithmVersion
    assert f"model_sha256={'ab' * 32}" in algorithm.AlgorithmParameters
    assert list(first.RecommendedDisplayCIELabValue) != list(second.RecommendedDisplayCIELabValue)


def test_what_viewers_need_is_in_the_shared_groups(templates: Templates) -> None:
    source = us_image()
    image = analysed(source, {1: [(1, LARGE, MALIGNANT)]}, spacing=PixelSpacing(row_mm=0.2, column_mm=0.1))
    shared = encode(study(image), [source], templates)[0].dataset.SharedFunctionalGroupsSequence[0]
    assert shared.PixelMeasuresSequence[0].PixelSpacing == [0.2, 0.1]
    assert "PlaneOrientationSequence" in shared


@pytest.mark.parametrize("mask", [np.zeros((240, 320), bool), np.ones((10, 10), bool)])
def test_a_mask_that_is_empty_or_of_another_size_is_refused(
    templates: Templates, mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]]
) -> None:
    source = us_image()
    image = analysed(source, {1: [(1, LARGE, MALIGNANT)]})
    frame = image.frames[0]
    broken = replace(frame, lesions=(replace(frame.lesions[0], mask=mask),))
    with pytest.raises(EncodeError, match="empty mask or one of another size"):
        encode(study(replace(image, frames=(broken,))), [source], templates)


def test_lossy_sources_make_lossy_results(templates: Templates) -> None:
    lossy = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "12.5",
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    source = us_image(attributes=lossy)
    dataset = encode(study(analysed(source, {1: [(1, LARGE, BENIGN)]})), [source], templates)[0].dataset
    assert dataset.LossyImageCompression == "01"
    assert dataset.LossyImageCompressionMethod == "ISO_10918_1"
