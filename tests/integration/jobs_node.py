"""A node for tests: its settings file, and the node in a process of its own (`jobs_child.py`)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DEADLINE_S = 300.0


class Child:
    """The node in a process of its own."""

    def __init__(self, config: Path, seconds: float, model: str = "1") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.jobs_child", str(config), str(seconds), model],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        if self._process.poll() is None:
            self.end(signal.SIGKILL)

    def end(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        code = self._process.wait(timeout=60)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code


def write_config(folder: Path, database_url: str | None, port: int | None, **jobs: Any) -> Path:
    lines = [
        f'data_dir = "{folder / "data"}"',
        "[completion]",
        "quiet_time_s = 0.2",
        "[jobs]",
        "workers = 2",
        "retry_first_s = 0.2",
        "retry_longest_s = 1.0",
        *(f"{key} = {value!r}".replace("'", '"') for key, value in jobs.items()),
    ]
    if database_url:
        lines.append(f'database_url = "{database_url}"')
    lines += ["[[destinations]]", 'name = "outbox"', 'type = "folder"', f'path = "{folder / "outbox"}"']
    if port:
        lines += [
            "[[destinations]]",
            'name = "pacs"',
            'type = "cstore"',
            'host = "127.0.0.1"',
            f"port = {port}",
            'ae_title = "TESTPACS"',
        ]
    config = folder / f"node-{jobs.get('executor_id', 'node-1')}.toml"
    config.write_text("\n".join(lines))
    return config


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
