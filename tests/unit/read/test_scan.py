from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from cad_node.read import scan_files
from tests.factories import us_image, us_study, write

SEG = "1.2.840.10008.5.1.4.1.1.66.4"
SR = "1.2.840.10008.5.1.4.1.1.88.34"


def directory(folder: Path, *names: list[str]) -> Path:
    """A DICOMDIR that lists files by their parts."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.FileSetID = "TEST"
    records = []
    for name in names:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        with disable_value_validation():  # a hostile DICOMDIR does not ask either
            record.ReferencedFileID = name
        records.append(record)
    dataset.DirectoryRecordSequence = [Dataset(), *records]
    path = folder / "DICOMDIR"
    with disable_value_validation():
        dataset.save_as(path, enforce_file_format=True)
    return path


def derived(sop_class: str, study: str) -> Dataset:
    image = us_image(study_instance_uid=study, attributes={"SOPClassUID": sop_class, "PixelData": None})
    if sop_class == SR:
        del image.Rows, image.Columns
    image.file_meta.MediaStorageSOPClassUID = sop_class
    return image


def test_files_are_sorted_into_studies_wherever_they_lie(tmp_path: Path) -> None:
    one, two = us_study(images=2), us_study(images=1)
    paths = [
        write(one[0], tmp_path / "a" / "deep"),
        write(one[1], tmp_path / "b"),
        write(two[0], tmp_path / "a"),
    ]
    scan = scan_files([tmp_path])
    assert {uid: set(found) for uid, found in scan.studies.items()} == {
        one[0].StudyInstanceUID: set(paths[:2]),
        two[0].StudyInstanceUID: {paths[2]},
    }
    assert scan.unreadable == ()
    assert scan.ignored == ()


def test_a_file_reached_twice_counts_once(tmp_path: Path) -> None:
    path = write(us_image(), tmp_path)
    (tmp_path / "link.dcm").symlink_to(path)
    scan = scan_files([path, tmp_path, path])
    assert [len(found) for found in scan.studies.values()] == [1]


def test_hidden_files_loops_and_pipes_are_survived(tmp_path: Path) -> None:
    write(us_image(), tmp_path / ".hidden")
    write(us_image(), tmp_path, ".secret.dcm")
    shown = write(us_image(), tmp_path / "shown")
    (tmp_path / "shown" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    scan = scan_files([tmp_path])
    assert [list(found) for found in scan.studies.values()] == [[shown]]
    assert scan.unreadable == ()


def test_other_files_are_ignored_and_corrupt_ones_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Patient was seen")
    (tmp_path / "empty").write_bytes(b"")
    corrupt = write(us_image(patient_name="DOE^JANE"), tmp_path)
    corrupt.write_bytes(corrupt.read_bytes()[:400])
    scan = scan_files([tmp_path])
    assert scan.studies == {}
    assert {path.name for path in scan.ignored} == {"notes.txt", "empty"}
    assert [path for path, _ in scan.unreadable] == [corrupt]
    assert "DOE" not in scan.unreadable[0][1]


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    scan = scan_files([tmp_path / "absent"])
    assert [path for path, _ in scan.unreadable] == [tmp_path / "absent"]


@pytest.mark.parametrize("sop_class", [SEG, SR])
def test_results_beside_images_are_ignored_and_alone_are_a_study(tmp_path: Path, sop_class: str) -> None:
    image = us_image(study_instance_uid="1.2.3")
    result = write(derived(sop_class, "1.2.3"), tmp_path)
    assert scan_files([tmp_path]).studies == {"1.2.3": (result,)}
    source = write(image, tmp_path)
    scan = scan_files([tmp_path])
    assert scan.studies == {"1.2.3": (source,)}
    assert scan.ignored == (result,)


def test_an_ultrasound_object_without_pixels_is_not_ignored(tmp_path: Path) -> None:
    first = write(us_image(study_instance_uid="1.2.3"), tmp_path)
    bare = us_image(study_instance_uid="1.2.3", attributes={"PixelData": None, "Rows": None, "Columns": None})
    second = write(bare, tmp_path)
    assert set(scan_files([tmp_path]).studies["1.2.3"]) == {first, second}


def test_a_dicomdir_stands_for_the_files_it_lists(tmp_path: Path) -> None:
    listed = write(us_image(study_instance_uid="1.2.3"), tmp_path / "IMAGES", "IM1")
    write(us_image(study_instance_uid="1.2.4"), tmp_path / "IMAGES", "IM2")
    path = directory(tmp_path, ["IMAGES", "IM1"])
    assert scan_files([path]).studies == {"1.2.3": (listed,)}
    whole = scan_files([tmp_path])
    assert set(whole.studies) == {"1.2.3", "1.2.4"}
    assert whole.ignored == (path,)


def test_names_on_a_medium_that_was_copied_in_lower_case_are_found(tmp_path: Path) -> None:
    write(us_image(study_instance_uid="1.2.3"), tmp_path / "images", "im1")
    assert set(scan_files([directory(tmp_path, ["IMAGES", "IM1"])]).studies) == {"1.2.3"}


@pytest.mark.parametrize("parts", [["..", "SECRET"], ["/etc", "passwd"], ["LINK", "SECRET"], ["ABSENT"]])
def test_a_dicomdir_cannot_lead_out_of_its_folder(tmp_path: Path, parts: list[str]) -> None:
    write(us_image(), tmp_path, "SECRET")
    medium = tmp_path / "medium"
    medium.mkdir()
    (medium / "LINK").symlink_to(tmp_path, target_is_directory=True)
    scan = scan_files([directory(medium, parts)])
    assert scan.studies == {}
    assert len(scan.unreadable) == 1


def test_a_file_only_called_dicomdir_is_read_as_what_it_is(tmp_path: Path) -> None:
    path = write(us_image(study_instance_uid="1.2.3"), tmp_path, "DICOMDIR")
    assert scan_files([path]).studies == {"1.2.3": (path,)}
