import cv2
import numpy as np
import pytest

from cad_node.errors import SettingsError
from cad_node.train.data import clean_path, read_image, read_manifest, read_masks, read_union
from cad_node.train.sources.sample import fold_of
from tests.factories import paint_flow, speckle
from tests.unit.train.sources.layouts import write_picture, write_plain, write_table

ROWS = [
    {"image": "images/a.png", "label": "benign", "group": "g1"},
    {"image": "images/b.png", "label": "Malignant", "group": "g2"},
    {"image": "images/c.png", "label": "normal", "group": "g2"},
]


def _square(first=2, last=8):
    mask = np.zeros((80, 64), np.uint8)
    mask[first:last, first:last] = 255
    return mask


def test_rows_become_samples_with_folds_by_hash(tmp_path):
    manifest = read_manifest(write_plain(tmp_path, ROWS))
    assert [(s.dataset, s.label, s.group, s.fold) for s in manifest.samples] == [
        ("own", "benign", "g1", fold_of("g1")),
        ("own", "malignant", "g2", fold_of("g2")),
        ("own", "normal", "g2", fold_of("g2")),
    ]
    assert all(sample.hashed_fold for sample in manifest.samples)
    assert manifest.notes == ("Folds of own are made by hash of the group, where none is given.",)
    drawn = [len(read_masks(tmp_path, sample)) for sample in manifest.samples]
    assert drawn == [1, 1, 0]


def test_data_set_device_and_fold_may_be_named(tmp_path):
    rows = [{**row, "dataset": "Kiel", "device": "Aplio", "fold": 7} for row in ROWS]
    manifest = read_manifest(write_plain(tmp_path, rows))
    assert {(s.dataset, s.device, s.fold, s.hashed_fold) for s in manifest.samples} == {
        ("Kiel", "Aplio", 7, False)
    }
    assert manifest.notes == ()


def test_a_fold_that_one_image_of_a_group_has_is_that_of_all(tmp_path):
    rows = [{**row, "fold": fold} for row, fold in zip(ROWS, ("", "4", ""), strict=True)]
    folds = [sample.fold for sample in read_manifest(write_plain(tmp_path, rows)).samples]
    assert folds == [fold_of("g1"), 4, 4]


def test_folds_that_tear_a_group_are_refused(tmp_path):
    rows = [{**row, "fold": number} for number, row in enumerate(ROWS, start=1)]
    with pytest.raises(SettingsError, match="row 4 tears a group"):
        read_manifest(write_plain(tmp_path, rows))


def test_a_patient_is_a_group_under_another_name(tmp_path):
    rows = [{"image": f"{n}.png", "label": "benign", "patient": "HOSPITAL-4711"} for n in range(3)]
    samples = read_manifest(write_plain(tmp_path, rows)).samples
    assert len({sample.group for sample in samples}) == 1
    assert "4711" not in repr(samples)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"image": "a.png", "label": "benign"}], "does not say which images belong together"),
        ([{"image": "a.png", "label": "benign", "group": ""}], "neither a group nor a patient"),
        ([{"image": "a.png", "group": "g"}], "lacks columns.*image, label, and group or patient"),
        ([{"image": "a.png", "label": "cyst", "group": "g"}], "label 'cyst'"),
        ([{"image": "a.png", "label": "benign", "group": "g", "fold": "x"}], "fold 'x'"),
        ([{"image": "absent.png", "label": "benign", "group": "g"}], "there is no absent.png"),
        ([{"image": "../a.png", "label": "benign", "group": "g"}], "no image below the data folder"),
    ],
    ids=["no group column", "no group", "no label", "label", "fold", "no file", "outside"],
)
def test_a_wrong_table_says_what_is_wrong(tmp_path, rows, message):
    write_picture(tmp_path / "a.png", _square())
    write_picture(tmp_path / "a_mask.png", _square())
    write_table(tmp_path / "images.csv", rows)
    with pytest.raises(SettingsError, match=message):
        read_manifest(tmp_path)


def test_a_lesion_without_a_mask_is_refused(tmp_path):
    folder = write_plain(tmp_path, ROWS)
    (folder / "images" / "a_mask.png").unlink()
    with pytest.raises(SettingsError, match=r"images/a\.png is benign and has no drawn lesion"):
        read_manifest(folder)


