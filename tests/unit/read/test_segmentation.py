from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from cad_node.domain import LesionClass
from cad_node.encode import Templates, load_templates
from cad_node.errors import PixelDecodeError
from cad_node.read.segmentation import Outlines, read_mask, read_outlines
from cad_node.resources import templates_dir
from cad_node.settings import ResultSettings, SegType, TransferSyntax
from cad_node.variants import Variant
from tests.answers import code
from tests.factories import Ellipse, us_cine, us_image, write
from tests.results import BENIGN, LARGE, MALIGNANT, SMALL, analysed, study
from tests.unit.encode.encoding import encode


@pytest.fixture(scope="module")
def templates() -> Templates:
    return load_templates(templates_dir())


def segmentation(templates: Templates, source: Dataset, drawn, **settings) -> Dataset:
    result = study(analysed(source, drawn))
    return encode(result, [source], templates, settings=ResultSettings(**settings))[0].dataset


@pytest.mark.parametrize("seg_type", ["binary", "fractional", "labelmap"])
def test_masks_come_back_in_every_kind_of_segmentation(
    templates: Templates, seg_type: SegType, tmp_path: Path
) -> None:
    rows, columns = 241, 321  # no whole number of bytes a frame
    source = us_cine(frames=3, pixels=np.zeros((3, rows, columns), np.uint8))
    drawn = {1: [(1, LARGE, MALIGNANT)], 3: [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]}
    path = write(segmentation(templates, source, drawn, seg_type=seg_type), tmp_path)
    found = read_outlines(path)
    assert found.unplaced == 0
    masks: dict[tuple[int | None, str], np.ndarray] = {}
    for outline in found.outlines:
        assert outline.sop_instance_uid == source.SOPInstanceUID
        mask = read_mask(path, outline)
        if mask.any():  # a label map has a frame for segments that it does not show
            masks[outline.frame_number, outline.tracking_uid] = mask
    assert sorted(frame or 0 for frame, _ in masks) == [1, 3, 3]
    areas = sorted(int(mask.sum()) for mask in masks.values())
    large, small = int(LARGE.mask(rows, columns).sum()), int(SMALL.mask(rows, columns).sum())
    assert areas == [small, large, large]
    np.testing.assert_array_equal(next(iter(masks.values())), LARGE.mask(rows, columns))


@pytest.mark.parametrize("syntax", ["deflated", "rle", "jpeg-ls", "jpeg-2000"])
def test_compressed_segmentations_are_read(
    templates: Templates, syntax: TransferSyntax, tmp_path: Path
) -> None:
    source = us_image()
    variant = Variant("seg", transfer_syntax=syntax, seg_type="fractional")
    result = study(analysed(source, {1: [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]}))
    path = write(encode(result, [source], templates, variants=[variant])[0].dataset, tmp_path)
    first, second = read_outlines(path).outlines
    np.testing.assert_array_equal(read_mask(path, first), LARGE.mask(240, 320))
    np.testing.assert_array_equal(read_mask(path, second), SMALL.mask(240, 320))


def test_a_fractional_segment_says_itself_what_is_in_its_mask(templates: Templates, tmp_path: Path) -> None:
    source = us_image()
    dataset = segmentation(templates, source, {1: [(1, LARGE, BENIGN)]}, seg_type="fractional")
    algorithm = dataset.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmParameters.count("mask_from_value=128") == 1
    algorithm.AlgorithmParameters = algorithm.AlgorithmParameters.replace("=128", "=40")
    path = write(dataset, tmp_path)
    mask = read_mask(path, read_outlines(path).outlines[0])
    np.testing.assert_array_equal(mask, dataset.pixel_array >= 40)
    assert mask.sum() > LARGE.mask(240, 320).sum()


def test_a_segment_of_tissue_is_no_lesion_and_a_code_names_the_class(
    templates: Templates, tmp_path: Path
) -> None:
    source = us_image()
    dataset = segmentation(templates, source, {1: [(1, LARGE, BENIGN), (2, SMALL, BENIGN)]})
    lesion, tissue = dataset.SegmentSequence
    lesion.SegmentedPropertyTypeCodeSequence = [code("30807003", "SCT", "Benign")]
    tissue.SegmentedPropertyCategoryCodeSequence = [code("85756007", "SCT", "Tissue")]
    (outline,) = read_outlines(write(dataset, tmp_path)).outlines
    assert outline.lesion_class is LesionClass.BENIGN
    assert outline.tracking_uid == lesion.TrackingUID


def test_frames_that_name_no_single_image_are_counted(templates: Templates, tmp_path: Path) -> None:
    source = us_image()
    dataset = segmentation(templates, source, {1: [(1, LARGE, BENIGN)]})
    for group in (*dataset.SharedFunctionalGroupsSequence, *dataset.PerFrameFunctionalGroupsSequence):
        group.pop("DerivationImageSequence", None)
    (outline,) = read_outlines(write(dataset, tmp_path, "one.dcm")).outlines
    assert (outline.sop_instance_uid, outline.frame_number) == (source.SOPInstanceUID, None)
    del dataset.ReferencedSeriesSequence
    assert read_outlines(write(dataset, tmp_path, "none.dcm")) == Outlines((), 1)


def test_damage_is_an_error(templates: Templates, tmp_path: Path) -> None:
    source = us_image()
    dataset = segmentation(templates, source, {1: [(1, Ellipse(50, 50, 9, 9), BENIGN)]})
    dataset.PixelData = dataset.PixelData[:-100]
    path = write(dataset, tmp_path)
    with pytest.raises(PixelDecodeError, match="cannot be decoded"):
        read_mask(path, read_outlines(path).outlines[0])
