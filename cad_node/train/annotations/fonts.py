"""The faces that marks are written in: installed outline fonts and OpenCV's own strokes.

Families are split by name: those of `HELD_OUT` are never learned from, so that a
score on them says what happens with a scanner whose face was never seen.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
from PIL import ImageFont

from cad_node.errors import SettingsError

FOLDERS = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path.home() / ".local/share/fonts",
    Path("/Library/Fonts"),
    Path("C:/Windows/Fonts"),
)
# What a file's name begins with. A plain, a wide, a fixed-width and a serif face.
HELD_OUT = ("OpenSans", "Cantarell", "Inconsolata", "FreeSerif", "VeraMo")
# Not faces that a screen is written in, or thinner than a pixel at screen size.
_REFUSED = ("Math", "Hairline", "Thin", "ExtraLight", "pdf", "codicon")
_SUFFIXES = (".ttf", ".otf")
HERSHEY = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX_SMALL,
)
# Fewer families than this teach a face, not writing.
FEWEST_FAMILIES = 4

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Faces:
    """Outline fonts to draw with, by file; OpenCV's strokes are there besides."""

    paths: tuple[Path, ...]

    @property
    def families(self) -> tuple[str, ...]:
        """Name of each family, as its files begin."""
        return tuple(sorted({family(path) for path in self.paths}))


def family(path: Path) -> str:
    """What a font file's name begins with, up to its style."""
    return path.stem.split("-")[0]


def find_faces(folder: Path | None = None) -> tuple[Faces, Faces]:
    """The faces to learn from and the held-out ones, from a folder or the system's.

    Raises
    ------
    SettingsError
        Too few families are installed.
    """
    places = [folder] if folder is not None else list(FOLDERS)
    found = sorted(
        path
        for place in places
        if place.is_dir()
        for path in place.rglob("*")
        if path.suffix.lower() in _SUFFIXES and not any(part in path.stem for part in _REFUSED)
    )
    held = tuple(path for path in found if path.stem.startswith(HELD_OUT))
    learned = Faces(tuple(path for path in found if path not in held))
    if len(learned.families) < FEWEST_FAMILIES:
        raise SettingsError(
            f"Only {len(learned.families)} font families were found to draw text with.",
            "Install some (Debian: fonts-dejavu, fonts-liberation, fonts-roboto-unhinted), or name a folder "
            "with --fonts.",
        )
    return learned, Faces(held)


@lru_cache(maxsize=512)
def load(path: Path, size_px: int) -> ImageFont.FreeTypeFont:
    """A face at a size; kept, since opening one takes longer than a line of text."""
    return ImageFont.truetype(str(path), size_px)
