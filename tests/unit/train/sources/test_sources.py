import csv

import pytest

from cad_node.errors import SettingsError
from cad_node.train.data import PreparedImages, read_devices, read_manifest, split_by_group
from cad_node.train.sources import busi
from cad_node.train.sources.sample import fold_of, pseudonym
from cad_node.train.splits import SplitKind, read_split
from tests.unit.train.published import write_data
from tests.unit.train.sources.layouts import busi_names, write_busbra, write_busi, write_plain, write_table


def test_both_public_data_sets_are_found_below_one_folder(tmp_path):
    write_busi(tmp_path / "Dataset_BUSI_with_GT", busi_names(1))
    write_busbra(tmp_path / "BUSBRA", patients=2)
    samples = read_manifest(tmp_path).samples
    assert {sample.dataset for sample in samples} == {"BUSI", "BUS-BRA"}
    assert samples[0].image == "BUSBRA/Images/bus_0001-l.png"
    assert samples[-1].image.startswith("Dataset_BUSI_with_GT/malignant/malignant (")


def test_a_folder_of_none_of_the_layouts_is_told_what_it_holds_and_what_is_expected(tmp_path):
    (tmp_path / "DOE_JANE").mkdir()
    (tmp_path / "DOE_JANE" / "notes.txt").write_text("x" * 200)
    with pytest.raises(SettingsError, match=r"1 folders, 1 \.txt files\. Expected: .*images\.csv") as told:
        read_manifest(tmp_path)
    assert "DOE" not in str(told.value)


def test_a_folder_that_does_not_exist_is_told(tmp_path):
    with pytest.raises(SettingsError, match="There is no folder"):
        read_manifest(tmp_path / "absent")


def test_two_tables_are_one_too_many(tmp_path):
    folder = write_data(tmp_path)
    (folder / "images.csv").write_text("image,label,group\n")
    with pytest.raises(SettingsError, match=r"manifest\.csv and images\.csv"):
        read_manifest(folder)


def test_folds_by_hash_are_five_and_always_the_same():
    folds = [fold_of(f"g{number}") for number in range(200)]
    assert set(folds) == {1, 2, 3, 4, 5}
    assert folds == [fold_of(f"g{number}") for number in range(200)]
    assert max(folds.count(fold) for fold in range(1, 6)) < 60


def test_a_pseudonym_cannot_be_tested_without_the_images():
    assert pseudonym("4711", ["a", "b"]) == pseudonym("4711", ["b", "a"])
    assert pseudonym("4711", ["a", "b"]) != pseudonym("4711", ["a"])
    assert "4711" not in pseudonym("4711", ["a"])


class TestBusi:
    def test_groups_and_folds_are_those_of_the_project(self, tmp_path):
        names = ["benign/benign (1).png", "benign/benign (2).png"]
        samples = read_manifest(write_busi(tmp_path, names)).samples
        assert [(s.image, s.group, s.fold, s.device) for s in samples] == [
            (names[0], "busi-dup1", 4, "GE LOGIQ E9"),
            (names[1], "busi-dup2", 4, "GE LOGIQ E9"),
        ]

    def test_all_780_images_are_known_and_no_group_is_torn(self):
        known = busi.known_images()
        folds = {one.group: one.fold for one in known.values()}
        assert len(known) == 780
        assert all(folds[one.group] == one.fold for one in known.values())
        assert sum(one.conflicting for one in known.values()) == 19
        assert sum(one.colour_doppler for one in known.values()) == 5

    def test_contradicted_and_coloured_images_are_left_out_and_counted(self, tmp_path):
        known = busi.known_images()
        conflicting = next(name for name, one in known.items() if one.conflicting)
        names = [conflicting, "benign/benign (234).png", "benign/benign (1).png"]
        manifest = read_manifest(write_busi(tmp_path, names))
        assert [sample.image for sample in manifest.samples] == ["benign/benign (1).png"]
        assert manifest.conflicting == 1
        assert [sample.image for sample in manifest.colour_doppler] == ["benign/benign (234).png"]

    def test_other_images_in_its_layout_are_refused_because_nobody_grouped_them(self, tmp_path):
        write_busi(tmp_path, ["benign/benign (1).png"])
        own = (tmp_path / "benign" / "benign (1).png").rename(tmp_path / "benign" / "mine.png")
        assert own.exists()
        with pytest.raises(SettingsError, match=r"1 of its 1 images are not BUSI's.*image, label and group"):
            read_manifest(tmp_path)

    def test_an_image_of_another_size_under_its_name_is_not_its(self, tmp_path):
        write_busi(tmp_path, ["benign/benign (1).png"])
        (tmp_path / "benign" / "benign (1)_mask.png").replace(tmp_path / "benign" / "benign (2).png")
        write_busi(tmp_path, ["benign/benign (1).png"])
        with pytest.raises(SettingsError, match="1 of its 2 images are not BUSI's"):
            read_manifest(tmp_path)

    def test_the_papers_split_takes_all_of_it(self, tmp_path):
        conflicting = next(name for name, one in busi.known_images().items() if one.conflicting)
        write_busi(tmp_path, [conflicting, "benign/benign (1).png"])
        assert len(read_split(tmp_path, SplitKind.PAPERS).samples) == 2


