"""The font that pictures are lettered in, as the templates name it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont


@dataclass(frozen=True)
class Font:
    """A TrueType or OpenType file; Pillow's own font has no accents."""

    path: Path

    def at(self, size: float) -> ImageFont.FreeTypeFont:
        """The font in a size in pixels.

        Raises
        ------
        OSError
            There is no such file, or it is no font.
        """
        return _loaded(self.path, size)


@lru_cache(maxsize=64)
def _loaded(path: Path, size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)