def test_a_mask_of_zeros_and_ones_is_refused_and_not_taken_for_empty(tmp_path):
    folder = write_plain(tmp_path, ROWS)
    write_picture(folder / "images" / "a_mask.png", _square() // 255)
    with pytest.raises(SettingsError, match=r"brightest pixel .* is 1 of 255"):
        read_manifest(folder)


def test_a_mask_of_another_size_is_refused(tmp_path):
    folder = write_plain(tmp_path, ROWS)
    write_picture(folder / "images" / "a_mask.png", _square()[:40])
    with pytest.raises(SettingsError, match="another size than its image"):
        read_manifest(folder)


def test_masks_are_named_in_the_table_or_found(tmp_path):
    rows = [
        {"image": "x/a.png", "label": "benign", "group": 1, "mask": "drawn/one.png; drawn/two.png"},
        {"image": "images/k/b.png", "label": "benign", "group": 2, "mask": ""},
    ]
    for row in rows:
        write_picture(tmp_path / row["image"], np.full((80, 64), row["group"], np.uint8))
    write_picture(tmp_path / "drawn/one.png", _square(2, 8))
    write_picture(tmp_path / "drawn/two.png", _square(20, 30))
    write_picture(tmp_path / "masks/k/b.png", _square(40, 44))
    write_table(tmp_path / "images.csv", rows)
    first, second = read_manifest(tmp_path).samples
    assert [int(mask.sum()) for mask in read_masks(tmp_path, first)] == [36, 100]
    assert int(read_union(tmp_path, second, (80, 64)).sum()) == 16


def test_one_picture_under_two_labels_is_left_out_and_counted(tmp_path):
    folder = write_plain(tmp_path, [*ROWS, {"image": "d.png", "label": "malignant", "group": "g1"}])
    (folder / "d.png").write_bytes((folder / "images/a.png").read_bytes())
    manifest = read_manifest(folder)
    assert [sample.image for sample in manifest.samples] == ["images/b.png", "images/c.png"]
    assert manifest.conflicting == 2


def test_a_normal_image_with_a_drawn_lesion_is_left_out_and_counted(tmp_path):
    folder = write_plain(tmp_path, ROWS)
    write_picture(folder / "images" / "c_mask.png", _square())
    manifest = read_manifest(folder)
    assert (len(manifest.samples), manifest.conflicting) == (2, 1)


def test_one_picture_in_two_groups_is_refused(tmp_path):
    folder = write_plain(tmp_path, ROWS)
    (folder / "images/b.png").write_bytes((folder / "images/a.png").read_bytes())
    with pytest.raises(SettingsError, match=r"images/b\.png is the same picture as one of another group"):
        read_manifest(folder)


def test_colour_doppler_is_left_out_and_counted_by_the_nodes_gate(tmp_path):
    folder = write_plain(tmp_path, ROWS)
    picture = np.repeat(speckle(240, 320)[..., None], 3, axis=-1)
    write_picture(folder / "images/c.png", paint_flow(picture, (60, 160, 80, 220))[..., ::-1])
    manifest = read_manifest(folder)
    assert [sample.image for sample in manifest.colour_doppler] == ["images/c.png"]
    assert len(manifest.samples) == 2


def test_images_whose_cleaned_copies_would_be_one_file_are_refused(tmp_path):
    rows = [{"image": name, "label": "normal", "group": name} for name in ("a.png", "a.jpg")]
    with pytest.raises(SettingsError, match="only in its suffix"):
        read_manifest(write_plain(tmp_path, rows))


def test_a_dicom_file_in_the_image_column_is_told_where_it_belongs(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"\0" * 128 + b"DICM")
    write_table(tmp_path / "images.csv", [{"image": "a.dcm", "label": "normal", "group": "g"}])
    with pytest.raises(SettingsError, match="sop_instance_uid"):
        read_manifest(tmp_path)


def test_jpegs_are_read_and_their_clean_copies_are_png(tmp_path):
    rows = [{"image": "a.jpg", "label": "benign", "group": "g"}]
    folder = write_plain(tmp_path, rows)
    (sample,) = read_manifest(folder).samples
    expected = cv2.imread(str(folder / "a.jpg"), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(read_image(folder, sample), expected)
    assert clean_path(tmp_path / "clean", sample) == tmp_path / "clean" / "a.png"
