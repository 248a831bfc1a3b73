"""A real PACS commits itself to what it was sent, and lacks what was taken away from it."""

from __future__ import annotations

import shutil
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cad_node.deliver import commitment_scus, make_destination
from cad_node.jobs.commitment import CommitmentRequester, ReportDesk
from cad_node.jobs.courier import Courier
from cad_node.jobs.engine import JobEngine
from cad_node.receive.scp import Reports, StorageScp
from cad_node.settings import CStoreDestinationSettings, NodeSettings, ReceiveSettings, load_settings
from cad_node.store.journal import Journal
from cad_node.store.results import ResultStore
from cad_node.store.retention import Standing
from cad_node.store.schema import CommitmentRecord, CommitmentState, DeliveryState
from tests.integration.jobs_node import Child, wait_until, write_config
from tests.peers import Orthanc
from tests.unit.jobs.stubs import processing, stored, write_results

pytestmark = pytest.mark.orthanc

STUDY = "1.2.826.0.1.78"
WAIT_S = 120.0


@pytest.fixture
def node_port(free_port: Callable[[], int]) -> int:
    return free_port()


@pytest.fixture
def orthanc(tmp_path: Path, node_port: int) -> Iterator[Orthanc]:
    """It knows the node, as docs/operations.md says it must."""
    if shutil.which("Orthanc") is None:
        pytest.skip("needs Debian's orthanc and orthanc-dicomweb")
    node = {"AET": "CADNODE", "Host": "127.0.0.1", "Port": node_port, "AllowStorageCommitment": True}
    server = Orthanc(tmp_path / "orthanc", DicomModalities={"cadnode": node})
    server.start()
    try:
        yield server
    finally:
        server.stop(clean=False)


@pytest.fixture
def settings(tmp_path: Path, orthanc: Orthanc, node_port: int) -> NodeSettings:
    return NodeSettings(
        data_dir=tmp_path / "data",
        # Orthanc sends no results: it may report, and nothing else.
        receive=ReceiveSettings(port=node_port, calling_ae_titles=("SCANNER",)),
        completion={"quiet_time_s": 0},  # type: ignore[arg-type]
        jobs={"retry_first_s": 0.2, "retry_longest_s": 1.0},  # type: ignore[arg-type]
        destinations=(
            CStoreDestinationSettings(
                name="pacs",
                host="127.0.0.1",
                port=orthanc.dicom_port,
                ae_title="TESTPACS",
                timeout_s=10,
                storage_commitment=True,
                commitment_wait_s=20,
            ),
        ),
    )


@pytest.fixture
def journal(settings: NodeSettings) -> Iterator[Journal]:
    journal = Journal.open(settings)
    yield journal
    journal.close()


@contextmanager
def listening(settings: NodeSettings, journal: Journal) -> Iterator[None]:
    """The node's own port, where the PACS reports."""
    desk = ReportDesk(journal, {name: scu.settings for name, scu in commitment_scus(settings).items()})
    with StorageScp(
        settings.receive, lambda _: None, lambda _: True, reports=Reports(desk.called, desk.record)
    ):
        yield


def only(journal: Journal) -> CommitmentRecord:
    (record,) = journal.commitments.all()
    return record


def test_what_it_stored_it_is_committed_to(
    settings: NodeSettings, journal: Journal, orthanc: Orthanc
) -> None:
    results = ResultStore(settings.data_dir / "results")
    destinations = {item.name: make_destination(item) for item in settings.destinations}
    journal.record_instance(stored(STUDY))

    with (
        listening(settings, journal),
        JobEngine(settings, journal, results, processing(results), destinations) as engine,
    ):
        assert engine.wait_idle(WAIT_S)
        wait_until(lambda: journal.commitments.all(CommitmentState.COMMITTED), "not committed")

    assert (only(journal).requests, only(journal).problem) == (1, "")
    assert journal.commitments.committed(only(journal)) == frozenset(orthanc.instances())
    assert orthanc.stores() == 2
    assert journal.retention.standing(STUDY, journal.lifetime.days_ago(0)) is Standing.FINISHED


def test_what_it_lacks_is_sent_again_and_nothing_else(
    settings: NodeSettings, journal: Journal, orthanc: Orthanc
) -> None:
    results = ResultStore(settings.data_dir / "results")
    journal.record_instance(stored(STUDY))
    revision = journal.close_study(STUDY)
    assert revision is not None
    results.commit(STUDY, revision, lambda folder: write_results(folder, STUDY, revision))
    record = journal.revisions.get(STUDY, revision)
    assert record is not None
    journal.revisions.finish(record, ["pacs"])
    pacs = make_destination(settings.destinations[0])
    courier = Courier("pacs", pacs, journal, results, settings.jobs, "node-1", commitment=True)
    scu = commitment_scus(settings)["pacs"]
    requester = CommitmentRequester(scu, journal, results, settings.jobs, "node-1")
    assert courier.deliver_next()
    assert journal.retention.standing(STUDY, journal.lifetime.days_ago(0)) is Standing.NOT_COMMITTED
    held = orthanc.instances()
    lost = f"{STUDY}.9.1"
    request = urllib.request.Request(f"{orthanc.url}/instances/{held[lost]}", method="DELETE")
    urllib.request.urlopen(request, timeout=10).close()

    with listening(settings, journal):
        assert requester.do_next()  # asks, and hears of the one
        assert only(journal).state is CommitmentState.REPORTED
        assert journal.commitments.open_objects(only(journal)) == {lost: 0x0112}
        assert requester.do_next()  # gives it back to the courier
        deadline = time.monotonic() + WAIT_S
        while not courier.deliver_next():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert requester.do_next()  # asks for the rest

    assert only(journal).state is CommitmentState.COMMITTED
    assert only(journal).requests == 2
    assert orthanc.instances().keys() == held.keys() == journal.commitments.committed(only(journal))
    assert orthanc.stores() == 3
    assert [item.state for item in journal.outgoing.all()] == [DeliveryState.SENT]


def test_a_node_that_is_killed_while_it_waits_for_the_report_asks_again_and_sends_nothing_twice(
    tmp_path: Path, orthanc: Orthanc, node_port: int, children: list[Child]
) -> None:
    config = write_config(tmp_path, None, orthanc.dicom_port)
    with config.open("a") as file:  # of its last destination
        file.write("\nstorage_commitment = true\ncommitment_wait_s = 0\ncommitment_timeout_s = 2\n")
        file.write(f"[receive]\nport = {node_port}\n")
    settings = load_settings(config)
    journal = Journal.open(settings)
    journal.record_instance(stored(STUDY))
    # The child has no port, so whatever Orthanc reports to it is lost.
    child = Child(config, seconds=0.01)
    children.append(child)
    wait_until(lambda: journal.commitments.all(CommitmentState.ASKED), "not asked")
    first = only(journal).transaction_uid
    child.end(signal.SIGKILL)

    results = ResultStore(settings.data_dir / "results")
    destinations = {item.name: make_destination(item) for item in settings.destinations}
    with (
        listening(settings, journal),
        JobEngine(settings, journal, results, processing(results), destinations),
    ):
        wait_until(lambda: journal.commitments.all(CommitmentState.COMMITTED), "not committed")

    assert only(journal).transaction_uid != first
    assert journal.commitments.committed(only(journal)) == frozenset(orthanc.instances())
    assert orthanc.stores() == 2
    journal.close()
