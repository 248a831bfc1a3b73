"""What a second reader does to a cleaned picture: nothing, a larger mask, or a refusal."""

import logging
from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from cad_node.domain import Box, CleanFrame, Frame, ImageReference
from cad_node.errors import CleaningError
from cad_node.pipeline.clean import Cleaner, ocr
from cad_node.pipeline.clean.marks import Mark, Picture
from cad_node.pipeline.clean.ocr import ReadLine
from cad_node.pipeline.clean.verify import SecondReader
from cad_node.settings import PipelineSettings
from tests.factories import speckle

REFERENCE = ImageReference("2.25.1", "2.25.2", "2.25.3", "1.2.840.10008.5.1.4.1.1.6.1", 160, 240, 1)
CORNERS = np.array([[60, 60], [150, 60], [150, 80], [60, 80]], dtype=np.float64)
TEXT = Box(60, 80, 60, 150)
SECRET = "DOE^JANE"


class Blind:
    """A detector that finds nothing."""

    def describe(self) -> str:
        return "blind"

    def find(self, picture: Picture) -> list[Mark]:
        return []


class Sharp:
    """Reads the test's text wherever a letter of it is still bright, and counts its looks."""

    def __init__(self, text: str = SECRET) -> None:
        self.looks = 0
        self._text = text

    def describe(self) -> str:
        return "check: sharp"

    def legible(self, grey: np.ndarray) -> list[ReadLine]:
        self.looks += 1
        bright = int((grey[TEXT.slices] > 240).sum())
        return [ReadLine(CORNERS, 0.9, self._text)] if bright > 20 else []


class Stubborn(Sharp):
    """Reads the text whatever is done."""

    def legible(self, grey: np.ndarray) -> list[ReadLine]:
        self.looks += 1
        return [ReadLine(CORNERS, 0.9, self._text)]


class Broken(Sharp):
    def legible(self, grey: np.ndarray) -> list[ReadLine]:
        raise RuntimeError(SECRET)


def tissue(seed: int = 1) -> np.ndarray:
    return np.minimum(cv2.GaussianBlur(speckle(160, 240, seed=seed), (0, 0), 1.2), 180).astype(np.uint8)


def frame(pixels: np.ndarray, number: int = 1) -> Frame:
    return Frame(REFERENCE, number, pixels, Box(0, 160, 0, 240))


def written(seed: int = 1) -> np.ndarray:
    pixels = tissue(seed)
    cv2.putText(pixels, "DOE JANE", (62, 77), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 2, cv2.LINE_AA)
    return pixels


def clean(
    frames: Sequence[Frame], reader: Sharp, settings: PipelineSettings | None = None
) -> list[CleanFrame]:
    subject = Cleaner(settings or PipelineSettings(), detectors=[Blind()], reader=reader)
    return list(subject.clean_image(frames))


def test_a_picture_on_which_nothing_can_be_read_is_handed_out_as_it_is() -> None:
    reader = Sharp()

    (cleaned,) = clean([frame(tissue())], reader)

    assert (cleaned.pixels == tissue()).all()
    assert reader.looks == 1


def test_what_can_still_be_read_is_removed_in_a_second_go() -> None:
    reader = Sharp()

    (cleaned,) = clean([frame(written())], reader)

    assert reader.looks == 2
    assert (cleaned.pixels[TEXT.slices] > 240).sum() <= 20
    assert [one.kind for one in cleaned.annotations] == ["text"]
    touched = np.argwhere(cleaned.removed)
    assert touched.min() >= 50
    assert cleaned.removed.mean() < 0.1


