"""The words of `vocabulary.toml`, ready to be looked up."""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from cad_node.domain import Laterality, Quadrant, ScanPlane

Meaning = Laterality | Quadrant | ScanPlane

# A longer word is understood with one letter misread.
SHORTEST_MISREAD = 6
# So much of a word that the rim cuts off must be left.
SHORTEST_CUT = 4


# One instance is shared, and told from another by identity.
@dataclass(frozen=True, eq=False)
class Vocabulary:
    """What each word means; words are plain capitals.

    `weak` words count only in a line of known words, `letters` only beside one
    of the words named with them. Around the picture a line needs two statements,
    a word of `breast` being half of them, or one of `alone`.
    """

    strong: Mapping[str, Meaning]
    weak: Mapping[str, Meaning]
    letters: Mapping[str, frozenset[str]]
    by_language: Mapping[str, Mapping[str, Quadrant]]
    vertical: Mapping[str, str]
    horizontal: Mapping[str, str]
    languages: Mapping[str, frozenset[str]]
    known: frozenset[str]
    fillers: frozenset[str]
    breast: frozenset[str]
    alone: frozenset[str]
    clock_before: tuple[str, ...]
    clock_after: tuple[str, ...]
    nipple_alone: tuple[str, ...]
    nipple_words: tuple[str, ...]
    caliper_labels: tuple[str, ...]

    @property
    def _sides(self) -> Iterator[str]:
        """Long words for a side: the rim of the picture often cuts one in two."""
        return (
            word
            for word, meaning in self.strong.items()
            if isinstance(meaning, Laterality) and len(word) > SHORTEST_MISREAD
        )

    def word(self, read: str) -> str | None:
        """The known word that was meant, one misread letter or a cut forgiven in a long one; None: unknown.

        Examples
        --------
        >>> vocabulary().word("DIREIGA"), vocabulary().word("SILVA")
        ('DIREITA', None)
        """
        if read in self.known:
            return read
        cut = {word for word in self._sides if len(read) >= SHORTEST_CUT and _is_end_of(read, word)}
        if cut and len({self.strong[word] for word in cut}) == 1:
            return min(cut)
        if len(read) < SHORTEST_MISREAD:
            return None
        near = {word for word in self.known if len(word) == len(read) and _differences(word, read) == 1}
        # Masculine and feminine of one word may both be near.
        meanings = {self.strong.get(word) for word in near}
        return min(near) if near and len(meanings) == 1 else None


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """The shipped vocabulary."""
    text = files("cad_node.pipeline.clean").joinpath("vocabulary.toml").read_text(encoding="utf-8")
    content = tomllib.loads(text)
    strong: dict[str, Meaning] = {}
    weak: dict[str, Meaning] = {}
    for kind, section in ((Laterality, "side"), (ScanPlane, "plane")):
        for value in kind:
            words = content[section][value.value]
            strong.update(dict.fromkeys(words["strong"], value))
            weak.update(dict.fromkeys(words["weak"], value))
    for quadrant in Quadrant:
        strong.update(dict.fromkeys(content["quadrant"][quadrant.value], quadrant))
    return Vocabulary(
        strong=strong,
        weak=weak,
        letters={letter: frozenset(words) for letter, words in content["side"]["letters"].items()},
        by_language={
            code: {language: Quadrant(value) for language, value in meanings.items()}
            for code, meanings in content["quadrant_by_language"].items()
        },
        vertical=_inverted(content["vertical"]),
        horizontal=_inverted(content["horizontal"]),
        languages={name: frozenset(words) for name, words in content["language"].items()},
        known=frozenset(_all_words(content)),
        fillers=frozenset(content["neutral"]["filler"]),
        breast=frozenset(content["neutral"]["breast"]),
        alone=frozenset(content["around"]["alone"]),
        clock_before=_longest_first(content["clock"]["before"]),
        clock_after=_longest_first(content["clock"]["after"]),
        nipple_alone=_longest_first(content["nipple"]["alone"]),
        nipple_words=_longest_first(content["nipple"]["words"]),
        caliper_labels=_longest_first(content["caliper"]["labels"]),
    )


def plain(text: str) -> str:
    """Capitals without accents, single blanks, one kind of apostrophe, colon and comma.

    Examples
    --------
    >>> plain("Mama  direita às 3h")
    'MAMA DIREITA AS 3H'
    """
    apart = unicodedata.normalize("NFKD", text.replace("×", "x").replace("ß", "ss"))
    letters = "".join(letter for letter in apart if not unicodedata.combining(letter))
    for quote in '’‘`´′"':
        letters = letters.replace(quote, "'")
    return " ".join(letters.replace("、", ",").upper().split())


def _is_end_of(read: str, word: str) -> bool:
    return word.startswith(read) or word.endswith(read)


def _differences(first: str, second: str) -> int:
    return sum(one != other for one, other in zip(first, second, strict=True))


def _inverted(words: Mapping[str, list[str]]) -> dict[str, str]:
    return {word: name for name, group in words.items() for word in group}


def _longest_first(words: list[str]) -> tuple[str, ...]:
    return tuple(sorted(words, key=lambda word: (-len(word), word)))


def _all_words(content: Any) -> Iterator[str]:
    """Every word of every list, and the keys that are words themselves."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key.isupper():
                yield key
            yield from _all_words(value)
    elif isinstance(content, list):
        for entry in content:
            yield from str(entry).split()
