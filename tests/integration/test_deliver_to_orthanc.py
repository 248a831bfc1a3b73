"""Deliveries to a real PACS: that is down and comes back, that is called by a wrong name."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless

from cad_node.deliver import make_destination
from cad_node.encode import encode_study, load_templates
from cad_node.errors import DestinationUnreachableError
from cad_node.jobs.engine import JobEngine
from cad_node.resources import templates_dir
from cad_node.result_files import file_names
from cad_node.settings import (
    CStoreDestinationSettings,
    FolderDestinationSettings,
    NodeSettings,
    ResultSettings,
)
from cad_node.store.journal import Journal
from cad_node.store.results import ResultStore
from cad_node.store.schema import DeliveryRecord, DeliveryState
from cad_node.variants import KINDS, all_variants
from tests import results as findings
from tests.factories import us_cine
from tests.integration.test_encode_validators import encoded, several_images
from tests.unit.jobs.stubs import processing, stored, write_results

pytestmark = pytest.mark.orthanc

STUDY = "1.2.826.0.1.77"
WAIT_S = 120.0


@pytest.fixture
def settings(tmp_path: Path, orthanc: Any) -> NodeSettings:
    return NodeSettings(
        data_dir=tmp_path / "data",
        completion={"quiet_time_s": 0},  # type: ignore[arg-type]
        jobs={"retry_first_s": 0.2, "retry_longest_s": 1.0},  # type: ignore[arg-type]
        destinations=(
            CStoreDestinationSettings(
                name="pacs", host="127.0.0.1", port=orthanc.dicom_port, ae_title="TESTPACS", timeout_s=10
            ),
            FolderDestinationSettings(name="outbox", path=tmp_path / "outbox"),
        ),
    )


@pytest.fixture
def journal(settings: NodeSettings) -> Iterator[Journal]:
    journal = Journal.open(settings)
    yield journal
    journal.close()


def engine(settings: NodeSettings, journal: Journal) -> JobEngine:
    results = ResultStore(settings.data_dir / "results")
    destinations = {item.name: make_destination(item) for item in settings.destinations}
    return JobEngine(settings, journal, results, processing(results), destinations)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def tried_again_for(record: DeliveryRecord, problem: str) -> bool:
    """Whether it failed for that, counts as a failure for now, and was tried more than once."""
    waits = record.state is DeliveryState.WAITING
    return waits and record.attempts >= 2 and problem in record.problem


def test_what_arrives_is_what_was_stored(tmp_path: Path, settings: NodeSettings, orthanc: Any) -> None:
    write_results(tmp_path, STUDY, "abcdefab")
    destination = make_destination(settings.destinations[0])
    sent: list[str] = []

    destination.verify()
    destination.send(tmp_path, (), sent.append)

    held = orthanc.instances()
    assert sorted(held) == sorted(sent)
    for path in tmp_path.glob("*.dcm"):
        ours = dcmread(path)
        assert dcmread(BytesIO(orthanc.file(held[ours.SOPInstanceUID]))) == ours


def test_each_destination_gets_its_own_objects_once(
    settings: NodeSettings, orthanc: Any, tmp_path: Path
) -> None:
    archive = CStoreDestinationSettings(
        name="archive", host="127.0.0.1", port=orthanc.dicom_port, ae_title="TESTPACS",
        objects=("presentation_state", "secondary_capture", "pdf", "text_sr", "sr"),
        sr_class="enhanced", transfer_syntax="rle",
    )  # fmt: skip
    reading = FolderDestinationSettings(name="reading", path=tmp_path / "reading", seg_type="labelmap")
    settings = settings.model_copy(update={"destinations": (archive, reading)})
    source = us_cine(frames=3)
    lesion = [(1, findings.LARGE, findings.MALIGNANT)]
    found = findings.study(findings.analysed(source, {1: lesion, 3: lesion}))
    made = tmp_path / "made"
    made.mkdir()
    variants = all_variants(settings)
    objects = encode_study(
        found,
        {str(source.SOPInstanceUID): source},
        templates=load_templates(templates_dir()),
        settings=settings.results,
        variants=variants,
        made_at=findings.MADE_AT,
    )
    listed = []
    for item, name in zip(objects, file_names(objects), strict=True):
        item.dataset.save_as(made / name, enforce_file_format=True)
        listed.append({"file": name, "variant": item.variant.name})
    content = {
        "study_instance_uid": found.study_instance_uid,
        "variants": [variant.name for variant in variants],
        "objects": listed,
    }
    (made / "result.json").write_text(json.dumps(content))
    sent: list[str] = []

    make_destination(archive, settings.results).send(made, (), sent.append)
    make_destination(archive, settings.results).send(made, sent, sent.append)
    make_destination(reading, settings.results).send(made, (), lambda _: None)

    held = orthanc.instances()
    assert sorted(held) == sorted(sent)
    assert orthanc.stores() == len(sent) == len(set(sent))
    arrived = [dcmread(BytesIO(orthanc.file(identifier))) for identifier in held.values()]
    assert sorted(one.SOPClassUID.name for one in arrived) == [
        "Basic Text SR Storage",
        "Encapsulated PDF Storage",
        "Enhanced SR Storage",
        "Grayscale Softcopy Presentation State Storage",
        "Secondary Capture Image Storage",
        "Secondary Capture Image Storage",
    ]
    syntaxes = {one.SOPClassUID.name: one.file_meta.TransferSyntaxUID for one in arrived}
    assert syntaxes["Secondary Capture Image Storage"] == RLELossless
    assert syntaxes["Enhanced SR Storage"] == ExplicitVRLittleEndian
    copied = [dcmread(path) for path in (tmp_path / "reading" / found.study_instance_uid).glob("*.dcm")]
    assert sorted(one.Modality for one in copied) == ["SEG", "SR"]
    assert {one.SegmentationType for one in copied if one.Modality == "SEG"} == {"LABELMAP"}


@pytest.mark.parametrize(
    "choice",
    [
        {"transfer_syntax": "deflated"},
        {"transfer_syntax": "deflated", "seg_type": "fractional"},
        {"seg_scope": "series"},
        {"transfer_syntax": "jpeg-ls", "seg_type": "labelmap", "seg_scope": "series"},
    ],
    ids=lambda choice: " ".join(choice.values()),
)
def test_every_object_in_every_form_comes_back_as_it_was_made(
    choice: dict[str, Any], orthanc: Any, tmp_path: Path
) -> None:
    pacs = CStoreDestinationSettings(
        name="pacs", host="127.0.0.1", port=orthanc.dicom_port, ae_title="TESTPACS", objects=KINDS
    )
    results = ResultSettings(**choice)
    case = several_images()
    made = tmp_path / "made"
    files = encoded(case, made, KINDS, **choice)

    make_destination(pacs, results).send(made, (), lambda _: None)

    held = orthanc.instances()
    assert len(held) == len(files) == orthanc.stores()
    deflated = choice.get("transfer_syntax") == "deflated"
    for file in files:
        ours = dcmread(file)
        theirs = dcmread(BytesIO(orthanc.file(held[ours.SOPInstanceUID])))
        assert theirs == ours
        assert theirs.file_meta.TransferSyntaxUID == ours.file_meta.TransferSyntaxUID
        if deflated:
            assert ours.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian


def test_a_pacs_that_is_down_gets_everything_when_it_is_back(
    settings: NodeSettings, journal: Journal, orthanc: Any, tmp_path: Path
) -> None:
    orthanc.stop()
    studies = [f"{STUDY}.{number}" for number in range(1, 6)]
    for study in studies:
        journal.record_instance(stored(study))

    with engine(settings, journal) as running:
        # The folder beside it is served as ever.
        wait_until(lambda: sum(path.name in studies for path in (tmp_path / "outbox").glob("*")) == 5)
        # In whatever state it is at that moment: what knocks is not waiting.
        wait_until(
            lambda: any(
                item.attempts >= 3 and "cannot be reached at 127.0.0.1" in item.problem
                for item in journal.outgoing.all()
            )
        )

        orthanc.start()

        assert running.wait_idle(WAIT_S)
    assert {item.state for item in journal.outgoing.all()} == {DeliveryState.SENT}
    assert len(orthanc.instances()) == orthanc.stores() == 10


def test_a_wrong_ae_title_is_named_and_everything_goes_out_once_it_is_mended(
    settings: NodeSettings, journal: Journal, orthanc: Any
) -> None:
    wrong = settings.destinations[0].model_copy(update={"ae_title": "NOSUCHPACS"})
    journal.record_instance(stored(STUDY))

    with engine(settings.model_copy(update={"destinations": (wrong,)}), journal):
        wait_until(lambda: any(tried_again_for(item, "called AE title") for item in journal.outgoing.all()))
    with pytest.raises(DestinationUnreachableError, match="called AE title"):
        make_destination(wrong).verify()

    right = settings.model_copy(update={"destinations": settings.destinations[:1]})
    with engine(right, journal) as running:
        assert running.wait_idle(WAIT_S)
    assert len(orthanc.instances()) == 2


def test_a_late_instance_replaces_the_report_and_keeps_the_segmentation(
    settings: NodeSettings, journal: Journal, orthanc: Any, tmp_path: Path
) -> None:
    with engine(settings, journal) as running:
        journal.record_instance(stored(STUDY, 1))
        assert running.wait_idle(WAIT_S)
        journal.record_instance(stored(STUDY, 2))
        assert running.wait_idle(WAIT_S)

    assert len(orthanc.instances()) == orthanc.stores() == 3
    newest = ResultStore(settings.data_dir / "results").before(STUDY, "0" * 32)[-1]
    outbox = tmp_path / "outbox" / STUDY
    assert (outbox / "sr.dcm").read_bytes() == (newest / "sr.dcm").read_bytes()