def test_what_can_be_read_even_then_refuses_the_image(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    with pytest.raises(CleaningError) as caught:
        clean([frame(written())], Stubborn())

    assert "still be read in 1 place" in caught.value.problem
    assert "JANE" not in str(caught.value) + repr(caught.value) + caplog.text


def test_a_lone_character_is_removed_but_refuses_nothing() -> None:
    (cleaned,) = clean([frame(written())], Stubborn("D"))

    assert cleaned.removed.any()


def test_a_reader_that_breaks_lets_nothing_out() -> None:
    with pytest.raises(CleaningError) as caught:
        clean([frame(tissue())], Broken())

    assert SECRET not in str(caught.value)


def test_an_engine_that_is_missing_lets_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    ocr.second_engine.cache_clear()
    monkeypatch.setattr(ocr, "find_spec", lambda _name: None)

    with pytest.raises(CleaningError, match="not installed"):
        next(Cleaner(PipelineSettings(), detectors=[Blind()]).clean_image([frame(tissue())]))


def test_an_engine_that_fails_lets_nothing_out_and_quotes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_threads: int):
        def read(_picture: np.ndarray) -> None:
            raise ValueError(SECRET)

        return read

    monkeypatch.setattr(ocr, "second_engine", failing)

    with pytest.raises(CleaningError) as caught:
        next(Cleaner(PipelineSettings(), detectors=[Blind()]).clean_image([frame(tissue())]))
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_boxes_without_text_are_a_failure_and_no_empty_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    class Output:
        boxes = CORNERS[None]
        txts = None
        scores = None

    monkeypatch.setattr(ocr, "second_engine", lambda _threads: lambda _picture: Output())

    with pytest.raises(CleaningError):
        SecondReader(0.5).legible(tissue())


@pytest.mark.parametrize(
    ("text", "confidence", "height", "counts"),
    [
        ("DOE", 0.6, 20, True),
        ("DOE", 0.4, 20, False),
        ("D", 0.7, 20, False),
        ("D", 0.9, 20, True),
        ("--", 0.99, 20, False),
        ("DOE", 0.9, 60, False),
    ],
)
def test_only_letters_that_are_read_surely_and_no_taller_than_text_count(
    monkeypatch: pytest.MonkeyPatch, text: str, confidence: float, height: int, counts: bool
) -> None:
    corners = np.array([[60, 60], [150, 60], [150, 60 + height], [60, 60 + height]], dtype=np.float64)
    line = ReadLine(corners, confidence, text)
    monkeypatch.setattr(ocr, "read_second", lambda _grey, _threads: [line])

    assert SecondReader(0.5).legible(tissue()) == ([line] if counts else [])


def test_the_check_can_be_turned_off_and_says_so() -> None:
    settings = PipelineSettings(verify_cleaning=False)

    (cleaned,) = clean([frame(written())], Stubborn(), settings)

    assert (cleaned.pixels == written()).all()
    assert Cleaner(settings).describe()[-1] == "check: none, by the settings"


def test_of_a_loop_the_searched_frames_and_the_middle_one_are_checked() -> None:
    reader = Sharp()

    cleaned = clean([frame(tissue(seed), seed) for seed in range(1, 32)], reader)

    # Frames 1, 13, 25 and 31 open or close a stretch; 16 is the middle one.
    assert reader.looks == 5
    assert len(cleaned) == 31


def test_what_the_check_finds_in_a_loop_is_removed_from_all_its_frames() -> None:
    cleaned = clean([frame(written(seed), seed) for seed in range(1, 16)], Sharp())

    assert all((one.pixels[TEXT.slices] > 240).sum() <= 20 for one in cleaned)


def test_text_that_only_the_middle_of_a_loop_carries_is_removed_there() -> None:
    frames = [frame(written(seed) if 6 <= seed <= 10 else tissue(seed), seed) for seed in range(1, 13)]

    cleaned = clean(frames, Sharp())

    assert (cleaned[6].pixels[TEXT.slices] > 240).sum() <= 20


def test_a_loop_on_which_one_frame_stays_legible_fails() -> None:
    with pytest.raises(CleaningError):
        clean([frame(written(seed), seed) for seed in range(1, 16)], Stubborn())


def test_what_was_read_stands_in_no_repr() -> None:
    line = ReadLine(CORNERS, 0.9, SECRET)

    assert "JANE" not in repr(line)
