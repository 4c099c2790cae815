"""Parse JSON strictly: no NaN, no infinite numbers, limits on nesting and on values."""

import json
import re
from math import isinf
from typing import Any

MAX_VALUES = 60_000
"""A parsed value and the record made of it take up to 0.8 kB: 47 MB for this many.

8 MiB of `{}` would be 2.8 million values, and take 200 MB in the JSON parser alone.
"""

JSONObject = dict[str, Any]


class TooManyValues(ValueError):
    """The text has more values than may be parsed."""


def parse_json(text: str | bytes, *, max_values: int = MAX_VALUES) -> Any:
    """Return the parsed value.

    Raises:
        TooManyValues: the text has more than `max_values` values.
        ValueError: the text is not JSON, or has a number that JSON cannot express.
        RecursionError: the text is nested deeper than Python can parse.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text))
    if has_more_values(text, max_values):
        raise TooManyValues(f"more than {max_values:,} values")
    return _DECODER.decode(text)


def has_more_values(text: str, most: int) -> bool:
    """Return whether JSON has more than `most` values, without parsing it."""
    if _count_openings(text, 0, len(text)) <= most:
        return False
    # Strings may have the same characters, so the second count leaves them out.
    count = end = 0
    for string in _STRING.finditer(text):
        count += _count_openings(text, end, string.start())
        if count > most:
            return True
        end = string.end()
    return count + _count_openings(text, end, len(text)) > most


def _count_openings(text: str, start: int, end: int) -> int:
    """Count the characters that begin an object, a list or the next value of one."""
    return sum(text.count(character, start, end) for character in ",[{")


def is_deeper_than(depth: int, data: object) -> bool:
    """Return whether parsed `data` nests objects and lists more than `depth` levels."""
    level: list[Any] = [data]
    for _ in range(depth + 1):
        inner: list[Any] = []
        for item in level:
            # A parser makes no subclasses, and `isinstance` would take twice as long.
            if type(item) is dict:
                inner += item.values()
            elif type(item) is list:
                inner += item
        if not inner:
            return False
        level = inner
    return True


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _parse_finite(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise ValueError("the number is too large for a float")
    return number


# A string without an end is one match: otherwise the search would start again at each quote in it.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_parse_finite)
