from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import get_args

import pytest

from cad_node.domain import PixelSpacing
from cad_node.encode import Templates, read_back
from cad_node.errors import EncodeError
from cad_node.settings import ResultSettings, SegScope, SegType
from tests.factories import us_cine, us_image
from tests.results import BENIGN, LARGE, MALIGNANT, SMALL, analysed, study
from tests.unit.encode.encoding import encode


@pytest.mark.parametrize("spacing", [PixelSpacing(0.1, 0.1), PixelSpacing(0.0731, 0.2113), None])
def test_the_numbers_of_the_report_are_those_of_the_segmentation(
    templates: Templates, tmp_path: Path, spacing: PixelSpacing | None
) -> None:
    single, cine = us_image(), us_cine(frames=3)
    cine.StudyInstanceUID = single.StudyInstanceUID
    images = [
        analysed(single, {1: [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]}, spacing=spacing),
        analysed(cine, {2: [(1, LARGE, BENIGN)], 3: [(1, SMALL, MALIGNANT)]}, spacing=spacing),
    ]
    files = []
    for number, one in enumerate(encode(study(*images), [single, cine], templates)):
        files.append(tmp_path / f"{number}.dcm")
        one.dataset.save_as(files[-1], enforce_file_format=True)
    read = read_back(files)
    assert (read.segments, read.measurement_groups) == (3, 3)
    assert [lesion.frame_number for lesion in read.lesions] == [1, 1, 3]
    assert [lesion.probability_percent for lesion in read.lesions] == [80.0, 20.0, 80.0]
    for lesion in read.lesions:
        assert lesion.area == pytest.approx(lesion.mask_area, abs=0.006)
        assert lesion.unit == ("mm2" if spacing else "{pixels}")


@pytest.mark.parametrize("scope", ["image", "series"])
def test_the_numbers_of_a_fractional_segmentation_are_those_of_a_binary_one(
    templates: Templates, scope: SegScope
) -> None:
    single, cine = us_image(), us_cine(frames=3)
    cine.StudyInstanceUID = single.StudyInstanceUID
    images = [
        analysed(single, {1: [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]}),
        analysed(cine, {2: [(1, LARGE, BENIGN)], 3: [(1, SMALL, MALIGNANT)]}),
    ]
    read = []
    for seg_type in get_args(SegType)[:2]:
        settings = ResultSettings(seg_type=seg_type, seg_scope=scope)
        objects = encode(study(*images), [single, cine], templates, settings=settings)
        assert {one.dataset.get("SegmentationType") for one in objects} == {seg_type.upper(), None}
        read.append(read_back([one.dataset for one in objects]))
    assert len(read[0].lesions) == 3
    assert read[0] == read[1]


def test_a_report_that_disagrees_with_its_segmentation_is_found(templates: Templates) -> None:
    source = us_image()
    objects = encode(study(analysed(source, {1: [(1, LARGE, MALIGNANT)]})), [source], templates)
    seg = deepcopy(objects[0].dataset)
    seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0.1, 0.11]
    with pytest.raises(EncodeError, match=r"Image 1\.1 lesion 1 is .* mm2 in the report, but"):
        read_back([seg, objects[1].dataset])


def test_a_report_without_its_segmentation_is_found(templates: Templates) -> None:
    source = us_image()
    objects = encode(study(analysed(source, {1: [(1, LARGE, MALIGNANT)]})), [source], templates)
    with pytest.raises(EncodeError, match="No segment has the Tracking UID"):
        read_back([objects[1].dataset])


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    file = tmp_path / "noise.dcm"
    file.write_bytes(b"noise")
    with pytest.raises(EncodeError, match=r"noise\.dcm cannot be read back"):
        read_back([file])
    source = us_image()
    with pytest.raises(EncodeError, match="cannot be read back"):
        read_back([source])
