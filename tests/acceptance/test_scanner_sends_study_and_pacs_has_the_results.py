"""A scanner (DCMTK) sends to the node, the node to a PACS (Orthanc); a viewer fetches by DICOMweb."""

import io
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pytest
from dicomweb_client import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.acceptance.conftest import ServedNode, dcmsend, wait_for
from tests.peers import Orthanc

pytestmark = [pytest.mark.orthanc, pytest.mark.dcmtk, pytest.mark.slow]

SEG, SR = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34"


def _pacs(orthanc: Orthanc) -> dict[str, object]:
    return {
        "type": "cstore",
        "name": "pacs",
        "host": "127.0.0.1",
        "port": orthanc.dicom_port,
        "ae_title": orthanc.ae_title,
    }


def _fetch(orthanc: Orthanc, study: str) -> list[Dataset]:
    return DICOMwebClient(orthanc.dicomweb_url).retrieve_study(study)


def test_seg_and_sr_come_back_over_dicomweb_and_agree(
    orthanc: Orthanc,
    served: Callable[..., ServedNode],
    demo_files: list[Path],
    demo_datasets: list[Dataset],
    tmp_path: Path,
) -> None:
    study = str(demo_datasets[0].StudyInstanceUID)
    outbox = tmp_path / "outbox"
    node = served([_pacs(orthanc), {"type": "folder", "name": "outbox", "path": str(outbox)}])
    assert dcmsend(orthanc.dicom_port, demo_files, orthanc.ae_title).returncode == 0

    sent = dcmsend(node.port, demo_files)

    assert sent.returncode == 0, sent.stderr
    wait_for(lambda: _kinds(orthanc) >= {SEG, SR}, 180, "SEG and SR in the PACS")
    wait_for((outbox / study / "sr.dcm").exists, 30, "results in the folder")
    wait_for(
        lambda: len(orthanc.instances()) == len(demo_files) + len(list((outbox / study).glob("*.dcm"))),
        60,
        "all",
    )
    fetched = _fetch(orthanc, study)
    results = [dataset for dataset in fetched if dataset.SOPClassUID in (SEG, SR)]
    segs = [highdicom.seg.Segmentation.from_dataset(d) for d in results if d.SOPClassUID == SEG]
    reports = [d for d in results if d.SOPClassUID == SR]
    assert len(segs) == 3, "two images and a loop have lesions, the colour Doppler image must not"
    assert len(reports) == 1
    # What came back over DICOMweb is what was made.
    made = {dcmread(path).SOPInstanceUID: dcmread(path) for path in (outbox / study).glob("*.dcm")}
    assert {d.SOPInstanceUID for d in results} == made.keys()
    for dataset in results:
        if dataset.SOPClassUID == SEG:
            np.testing.assert_array_equal(dataset.pixel_array, made[dataset.SOPInstanceUID].pixel_array)
        else:
            # The value trees agree, item for item.
            assert dataset.ContentSequence == made[dataset.SOPInstanceUID].ContentSequence
    # Every result speaks of an instance that the PACS holds.
    sources = {str(d.SOPInstanceUID) for d in demo_datasets}
    for seg in segs:
        assert {str(uids[2]) for uids in seg.get_source_image_uids()} <= sources
        assert seg.pixel_array.any(), "an empty mask"
    assert node.stop() == 0
    _assert_valid(tmp_path, fetched)


def _datasets(orthanc: Orthanc) -> list[Dataset]:
    return [dcmread(io.BytesIO(orthanc.file(identifier))) for identifier in orthanc.instances().values()]


def _kinds(orthanc: Orthanc) -> set[str]:
    return {str(dataset.SOPClassUID) for dataset in _datasets(orthanc)}


def _assert_valid(folder: Path, datasets: list[Dataset]) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("needs Debian's dicom3tools")
    files = []
    for number, dataset in enumerate(datasets):
        files.append(folder / f"fetched-{number}.dcm")
        dataset.save_as(files[-1], enforce_file_format=True)
        if dataset.SOPClassUID in (SEG, SR):
            said = subprocess.run(["dciodvfy", files[-1]], capture_output=True, text=True, check=False).stderr
            assert "Error" not in said, said
    said = subprocess.run(["dcentvfy", *files], capture_output=True, text=True, check=False).stderr
    # The tool's tables put Accession Number of an SR into the series; its value is the study's.
    told = [
        line for line in said.splitlines() if line.strip() and "Different information entities" not in line
    ]
    assert told == []


def test_no_patient_data_stands_in_the_log(
    orthanc: Orthanc, served: Callable[..., ServedNode], demo_files: list[Path], tmp_path: Path
) -> None:
    node = served([_pacs(orthanc)])
    broken = tmp_path / "broken.dcm"
    content = demo_files[1].read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    dcmsend(node.port, [*demo_files, broken])
    wait_for(lambda: SR in _kinds(orthanc), 180, "the SR in the PACS")
    node.stop()

    log = node.log
    assert "processed" in log, "the log must tell what was done"
    for word in ("TESTPATIENT", "DEMO-0001", "19700101", "DEMO HOSPITAL", "MAMA"):
        assert word not in log


def test_a_study_that_is_sent_again_changes_nothing(
    orthanc: Orthanc, served: Callable[..., ServedNode], demo_files: list[Path]
) -> None:
    node = served([_pacs(orthanc)])
    still = demo_files[:2]
    dcmsend(node.port, still)
    wait_for(lambda: SR in _kinds(orthanc), 180, "the SR in the PACS")
    wait_for(lambda: len(orthanc.instances()) == 3, 30, "two SEG and the SR")
    before, stores = set(orthanc.instances()), orthanc.stores()

    assert dcmsend(node.port, still).returncode == 0
    assert node.stop() == 0
    node.start()
    dcmsend(node.port, still)
    time.sleep(3 * node.quiet_time_s)

    assert set(orthanc.instances()) == before
    assert orthanc.stores() == stores


def test_a_late_image_brings_a_new_report_that_names_the_one_before(
    orthanc: Orthanc, served: Callable[..., ServedNode], demo_files: list[Path]
) -> None:
    node = served([_pacs(orthanc)])
    dcmsend(node.port, demo_files[:1])
    wait_for(lambda: len(orthanc.instances()) == 2, 180, "SEG and SR of the first image")
    before = _reports(orthanc)

    dcmsend(node.port, demo_files[1:2])

    wait_for(lambda: len(orthanc.instances()) == 4, 180, "one more SEG and a new SR")
    new = next(report for uid, report in _reports(orthanc).items() if uid not in before)
    predecessor = new.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert {predecessor.ReferencedSOPInstanceUID} == before.keys()
    node.stop()


def _reports(orthanc: Orthanc) -> dict[str, Dataset]:
    return {str(d.SOPInstanceUID): d for d in _datasets(orthanc) if d.SOPClassUID == SR}
