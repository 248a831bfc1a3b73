"""Power cuts while 20 studies come in, are analysed and are sent: all arrive, each object once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import ServedNode, dcmsend, wait_for
from tests.factories import ellipse, us_image, write
from tests.peers import Orthanc

pytestmark = [pytest.mark.orthanc, pytest.mark.dcmtk, pytest.mark.slow]

STUDIES = 20


def test_20_studies_survive_three_kills(
    orthanc: Orthanc, served: Callable[..., ServedNode], tmp_path: Path
) -> None:
    datasets = [us_image(lesion=ellipse(), seed=number) for number in range(STUDIES)]
    files = [write(dataset, tmp_path / "scanner") for dataset in datasets]
    outbox = tmp_path / "outbox"
    node = served(
        [
            {
                "type": "cstore",
                "name": "pacs",
                "host": "127.0.0.1",
                "port": orthanc.dicom_port,
                "ae_title": orthanc.ae_title,
            },
            {"type": "folder", "name": "outbox", "path": str(outbox)},
        ],
        quiet_time_s=0.5,
    )
    assert dcmsend(node.port, files).returncode == 0

    # By progress, not by the clock: while they are received, and in the middle of the work.
    for done in (0, 4, 10):
        wait_for(lambda done=done: len(list(outbox.glob("*/sr.dcm"))) >= done, 300, f"{done} results")
        node.kill()
        assert len(list(outbox.glob("*/sr.dcm"))) < STUDIES, "too quick to be killed in the middle"
        node.start()

    studies = {str(dataset.StudyInstanceUID) for dataset in datasets}
    wait_for(lambda: {path.parent.name for path in outbox.glob("*/sr.dcm")} == studies, 300, "20 results")
    made = {path.stem: path for path in outbox.glob("*/*.dcm")}
    wait_for(lambda: len(orthanc.get("/studies")) == STUDIES, 60, "20 studies in the PACS")
    wait_for(
        lambda: len(orthanc.instances()) == len(list(outbox.glob("*/*.dcm"))), 60, "every object in the PACS"
    )
    assert made
    reports = [i for i in orthanc.get("/series?expand") if i["MainDicomTags"]["Modality"] == "SR"]
    assert len(reports) == STUDIES, "one report a study, however often it was begun"
    assert node.stop() == 0
