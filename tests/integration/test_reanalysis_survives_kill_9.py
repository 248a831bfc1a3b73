"""Kill -9 while old studies are analysed again by a new model: nothing lost, nothing twice."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from cad_node.settings import load_settings
from cad_node.store.journal import Journal
from cad_node.store.schema import DeliveryState, RevisionState
from tests.integration.jobs_node import Child, wait_until, write_config
from tests.unit.jobs.stubs import made_by, stored

STUDIES = [f"1.2.826.0.1.{number}" for number in range(1, 9)]
FRESH = "1.2.826.0.1.99"
KILLED_AFTER = (1, 3, 5)


@pytest.mark.orthanc
@pytest.mark.slow
def test_every_old_study_has_one_new_result_and_so_has_what_came_in_meanwhile(
    tmp_path: Path, database_url: str | None, orthanc: Any, children: list[Child]
) -> None:
    config = write_config(tmp_path, database_url, orthanc.dicom_port)
    journal = Journal.open(load_settings(config))
    for study in STUDIES:
        journal.record_instance(stored(study))
    children.append(Child(config, 0.01, "1"))
    wait_until(journal.is_idle, "the old results")
    children[-1].end(signal.SIGTERM)
    assert len(orthanc.instances()) == 16
    new = made_by("2").digest
    for latest in journal.reanalysis.latest():
        assert latest.last is not None
        assert journal.reanalysis.order(latest.last, new)

    chance = random.Random(9)
    for done in KILLED_AFTER:
        children.append(Child(config, 1.0, "2"))
        wait_until(lambda done=done: journal.reanalysis.counts().get(made_by("2"), 0) >= done, "no progress")
        time.sleep(chance.uniform(0, 0.3))
        children[-1].end(signal.SIGKILL)
    assert sum(journal.reanalysis.waiting().values()) > 0, "too quick to be killed in the middle"
    journal.record_instance(stored(FRESH))
    children.append(Child(config, 0.5, "2"))
    wait_until(journal.is_idle, "not everything was delivered")
    assert children[-1].end(signal.SIGTERM) == 0

    records = {(record.study_instance_uid, record.number): record for record in journal.revisions.all()}
    assert {record.state for record in records.values()} == {RevisionState.DONE}
    assert len(records) == 17
    assert journal.reanalysis.counts() == {made_by("2"): 9}
    assert {item.state for item in journal.outgoing.all()} == {DeliveryState.SENT}
    assert len(orthanc.instances()) == 16 + 8 + 2
    # A destination that has the SEG is not sent it again; what was under way at a kill may go twice.
    assert orthanc.stores() <= 26 + 2 * len(KILLED_AFTER)
    journal.close()