class TestBusBra:
    def test_patients_are_groups_and_published_folds_are_kept(self, tmp_path):
        samples = read_manifest(write_busbra(tmp_path, patients=4)).samples
        assert [(s.group, s.fold, s.label) for s in samples[::2]] == [
            ("busbra-0001", 1, "benign"),
            ("busbra-0002", 1, "malignant"),
            ("busbra-0003", 2, "benign"),
            ("busbra-0004", 2, "malignant"),
        ]
        assert read_devices(tmp_path)["Images/bus_0001-l.png"] == "Toshiba Aplio 300"

    def test_without_the_fold_file_folds_are_made_of_the_patient_and_told(self, tmp_path):
        manifest = read_manifest(write_busbra(tmp_path, patients=6, folds=False))
        assert all(s.fold == fold_of(s.group) and s.hashed_fold for s in manifest.samples)
        assert "made by hash" in manifest.notes[0]

    def test_published_folds_that_tear_a_patient_are_refused(self, tmp_path):
        folder = write_busbra(tmp_path, patients=1)
        with (folder / "5-fold-cv.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        write_table(folder / "5-fold-cv.csv", [{**row, "kFold": n + 1} for n, row in enumerate(rows)])
        with pytest.raises(SettingsError, match="tears the group busbra-0001"):
            read_manifest(folder)

    def test_an_image_that_is_not_there_is_told(self, tmp_path):
        folder = write_busbra(tmp_path, patients=1)
        (folder / "Images" / "bus_0001-r.png").unlink()
        with pytest.raises(SettingsError, match="bus_0001-r has no image"):
            read_manifest(folder)


def test_prepared_images_are_made_anew_when_a_mask_of_a_plain_folder_changes(tmp_path):
    rows = [{"image": f"{n}.png", "label": "benign", "group": n, "fold": 1} for n in range(2)]
    folder = write_plain(tmp_path / "data", rows)
    before = PreparedImages(folder, read_manifest(folder).samples, 64, tmp_path / "cache").masks[0].copy()
    (folder / "1_mask.png").replace(folder / "0_mask.png")
    write_table(folder / "images.csv", rows[:1])
    after = PreparedImages(folder, read_manifest(folder).samples, 64, tmp_path / "cache").masks[0]
    assert (before != after).any()


def test_every_source_can_be_split_by_group(tmp_path):
    rows = [{"image": f"{n}.png", "label": "benign", "patient": n // 2} for n in range(8)]
    samples = read_manifest(write_plain(tmp_path, rows)).samples
    split = split_by_group(samples, 0.3, 0)
    assert len(split.validation) == 2
    assert len({s.group for s in split.validation}) == 1
