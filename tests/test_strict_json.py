"""JSON that some parsers accept and no standard allows is refused; R18: and too many values."""

import json
from typing import Any

import pytest

from sigmamind_mcp.strict_json import MAX_VALUES, TooManyValues, is_deeper_than, parse_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, null, true]}', {"a": [1, 2.5, None, True]}),
        ('"Olá, 안녕"'.encode(), "Olá, 안녕"),
        ('"Olá"'.encode("utf-16"), "Olá"),
        ("1e308", 1e308),
        ("1e-400", 0.0),
    ],
)
def test_json_is_parsed_from_text_and_bytes(text: str | bytes, value: Any) -> None:
    assert parse_json(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e400",
        "-1e400",
        '{"a": 1e999}',
        "",
        "{",
        "[1] 2",
        b"\xff",
    ],
)
def test_what_json_cannot_express_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


@pytest.mark.parametrize(
    ("data", "depth"),
    [("text", 0), ([], 0), ([1], 1), ({"a": [{"b": 1}]}, 3), ([[], [[["x"]]]], 4)],
)
def test_depth_counts_objects_and_lists_that_hold_something(data: Any, depth: int) -> None:
    assert not is_deeper_than(depth, data)
    assert depth == 0 or is_deeper_than(depth - 1, data)


def test_depth_of_a_large_value_needs_no_recursion() -> None:
    data = parse_json("[" * 900 + "1" + "]" * 900)

    assert is_deeper_than(899, data) and not is_deeper_than(900, data)


SMALL_VALUES = ["{}", "[]", "1", '""', '{"a":{}}', '"\\",\\"[{"']


@pytest.mark.parametrize("value", SMALL_VALUES)
def test_more_values_than_allowed_are_refused_before_they_are_parsed(value: str) -> None:
    count = MAX_VALUES if value != '{"a":{}}' else MAX_VALUES // 2
    fitting = "[" + ",".join([value] * (count // 2)) + "]"
    assert len(parse_json(fitting)) == count // 2
    with pytest.raises(TooManyValues):
        parse_json("[" + ",".join([value] * (count + 1)) + "]")


def test_characters_inside_strings_are_no_values() -> None:
    text = 'a, [b], {c}: "d\\", ' * 20_000
    assert parse_json(json.dumps({"content": text})) == {"content": text}


@pytest.mark.parametrize(
    "text", ['["' + '\\"' * 100_000 + "," * 100_000, '"' * 200_001 + "," * 100_000, "\\" * 100_001]
)
def test_strings_without_an_end_are_read_once(text: str) -> None:
    with pytest.raises(ValueError):
        parse_json(text)
