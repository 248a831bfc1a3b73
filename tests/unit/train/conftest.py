"""What holds for every test of the training."""

from collections.abc import Iterator

import pytest

from cad_node.train import figures
from cad_node.train.marks import paired


@pytest.fixture(scope="module", autouse=True)
def _few_bootstrap_samples() -> Iterator[None]:
    """An interval of a few images is no better for a thousand samples, and takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "RESAMPLES", 20)
        patch.setattr(paired, "RESAMPLES", 20)
        yield
