"""One image from a file to a cleaned, de-identified copy: what a worker of `cad-node clean` does.

Read, gate, clean, check, de-identify, encode, read back. Whatever fails on the
way leaves nothing behind. DICOM stays DICOM; a plain PNG or JPEG becomes a PNG.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cad_node.deidentify.options import Encoding, Keep
from cad_node.deidentify.pixels import (
    TRANSFER_SYNTAXES,
    check_written,
    keep_lossy_history,
    keep_regions,
    lossless_syntax,
    put_pixels,
)
from cad_node.deidentify.profile import declare_clean, deidentify
from cad_node.deidentify.pseudonyms import Pseudonyms
from cad_node.domain import Box, Frame, ImageReference, NotAnalysed
from cad_node.errors import CleaningError, EncodeError, PixelDecodeError, StudyError
from cad_node.pipeline.clean import INPAINTERS, Cleaner
from cad_node.pipeline.clean.colour_copy import check_copy, colour_copy
from cad_node.pipeline.clean.verify import LEGIBLE_CHARACTERS, SecondReader, letters
from cad_node.process import load_cleaner, network_threads
from cad_node.read import gate_image, gate_pixels, read_header, read_study
from cad_node.read.gate import LARGEST_PIXELS
from cad_node.read.headers import integer, read_with_pixels, transfer_syntax_of
from cad_node.settings import NodeSettings

PICTURE_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
# Of a loop, every so many frames are read once more as they are written: 0.2 s at 20 frames a second.
CHECKED_EVERY = 4
_PICTURE_FORMATS = ("PNG", "JPEG")
_PICTURE_MODES = frozenset(("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"))


class CopyStatus(StrEnum):
    """What became of an image, as written in `report.csv`."""

    CLEANED = "cleaned"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True)
class CopyPlan:
    """How copies are made; the secret is for the workers alone."""

    secret: bytes = field(repr=False)
    keep: Keep
    encoding: Encoding | None = None


@dataclass(frozen=True)
class CopyTask:
    """One file. `name` is what stands for it, `unfinished` a file in an existing folder to write to.

    `comparison` is where a picture of before, after and mask is put, if it is wanted.
    """

    path: Path
    name: str
    unfinished: Path
    comparison: Path | None = None


@dataclass(frozen=True)
class CopyResult:
    """What became of one file: no patient data, no name that came with the file.

    `output` is where the copy belongs, relative to the output folder.
    """

    status: CopyStatus
    reason: str = ""
    output: str = ""
    frames: int = 0
    marks_removed: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Cleaned:
    """All frames of one image, cleaned in the colours of the source; `shown` is the most marked one."""

    stack: NDArray[np.uint8] = field(repr=False)
    region: Box
    marks: int
    shown: int
    mask: NDArray[np.bool_] = field(repr=False)


class Copier:
    """Makes copies; loaded once a worker.

    Parameters
    ----------
    settings
        How the pixels are cleaned.
    plan
        What of the header is kept, and how it is written.
    cleaner
        Another one in tests.
    is_readable
        Whether text can be read in a grey picture; another one in tests.

    Raises
    ------
    ModelError
        The annotation model is absent or not what it claims to be.
    """

    def __init__(
        self,
        settings: NodeSettings,
        plan: CopyPlan,
        cleaner: Cleaner | None = None,
        is_readable: Callable[[NDArray[np.uint8]], bool] | None = None,
    ) -> None:
        threads = network_threads(settings)
        self._plan = plan
        self._pseudonyms = Pseudonyms(plan.secret)
        # A copy is written only after the check, whatever the settings say of analyses.
        checked = settings.pipeline.model_copy(update={"verify_cleaning": True})
        self._cleaner = cleaner or load_cleaner(
            settings.model_copy(update={"pipeline": checked}), with_notes=False
        )
        self._fill = INPAINTERS[settings.pipeline.inpainting].fill
        reader = SecondReader(settings.pipeline.verify_confidence, threads)
        self._is_readable = is_readable or (
            lambda grey: any(letters(line) >= LEGIBLE_CHARACTERS for line in reader.legible(grey))
        )

    def process(self, task: CopyTask) -> CopyResult:
        """Write the copy of one file to `task.unfinished`, or say why there is none."""
        started = time.monotonic()
        try:
            make = self._copy_picture if _is_picture(task.path) else self._copy_dicom
            result = make(task)
        except CleaningError:
            result = CopyResult(CopyStatus.FAILED, NotAnalysed.CLEANING_FAILED.value)
        except PixelDecodeError:
            result = CopyResult(CopyStatus.FAILED, NotAnalysed.UNDECODABLE.value)
        except StudyError:
            result = CopyResult(CopyStatus.FAILED, "unreadable_file")
        except EncodeError:
            result = CopyResult(CopyStatus.FAILED, "not_encoded")
        if result.status is not CopyStatus.CLEANED:
            for path in (task.unfinished, task.comparison):
                if path is not None:
                    path.unlink(missing_ok=True)
        return CopyResult(**{**result.__dict__, "seconds": round(time.monotonic() - started, 3)})

    def _copy_dicom(self, task: CopyTask) -> CopyResult:
        (image,) = read_study([task.path]).images
        refusal = gate_image(image)
        if refusal is not None:
            return CopyResult(CopyStatus.REFUSED, refusal.reason.value)
        source = read_with_pixels(task.path)
        cleaned = self._clean(image.frames, keep_rgb=integer(source, "SamplesPerPixel") == 3)
        copy = deidentify(read_header(task.path), self._plan.keep, self._pseudonyms)
        keep_regions(copy, cleaned.region)
        syntax = transfer_syntax_of(source)
        plain_bytes = image.reference.number_of_frames * cleaned.stack[0].size
        keep_lossy_history(copy, syntax, plain_bytes / max(1, len(source.PixelData)))
        wished = self._plan.encoding
        put_pixels(copy, cleaned.stack, TRANSFER_SYNTAXES[wished] if wished else lossless_syntax(syntax))
        declare_clean(copy)
        copy.save_as(task.unfinished, enforce_file_format=True)
        check_written(task.unfinished, cleaned.stack)
        self._compare(task, image.frames[cleaned.shown].pixels, cleaned)
        output = f"{copy.PatientID}/{copy.StudyInstanceUID}/{copy.SOPInstanceUID}.dcm"
        return CopyResult(CopyStatus.CLEANED, "", output, len(cleaned.stack), cleaned.marks)

    def _copy_picture(self, task: CopyTask) -> CopyResult:
        pixels = _load_picture(task.path)
        refusal = gate_pixels(pixels)
        if refusal is not None:
            return CopyResult(CopyStatus.REFUSED, refusal.reason.value)
        rows, columns = pixels.shape[:2]
        reference = ImageReference("", "", task.name, "", rows, columns, 1)
        cleaned = self._clean([Frame(reference, 1, pixels)], keep_rgb=pixels.ndim == 3)
        # A new image without a single chunk of the old one's texts, profiles or previews.
        Image.fromarray(cleaned.stack[0]).save(task.unfinished, "PNG")
        with Image.open(task.unfinished, formats=("PNG",)) as written:
            if not np.array_equal(np.asarray(written), cleaned.stack[0]):
                raise EncodeError("A written picture differs from the cleaned one.", "It was not kept.")
        self._compare(task, pixels, cleaned)
        return CopyResult(CopyStatus.CLEANED, "", f"png/{task.name}.png", 1, cleaned.marks)

    def _clean(self, frames: Sequence[Frame], *, keep_rgb: bool) -> _Cleaned:
        pictures: list[NDArray[np.uint8]] = []
        masks: list[NDArray[np.bool_]] = []
        marks, region = 0, None
        for clean in self._cleaner.clean_image(frames):
            pixels, removed = colour_copy(frames[clean.frame_number - 1], clean, self._fill)
            # The cleaner has read a single grey picture itself, and these are the same pixels.
            is_read = len(frames) == 1 and pixels.ndim == 2
            is_due = len(pictures) % CHECKED_EVERY == 0 or len(pictures) == len(frames) - 1
            if is_due and not is_read:
                check_copy(pixels, clean.region, self._is_readable)
            pictures.append(pixels)
            masks.append(removed)
            marks = max(marks, len(clean.annotations))
            region = clean.region if region is None else _around(region, clean.region)
        if region is None or len(pictures) != len(frames):
            raise CleaningError("Not every frame was cleaned.", "No copy is written.")
        if keep_rgb or any(picture.ndim == 3 for picture in pictures):
            pictures = [one if one.ndim == 3 else np.repeat(one[..., None], 3, axis=-1) for one in pictures]
        shown = int(np.argmax([mask.sum() for mask in masks]))
        return _Cleaned(np.stack(pictures), region, marks, shown, masks[shown])

    def _compare(self, task: CopyTask, before: NDArray[np.uint8], cleaned: _Cleaned) -> None:
        if task.comparison is None:
            return
        mask = np.where(cleaned.mask, 255, 0).astype(np.uint8)
        panels = [_rgb(one) for one in (before, cleaned.stack[cleaned.shown], mask)]
        Image.fromarray(np.concatenate(panels, axis=1)).save(task.comparison, "PNG")


def _is_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(PICTURE_SIGNATURES)
    except OSError as error:
        raise StudyError(f"A file cannot be read ({type(error).__name__}).") from error


def _load_picture(path: Path) -> NDArray[np.uint8]:
    """A PNG or JPEG as a viewer shows it: grey, or RGB without transparency.

    What a transparent pixel hides becomes visible, and so can be found.
    """
    try:
        with Image.open(path, formats=_PICTURE_FORMATS) as picture:
            if picture.width * picture.height > LARGEST_PIXELS or getattr(picture, "n_frames", 1) > 1:
                raise PixelDecodeError("A picture is too large, or has several frames.")
            if picture.mode not in _PICTURE_MODES:
                raise PixelDecodeError("A picture has more than 8 bits.", "Convert it first.")
            upright = ImageOps.exif_transpose(picture)
            return np.asarray(upright.convert("L" if upright.mode in {"1", "L"} else "RGB")).copy()
    except PixelDecodeError:
        raise
    except Exception as error:  # one decoder of others, bytes of others
        raise PixelDecodeError(f"A picture cannot be decoded ({type(error).__name__}).") from error


def _rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)


def _around(one: Box, other: Box) -> Box:
    return Box(
        min(one.row_start, other.row_start),
        max(one.row_stop, other.row_stop),
        min(one.column_start, other.column_start),
        max(one.column_stop, other.column_stop),
    )
