"""What every template is made of: texts with placeholders, colours, series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

Colour = tuple[int, int, int]


class Text:
    """A text: what may stand in braces, and the longest that its attribute takes (PS3.5 6.2)."""

    def __init__(self, *placeholders: str, longest: int = 1024, pattern: str = "") -> None:
        self.placeholders = placeholders
        self.longest = longest
        self.pattern = pattern


@dataclass(frozen=True)
class Series:
    """A series of results."""

    description: Annotated[str, Text(longest=64)]
