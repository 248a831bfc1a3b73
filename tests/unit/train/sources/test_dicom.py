from pathlib import Path

import numpy as np
import pytest

from cad_node.domain import Box
from cad_node.errors import SettingsError
from cad_node.train.data import clean_path, read_image, read_manifest, read_masks
from cad_node.train.sources.dicom_picture import joined
from cad_node.train.sources.sample import fold_of
from tests.answers import BENIGN as BENIGN_CODE
from tests.answers import code, report
from tests.factories import Ellipse, region, us_cine, write
from tests.results import BENIGN, MALIGNANT
from tests.unit.train.sources.layouts import (
    LESION,
    SMALL,
    dicom_image,
    results,
    write_dicom,
    write_outlined,
    write_table,
)

MALIGNANT_CODE = ("21594007", "SCT", "Malignant")
NORMAL_CODE = ("17621005", "SCT", "Normal")
TISSUE = Box(16, 116, 10, 150)


def _name(folder: Path, *rows: tuple[str, str]) -> None:
    write_table(folder / "images.csv", [{"sop_instance_uid": uid, "label": label} for uid, label in rows])


def _tracking(seg) -> str:
    return str(seg.SegmentSequence[0].TrackingUID)


def test_an_image_is_cut_to_its_tissue_and_outlined_by_its_seg(tmp_path):
    source, _ = write_outlined(tmp_path)
    _name(tmp_path, (source.SOPInstanceUID, "benign"))
    (sample,) = read_manifest(tmp_path).samples
    assert (sample.dataset, sample.label, sample.device) == ("DICOM", "benign", "Synthetic Speckle")
    np.testing.assert_array_equal(read_image(tmp_path, sample), source.pixel_array[TISSUE.slices])
    (mask,) = read_masks(tmp_path, sample)
    np.testing.assert_array_equal(mask, LESION.mask(120, 160)[TISSUE.slices])


def test_of_a_split_screen_the_outlined_picture_is_learned_from(tmp_path):
    """A network that learned two pictures at once would see each at half its size."""
    pictures = (Box(16, 116, 10, 50), Box(16, 116, 52, 150))
    regions = [region((one.row_start, one.row_stop, one.column_start, one.column_stop)) for one in pictures]
    outlined, _ = write_outlined(tmp_path, regions=regions)
    normal = dicom_image(None, seed=1, regions=regions)
    write(normal, tmp_path)
    _name(tmp_path, (outlined.SOPInstanceUID, "benign"), (normal.SOPInstanceUID, "normal"))

    shown = {sample.label: sample for sample in read_manifest(tmp_path).samples}

    (mask,) = read_masks(tmp_path, shown["benign"])
    np.testing.assert_array_equal(mask, LESION.mask(120, 160)[pictures[1].slices])
    for label, source, seen in (("benign", outlined, pictures[1]), ("normal", normal, pictures[0])):
        np.testing.assert_array_equal(read_image(tmp_path, shown[label]), source.pixel_array[seen.slices])


def test_a_split_screen_outlined_on_both_sides_is_taken_whole(tmp_path):
    regions = [region((16, 116, 10, 80)), region((16, 116, 80, 150))]
    source, _ = write_outlined(tmp_path, regions=regions)
    _name(tmp_path, (source.SOPInstanceUID, "benign"))
    (sample,) = read_manifest(tmp_path).samples
    assert read_image(tmp_path, sample).shape == (100, 140)


def test_no_name_or_number_of_the_patient_is_kept(tmp_path):
    source, _ = write_outlined(tmp_path / "data", patient="HOSPITAL-4711", patient_name="DOE^JANE")
    _name(tmp_path / "data", (source.SOPInstanceUID, "benign"))
    manifest = read_manifest(tmp_path / "data")
    written = repr([(s.image, s.group, s.device, s.dataset) for s in manifest.samples]) + repr(manifest.notes)
    for secret in ("4711", "DOE", str(source.SOPInstanceUID)):
        assert secret not in written


def test_images_of_one_patient_are_one_group_in_one_fold(tmp_path):
    sources = [write_outlined(tmp_path, patient=patient, seed=n)[0] for n, patient in enumerate("AAB")]
    _name(tmp_path, *((source.SOPInstanceUID, "benign") for source in sources))
    samples = read_manifest(tmp_path).samples
    folds = {sample.group: sample.fold for sample in samples}
    assert sorted([s.group for s in samples].count(group) for group in folds) == [1, 2]
    assert set(folds.values()) == {fold_of("A"), fold_of("B")}
    assert all(sample.hashed_fold for sample in samples)


def test_folds_of_the_table_are_kept_and_may_tear_nobody(tmp_path):
    folder = write_dicom(tmp_path, patients=4)
    manifest = read_manifest(folder)
    assert len(manifest.samples) == 8
    assert not any(sample.hashed_fold for sample in manifest.samples)
    rows = (folder / "images.csv").read_text().splitlines()
    rows[1] = rows[1][:-1] + "5"
    (folder / "images.csv").write_text("\n".join(rows))
    with pytest.raises(SettingsError, match="one patient into two folds"):
        read_manifest(folder)


