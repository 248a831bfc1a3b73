"""A node with its door, journal, encoders and couriers, and a lesion drawn where networks would look.

`python -m tests.integration.answers_node node.toml` says `ready` and its port once it
listens, and ends on SIGTERM.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cad_node.domain import Box, CleanFrame, Frame, Probabilities
from cad_node.encode import load_templates
from cad_node.logs import set_up_logging
from cad_node.node import Node
from cad_node.pipeline.run import Steps
from cad_node.pipeline.segment import Finding
from cad_node.process import Processor
from cad_node.resources import templates_dir
from cad_node.settings import NodeSettings, load_settings
from tests.results import LARGE, MALIGNANT, provenance


def _clean(frames: Sequence[Frame]) -> Iterator[CleanFrame]:
    for frame in frames:
        grey = frame.pixels if frame.pixels.ndim == 2 else frame.pixels[..., 0]
        rows, columns = grey.shape
        whole = Box(0, rows, 0, columns)
        nothing = np.zeros(grey.shape, bool)
        yield CleanFrame(frame.frame_number, grey.copy(), whole, frame.spacing, (), nothing)


def _find(frame: CleanFrame) -> tuple[tuple[Finding, ...], Probabilities]:
    return (Finding(LARGE.mask(*frame.pixels.shape), MALIGNANT),), MALIGNANT


def load_drawing(settings: NodeSettings) -> Processor:
    """A processor without networks, for the worker to load."""
    steps = Steps(gate=lambda _: None, clean=_clean, find_lesions=_find, provenance=provenance())
    return Processor(settings, load_templates(templates_dir()), steps)


def main() -> int:
    settings = load_settings(Path(sys.argv[1]))
    set_up_logging("INFO")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    node = Node(settings, load_drawing)
    node.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    stop.wait()
    node.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
