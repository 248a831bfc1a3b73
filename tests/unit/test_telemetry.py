"""Nothing that a node runs reports to anybody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_LOADS_A_NETWORK = """
import cad_node, onnxruntime, pathlib, rapidocr
model = min(pathlib.Path(rapidocr.__file__).parent.rglob("*.onnx"))
onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
"""


def test_onnx_runtime_writes_no_number_for_the_device(tmp_path: Path) -> None:
    """Where it reports, it keeps that number in the home, and the session in the temporary folder."""
    # It does not report from where software is tested.
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "LD_LIBRARY_PATH")}
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME"), str(tmp_path))

    subprocess.run(
        [sys.executable, "-c", _LOADS_A_NETWORK], cwd=ROOT, env=kept | places, check=True, timeout=300
    )

    assert list(tmp_path.iterdir()) == []
