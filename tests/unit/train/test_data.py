import cv2
import numpy as np
import pytest

from cad_node.errors import SettingsError
from cad_node.train.data import (
    PreparedImages,
    Sample,
    clean_path,
    mask_paths,
    read_manifest,
    read_masks,
    read_union,
    refuse_torn_groups,
    split_by_group,
)
from tests.unit.train.published import row, write_data, write_manifest


def _samples(count, per_group=3):
    return [
        Sample("BUSI", f"{n}.png", ("benign", "malignant")[n // per_group % 2], f"g{n // per_group}", 1)
        for n in range(count)
    ]


def test_contradictory_labels_are_left_out_and_counted(tmp_path):
    rows = [row("a.png", "benign", "g1", 1), row("b.png", "malignant", "g2", 1, conflicting="1")]
    manifest = read_manifest(write_manifest(tmp_path, rows))
    assert [sample.image for sample in manifest.samples] == ["a.png"]
    assert manifest.conflicting == 1


def test_colour_doppler_that_was_published_as_b_mode_is_left_out_and_counted(tmp_path):
    published = "Dataset_BUSI_with_GT/benign/benign (234).png"
    rows = [row("a.png", "benign", "g1", 1), row(published, "benign", "g2", 1, dataset="BUSI")]
    manifest = read_manifest(write_manifest(tmp_path, rows))
    assert [sample.image for sample in manifest.samples] == ["a.png"]
    assert [sample.image for sample in manifest.colour_doppler] == [published]


def test_group_in_two_folds_is_refused(tmp_path):
    rows = [row("a.png", "benign", "patient-7", 1), row("b.png", "benign", "patient-7", 2)]
    with pytest.raises(SettingsError, match="tears the group patient-7"):
        read_manifest(write_manifest(tmp_path, rows))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"image": "a.png", "label": "benign"}], "lacks columns"),
        ([row("a.png", "cyst", "g", 1)], "label 'cyst'"),
        ([row("a.png", "benign", "g", "x")], "fold 'x'"),
    ],
    ids=["columns", "label", "fold"],
)
def test_wrong_manifest_says_what_is_accepted(tmp_path, rows, message):
    with pytest.raises(SettingsError, match=message):
        read_manifest(write_manifest(tmp_path, rows))


def test_colour_doppler_of_that_name_in_another_data_set_is_none(tmp_path):
    rows = [row("own/benign/benign (234).png", "benign", "g", 1)]
    assert len(read_manifest(write_manifest(tmp_path, rows)).samples) == 1


def test_split_keeps_groups_whole_and_does_not_depend_on_order():
    samples = _samples(120)
    split = split_by_group(samples, 0.1, seed=4)
    again = split_by_group(samples[::-1], 0.1, seed=4)
    assert set(split.validation) == set(again.validation)
    assert not {s.group for s in split.training} & {s.group for s in split.validation}
    assert len(split.training) + len(split.validation) == 120
    assert {s.label for s in split.validation} == {"benign", "malignant"}


def test_another_seed_gives_another_split():
    samples = _samples(120)
    assert split_by_group(samples, 0.1, 0).validation != split_by_group(samples, 0.1, 1).validation


def test_torn_group_is_refused_by_name():
    first, second = Sample("BUSI", "a", "benign", "g", 1), Sample("BUSI", "b", "benign", "g", 1)
    with pytest.raises(SettingsError, match="tears the group g"):
        refuse_torn_groups([[first], [second]])


def test_masks_are_found_in_both_layouts(tmp_path):
    busbra = Sample("BUS-BRA", "BUSBRA/Images/bus_0001-l.png", "benign", "g", 1)
    assert mask_paths(tmp_path, busbra) == [tmp_path / "BUSBRA/Masks/mask_0001-l.png"]
    busi = Sample("BUSI", "BUSI/benign/benign (4).png", "benign", "g", 1)
    folder = tmp_path / "BUSI/benign"
    folder.mkdir(parents=True)
    for name in ("benign (4)_mask.png", "benign (4)_mask_1.png", "benign (40)_mask.png"):
        (folder / name).touch()
    assert [path.name for path in mask_paths(tmp_path, busi)] == [
        "benign (4)_mask.png",
        "benign (4)_mask_1.png",
    ]


def test_several_masks_of_an_image_are_united(tmp_path):
    sample = Sample("BUSI", "benign/benign (1).png", "benign", "g", 1)
    first, second = np.zeros((20, 30), np.uint8), np.zeros((20, 30), np.uint8)
    first[2:6, 2:6], second[10:14, 20:25] = 255, 255
    (tmp_path / "benign").mkdir()
    cv2.imwrite(str(tmp_path / "benign/benign (1)_mask.png"), first)
    cv2.imwrite(str(tmp_path / "benign/benign (1)_mask_1.png"), second)
    assert len(read_masks(tmp_path, sample)) == 2
    assert int(read_union(tmp_path, sample, (20, 30)).sum()) == 16 + 20


def test_images_are_prepared_once_and_letterboxed(tmp_path):
    folder = write_data(tmp_path / "data")
    samples = read_manifest(folder).samples
    first = PreparedImages(folder, samples, 64, tmp_path / "cache")
    assert first.images.shape == (len(samples), 64, 64)
    assert [bool(mask.any()) for mask in first.masks] == [s.label != "normal" for s in samples]
    expected = first.images.copy()
    for path in folder.rglob("*.png"):
        path.unlink()
    np.testing.assert_array_equal(PreparedImages(folder, samples, 64, tmp_path / "cache").images, expected)


def test_cleaned_copies_are_taken_up_as_they_appear(tmp_path):
    folder = write_data(tmp_path / "data")
    samples = read_manifest(folder).samples
    prepared = PreparedImages(folder, samples, 64, tmp_path / "cache", tmp_path / "clean")
    assert prepared.refresh_clean() == 0
    path = clean_path(tmp_path / "clean", samples[1])
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), np.full((80, 64), 77, np.uint8))
    assert prepared.refresh_clean() == 1
    assert prepared.has_clean[1]
    assert prepared.clean[1][32, 32] == 77


def test_half_written_copy_waits_for_the_next_epoch(tmp_path):
    folder = write_data(tmp_path / "data")
    samples = read_manifest(folder).samples
    prepared = PreparedImages(folder, samples, 64, tmp_path / "cache", tmp_path / "clean")
    path = clean_path(tmp_path / "clean", samples[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x89PNG\r\n")
    assert prepared.refresh_clean() == 0
