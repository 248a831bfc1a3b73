from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from highdicom.seg import Segmentation
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage, UltrasoundMultiFrameImageStorage

from cad_node.domain import PixelSpacing
from cad_node.encode import Templates, derive_uid
from cad_node.encode.transfer_syntax import UIDS
from cad_node.errors import EncodeError
from cad_node.settings import ResultSettings, SegType, TransferSyntax
from cad_node.variants import Variant
from tests.factories import Ellipse, us_cine, us_image, us_study
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


def test_without_a_scale_a_pixel_has_an_area_of_one_and_its_own_proportions(templates: Templates) -> None:
    source = us_image()
    image = analysed(source, {1: [(1, LARGE, MALIGNANT)]}, spacing=None)
    assert image.key_frame is not None
    image = replace(image, key_frame=replace(image.key_frame, aspect=54 / 59))
    shared = encode(study(image), [source], templates)[0].dataset.SharedFunctionalGroupsSequence[0]
    row, column = (float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing)
    assert row / column == pytest.approx(54 / 59)
    assert row * column == pytest.approx(1)


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


def masks_of(dataset: Dataset, source: Dataset, segment: int, frame: int | None = None) -> np.ndarray:
    """A segment's mask on a source, as highdicom reads it; of a fraction, what is at least one half."""
    seg = Segmentation.from_dataset(dataset)
    how = {"segment_numbers": [segment], "ignore_spatial_locations": True}
    if frame is None:
        return seg.get_pixels_by_source_instance([source.SOPInstanceUID], **how)[0, ..., 0] > 0.5
    return seg.get_pixels_by_source_frame(source.SOPInstanceUID, [frame], **how)[0, ..., 0] > 0.5


@pytest.mark.parametrize("syntax", ["explicit-little-endian", "rle", "jpeg-ls", "jpeg-2000"])
@pytest.mark.parametrize("seg_type", ["fractional", "labelmap"])
def test_every_type_holds_the_masks_of_a_loop(
    seg_type: SegType, syntax: TransferSyntax, templates: Templates
) -> None:
    source = us_cine(frames=4)
    drawn = {1: [(1, LARGE, BENIGN)], 3: [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]}
    variant = Variant.of("seg", ResultSettings(seg_type=seg_type, transfer_syntax=syntax))
    (made,) = encode(study(analysed(source, drawn)), [source], templates, variants=[variant])
    assert made.dataset.SegmentationType == seg_type.upper()
    assert made.dataset.file_meta.TransferSyntaxUID == UIDS[syntax]
    np.testing.assert_array_equal(masks_of(made.dataset, source, 1, 1), LARGE.mask(240, 320))
    np.testing.assert_array_equal(masks_of(made.dataset, source, 1, 3), LARGE.mask(240, 320))
    np.testing.assert_array_equal(masks_of(made.dataset, source, 2, 3), SMALL.mask(240, 320))
    assert made.dataset.NumberOfFrames == (2 if seg_type == "labelmap" else 3)


FRACTIONAL = Variant.of("seg", ResultSettings(seg_type="fractional"))


def test_a_fractional_pixel_has_the_probability_of_the_network(templates: Templates) -> None:
    source = us_image()
    image = analysed(source, {1: [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]})
    dataset = encode(study(image), [source], templates, variants=[FRACTIONAL])[0].dataset
    assert dataset.SegmentationFractionalType == "PROBABILITY"
    assert dataset.MaximumFractionalValue == 255
    for pixels, lesion in zip(dataset.pixel_array, image.lesions, strict=True):
        kept = lesion.probability_map
        assert kept is not None
        np.testing.assert_array_equal(pixels[kept.box.slices], kept.values)
        assert pixels.sum() == kept.values.sum(dtype=int)
        # Sure in the middle, unsure at the edge, and not cut off there.
        assert len(np.unique(pixels)) > 100


