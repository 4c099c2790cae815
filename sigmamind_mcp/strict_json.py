"""Parse JSON strictly: no NaN, no infinite numbers, a limit on nesting."""

import json
from math import isinf
from typing import Any

JSONObject = dict[str, Any]


def parse_json(text: str | bytes) -> Any:
    """Return the parsed value.

    Raises:
        ValueError: the text is not JSON, or has a number that JSON cannot express.
        RecursionError: the text is nested deeper than Python can parse.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text))
    return _DECODER.decode(text)


def is_deeper_than(depth: int, data: object) -> bool:
    """Return whether `data` nests objects and lists more than `depth` levels."""
    level = [data]
    for _ in range(depth + 1):
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        level = inner
    return bool(level)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _parse_finite(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise ValueError("the number is too large for a float")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_parse_finite)
