"""What every test and doctest may use without importing it."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests import factories

# Processes that share the cores are one thread each, as are those that they start; before torch is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Real peers (Orthanc, PostgreSQL), for integration and acceptance tests alike.
pytest_plugins = ["tests.peers"]


@pytest.fixture(autouse=True)
def _factories_in_doctests(doctest_namespace: dict[str, Any]) -> None:
    for name in ("us_image", "us_cine", "us_study", "ellipse", "region", "write"):
        doctest_namespace[name] = getattr(factories, name)


@contextmanager
def _logging_as_before() -> Iterator[None]:
    """Take back what a command sets up for its whole process.

    Its handler writes to a standard error that is closed afterwards: whoever logs next, in
    whatever thread, would have "--- Logging error ---" printed.
    """
    root, node = logging.getLogger(), logging.getLogger("cad_node")
    before = root.handlers[:], root.level, node.level
    try:
        yield
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        node.setLevel(before[2])
        logging.captureWarnings(False)


@pytest.fixture(autouse=True)
def _logging_of_one_test() -> Iterator[None]:
    with _logging_as_before():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    """A fixture of a whole module may run a command, too, before the fixture above is set up."""
    if fixturedef.scope == "function":
        return (yield)
    with _logging_as_before():
        return (yield)
