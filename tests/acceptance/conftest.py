"""The node as its users meet it: a command that is run, a port that is called."""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from cad_node.demo.study import make_demo_study
from tests.factories import write
from tests.peers import find_free_port

COMMAND = [sys.executable, "-m", "cad_node"]


def run_cli(*arguments: str | Path, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
    """Run `cad-node` with these arguments to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], check=False, capture_output=True, text=True, timeout=timeout_s
    )


def read_report(folder: Path) -> list[dict[str, str]]:
    """The rows of `report.csv`."""
    with (folder / "report.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def wait_for(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Wait until the condition holds, or fail saying what was waited for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.2)


@dataclass
class ServedNode:
    """`cad-node serve` as a process of its own, with its settings file."""

    folder: Path
    destinations: Sequence[Mapping[str, object]]
    quiet_time_s: float = 2
    port: int = field(default_factory=find_free_port)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"data_dir = '{self.folder / 'data'}'",
            f"[receive]\nport = {self.port}\ndisk_reserve_bytes = 1000000",
            f"[completion]\nquiet_time_s = {self.quiet_time_s}",
            "[jobs]\nretry_first_s = 0.5\nretry_longest_s = 2",
        ]
        for destination in self.destinations:
            lines.append("[[destinations]]")
            lines += [f"{key} = {value!r}" for key, value in destination.items()]
        self.config.write_text("\n".join(lines) + "\n")

    @property
    def config(self) -> Path:
        return self.folder / "node.toml"

    @property
    def log(self) -> str:
        path = self.folder / "node.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start it and wait until its port answers."""
        with (self.folder / "node.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", "--config", str(self.config)], stdout=log, stderr=log
            )
        wait_for(self._answers, 120, "the node's port")

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(f"the node ended: {self.log[-3000:]}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def stop(self) -> int:
        """End it as an operator would; returns its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., ServedNode]]:
    """Call it with destinations for a running node; stopped after the test."""
    nodes: list[ServedNode] = []

    def start(destinations: Sequence[Mapping[str, object]], **options: float) -> ServedNode:
        node = ServedNode(tmp_path / f"node-{len(nodes)}", destinations, **options)
        nodes.append(node)
        node.start()
        return node

    yield start
    for node in nodes:
        if node.process is not None and node.process.poll() is None:
            node.process.kill()
            node.process.wait(30)


@pytest.fixture
def demo_datasets() -> list[Dataset]:
    """RGB JPEG, MONOCHROME2, cine and colour Doppler: the study that the demo sends."""
    return make_demo_study(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


@pytest.fixture
def demo_files(demo_datasets: list[Dataset], tmp_path: Path) -> list[Path]:
    """The demo study as files."""
    return [write(dataset, tmp_path / "scanner") for dataset in demo_datasets]


def dcmsend(port: int, files: Sequence[Path], ae_title: str = "CADNODE") -> subprocess.CompletedProcess[str]:
    """Send files as a scanner would, with DCMTK."""
    return subprocess.run(
        ["dcmsend", "-aet", "SCANNER", "-aec", ae_title, "127.0.0.1", str(port), *map(str, files)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
