"""Media and encoded files by name and size; arguments of any kind."""

from typing import Any

import pytest

from sigmamind_mcp.api.message_parts import (
    PartReader,
    describe_media,
    format_size,
    hide_data,
    parse_encoded_parts,
)
from tests.support.message_forms import DATA, PNG


@pytest.mark.parametrize(
    ("count", "text"),
    [(7, "7 B"), (1_000, "1 kB"), (400_384, "400 kB"), (999_600, "1 MB"), (5_240_000, "5.2 MB")],
)
def test_size_in_the_largest_fitting_unit(count: int, text: str) -> None:
    assert format_size(count) == text


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"type": "audio", "size": 5_000_000}, "[audio, 5 MB]"),
        ({"type": "audio", "data": "A" * 4_000}, "[audio, 3 kB]"),
        ({"type": "file", "mimeType": "image/png", "url": "https://x.test"}, "[image]"),
        ({"type": "file", "url": PNG}, "[image, 400 kB]"),
        ({"type": "document", "name": "a\nb"}, "[file a b]"),
    ],
)
def test_medium_by_kind_and_size(part: dict[str, Any], text: str) -> None:
    assert describe_media(part) == text


@pytest.mark.parametrize(
    "data",
    ["Hello.", "x" * 9_000, "kein Wort " * 900, "a/b" * 100, ["x" * 5_000, 1, None], {"a": True}],
)
def test_what_is_no_file_is_kept(data: Any) -> None:
    assert hide_data(data) == data


@pytest.mark.parametrize("data", [DATA, "A" * 9_000, f"{DATA[:80]}\n" * 50, [1] * 1_000])
def test_encoded_file_is_a_note_at_any_depth(data: Any) -> None:
    assert str(hide_data({"a": [data]})["a"][0]).startswith("[data, ")


@pytest.mark.parametrize(
    "text", ["[" * 5_000 + "]" * 5_000, "{" * 60 + "}" * 60, '[{"type": "text"', "[1, NaN]", '{"a"']
)
def test_arguments_that_are_no_json_are_shown_as_they_are(text: str) -> None:
    (part,) = PartReader().read_tools({"tool_calls": [{"name": "f", "arguments": text}]})

    assert part.text == f"call f {text}"
    assert parse_encoded_parts(text) == text


@pytest.mark.parametrize("text", ['[{"type": "flight", "text": "a"}]', '[{"a": 1}]', "[]", "[1]"])
def test_json_that_a_message_says_stays_a_text(text: str) -> None:
    assert parse_encoded_parts(text) == text or text == "[]"
