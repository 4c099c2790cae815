"""Values in every spelling have one normal form."""

import pytest

from sigmamind_mcp.insight.spoken_values import find_values, read_values


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        (("$1,093.34", "1093.34 dollars", "USD 1,093.34"), "1093.34"),
        (("10", "10.00", "ten", "$10"), "10"),
        (("39,90", "39.90", "EUR 39.9"), "39.9"),
        (("May 25", "25 May", "25th of May", "2024-05-25", "May 25th, 2024"), "05-25"),
        (("4 PM", "4pm", "16:00", "4:00 p.m."), "16:00"),
        (("#W2378156", "order w2378156.", "W-2378156"), "W2378156"),
        (("14 days", "fourteen days", "14-day", "14 day"), "14 day"),
        (("twenty-five bags", "25 bags"), "25 bag"),
        (("two hundred euros", "200 euros"), "200"),
        (("1.95 %", "1.95%"), "1.95"),
    ],
)
def test_spellings_of_a_value_are_the_same(texts: tuple[str, ...], value: str) -> None:
    assert [text for text in texts if value not in read_values(text)] == []


@pytest.mark.parametrize(
    "text", ["one of them", "1. First\n2. Second", "no value", "five five five", "the 1st, 2nd", ""]
)
def test_what_is_no_value(text: str) -> None:
    assert not read_values(text) & {"1", "2", "5", "555", "1ST", "2ND"}


def test_place_of_a_value_is_that_of_the_text() -> None:
    text = "You pay $1,093.34 on May 3."

    assert [text[one.start : one.end] for one in find_values(text)] == ["1,093.34", "May 3"]


@pytest.mark.parametrize(
    "text",
    [
        "You pay $1,093.34 on May 3, at 4 PM or 16:30; order #W-2378 takes fourteen days.",
        "1. Ten bags\n2. (AB-12) costs 39,90, or 2 hundred",
        "x1.5 -7 v:8 a_9 _12 2024-05-25T10:00 25th of May 555 one 7",
    ],
)
def test_values_are_the_same_in_a_text_with_other_letters(text: str) -> None:
    assert list(find_values(f"{text} é٣")) == list(find_values(text)) != []
