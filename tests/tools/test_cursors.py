"""Cursors."""

import pytest

from sigmamind_mcp.errors import InvalidArguments
from sigmamind_mcp.tools.cursors import decode_cursor, encode_cursor


def test_cursor_gives_back_its_position() -> None:
    cursor = encode_cursor(page=2, skip=7)
    assert cursor == "page:2,skip:7"
    assert decode_cursor(cursor, "page", "skip") == {"page": 2, "skip": 7}


def test_no_cursor_is_the_beginning() -> None:
    assert decode_cursor("", "page", "skip") == {"page": 0, "skip": 0}


@pytest.mark.parametrize(
    "cursor",
    [
        "2",
        "page:2",
        "page:2,skip:-1",
        "page:2,skip:x",
        "page:2,skip:7,page:3,more:1",
        "page:٢,skip:1",
    ],
)
def test_foreign_cursor_is_refused_and_says_where_to_get_one(cursor: str) -> None:
    with pytest.raises(InvalidArguments, match="nextCalls"):
        decode_cursor(cursor, "page", "skip")
