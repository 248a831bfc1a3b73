from __future__ import annotations

from pathlib import Path

import pytest

from cad_node.jobs.recovery import take_over
from cad_node.settings import NodeSettings
from cad_node.store.journal import Journal
from cad_node.store.schema import DeliveryState
from tests.unit.store.test_outgoing import claim, done


@pytest.mark.parametrize(
    ("name", "state"), [("node-2", DeliveryState.WAITING), ("node-1", DeliveryState.SENDING)]
)
def test_what_was_being_sent_under_another_name_is_sent_under_this_one(
    tmp_path: Path, journal: Journal, name: str, state: DeliveryState
) -> None:
    done(journal, "1.1")
    claim(journal)

    take_over(NodeSettings(data_dir=tmp_path, jobs={"executor_id": name}), journal)  # type: ignore[arg-type]

    assert journal.outgoing.of_study("1.1")[1].state is state
