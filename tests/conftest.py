"""What every test and doctest may use without importing it."""

from __future__ import annotations

from typing import Any

import pytest

from tests import factories

# Real peers (Orthanc, PostgreSQL), for integration and acceptance tests alike.
pytest_plugins = ["tests.peers"]


@pytest.fixture(autouse=True)
def _factories_in_doctests(doctest_namespace: dict[str, Any]) -> None:
    for name in ("us_image", "us_cine", "us_study", "ellipse", "region", "write"):
        doctest_namespace[name] = getattr(factories, name)
