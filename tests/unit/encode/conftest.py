"""What all encoder tests share."""

from __future__ import annotations

import pytest

from cad_node.encode import Templates, load_templates
from cad_node.resources import templates_dir


@pytest.fixture(scope="session")
def templates() -> Templates:
    return load_templates(templates_dir())
