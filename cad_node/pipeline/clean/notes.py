"""Read before erasing: what a sonographer typed, as coded data.

Side, clock face, quadrant, distance from the nipple, plane and caliper distances
leave the cleaning as enumerations and numbers; words never do. What could mean two
things is left out: two sides on one image, a bare number, an abbreviation in a line
of unknown words (which may be a name).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeVar

from cad_node.domain import Box, Laterality, Quadrant, ScanPlane, SonographerNotes, TypedDistance
from cad_node.pipeline.clean import typed_numbers
from cad_node.pipeline.clean.vocabulary import Vocabulary, plain, vocabulary

# A longer line is a header or prose, not a note.
LONGEST_LINE = 60
# Two words that were read as one are parted again where a piece is as long as this.
SHORTEST_OF_PARTED = 4

_T = TypeVar("_T")

# What stands on the screen beside names: a name's caret, dates, times with seconds, numbers of a patient.
_HEADER = re.compile(
    r"[\^@]|\d[-/.]\d{1,2}[-/.]\d{2,4}|\d{2}[-/.]\d{2}[-/.]\d|\d:\d\d:\d\d|\d\s?[AP]\.?M\b|\d{4}|\d{3}-\d{3}"
)
# Written apart or with a hyphen as often as in one word.
_PREFIX = re.compile(r"\b(ANTI|RETRO|SUB|SOUS|PERI)[\s-]+(?=[A-Z]{3})|\b(A)-(?=RAD)")
_WORD = re.compile(r"[A-Z0-9]+(?:-[A-Z0-9]+)*")


@dataclass(frozen=True)
class TypedLine:
    """One line of screen text. `inside`: on the picture, not on the screen around it."""

    text: str = field(repr=False)
    box: Box
    confidence: float
    inside: bool = True


@dataclass(frozen=True)
class _Said:
    """What one line says. `of_breast`: it holds more than a short word for a side."""

    line: TypedLine
    sides: frozenset[Laterality] = frozenset()
    clocks: frozenset[float] = frozenset()
    quadrants: frozenset[Quadrant] = frozenset()
    nipple_mm: frozenset[float] = frozenset()
    planes: frozenset[ScanPlane] = frozenset()
    distances_mm: tuple[float, ...] = ()
    of_breast: bool = False

    @property
    def is_note(self) -> bool:
        return bool(
            self.sides or self.clocks or self.quadrants or self.nipple_mm or self.planes or self.distances_mm
        )


def code_notes(lines: Iterable[TypedLine], *, marked: bool) -> SonographerNotes:
    """What is typed on one image.

    Parameters
    ----------
    lines
        All lines that were read on it.
    marked
        Whether caliper marks or a trace were found on the picture. A number of
        millimetres that stands alone is then taken for what they measured.
    """
    words = vocabulary()
    notes = [line for line in lines if len(line.text) <= LONGEST_LINE]
    inside = [line for line in notes if line.inside]
    # The language of menus around the picture need not be the sonographer's.
    said = [
        _read(line, words, _languages(inside if line.inside else [*inside, line], words), marked)
        for line in notes
    ]
    said = _without_repeats(said)
    # Two letters on an otherwise silent screen may be anything.
    supported = any(one.of_breast for one in said)
    side = _agreed(said, lambda one: one.sides) if supported else None
    both_sides = supported and len({value for one in said for value in one.sides}) > 1
    clock = _agreed(said, lambda one: one.clocks)
    quadrant = _agreed(said, lambda one: one.quadrants)
    nipple_mm = _agreed(said, lambda one: one.nipple_mm)
    plane = _agreed(said, lambda one: one.planes)
    kept = [
        one.line
        for one in said
        if one.distances_mm
        or side in one.sides
        or clock in one.clocks
        or quadrant in one.quadrants
        or nipple_mm in one.nipple_mm
        or plane in one.planes
    ]
    distances = tuple(
        TypedDistance(value, one.line.box, one.line.confidence) for one in said for value in one.distances_mm
    )
    return SonographerNotes(
        laterality=side,
        clock_face=clock,
        quadrant=quadrant,
        nipple_distance_mm=nipple_mm,
        plane=plane,
        distances=distances,
        marked=marked or bool(distances),
        boxes=tuple(line.box for line in kept),
        confidence=min((line.confidence for line in kept), default=0.0),
        both_sides=both_sides,
    )


def may_be_note(text: str) -> bool:
    """Whether a line around the picture could say something, whatever else is on the screen.

    Examples
    --------
    >>> may_be_note("LT BREAST 3:00"), may_be_note("DOE^JANE"), may_be_note("MI 1.1")
    (True, False, False)
    """
    if len(text) > LONGEST_LINE:
        return False
    words = vocabulary()
    line = TypedLine(text, Box(0, 0, 0, 0), 0.0, inside=False)
    spoken = [_languages([line], words), *(frozenset([name]) for name in words.languages)]
    return any(_read(line, words, languages, marked=True).is_note for languages in spoken)


def _without_repeats(said: Sequence[_Said]) -> list[_Said]:
    """The lines without distances around the picture that are printed on it, too."""
    inside = {value for one in said if one.line.inside for value in one.distances_mm}
    return [
        one
        if one.line.inside
        else replace(one, distances_mm=tuple(value for value in one.distances_mm if value not in inside))
        for one in said
    ]


def _agreed(said: Sequence[_Said], values: Callable[[_Said], frozenset[_T]]) -> _T | None:
    """The value that all lines agree on; None where there are two."""
    found = {value for one in said for value in values(one)}
    return found.pop() if len(found) == 1 else None


def _languages(lines: Iterable[TypedLine], words: Vocabulary) -> frozenset[str]:
    typed = {word for line in lines for word in re.findall(r"[A-Z]+", plain(line.text))}
    return frozenset(name for name, marks in words.languages.items() if marks & typed)


def _read(line: TypedLine, words: Vocabulary, languages: frozenset[str], marked: bool) -> _Said:
    """What one line says by itself."""
    if _HEADER.search(line.text.upper()):
        return _Said(line)
    text, hours = typed_numbers.take_oclock(plain(line.text), words)
    text = plain(typed_numbers.mend_digits(text if hours else line.text))
    distances = typed_numbers.caliper_distances_mm(text, words, marked=marked and line.inside)
    if not (line.inside or typed_numbers.is_named_distance(text, marked=marked)):
        distances = ()
    if distances:
        return _Said(line, distances_mm=distances, of_breast=True)
    text, nipple_mm = typed_numbers.take_nipple_distance_mm(text, words, beside_clock=bool(hours))
    text, times = typed_numbers.take_clock(text, words)
    if times and not nipple_mm:
        text, nipple_mm = typed_numbers.take_nipple_distance_mm(text, words, beside_clock=True)
    rest = _words_of(text, words)
    seen = [word for word in rest if word in words.known]
    unknown = [word for word in rest if word not in words.known and not re.fullmatch(r"\d{1,2}", word)]
    telling = [word for word in seen if word not in words.fillers]
    # Beside more unknown words than known ones, a word may be part of a name.
    if len(telling) + len(hours) + len(times) + len(nipple_mm) <= len(unknown):
        return _Said(line)
    sides, planes = _sides_and_planes(
        rest, words, complete=not unknown, letters=line.inside or not any(word.isdigit() for word in rest)
    )
    quadrants = _quadrants(rest, words, languages)
    if not line.inside:
        # 10:00 may be the time of day.
        times = times if sides or planes or quadrants or nipple_mm else ()
        clear = bool(hours or (nipple_mm and re.search(r"\d\s?[CM]M", plain(line.text))))
        if not _is_sure((sides, planes, quadrants, (*hours, *times), nipple_mm), rest, words, clear=clear):
            return _Said(line)
    return _Said(
        line,
        sides,
        frozenset(hours) | frozenset(times),
        quadrants,
        frozenset(nipple_mm),
        planes,
        of_breast=bool(hours or times or nipple_mm or quadrants or planes)
        or any(word in words.strong or len(word) >= SHORTEST_OF_PARTED for word in telling),
    )


def _is_sure(
    said: Sequence[Collection[object]], rest: Sequence[str], words: Vocabulary, *, clear: bool
) -> bool:
    """Whether a line around the picture, among menus and names, is a note.

    Two statements about a breast are one, and a single one that can hardly mean anything
    else: a word that says so, or a number whose words do (`clear`).
    """
    statements = sum(bool(values) for values in said)
    beside = any(word in words.breast for word in rest)
    alone = clear or any(word in words.alone for word in rest)
    return statements > 0 and (alone or statements + beside > 1)


def _words_of(text: str, words: Vocabulary) -> list[str]:
    """The words of a line, those that the reader ran together parted again."""
    found: list[str] = []
    for token in _WORD.findall(_PREFIX.sub(lambda match: match[1] or match[2], text)):
        if "-" in token and token.replace("-", "") in words.known:
            found.append(token.replace("-", ""))
        elif "-" in token and re.fullmatch(r"[A-Z-]+", token):
            found.extend(word for part in token.split("-") for word in _parted(part, words))
        else:
            found.extend(_parted(token, words))
    return found


def _parted(token: str, words: Vocabulary) -> list[str]:
    meant = words.word(token)
    if meant is not None:
        return [meant]
    if not token.isalpha():
        return [token]
    # RUOQ: one letter for the side before a quadrant.
    if token[0] in "RL" and isinstance(words.strong.get(token[1:]), Quadrant):
        return ["RIGHT" if token[0] == "R" else "LEFT", token[1:]]
    for cut in range(2, len(token) - 1):
        first, second = token[:cut], token[cut:]
        if max(len(first), len(second)) < SHORTEST_OF_PARTED or first not in words.known:
            continue
        tail = [second] if second in words.known else _parted(second, words)
        if all(word in words.known for word in tail):
            return [first, *tail]
    return [token]


def _sides_and_planes(
    rest: Sequence[str], words: Vocabulary, *, complete: bool, letters: bool
) -> tuple[frozenset[Laterality], frozenset[ScanPlane]]:
    """Sides and planes among the words.

    `complete`: every word of the line is known; `letters`: a single one may be a side.
    """
    sides: set[Laterality] = set()
    planes: set[ScanPlane] = set()
    for place, word in enumerate(rest):
        meaning = words.strong.get(word)
        if (
            meaning is None
            and complete
            and (letters or len(word) > 1)
            and _stands_for_side(rest, place, words)
        ):
            meaning = words.weak.get(word)
        if isinstance(meaning, Laterality):
            sides.add(meaning)
        elif isinstance(meaning, ScanPlane):
            planes.add(meaning)
    return frozenset(sides), frozenset(planes)


def _stands_for_side(rest: Sequence[str], place: int, words: Vocabulary) -> bool:
    """Whether a short word may be taken at its meaning where it stands."""
    companions = words.letters.get(rest[place])
    if companions is None:
        return True
    beside = rest[max(0, place - 1) : place + 2]
    if not companions & set(beside):
        return False
    # MAMA E AXILA: the letter joins two words.
    after = rest[place + 1] if place + 1 < len(rest) else None
    return after is None or after in companions or isinstance(words.strong.get(after), Quadrant | ScanPlane)


def _quadrants(rest: Sequence[str], words: Vocabulary, languages: frozenset[str]) -> frozenset[Quadrant]:
    found: set[Quadrant] = set()
    for word in rest:
        meaning = words.strong.get(word)
        if isinstance(meaning, Quadrant):
            found.add(meaning)
        by_language = words.by_language.get(word, {})
        spoken = [by_language[name] for name in languages if name in by_language]
        if len(spoken) == 1:
            found.add(spoken[0])
    for first, second in pairwise(rest):
        if first in words.vertical and second in words.horizontal:
            found.add(Quadrant(f"{words.vertical[first]}_{words.horizontal[second]}"))
    return frozenset(found)
