"""Kill -9 in the middle of 20 studies, again and again: nothing lost, nothing doubled."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cad_node.cli.jobs import jobs_app
from cad_node.deliver import make_destination
from cad_node.jobs.engine import JobEngine
from cad_node.jobs.recovery import take_over
from cad_node.jobs.workflows import recover
from cad_node.settings import load_settings
from cad_node.store.journal import Journal
from cad_node.store.results import ResultStore
from cad_node.store.schema import DeliveryState, RevisionState
from tests.integration.jobs_node import DEADLINE_S, Child, wait_until, write_config
from tests.unit.jobs.stubs import processing, stored

STUDIES = [f"1.2.826.0.1.{number}" for number in range(1, 21)]

# Studies that are processed at each kill.
KILLED_AFTER = (1, 3, 6, 9, 12, 15)


@pytest.mark.orthanc
@pytest.mark.slow
def test_every_study_is_delivered_and_the_pacs_holds_each_object_once(
    tmp_path: Path, database_url: str | None, orthanc: Any, children: list[Child]
) -> None:
    config = write_config(tmp_path, database_url, orthanc.dicom_port)
    settings = load_settings(config)
    journal = Journal.open(settings)
    for study in STUDIES:
        journal.record_instance(stored(study, 1))
        journal.record_instance(stored(study, 2))
    chance = random.Random(20)
    # By progress, not by the clock: on a machine of any speed two studies are being processed,
    # and others delivered, at the moment of each kill.
    for done in KILLED_AFTER:
        child = Child(config, seconds=1.0)
        children.append(child)
        wait_until(lambda done=done: len(journal.revisions.all(RevisionState.DONE)) >= done, "no progress")
        time.sleep(chance.uniform(0, 0.3))
        child.end(signal.SIGKILL)
    assert not journal.is_idle(), "it was too quick to be killed in the middle"

    last = Child(config, seconds=0.01)
    children.append(last)
    wait_until(journal.is_idle, "not everything was delivered")
    assert last.end(signal.SIGTERM) == 0

    assert [record.state for record in journal.revisions.all()] == [RevisionState.DONE] * 20
    assert [record.state for record in journal.outgoing.all()] == [DeliveryState.SENT] * 40
    results = ResultStore(settings.data_dir / "results")
    expected = set()
    for record in journal.revisions.all():
        folders = list((results.root / record.study_instance_uid).iterdir())
        assert folders == [results.folder(record.study_instance_uid, record.revision)]
        outbox = tmp_path / "outbox" / record.study_instance_uid
        for path in folders[0].glob("*.dcm"):
            assert (outbox / path.name).read_bytes() == path.read_bytes()
        expected |= {
            f"{record.study_instance_uid}.9.1",
            f"{record.study_instance_uid}.9.{int(record.revision[:8], 16) + 2}",
        }
    assert set(orthanc.instances()) == expected
    assert len(expected) == 40
    # At least once by nature: what was under way at a kill may go twice, never more than that.
    assert 40 <= orthanc.stores() <= 40 + 2 * len(KILLED_AFTER)
    journal.close()


@pytest.mark.slow
def test_a_node_that_is_told_to_stop_ends_cleanly_and_goes_on_later(
    tmp_path: Path, database_url: str | None, children: list[Child]
) -> None:
    config = write_config(tmp_path, database_url, None)
    journal = Journal.open(load_settings(config))
    for study in STUDIES:
        journal.record_instance(stored(study))
    child = Child(config, seconds=0.5)
    children.append(child)
    wait_until(lambda: journal.outgoing.all(DeliveryState.SENT), "nothing was delivered")

    started = time.monotonic()
    assert child.end(signal.SIGTERM) == 0
    assert time.monotonic() - started < 20
    assert not journal.is_idle()
    assert journal.outgoing.all(DeliveryState.SENDING) == []

    again = Child(config, seconds=0.01)
    children.append(again)
    wait_until(journal.is_idle, "not everything was delivered")
    again.end(signal.SIGTERM)
    assert {record.starts for record in journal.revisions.all()} == {1}
    journal.close()


@pytest.mark.slow
def test_the_work_of_a_machine_that_is_gone_goes_to_another(
    tmp_path: Path, database_url: str | None, children: list[Child]
) -> None:
    gone = write_config(tmp_path, database_url, None, executor_id="node-a")
    journal = Journal.open(load_settings(gone))
    for study in STUDIES[:4]:
        journal.record_instance(stored(study))
    child = Child(gone, seconds=600)
    children.append(child)
    wait_until(lambda: len(journal.revisions.all(RevisionState.PROCESSING)) == 2, "nothing began")
    child.end(signal.SIGKILL)

    config = write_config(tmp_path, database_url, None, executor_id="node-b")
    settings = load_settings(config)
    results = ResultStore(settings.data_dir / "results")
    destinations = {item.name: make_destination(item) for item in settings.destinations}
    with JobEngine(settings, journal, results, processing(results), destinations) as engine:
        wait_until(lambda: len(journal.revisions.all(RevisionState.DONE)) == 2, "the queued ones wait")
        assert len(journal.revisions.all(RevisionState.PROCESSING)) == 2

        answer = CliRunner().invoke(jobs_app, ["recover", "node-a", "--config", str(config)])

        assert answer.exit_code == 0, answer.output
        assert "2 studies and 0 deliveries of node-a are queued again" in answer.output
        assert engine.wait_idle(DEADLINE_S)
    assert [record.state for record in journal.revisions.all()] == [RevisionState.DONE] * 4
    assert recover(settings, "node-a") == 0
    journal.close()


@pytest.mark.slow
def test_a_node_that_has_another_name_now_goes_on_with_what_it_had_begun(
    tmp_path: Path, children: list[Child], caplog: pytest.LogCaptureFixture
) -> None:
    former = write_config(tmp_path, None, None, executor_id="node-a")
    journal = Journal.open(load_settings(former))
    for study in STUDIES[:3]:
        journal.record_instance(stored(study))
    child = Child(former, seconds=600)
    children.append(child)
    wait_until(lambda: len(journal.revisions.all(RevisionState.PROCESSING)) == 2, "nothing began")
    child.end(signal.SIGKILL)

    settings = load_settings(write_config(tmp_path, None, None, executor_id="node-b"))
    results = ResultStore(settings.data_dir / "results")
    destinations = {item.name: make_destination(item) for item in settings.destinations}
    with JobEngine(settings, journal, results, processing(results), destinations) as engine:
        take_over(settings, journal)
        assert engine.wait_idle(DEADLINE_S)
        take_over(settings, journal)
    assert [record.state for record in journal.revisions.all()] == [RevisionState.DONE] * 3
    assert caplog.text.count("this node ran as node-a before: its 2 studies") == 1
    journal.close()


def test_an_operator_sees_and_retries_while_a_node_runs(tmp_path: Path, children: list[Child]) -> None:
    config = write_config(tmp_path, None, None)
    journal = Journal.open(load_settings(config))
    journal.record_instance(stored(STUDIES[0]))
    child = Child(config, seconds=0.01)
    children.append(child)
    wait_until(lambda: not journal.study_records()[0].is_open and journal.is_idle(), "not delivered")
    outbox = tmp_path / "outbox" / STUDIES[0]
    (outbox / "sr.dcm").unlink()

    listed = CliRunner().invoke(jobs_app, ["list", "--config", str(config)])
    retried = CliRunner().invoke(
        jobs_app, ["retry", STUDIES[0], "--destination", "outbox", "--config", str(config)]
    )

    assert STUDIES[0] in listed.output
    assert "outbox sent" in listed.output
    assert retried.exit_code == 0, retried.output
    wait_until(lambda: (outbox / "sr.dcm").exists() and journal.is_idle(), "not delivered again")
    journal.close()
