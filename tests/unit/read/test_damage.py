"""Whatever the bytes: a refusal or a StudyError, in bounded time."""

from __future__ import annotations

import functools
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from cad_node.errors import StudyError
from cad_node.read import gate_pixels, read_headers, read_study, scan_files
from tests.factories import us_cine, write

SOURCES = {
    ExplicitVRLittleEndian: "MONOCHROME2",
    ImplicitVRLittleEndian: "RGB",
    ExplicitVRBigEndian: "PALETTE COLOR",
    DeflatedExplicitVRLittleEndian: "MONOCHROME1",
    JPEGBaseline8Bit: "YBR_FULL_422",
    RLELossless: "RGB",
    JPEG2000Lossless: "RGB",
    JPEGLSLossless: "RGB",
}


@functools.cache
def source(syntax: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        cine = us_cine(
            rows=48, columns=64, frames=2, photometric=SOURCES[syntax], transfer_syntax=syntax, seed=3
        )
        return write(cine, Path(folder)).read_bytes()


places = st.one_of(st.floats(0, 1), st.floats(0, 0.2))
edits = st.one_of(
    st.tuples(st.just("set"), places, st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("insert"), places, st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("cut"), places, st.integers(1, 60)),
    st.tuples(st.just("end"), st.floats(0.05, 1), st.none()),
)


def damaged(content: bytes, changes: list[tuple[str, float, bytes | int | None]]) -> bytes:
    for kind, place, value in changes:
        at = int(place * (len(content) - 1))
        if kind == "set" and isinstance(value, bytes):
            content = content[:at] + value + content[at + len(value) :]
        elif kind == "insert" and isinstance(value, bytes):
            content = content[:at] + value + content[at:]
        elif kind == "cut" and isinstance(value, int):
            content = content[:at] + content[at + value :]
        else:
            content = content[: max(at, 1)]
    return content


@pytest.mark.parametrize("syntax", SOURCES)
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=st.lists(edits, min_size=1, max_size=6))
def test_a_damaged_file_is_refused_or_a_study_error(
    tmp_path: Path, syntax: str, changes: list[tuple[str, float, bytes | int | None]]
) -> None:
    path = tmp_path / "damaged.dcm"
    path.write_bytes(damaged(source(syntax), changes))
    started = time.monotonic()
    problem = ""
    scan_files([path])
    read_headers([path])
    try:
        study = read_study([path], breast_only=True)
        for image in study.images:
            for frame in image.frames:
                assert frame.pixels.shape[:2] == (image.reference.rows, image.reference.columns)
                gate_pixels(frame.pixels, frame.tissue)
    except StudyError as error:
        problem = str(error)
    assert "TEST" not in problem  # the patient's name and ID
    assert time.monotonic() - started < 20


def test_an_undamaged_source_is_read(tmp_path: Path) -> None:
    for syntax in SOURCES:
        path = tmp_path / "whole.dcm"
        path.write_bytes(source(syntax))
        (image,) = read_study([path]).images
        assert image.refusal is None
        assert [frame.pixels.shape for frame in image.frames] == [(48, 64)] * 2