def test_an_image_that_names_no_patient_is_refused_until_the_table_does(tmp_path):
    source, _ = write_outlined(tmp_path, patient="")
    _name(tmp_path, (source.SOPInstanceUID, "benign"))
    with pytest.raises(SettingsError, match="1 images name no patient"):
        read_manifest(tmp_path)
    row = {"sop_instance_uid": source.SOPInstanceUID, "label": "benign", "patient": "P7"}
    write_table(tmp_path / "images.csv", [row])
    (sample,) = read_manifest(tmp_path).samples
    assert sample.fold == fold_of("P7")


def test_a_table_that_names_some_patients_is_refused(tmp_path):
    sources = [write_outlined(tmp_path, seed=n)[0] for n in range(2)]
    rows = [
        {"sop_instance_uid": source.SOPInstanceUID, "label": "benign", "patient": patient}
        for source, patient in zip(sources, ("P1", ""), strict=True)
    ]
    write_table(tmp_path / "images.csv", rows)
    with pytest.raises(SettingsError, match="some images and not of others"):
        read_manifest(tmp_path)


def test_one_patient_in_all_images_is_told(tmp_path):
    sources = [write_outlined(tmp_path, seed=n)[0] for n in range(2)]
    _name(tmp_path, *((source.SOPInstanceUID, "benign") for source in sources))
    assert any("same patient" in note for note in read_manifest(tmp_path).notes)


def test_a_normal_image_needs_no_seg_but_a_row(tmp_path):
    normal, unnamed = dicom_image(None), dicom_image(None, seed=1)
    write(normal, tmp_path), write(unnamed, tmp_path)
    _name(tmp_path, (normal.SOPInstanceUID, "normal"))
    manifest = read_manifest(tmp_path)
    assert [sample.label for sample in manifest.samples] == ["normal"]
    assert read_masks(tmp_path, manifest.samples[0]) == []
    assert any("1 left out: neither outlined nor named" in note for note in manifest.notes)


def test_a_lesion_that_nobody_outlined_is_left_out_and_counted(tmp_path):
    outlined, bare = write_outlined(tmp_path)[0], dicom_image(seed=1)
    write(bare, tmp_path)
    _name(tmp_path, (outlined.SOPInstanceUID, "benign"), (bare.SOPInstanceUID, "malignant"))
    manifest = read_manifest(tmp_path)
    assert len(manifest.samples) == 1
    assert "1 left out: named a lesion and not outlined." in manifest.notes


def test_a_normal_image_that_is_outlined_contradicts_itself(tmp_path):
    sources = [write_outlined(tmp_path, seed=n)[0] for n in range(2)]
    labels = zip((source.SOPInstanceUID for source in sources), ("normal", "benign"), strict=True)
    _name(tmp_path, *labels)
    manifest = read_manifest(tmp_path)
    assert (len(manifest.samples), manifest.conflicting) == (1, 1)


def test_what_the_gate_refuses_is_left_out_and_counted(tmp_path):
    kept, _ = write_outlined(tmp_path)
    coloured = dicom_image(seed=1, photometric="RGB", flow_box=(30, 100, 30, 120))
    write(coloured, tmp_path)
    _name(tmp_path, (kept.SOPInstanceUID, "benign"), (coloured.SOPInstanceUID, "normal"))
    manifest = read_manifest(tmp_path)
    assert len(manifest.samples) == 1
    assert "1 left out: refused by the gate (colour_doppler)." in manifest.notes


def test_a_verified_report_names_the_class_and_the_nodes_own_does_not(tmp_path):
    source = dicom_image()
    seg, sr = results(source, {1: [(1, LESION, MALIGNANT)]})
    for dataset in (source, seg, sr):
        write(dataset, tmp_path)
    with pytest.raises(SettingsError, match="1 left out: outlined and without a class"):
        read_manifest(tmp_path)
    write(
        report(str(source.StudyInstanceUID), str(sr.SOPInstanceUID), {_tracking(seg): BENIGN_CODE}), tmp_path
    )
    assert [sample.label for sample in read_manifest(tmp_path).samples] == ["benign"]


def test_a_verified_report_without_a_class_confirms_the_nodes(tmp_path):
    source = dicom_image()
    seg, sr = results(source, {1: [(1, LESION, MALIGNANT)]})
    confirmed = report(str(source.StudyInstanceUID), str(sr.SOPInstanceUID), {_tracking(seg): None})
    for dataset in (source, seg, sr, confirmed):
        write(dataset, tmp_path)
    assert [sample.label for sample in read_manifest(tmp_path).samples] == ["malignant"]


def test_an_outline_that_a_reader_calls_normal_is_no_lesion(tmp_path):
    source, seg = write_outlined(tmp_path)
    write(report(str(source.StudyInstanceUID), "1.2.3", {_tracking(seg): NORMAL_CODE}), tmp_path)
    (sample,) = read_manifest(tmp_path).samples
    assert sample.label == "normal"
    assert read_masks(tmp_path, sample) == []


