"""Tell whether texts give a number, date or id, in whatever form they write it.

A text gives a value if it has the same value, all of its numbers, or its digits in a row: "16:30"
gives "4:30 PM", "06605550144" gives "0660 555 01 44", "four four one two three" gives "44123".
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date

from sigmamind_mcp.insight.near_values import DATE_IN_DIGITS, MONTHS, NearDate, find_dates
from sigmamind_mcp.insight.said_otherwise import read_numbers, read_numbers_in_words, split_tokens
from sigmamind_mcp.insight.spoken_values import read_values

MIN_PART_DIGITS = 4
"""As many digits as part of a longer number stand for it: a card that ends in 1111."""

_DIGITS = re.compile(r"\d+")
_NOT_ASCII_DIGIT = re.compile(r"[^\D0-9]")
# What stands between the digits of one number: +43 (660) 555-0144; 5, 5, 5, 0.
_DIGITS_IN_A_ROW = re.compile(r"\d+(?:[ ().,:/-]{1,2}\d+)*")
_TIME_OF_STAMP = re.compile(r"[tT](?<=\d[tT])(?=\d\d:?\d\d)")
_MONTHS_AS_NUMBERS = {month: str(number) for number, month in enumerate(MONTHS, start=1)}
_COMPACT_DATES = ("%Y%m%d", "%d%m%Y", "%m%d%Y", "%y%m%d", "%d%m%y", "%m%d%y")
# A number is alone if it is not in an id, a date, or the mark of a point in a list.
_LONE_NUMBER = re.compile(r"(?<!\w)\d+")
_NO_LONE_NUMBERS = re.compile(rf"^[ \t]*\d{{1,3}}[.)]|{DATE_IN_DIGITS.pattern}", re.MULTILINE)


class GivenTexts:
    """The values, numbers and digits of all texts that were added."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        self._numbers: set[str] = set()
        self._year_ends: set[str] = set()
        self._digits = ""
        self._unread: list[str] = []
        self._written: set[str] = set()
        self._undated: list[str] = []
        self._dates: set[date] = set()
        self._parts: set[str] = set()
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Add one more text, which is read when the next value is looked for.

        Most values stand there in the same digits, which are found much faster.
        """
        if text:
            self._unread.append(text)
            self._undated.append(text)
            digits = _DIGITS.findall(write_ascii_digits(text))
            self._written.update(map(strip_zeros, digits))

    def _read_added(self) -> None:
        for text in self._unread:
            self._read(text)
        self._unread.clear()

    def _read(self, text: str) -> None:
        plain = _TIME_OF_STAMP.sub(" ", write_ascii_digits(text)).lower()
        tokens = split_tokens(plain)
        numbers = read_numbers(tokens).numbers
        for month, month_number in _MONTHS_AS_NUMBERS.items():
            if month in plain:
                self._numbers.add(month_number)
        if not numbers:
            return
        # Digits that are read out one by one have no other row of digits between them.
        in_words = read_numbers_in_words(tokens)
        values = read_values(plain) | in_words.numbers | numbers
        self._values |= values
        for written in (plain, " ".join(values), plain.replace(",", "")):
            self._add_numbers(_DIGITS.findall(written))
        rows = [*map(join_digits, _DIGITS_IN_A_ROW.findall(plain)), in_words.digits]
        self._digits += "".join(f" {row}" for row in rows)

    def _add_numbers(self, written: Iterable[str]) -> None:
        numbers = set(map(strip_zeros, set(written)))
        self._numbers |= numbers
        self._year_ends.update(number[2:] for number in numbers if len(number) == 4)

    def has_value(self, value: str) -> bool:
        """Whether a text has a value, in its normal form."""
        self._read_added()
        return value in self._values

    def has_number(self, digits: str) -> bool:
        """Whether a text has a number; two digits may be the end of a year."""
        number = strip_zeros(digits)
        if number in self._written:
            return True
        self._read_added()
        return number in self._numbers or digits in self._year_ends

    def has_digits(self, digits: str) -> bool:
        """Whether a text has these digits in a row, alone or as a part of more."""
        self._read_added()
        row = strip_zeros(digits)
        return len(row) >= MIN_PART_DIGITS and row in self._digits

    def may_give_date(self, near: NearDate) -> bool:
        """Whether a text has a date in digits, or alone the part that differs from a mock date."""
        for text in self._undated:
            self._read_dates(text)
        self._undated.clear()
        names = near.names | {
            day.strftime(form) for day in near.readings for form in _COMPACT_DATES
        }
        return bool(self._dates & near.readings or self._parts & set(map(strip_zeros, names)))

    def _read_dates(self, text: str) -> None:
        plain = write_ascii_digits(text).lower()
        self._dates |= find_dates(plain)
        rest = _NO_LONE_NUMBERS.sub(" ", plain)
        tokens = split_tokens(rest)
        self._parts.update(map(strip_zeros, _LONE_NUMBER.findall(rest)))
        self._parts |= read_numbers_in_words(tokens).numbers
        self._parts |= {token[:3] for token in tokens} & _MONTHS_AS_NUMBERS.keys()


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
