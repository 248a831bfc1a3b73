"""Numbers in a line of screen text: clock faces, distances from the nipple, caliper distances.

A number is taken only with the words or marks that say what it is. Text is plain
capitals (see `vocabulary.plain`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from cad_node.pipeline.clean.vocabulary import Vocabulary

# Bounds of what is believed, in millimetres.
LARGEST_NIPPLE_DISTANCE_MM = 200.0
CALIPER_RANGE_MM = (0.5, 200.0)

_HOUR = r"(1[0-2]|0?[1-9])"
_NUMBER = r"(\d{1,3}(?:[.,]\d{1,2})?)"
_UNIT = r"(MM|CM)"
# Areas, speeds and powers of a unit are no lengths.
_UNIT_END = r"(?![A-Z0-9/^²³])"
# Not in the middle of a number, and not the second end of a range.
_FRESH = r"(?<![\d.,:/])(?<!\d-)(?<!\d - )"
_NO_RANGE = r"(?!\s?-\s?\d)"

# What engines misread in numbers: the letters O, l and I among digits, and the two units.
_MENDED = (
    (re.compile(r"(?<=[\d.,:])[oOQ]{1,2}(?=$|[\s\d.,:cmCM])"), lambda match: "0" * len(match[0])),
    (re.compile(r"(?<![A-Za-z])[l|I](?=\d)|(?<=\d)[lI|](?=[\d.,:])"), lambda _: "1"),
    (re.compile(r"(?<=\d)\s?(?:rnm|mrn|rnrn|nm|m m)\b"), lambda _: " mm"),
    (re.compile(r"(?<=\d)\s?(?:crn|ern|cn)\b"), lambda _: " cm"),
    (re.compile(r"(?<=\d)([.,])\s(?=\d{1,2}\s?[cm]m)", re.IGNORECASE), lambda match: match[1]),
)
_NAMED = re.compile(
    r"(?!2D\b)(?:\d\s?[DL](?![A-Z])|[DL]\s?\d(?![\d.,])|(?:[+X*]\s?|\d\s)?DIST(?:ANCE|ANCIA|ANZ)?(?![A-Z]))"
)
_SIGNED = re.compile(rf"(?:[+X*]|\d[:=)])\s?(?:\d+[.,]\d{{2}}\s?{_UNIT}|\d+(?:[.,]\d)?\s?MM)")


class _Patterns(NamedTuple):
    oclock: re.Pattern[str]
    clock: tuple[re.Pattern[str], ...]
    nipple: tuple[re.Pattern[str], ...]
    nipple_beside_clock: re.Pattern[str]
    caliper: re.Pattern[str]
    caliper_line: re.Pattern[str]
    unsure_caliper: re.Pattern[str]
    product: re.Pattern[str]


def mend_digits(text: str) -> str:
    """The text as read, with what looks like a digit among digits made one.

    Examples
    --------
    >>> mend_digits("1O:OO"), mend_digits("l2.3 mrn"), mend_digits("LO")
    ('10:00', '12.3 mm', 'LO')
    """
    for pattern, digit in _MENDED:
        text = pattern.sub(digit, text)
    return text


def take_oclock(text: str, words: Vocabulary) -> tuple[str, tuple[float, ...]]:
    """The hours written with o'clock, and the text without them.

    Done before digits are mended: the O of o'clock is a letter.
    """
    return _take(text, (_patterns(words).oclock,), _clock_face)


def take_clock(text: str, words: Vocabulary) -> tuple[str, tuple[float, ...]]:
    """The clock faces of a line, halves allowed, and the text without them.

    Examples
    --------
    >>> from cad_node.pipeline.clean.vocabulary import vocabulary
    >>> take_clock("MAMA DIREITA AS 3H", vocabulary())
    ('MAMA DIREITA AS  ', (3.0,))
    """
    return _take(text, _patterns(words).clock, _clock_face)


def take_nipple_distance_mm(
    text: str, words: Vocabulary, *, beside_clock: bool
) -> tuple[str, tuple[float, ...]]:
    """Distances from the nipple, and the text without them.

    `beside_clock`: the line also gives a clock face; N3 is then N+3.
    """
    patterns = _patterns(words)
    tried = (*patterns.nipple, patterns.nipple_beside_clock) if beside_clock else patterns.nipple
    return _take(text, tried, _nipple_distance_mm)


def caliper_distances_mm(text: str, words: Vocabulary, *, marked: bool) -> tuple[float, ...]:
    """The distances of a line that holds nothing else; empty where it is something else.

    `marked`: caliper marks were found on the picture. Only then are a bare number
    of millimetres with a decimal, and a lone letter before a number, believed: the
    depth of the picture looks the same.

    Examples
    --------
    >>> from cad_node.pipeline.clean.vocabulary import vocabulary
    >>> caliper_distances_mm("D1 12.3 MM", vocabulary(), marked=False)
    (12.3,)
    >>> caliper_distances_mm("1.2 X 0,8 CM", vocabulary(), marked=False)
    (12.0, 8.0)
    """
    patterns = _patterns(words)
    product = patterns.product.fullmatch(text)
    if product is not None:
        unit = re.findall(_UNIT, text)[-1]
        pairs = re.findall(rf"{_NUMBER}\s?(MM|CM)?", product["values"])
        values = [_millimetres(number, own or unit) for number, own in pairs]
    elif patterns.caliper_line.fullmatch(text):
        values = [_millimetres(*match) for match in patterns.caliper.findall(text)]
    else:
        alone = patterns.unsure_caliper.fullmatch(text) if marked else None
        values = [_millimetres(alone["number"], alone["unit"])] if alone else []
    low, high = CALIPER_RANGE_MM
    return tuple(values) if values and all(low <= value <= high for value in values) else ()


def is_named_distance(text: str, *, marked: bool) -> bool:
    """Whether a line of distances says itself that calipers measured them.

    By D or L and a number, or by the word. Where calipers lie on the picture, their
    sign or number will do before millimetres, or two decimals: the depth has one.
    Around the picture its depth, its width and the size of a box look much the same.

    Examples
    --------
    >>> [is_named_distance(text, marked=True) for text in ("1 D 1.2 CM", "+ 1.23 CM", "+ 4.0 CM", "WIDTH 38.0 MM")]
    [True, True, False, False]
    """
    return _NAMED.match(text) is not None or (marked and _SIGNED.match(text) is not None)


def _take(
    text: str, patterns: tuple[re.Pattern[str], ...], value: Callable[[re.Match[str]], float | None]
) -> tuple[str, tuple[float, ...]]:
    found: list[float] = []

    def keep(match: re.Match[str]) -> str:
        number = value(match)
        if number is None:
            return match[0]
        found.append(number)
        return " "

    for pattern in patterns:
        text = pattern.sub(keep, text)
    return text, tuple(found)


def _clock_face(match: re.Match[str]) -> float:
    hour, minutes = match[1], match[2] if match.re.groups > 1 else None
    return int(hour) + (0.5 if minutes == "30" else 0.0)


def _nipple_distance_mm(match: re.Match[str]) -> float | None:
    distance = _millimetres(match["number"], match["unit"] or "CM")
    return distance if distance <= LARGEST_NIPPLE_DISTANCE_MM else None


def _millimetres(number: str, unit: str) -> float:
    return round(float(number.replace(",", ".")) * (10 if unit == "CM" else 1), 2)


@lru_cache(maxsize=1)
def _patterns(words: Vocabulary) -> _Patterns:
    fillers = tuple(sorted(words.fillers, key=lambda word: (-len(word), word)))
    number, unit = r"(?P<number>\d{1,3}(?:[.,]\d{1,2})?)", r"(?P<unit>MM|CM)"
    nipple = rf"(?:{_any(words.nipple_words)})(?![A-Z])"
    between = rf"(?:(?:{_any(fillers)})(?![A-Z])\.?\s?)*"
    label = _any(words.caliper_labels)
    named = _any(tuple(word for word in words.caliper_labels if len(word) > 1))
    # After a label that ends in a digit something must part it from the number: D112.3 is two readings.
    entry = (
        rf"(?:[+X*]\s?(?:\d[\s:=)]\s?)?"
        # 2D is the mode of the picture, and its depth stands beside it.
        rf"|(?!2D\b)\d\s?(?:(?:{label})\s?[:=]?\s?|[:=)]\s?|\s)"
        rf"|(?:{label})\.?\s?\d\s?[:=]\s?|(?:{label})\.?\s?\d\s"
        rf"|(?:[+X*]\s?)?(?:{named})\.?\s?(?:[:=]\s?|\s|(?=\d[.,])))"
        rf"{_NUMBER}\s?{_UNIT}{_UNIT_END}"
    )
    return _Patterns(
        oclock=re.compile(
            rf"{_FRESH}{_HOUR}(?::(00|30))?\s?(?:[OQ]|(?<=\s)0|(?<=1[0-2])0)\s?'?\s?C[L1I]OCK(?![A-Z])"
        ),
        clock=(
            re.compile(rf"{_FRESH}\b{_HOUR}\s?[:.]\s?(00|30)\s?(?:{_any(words.clock_after)})(?![A-Z0-9])"),
            re.compile(rf"{_FRESH}\b{_HOUR}\s?H\s?(00|30)(?!\d)"),
            re.compile(rf"{_FRESH}\b{_HOUR}\s?(?:{_any(words.clock_after)})(?![A-Z0-9])"),
            re.compile(
                rf"(?<![A-Z0-9])(?:{_any(words.clock_before)})\s?[:.]?\s?{_HOUR}(?:[:.H](00|30))?(?![\d.,:]|\s?[CM]M)"
            ),
            re.compile(rf"{_FRESH}{_HOUR}:(00|30)(?![\d:]){_NO_RANGE}"),
        ),
        nipple=(
            re.compile(rf"(?<![\d.,:]){number}\s?{unit}?\s?(?:{_any(words.nipple_alone)})(?![A-Z0-9])"),
            re.compile(rf"(?<![A-Z])(?:{_any(words.nipple_alone)})\s?[:=]?\s?{number}\s?{unit}?(?![\d:.,])"),
            re.compile(rf"(?<![A-Z])N\s?\+\s?{number}\s?{unit}?(?![\d:.,])"),
            re.compile(rf"(?<![\d.,:]){number}\s?{unit}\s?{between}{nipple}"),
            re.compile(rf"(?<![A-Z]){between}{nipple}\.?\s?[:=+]?\s?{number}\s?{unit}{_UNIT_END}"),
        ),
        nipple_beside_clock=re.compile(rf"(?<![A-Z])N\s?{number}\s?{unit}?(?![\d:.,A-Z])"),
        caliper=re.compile(entry),
        caliper_line=re.compile(rf"(?:{entry}[\s;,]*)+"),
        unsure_caliper=re.compile(
            rf"(?:(?P<letter>{label})\s?[:=]?\s(?=\d)|(?P<tight>{label})(?=\d[.,])|(?=\d+[.,]\d+\s?MM)){number}\s?{unit}"
        ),
        product=re.compile(
            rf"(?:SIZE\s?:?\s?|[+*]\s?)?(?P<values>{_NUMBER}\s?(?:MM|CM)?(?:\s?[X*]\s?{_NUMBER}\s?(?:MM|CM)?){{1,2}})"
            rf"(?<=[CM]M)"
        ),
    )


def _any(words: tuple[str, ...]) -> str:
    return "|".join(re.escape(word) for word in words)
