"""A journal of its own for each test, with a clock that is set by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cad_node.settings import NodeSettings
from cad_node.store.journal import Journal
from tests.unit.jobs.stubs import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Iterator[Journal]:
    journal = Journal.open(NodeSettings(data_dir=tmp_path), clock)
    yield journal
    journal.close()