def test_the_mask_is_the_fraction_from_the_value_that_the_segment_names(templates: Templates) -> None:
    source = us_image()
    image = analysed(source, {1: [(1, LARGE, MALIGNANT)]})
    dataset = encode(study(image), [source], templates, variants=[FRACTIONAL])[0].dataset
    (binary, _) = encode(study(image), [source], templates)
    algorithm = Segmentation.from_dataset(dataset).get_segment_description(1).algorithm_identification
    assert algorithm is not None
    assert algorithm.parameters is not None
    least = int(algorithm.parameters["mask_from_value"])
    assert least == 128
    np.testing.assert_array_equal(dataset.pixel_array >= least, binary.dataset.pixel_array > 0)
    parameters = binary.dataset.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert "mask_from_value" not in parameters.AlgorithmParameters


def test_a_fractional_segmentation_of_an_analysis_that_kept_no_probability_is_refused(
    templates: Templates,
) -> None:
    source = us_image()
    image = analysed(source, {1: [(1, LARGE, MALIGNANT)]})
    frame = image.frames[0]
    bare = replace(frame.lesions[0], probability_map=None)
    other = replace(frame.lesions[0], mask=SMALL.mask(240, 320))
    for lesion, message in ((bare, "kept no probability map"), (other, "do not agree")):
        changed = replace(image, frames=(replace(frame, lesions=(lesion,)),))
        with pytest.raises(EncodeError, match=message):
            encode(study(changed), [source], templates, variants=[FRACTIONAL])


def test_where_lesions_overlap_a_label_map_shows_the_more_suspicious_one(templates: Templates) -> None:
    source = us_image()
    other = Ellipse(125, 170, 30, 45)
    image = analysed(source, {1: [(1, LARGE, MALIGNANT), (2, other, BENIGN)]})
    variant = Variant.of("seg", ResultSettings(seg_type="labelmap"))
    dataset = encode(study(image), [source], templates, variants=[variant])[0].dataset
    assert dataset.SegmentsOverlap == "NO"
    np.testing.assert_array_equal(masks_of(dataset, source, 1), LARGE.mask(240, 320))
    assert not (dataset.pixel_array == 2)[LARGE.mask(240, 320)].any()


@pytest.mark.parametrize("seg_type", ["binary", "fractional", "labelmap"])
def test_alike_images_of_a_series_share_a_segmentation(seg_type: SegType, templates: Templates) -> None:
    sources = us_study(images=3, cine_frames=2)
    drawn = {1: [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]}
    finer = PixelSpacing(0.05, 0.05)
    images = [
        analysed(sources[0], drawn),
        analysed(sources[1], {1: [(1, SMALL, BENIGN)]}),
        analysed(sources[2], drawn, spacing=finer),
        analysed(sources[3], {2: [(1, LARGE, BENIGN)]}),
    ]
    variant = Variant.of("seg", ResultSettings(seg_type=seg_type, seg_scope="series"))
    made = encode(study(*images), sources, templates, variants=[variant])
    # Another calibration and a loop stand alone.
    assert [len(one.sources) for one in made] == [2, 1, 1]
    shared = made[0].dataset
    assert shared.SegmentSequence[-1].SegmentNumber == 3
    np.testing.assert_array_equal(masks_of(shared, sources[0], 2), SMALL.mask(240, 320))
    np.testing.assert_array_equal(masks_of(shared, sources[1], 3), SMALL.mask(240, 320))
    referenced = shared.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert [item.ReferencedSOPInstanceUID for item in referenced] == list(made[0].sources)
    tracked = {item.TrackingUID for item in shared.SegmentSequence if "TrackingUID" in item}
    assert tracked == {
        derive_uid("lesion", sources[0].SOPInstanceUID, "1"),
        derive_uid("lesion", sources[0].SOPInstanceUID, "2"),
        derive_uid("lesion", sources[1].SOPInstanceUID, "1"),
    }
