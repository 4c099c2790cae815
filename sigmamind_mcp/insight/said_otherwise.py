"""Look for a value in all ways in which an agent may say it, after the common form is not found.

This leans to "said": a value is missing only if no reading of the text can be it.
"""

import re
from collections.abc import Sequence
from itertools import dropwhile
from typing import NamedTuple

from sigmamind_mcp.insight.spoken_values import SpokenValue, read_values

MIN_DIGITS_ANYWHERE = 4
"""So many digits in a row are hardly there by chance, however they are grouped."""

_UNITS = {
    word: str(number)
    for number, words in enumerate(
        "zero oh null|one first|two second|three third|four fourth|five fifth|six sixth"
        "|seven seventh|eight eighth|nine ninth|ten tenth|eleven eleventh|twelve twelfth dozen"
        "|thirteen thirteenth|fourteen fourteenth|fifteen fifteenth|sixteen sixteenth"
        "|seventeen seventeenth|eighteen eighteenth|nineteen nineteenth".split("|")
    )
    for word in words.split()
} | {"fortnight": "14", "half": "50", "quarter": "25"}
_TENS_WORDS = {
    word: number * 10
    for number, words in enumerate(
        "twenty twentieth|thirty thirtieth|forty fortieth|fifty fiftieth|sixty|seventy|eighty"
        "|ninety".split("|"),
        start=2,
    )
    for word in words.split()
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
MAX_ROW = 24
"""No number has more words; Python cannot print one of 4,300 digits."""
_NUMBER_WORDS = frozenset((*_UNITS, *_TENS_WORDS, *_SCALES))
_CONNECTORS = frozenset((",", ".", "-", "'", "and", "point"))
_TOKEN = re.compile(r"[a-z]+|\d{1,40}|[^\sa-z\d]")
# A day may be named by its distance or its weekday instead.
_RELATIVE_DAY = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b"
)
# 10.11. may be the tenth of November.
_NUMERIC_DATE = re.compile(r"([12]?\d|3[01])\.(?:0?[1-9]|1[0-2])")
_MONTH_NAME = re.compile(r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)")
_SEPARATORS = frozenset(("dash", "hyphen", "slash", "dot", "underscore", "space"))
_NEAR_DAYS = frozenset(("today", "tonight", "tomorrow", "yesterday"))
_DATE = re.compile(r"\d\d-\d\d")
# Quantities of one unit that are also said in another: 14 days are two weeks.
_UNIT_RATIOS = {
    "day": {"week": 7, "month": 30, "year": 365},
    "hour": {"day": 24, "week": 168},
    "minute": {"hour": 60},
    "month": {"year": 12},
    "second": {"minute": 60},
    "week": {"month": 4, "year": 52},
}
_WHOLE = {"a": 1, "an": 1, "one": 1, "half": 0.5, "quarter": 0.25}


class ReadNumbers(NamedTuple):
    """All numbers that tokens may be, and the tokens with number words as digits."""

    numbers: set[str]
    written: list[str]

    @property
    def digits(self) -> str:
        """All digits in a row."""
        return "".join(filter(str.isdecimal, self.written))


class SaidText:
    """A text with its numbers in digits, ready for values to be looked for."""

    def __init__(self, text: str) -> None:
        self.plain = _write_halves(text.lower())
        read = read_numbers(split_tokens(self.plain))
        self.numbers, self.digits = read.numbers, read.digits
        written = filter(str.isalnum, read.written)
        self.squeezed = "".join(token for token in written if token not in _SEPARATORS)

    def may_say(self, value: SpokenValue, clause: str) -> bool:
        """Whether the text may say this value of a clause, which is not there in normal form."""
        bare, normal = value.bare, value.normal
        if _DATE.fullmatch(bare):
            return self._has_relative_day(clause.lower()) or self._has_day(bare)
        day = _NUMERIC_DATE.fullmatch(bare)
        if day and day[1] in self.numbers and _MONTH_NAME.search(self.plain):
            return True
        digits = re.sub(r"\D", "", bare)
        if "." in bare:
            whole, _, cents = bare.partition(".")
            digits = (whole + cents.ljust(2, "0")).replace(".", "")
        if not bare.replace(".", "").isdigit():
            has_digits = len(digits) > 2 and digits in self.digits
            return has_digits or bare.lower() in self.squeezed
        if len(digits) >= MIN_DIGITS_ANYWHERE and digits in self.digits:
            return True
        if is_duration(normal) and self._has_relative_day(clause.lower()):
            return True
        return bare in self.numbers or _says_in_other_unit(normal, self.plain)

    def _has_relative_day(self, clause: str) -> bool:
        """Whether a day is named by its distance or weekday; by the one that the clause names."""
        said = set(_RELATIVE_DAY.findall(self.plain))
        wanted = set(_RELATIVE_DAY.findall(clause))
        return bool(said & (wanted | _NEAR_DAYS) if wanted else said)

    def _has_day(self, month_and_day: str) -> bool:
        month, day = map(int, month_and_day.split("-"))
        if str(day) in self.numbers:
            return True
        written = rf"\b0?{day}[./-]0?{month}\b|\b0?{month}/0?{day}\b"
        return re.search(written, self.plain) is not None