def test_a_code_in_the_seg_names_the_class_and_may_contradict_a_report(tmp_path):
    source, seg = write_outlined(tmp_path)
    seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence = [code(*MALIGNANT_CODE)]
    write(seg, tmp_path)
    assert [sample.label for sample in read_manifest(tmp_path).samples] == ["malignant"]
    write(report(str(source.StudyInstanceUID), "1.2.3", {_tracking(seg): BENIGN_CODE}), tmp_path)
    manifest = read_manifest(tmp_path)
    assert (manifest.samples, manifest.conflicting) == ((), 1)


def test_the_gravest_lesion_names_the_image_and_one_without_a_class_spoils_it(tmp_path):
    source = dicom_image()
    other = Ellipse(40, 30, 10, 10)
    seg, _ = results(source, {1: [(1, LESION, BENIGN), (2, other, BENIGN)]})
    first, second = (str(segment.TrackingUID) for segment in seg.SegmentSequence)
    write(source, tmp_path), write(seg, tmp_path)
    study = str(source.StudyInstanceUID)
    written = write(report(study, "1.2.3", {first: BENIGN_CODE}), tmp_path)
    with pytest.raises(SettingsError, match="outlined and without a class"):
        read_manifest(tmp_path)
    written.unlink()
    write(report(study, "1.2.3", {first: BENIGN_CODE, second: MALIGNANT_CODE}), tmp_path)
    (sample,) = read_manifest(tmp_path).samples
    assert sample.label == "malignant"
    assert len(read_masks(tmp_path, sample)) == 2


def test_every_outlined_frame_of_a_loop_is_an_image(tmp_path):
    source = us_cine(frames=4, patient_id="A", **SMALL)
    moved = Ellipse(62, 85, 18, 26)
    seg, _ = results(source, {2: [(1, LESION, BENIGN)], 4: [(1, moved, BENIGN)]})
    write(source, tmp_path), write(seg, tmp_path)
    rows = [
        {"sop_instance_uid": source.SOPInstanceUID, "label": "benign", "frame": ""},
        {"sop_instance_uid": source.SOPInstanceUID, "label": "normal", "frame": 1},
    ]
    write_table(tmp_path / "images.csv", rows)
    samples = read_manifest(tmp_path).samples
    assert [sample.label for sample in samples] == ["benign", "benign", "normal"]
    assert len({clean_path(tmp_path / "clean", sample) for sample in samples}) == 3
    for sample, index, lesion in zip(samples, (1, 3, 0), (LESION, moved, None), strict=True):
        np.testing.assert_array_equal(read_image(tmp_path, sample), source.pixel_array[index][TISSUE.slices])
        expected = [] if lesion is None else [lesion.mask(120, 160)[TISSUE.slices]]
        np.testing.assert_array_equal(read_masks(tmp_path, sample), expected)


def test_a_loop_that_is_normal_gives_its_middle_frame(tmp_path):
    source = us_cine(frames=5, patient_id="A", **SMALL)
    write(source, tmp_path)
    _name(tmp_path, (source.SOPInstanceUID, "normal"))
    (sample,) = read_manifest(tmp_path).samples
    np.testing.assert_array_equal(read_image(tmp_path, sample), source.pixel_array[2][TISSUE.slices])


def test_two_segs_of_one_lesion_are_one_lesion(tmp_path):
    source, _ = write_outlined(tmp_path)
    larger = Ellipse(60, 80, 20, 30)
    seg, _ = results(source, {1: [(1, larger, BENIGN)]})
    seg.SOPInstanceUID = seg.file_meta.MediaStorageSOPInstanceUID = "2.25.7"
    write(seg, tmp_path)
    _name(tmp_path, (source.SOPInstanceUID, "benign"))
    (sample,) = read_manifest(tmp_path).samples
    (mask,) = read_masks(tmp_path, sample)
    np.testing.assert_array_equal(mask, larger.mask(120, 160)[TISSUE.slices])


def test_masks_that_touch_through_a_third_are_joined():
    masks = [np.zeros((4, 9), bool) for _ in range(4)]
    masks[0][0, :3], masks[1][0, 6:], masks[2][0, 2:7], masks[3][3, 4] = True, True, True, True
    assert sorted(int(mask.sum()) for mask in joined(masks)) == [1, 9]
    assert joined([np.zeros((2, 2), bool)]) == []


def test_a_seg_of_an_image_that_is_not_there_is_counted(tmp_path):
    kept, _ = write_outlined(tmp_path)
    lost, _ = write_outlined(tmp_path, seed=1)
    (tmp_path / f"{lost.SOPInstanceUID}.dcm").unlink()
    _name(tmp_path, (kept.SOPInstanceUID, "benign"), (lost.SOPInstanceUID, "benign"))
    notes = read_manifest(tmp_path).notes
    assert any(note.startswith("1 outlines are of images that are not there") for note in notes)
    assert any(note.startswith("1 images of images.csv are not there") for note in notes)


def test_a_row_that_contradicts_another_is_refused(tmp_path):
    write(dicom_image(None), tmp_path)
    _name(tmp_path, ("1.2.3", "benign"), ("1.2.3", "normal"))
    with pytest.raises(SettingsError, match="row 3 contradicts a row before it"):
        read_manifest(tmp_path)
