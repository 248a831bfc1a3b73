"""Frames decode when they are looked at, and carry no pixels until then."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from cad_node.errors import PixelDecodeError
from cad_node.read import read_study
from cad_node.read.frames import LazyFrames
from tests.factories import us_cine, us_image, write


def test_frames_are_decoded_when_looked_at_and_kept_for_one_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []
    decode = LazyFrames._decode
    monkeypatch.setattr(LazyFrames, "_decode", lambda self: calls.append(self.path) or decode(self))
    paths = [
        write(
            us_cine(frames=2, instance_number=n, study_instance_uid="1.2.3", series_instance_uid="1.2.4"),
            tmp_path,
        )
        for n in (1, 2)
    ]
    first, second = read_study(paths).images
    assert len(first.frames) == 2
    assert calls == []
    assert [frame.frame_number for frame in first.frames] == [1, 2]
    assert first.frames[0].pixels is first.frames[0].pixels
    assert calls == paths[:1]
    assert len(list(second.frames)) == 2
    assert len(first.frames[0:2]) == 2
    assert calls == [paths[0], paths[1], paths[0]]


def test_frames_cannot_be_written_to(tmp_path: Path) -> None:
    (image,) = read_study([write(us_image(), tmp_path)]).images
    with pytest.raises(ValueError, match="read-only"):
        image.frames[0].pixels[0, 0] = 1


def test_frames_travel_between_processes_without_pixels(tmp_path: Path) -> None:
    study = read_study([write(us_image(rows=480, columns=640), tmp_path)])
    before = study.images[0].frames[0].pixels
    packed = pickle.dumps(study)
    assert len(packed) < 10_000
    assert np.array_equal(pickle.loads(packed).images[0].frames[0].pixels, before)


def test_a_file_that_vanished_is_a_decode_error_of_its_study(tmp_path: Path) -> None:
    path = write(us_image(study_instance_uid="1.2.3"), tmp_path)
    (image,) = read_study([path]).images
    path.unlink()
    with pytest.raises(PixelDecodeError) as caught:
        image.frames[0]
    assert caught.value.study_instance_uid == "1.2.3"
    assert image.reference.sop_instance_uid in str(caught.value)