def is_duration(normal: str) -> bool:
    """Whether a value in normal form is a number of days or the like, two at least."""
    number, _, unit = normal.partition(" ")
    return unit in _UNIT_RATIOS and number.isdigit() and int(number) > 1


def _says_in_other_unit(normal: str, plain: str) -> bool:
    """Whether a text in lower case has the quantity in a larger unit: "2 weeks" for "14 days"."""
    number, _, unit = normal.partition(" ")
    ratios = _UNIT_RATIOS.get(unit)
    if not ratios or not number.isdigit():
        return False
    for larger, ratio in ratios.items():
        amount = int(number) / ratio
        if amount.is_integer() and f"{int(amount)} {larger}" in read_values(plain):
            return True
        if _says_amount(amount, larger, plain):
            return True
    return False


def _says_amount(amount: float, unit: str, plain: str) -> bool:
    """Whether a text has the amount in words: "half an hour"."""
    half = "(?:and a half|point five)"
    if amount == 1.5 and re.search(rf"{unit} {half}|one {half} {unit}", plain):
        return True
    words = "|".join(word for word, value in _WHOLE.items() if value == amount)
    if not words:
        return False
    return re.search(rf"\b(?:{words})[ -](?:of )?(?:an? )?{unit}\b", plain) is not None


def split_tokens(plain: str) -> list[str]:
    """Return the words, numbers and marks of a text in lower case."""
    return _TOKEN.findall(_write_halves(plain))


def _write_halves(plain: str) -> str:
    return plain.replace(" and a half", " point five")


def read_numbers(tokens: list[str]) -> ReadNumbers:
    """Read every number that the tokens may be, in digits or in words."""
    places = []
    for place, token in enumerate(tokens):
        if token in _NUMBER_WORDS or token.isdecimal():
            places.append(place)
    if not places:
        return ReadNumbers(set(), tokens)
    numbers: set[str] = set()
    written = tokens[: places[0]]
    row: list[str] = []
    # Most tokens are no numbers, and stay as they are.
    for place, next_place in zip(places, [*places[1:], len(tokens)], strict=True):
        row.append(tokens[place])
        after = tokens[place + 1 : next_place]
        is_last = next_place == len(tokens)
        if not is_last and len(row) < MAX_ROW and _CONNECTORS.issuperset(after):
            continue
        # A scale alone ("hundred") has no digits.
        parts = list(filter(None, map(_read_digits, row)))
        total = _add_up(row)
        numbers.update(parts)
        numbers.add(total)
        if len(parts) > 1:
            numbers |= _list_joined(parts)
        written += parts if _SCALES.keys().isdisjoint(row) else [total]
        written += dropwhile(_CONNECTORS.__contains__, after)
        row = []
    return ReadNumbers(numbers, written)


def read_numbers_in_words(tokens: Sequence[str]) -> ReadNumbers:
    """Read every number that the tokens may be without those in digits."""
    if _NUMBER_WORDS.isdisjoint(tokens):
        return ReadNumbers(set(), [])
    return read_numbers([token for token in tokens if not token.isdecimal()])


def _read_digits(token: str) -> str | None:
    if token.isdecimal():
        return token
    if token in _TENS_WORDS:
        return str(_TENS_WORDS[token])
    return _UNITS.get(token)


def _list_joined(row: list[str]) -> set[str]:
    """Return the numbers that neighbours give together: "seven forty five", "2 99", "2 . 1"."""
    joined = set()
    for start in range(len(row)):
        for end in range(start + 2, min(len(row), start + 4) + 1):
            part = row[start:end]
            first, *rest = part
            rest_sum = sum(map(int, rest))
            joined.add("".join(part))
            joined.add(f"{first}.{''.join(rest)}")
            joined.add(str(int(first) + rest_sum))
            joined.add(f"{first}{rest_sum}")
    return joined


def _add_up(row: list[str]) -> str:
    """Return the number that words give together: "one thousand two hundred and fifty"."""
    total = current = 0
    for token in row:
        scale = _SCALES.get(token)
        if scale is None:
            current += int(_read_digits(token) or 0)
        elif scale == 100:
            current = max(current, 1) * scale
        else:
            total += max(current, 1) * scale
            current = 0
    return str(total + current)
