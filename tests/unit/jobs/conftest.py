"""What the tests of the jobs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from cad_node.store.results import ResultStore


@pytest.fixture
def results(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")
