"""Tell whether texts give a number, date or id, in whatever form they write it.

A text gives a value if it has the same value, all of its numbers, or its digits in a row: "16:30"
gives "4:30 PM", "06605550144" gives "0660 555 01 44", "four four one two three" gives "44123".
"""

import calendar
import re
import unicodedata
from collections.abc import Iterable, Sequence

from sigmamind_mcp.insight.said_otherwise import read_numbers, split_tokens
from sigmamind_mcp.insight.spoken_values import read_values

MIN_PART_DIGITS = 4
"""As many digits as part of a longer number stand for it: a card that ends in 1111."""

_DIGITS = re.compile(r"\d+")
_NOT_ASCII_DIGIT = re.compile(r"[^\D0-9]")
# What stands between the digits of one number: +43 (660) 555-0144; 5, 5, 5, 0.
_DIGITS_IN_A_ROW = re.compile(r"\d+(?:[ ().,:/-]{1,2}\d+)*")
# A date in digits, with a year: 2026-11-06, 06/11/26, 6.11.2026.
_YEAR_FIRST = re.compile(r"(?<![0-9])(?:19|20)[0-9]{2}([-./])([0-9]{1,2})\1([0-9]{1,2})(?![0-9])")
_YEAR_LAST = re.compile(
    r"(?<![0-9])([0-9]{1,2})([-./])([0-9]{1,2})\2(?:[0-9]{2}|[0-9]{4})(?![0-9])"
)
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_MONTH = rf"({'|'.join(_MONTHS)})[a-z]*"
_MONTH_FIRST = re.compile(rf"\b{_MONTH}\.? ([0-9]{{1,2}})(?![0-9])")
_DAY_FIRST = re.compile(rf"(?<![0-9])([0-9]{{1,2}})(?:st|nd|rd|th|\.)?(?: of)? {_MONTH}\b")
_WORDS = re.compile(r"[^\W\d_]+")
_TIME_OF_STAMP = re.compile(r"(?<=\d)[tT](?=\d\d:?\d\d)")


class GivenTexts:
    """The values, numbers and digits of all texts that were added."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        self._numbers: set[str] = set()
        self._year_ends: set[str] = set()
        self._days: set[frozenset[int]] = set()
        self._words: set[str] = set()
        self._digits = ""
        self._unread = list(texts)
        self._unread_words = list(self._unread)

    def add(self, text: str) -> None:
        """Add one more text, which is read when the next value or word is looked for."""
        if text:
            self._unread.append(text)
            self._unread_words.append(text)

    def _read_added(self) -> None:
        for text in self._unread:
            self._read(text)
        self._unread.clear()

    def _read(self, text: str) -> None:
        plain = _TIME_OF_STAMP.sub(" ", write_ascii_digits(text)).lower()
        tokens = split_tokens(plain)
        numbers = read_numbers(tokens).numbers
        for month, number in _MONTHS.items():
            if month in plain:
                self._numbers.add(str(number))
        if not numbers:
            return
        # Digits that are read out one by one have no other row of digits between them.
        in_words = read_numbers([token for token in tokens if not token.isdecimal()])
        self._days |= find_days(plain)
        values = read_values(plain) | in_words.numbers | numbers
        self._values |= values
        for written in (plain, " ".join(values), plain.replace(",", "")):
            for digits in _DIGITS.findall(written):
                self._add_number(digits)
        rows = [*map(join_digits, _DIGITS_IN_A_ROW.findall(plain)), in_words.digits]
        self._digits += "".join(f" {row}" for row in rows)

    def _add_number(self, digits: str) -> None:
        number = strip_zeros(digits)
        self._numbers.add(number)
        if len(number) == 4:
            self._year_ends.add(number[2:])

    def list_days(self) -> set[frozenset[int]]:
        """Return the day and month, in any order, of each date."""
        self._read_added()
        return self._days

    def has_value(self, value: str) -> bool:
        """Whether a text has a value, in its normal form."""
        self._read_added()
        return value in self._values

    def has_number(self, digits: str) -> bool:
        """Whether a text has a number; two digits may be the end of a year."""
        self._read_added()
        return strip_zeros(digits) in self._numbers or digits in self._year_ends

    def has_word(self, word: str) -> bool:
        """Whether a text has a word, in any case."""
        for text in self._unread_words:
            self._words.update(_WORDS.findall(text.lower()))
        self._unread_words.clear()
        return word.lower() in self._words

    def has_digits(self, digits: str) -> bool:
        """Whether a text has these digits in a row, alone or as a part of more."""
        self._read_added()
        row = strip_zeros(digits)
        return len(row) >= MIN_PART_DIGITS and row in self._digits


def find_days(text: str) -> set[frozenset[int]]:
    """Return the day and month, in any order, of each date in a text in lower case."""
    pairs = [match.group(2, 3) for match in _YEAR_FIRST.finditer(text)]
    pairs += [match.group(1, 3) for match in _YEAR_LAST.finditer(text)]
    days = {frozenset(map(int, pair)) for pair in pairs}
    for match in _MONTH_FIRST.finditer(text):
        days.add(frozenset((_MONTHS[match[1]], int(match[2]))))
    for match in _DAY_FIRST.finditer(text):
        days.add(frozenset((_MONTHS[match[2]], int(match[1]))))
    return days


def are_other_days(days: set[frozenset[int]], texts: Sequence[GivenTexts]) -> bool:
    """Whether the texts have dates, and none on one of these days."""
    if not days:
        return False
    given = set[frozenset[int]]().union(*(one.list_days() for one in texts))
    return bool(given) and days.isdisjoint(given)


def are_numbers_given(written: str, texts: Sequence[GivenTexts]) -> bool:
    """Whether the texts have all numbers of a value, or its digits in a row."""
    for form in (written, written.replace(",", "")):
        numbers = _DIGITS.findall(form)
        if all(any(one.has_number(digits) for one in texts) for digits in numbers):
            return True
    return any(one.has_digits(join_digits(written)) for one in texts)


def write_ascii_digits(text: str) -> str:
    """Return a text of the same length with the digits of all scripts as 0 to 9."""
    if text.isascii():
        return text
    # The only letter that is longer in lower case would move the places.
    text = text.replace("\u0130", "I")
    return _NOT_ASCII_DIGIT.sub(lambda match: str(unicodedata.decimal(match[0])), text)


def join_digits(text: str) -> str:
    """Return all digits of a text."""
    return "".join(_DIGITS.findall(text))


def strip_zeros(digits: str) -> str:
    """Return digits without leading zeros."""
    return digits.lstrip("0") or "0"
