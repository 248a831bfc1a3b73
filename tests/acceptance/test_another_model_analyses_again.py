"""A node gets another model: old results stay until somebody asks for new ones, which supersede them, once."""

import io
import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from cad_node.networks.bundle import METADATA_FILE, write_sums
from cad_node.resources import models_dir
from cad_node.settings import load_settings
from cad_node.store.journal import Journal
from cad_node.store.schema import RevisionState
from tests.acceptance.conftest import ServedNode, dcmsend, run_cli, wait_for
from tests.peers import Orthanc

pytestmark = [pytest.mark.orthanc, pytest.mark.dcmtk, pytest.mark.slow]

# Patient enough for a machine that does something else at the same time.
WAIT_S = 900


@pytest.fixture
def other_models(tmp_path: Path) -> Path:
    """A models folder with another version of the shipped lesion network, as an operator would put it there."""
    folder = tmp_path / "models" / "breast-us"
    shutil.copytree(models_dir() / "breast-us", folder)
    metadata = json.loads((folder / METADATA_FILE).read_text(encoding="utf-8"))
    metadata["version"] = "99.0.0"
    (folder / METADATA_FILE).write_text(json.dumps(metadata), encoding="utf-8")
    write_sums(folder)
    return folder.parent


def test_new_results_supersede_the_old_ones_once_and_only_when_asked_for(
    orthanc: Orthanc,
    served: Callable[..., ServedNode],
    demo_files: list[Path],
    tmp_path: Path,
    other_models: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pacs = {"type": "cstore", "name": "pacs", "host": "127.0.0.1", "port": orthanc.dicom_port}
    outbox = tmp_path / "outbox"
    node = served(
        [
            {**pacs, "ae_title": orthanc.ae_title},
            {"type": "folder", "name": "outbox", "path": str(outbox)},
        ]
    )
    image = demo_files[:1]
    dcmsend(node.port, image)
    wait_for(lambda: len(orthanc.instances()) == 2, WAIT_S, "SEG and SR of the first model")
    old = _datasets(orthanc)
    (old_report,) = [dataset for dataset in old.values() if dataset.Modality == "SR"]
    assert node.stop() == 0

    monkeypatch.setenv("CADNODE_RUNTIME__MODELS_DIR", str(other_models))
    node.start()
    # Sent again, unchanged: nothing is analysed or sent, but the log and the list say what is the matter.
    assert dcmsend(node.port, image).returncode == 0
    wait_for(
        lambda: "made otherwise than this node does now (breast-us 99.0.0)" in node.log, WAIT_S, "a word"
    )
    listed = _cli(node, "jobs", "list")
    assert "1 of 1 results were made otherwise than breast-us 99.0.0 would make them now" in listed
    assert "1 studies would be queued" in _cli(node, "reanalyse", "--all", "--dry-run")
    assert orthanc.stores() == 2

    assert "1 studies are queued" in _cli(node, "reanalyse", "--all")
    with closing(Journal.open(load_settings(node.config))) as journal:
        begun = (RevisionState.PROCESSING, RevisionState.DONE)
        wait_for(lambda: journal.revisions.all()[-1].state in begun, WAIT_S, "the beginning")
        assert len(journal.revisions.all()) == 2
    node.kill()
    node.start()

    wait_for(lambda: len(orthanc.instances()) == 4, WAIT_S, "SEG and SR of the second model")
    new = {uid: dataset for uid, dataset in _datasets(orthanc).items() if uid not in old}
    (report,) = [dataset for dataset in new.values() if dataset.Modality == "SR"]
    named = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert [item.ReferencedSOPInstanceUID for item in named] == [old_report.SOPInstanceUID]
    assert "PredecessorDocumentsSequence" not in old_report
    shown = outbox / str(report.StudyInstanceUID) / "sr.dcm"
    wait_for(lambda: shown.exists() and _uid(shown) == report.SOPInstanceUID, WAIT_S, "the folder")
    # Asked for once more, and started once more: nothing moves.
    assert "Nothing was queued" in _cli(node, "reanalyse", "--all")
    assert node.stop() == 0
    stores = orthanc.stores()
    node.start()
    dcmsend(node.port, image)
    assert "otherwise" not in _cli(node, "jobs", "list")
    assert node.stop() == 0
    assert set(orthanc.instances()) == old.keys() | new.keys()
    assert orthanc.stores() == stores


def _cli(node: ServedNode, *arguments: str) -> str:
    answer = run_cli(*arguments, "--config", node.config)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def _uid(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)


def _datasets(orthanc: Orthanc) -> dict[str, Dataset]:
    held = orthanc.instances()
    return {uid: dcmread(io.BytesIO(orthanc.file(identifier))) for uid, identifier in held.items()}
