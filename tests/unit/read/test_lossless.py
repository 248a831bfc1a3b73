from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.uid import JPEGLosslessSV1

from cad_node.errors import PixelDecodeError
from cad_node.read import lossless
from cad_node.read.bits import SampleBits
from tests.factories import us_image


@pytest.mark.parametrize(
    "program",
    ["import os; os.abort()", "raise SystemExit(1)", "print('too little')", "import time; time.sleep(60)"],
)
def test_a_decoder_that_dies_stalls_or_lies_costs_one_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(program)
    monkeypatch.setattr(lossless, "_WORKER", worker)
    monkeypatch.setattr(lossless, "_START_S", 3.0 if "sleep" in program else 60.0)
    with pytest.raises(PixelDecodeError, match="JPEG Lossless"):
        lossless.decode_lossless([b"\xff\xd8"], us_image(), JPEGLosslessSV1, SampleBits(8, 8, 0))


def test_a_damaged_stream_is_a_decode_error() -> None:
    with pytest.raises(PixelDecodeError, match="damaged"):
        lossless.decode_lossless(
            [b"\xff\xd8\xff\xc3" + b"\0" * 40], us_image(), JPEGLosslessSV1, SampleBits(8, 8, 0)
        )
