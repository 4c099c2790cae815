"""Numbers of any text are read, also of those that no number can be made of."""

import pytest

from sigmamind_mcp.insight.said_otherwise import SaidText


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Two hundred and fifty.", "250"),
        ("It has 20 m² and 3 beds.", "3"),
        ("10³, ½, ①, ٤ and 7", "7"),
        ("hundred " * 3_000 + "x 7", "7"),
        ("million " * 3_000 + "x 7", "7"),
        ("nine " * 3_000 + "x 7", "7"),
        ("1" * 5_000 + " x 7", "7"),
        ("1 " * 5_000 + "x 7", "7"),
    ],
)
def test_numbers_of_odd_texts_are_read(text: str, number: str) -> None:
    assert number in SaidText(text).numbers
