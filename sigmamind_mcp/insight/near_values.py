"""Find the mock value that is almost the same as a value that nobody gave."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date
from itertools import product
from typing import NamedTuple

from sigmamind_mcp.api.models import MockVariable

MOST_VALUES = 8
"""An agent with more values that nobody gave has its data from elsewhere; none is listed."""
MIN_CHARACTERS = 5
"""Of its letters and digits: shorter values are alike by chance."""
MAX_DIFFERING = 0.5
"""The share of these in which a value may differ from a mock value."""
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()

# A day, a month and a year in any order: 11/09/26, 2026-11-09, 9. 11. 2026.
DATE_IN_DIGITS = re.compile(r"(?<!\d)(\d{1,4})([-./] ?)(\d{1,2})\2(\d{4}|\d{1,2})(?!\d)")
_DATE_AND_TIME = re.compile(rf"{DATE_IN_DIGITS.pattern}(?:[Tt ][\d:.]+[Zz]?)?")


class NearDate(NamedTuple):
    """All readings of a date, and the names of the part that differs from that of a mock variable.

    Such as 9 for a day, 11 and nov for a month, 2026 and 26 for a year.
    """

    readings: set[date]
    names: set[str]
    mock: MockVariable


def find_near_mock(value: str, mocks: Iterable[MockVariable]) -> MockVariable | None:
    """Return the mock variable whose value has the same form and the fewest other characters."""
    said = _strip_currency(value)
    characters = sum(map(str.isalnum, said))
    if characters < MIN_CHARACTERS:
        return None
    found = None
    least = int(MAX_DIFFERING * characters)
    for mock in mocks:
        meant = _strip_currency(mock.value)
        if _get_form(meant) != _get_form(said):
            continue
        differing = sum(one != other for one, other in zip(said, meant, strict=True))
        if 0 < differing <= least:
            found, least = mock, differing - 1
    return found


def find_near_date(value: str, mocks: Iterable[MockVariable]) -> NearDate | None:
    """Return how a date in digits differs from a mock value in its day, month or year only."""
    readings = read_dates(value)
    near = None
    for mock in mocks if readings else ():
        for one, other in product(readings, read_dates(mock.value)):
            names = _name_difference(one, other)
            if names:
                near = NearDate(readings, names | (near.names if near else set()), mock)
    return near


def read_dates(text: str) -> set[date]:
    """Return all dates that a text may be that has a date in digits with its year, and no more."""
    match = _DATE_AND_TIME.fullmatch(text.strip())
    return set(_list_readings(match)) if match else set()


def find_dates(text: str) -> set[date]:
    """Return all dates in digits that a text may have."""
    dates: set[date] = set()
    for match in DATE_IN_DIGITS.finditer(text):
        dates.update(_list_readings(match))
    return dates


def _list_readings(match: re.Match[str]) -> Iterator[date]:
    """Yield the dates that a date in digits may be; a short year is of this century."""
    first, second, third = match.group(1, 3, 4)
    orders = [(first, second, third), (first, third, second)]
    orders += [(third, second, first), (third, first, second)]
    for year, month, day in orders:
        if len(year) in (2, 4):
            # Some orders are no date.
            with suppress(ValueError):
                yield date(int(year) + (2000 if len(year) == 2 else 0), int(month), int(day))


def _name_difference(one: date, other: date) -> set[str]:
    """Return the names of the only part in which a date differs from another, if it is one."""
    if (one.month, one.day) == (other.month, other.day):
        return {str(one.year), str(one.year % 100)}
    if (one.year, one.day) == (other.year, other.day):
        return {str(one.month), MONTHS[one.month - 1]}
    return {str(one.day)} if (one.year, one.month) == (other.year, other.month) else set()


def _strip_currency(text: str) -> str:
    return text.strip("$€£# ")


def _get_form(text: str) -> str:
    """Return the text with the same digit for all digits, and the same letter for all letters."""
    return "".join("0" if one.isdigit() else "a" if one.isalpha() else one for one in text)
