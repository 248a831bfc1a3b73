"""The real OCR engine: text is found, removed, and cannot be read afterwards."""

import logging
import socket

import cv2
import numpy as np
import pytest

from cad_node.domain import Box, Frame, ImageReference
from cad_node.errors import CleaningError
from cad_node.pipeline.clean import Cleaner, ocr
from cad_node.pipeline.clean.marks import Picture
from cad_node.pipeline.clean.read_text import TextReader
from cad_node.settings import PipelineSettings
from tests.factories import ellipse, speckle

pytestmark = pytest.mark.ocr

REFERENCE = ImageReference("2.25.1", "2.25.2", "2.25.3", "1.2.840.10008.5.1.4.1.1.6.1", 400, 520, 1)


def tissue(seed: int = 3) -> np.ndarray:
    grainy = speckle(400, 520, lesion=ellipse(200, 260, 60, 90), seed=seed)
    return cv2.GaussianBlur(grainy, (0, 0), 1.2)


def write(pixels: np.ndarray, text: str, place: tuple[int, int], grey: int, size: float = 0.6) -> np.ndarray:
    drawn = pixels.copy()
    cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, grey, 1, cv2.LINE_AA)
    return drawn


def clean(pixels: np.ndarray, box: Box | None = None):
    return next(Cleaner(PipelineSettings()).clean_image([Frame(REFERENCE, 1, pixels, box)]))


def test_a_banner_in_tissue_is_removed_and_cannot_be_read_again() -> None:
    drawn = write(tissue(), "DOE^JANE 1970-01-01", (60, 120), 255)
    drawn = write(drawn, "RIGHT BREAST 10:00 N+3", (120, 340), 235)
    reader = TextReader(0.5)
    before = reader.find(Picture(drawn))

    cleaned = clean(drawn)

    assert len(before) >= 2
    assert len([one for one in cleaned.annotations if one.kind == "text"]) >= 2
    assert reader.find(Picture(cleaned.pixels)) == []


def test_the_tissue_around_the_text_is_not_touched() -> None:
    pristine = tissue()
    drawn = write(pristine, "DOE^JANE", (60, 120), 255)

    cleaned = clean(drawn)

    ink = cv2.dilate((cv2.absdiff(drawn, pristine) > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert (cleaned.removed & ~ink).sum() <= 0.001 * ink.size
    # What was filled in is nearer to the tissue that was there than the letters are.
    gone = cv2.absdiff(drawn, pristine) > 25
    filled = np.abs(cleaned.pixels.astype(int) - pristine)[gone].mean()
    assert filled < 0.35 * cv2.absdiff(drawn, pristine)[gone].mean()


@pytest.mark.parametrize("seed", range(4))
def test_clean_tissue_is_not_touched(seed: int) -> None:
    pixels = tissue(seed)

    cleaned = clean(pixels)

    assert not cleaned.removed.any()
    assert (cleaned.pixels == pixels).all()


def test_what_was_read_is_nowhere_in_the_result_or_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    drawn = write(tissue(), "DOE^JANE", (60, 120), 255)

    cleaned = clean(drawn)

    assert "JANE" not in repr(cleaned)
    assert "JANE" not in caplog.text


def test_the_engine_loads_and_reads_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    ocr.first_engine.cache_clear()
    ocr.second_engine.cache_clear()

    assert TextReader(0.5).read(write(tissue(), "DOE^JANE", (60, 120), 255))


def test_an_engine_that_fails_raises_without_quoting_what_it_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_threads: int):
        def read(_image: object) -> None:
            raise ValueError("DOE^JANE")

        return read

    monkeypatch.setattr(ocr, "first_engine", broken)

    with pytest.raises(CleaningError) as caught:
        clean(tissue())
    assert "DOE" not in str(caught.value)
    assert caught.value.__cause__ is None
