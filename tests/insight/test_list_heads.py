"""Each entry of a list has the lines that say what the list is."""

import pytest

from sigmamind_mcp.insight.list_heads import (
    HEAD_CHARACTERS,
    MOST_HEADS,
    find_heads,
    shorten_head,
)


def name_heads(text: str) -> dict[str, str]:
    """Return the heads of each line of a text that has some."""
    lines = text.splitlines(keepends=True)
    heads = find_heads(lines)
    named = {}
    for line, numbers in zip(lines, heads, strict=True):
        if numbers and line.strip():
            named[line.strip(" \n-*")] = " ".join(
                lines[number].strip(" \n-*") for number in numbers
            )
    return named


@pytest.mark.parametrize(
    ("text", "heads"),
    [
        ("Not:\n- a\n- b", {"a": "Not:", "b": "Not:"}),
        ("Not:\n\n- a\n\n- b\n\nBye", {"a": "Not:", "b": "Not:"}),
        ("Not:\na\nb\n\nBye", {"a": "Not:", "b": "Not:"}),
        ("Not:\n\na\nb\n\nBye", {"a": "Not:", "b": "Not:"}),
        ("Not:\n- a\n  and so on\n\nBye", {"a": "Not:", "and so on": "Not:"}),
        ("Done:\n- a\nNot:\n- b", {"a": "Done:", "b": "Not:"}),
        ("Done:\n- a\n\n**Not:**\n- b", {"a": "Done:", "b": "Not:"}),
        ("不能：\n・a\n・b", {"・a": "不能：", "・b": "不能："}),
        ("Not:\n(a) x\n(b) y", {"(a) x": "Not:", "(b) y": "Not:"}),
        (
            "Not:\n1. A:\n   - x\n2. B:\n   - y\n\nBye",
            {"1. A:": "Not:", "x": "Not: 1. A:", "2. B:": "Not:", "y": "Not: 2. B:"},
        ),
        (
            "Not:\n1. A:\n- x\n\n2. B:\n- y",
            {"1. A:": "Not:", "x": "Not: 1. A:", "2. B:": "Not:", "y": "Not: 2. B:"},
        ),
        (
            "Not:\n\n**A:**\n- x\n\n**B:**\n- y\n\nBye",
            {"A:": "Not:", "x": "Not: A:", "B:": "Not:", "y": "Not: B:"},
        ),
        (
            "# Not\n\n## A\n- x\n\n## B\n- y",
            {"## A": "# Not", "x": "# Not ## A", "## B": "# Not", "y": "# Not ## B"},
        ),
        ("- Name:\n- Price: 3", {}),
        ("At 7:30\n- a", {}),
        ("Not:", {}),
        ("", {}),
    ],
)
def test_lines_have_the_heads_of_their_lists(text: str, heads: dict[str, str]) -> None:
    assert name_heads(text) == heads


def test_heads_on_one_line_are_those_of_the_rest_of_the_line() -> None:
    sentences = ["We cannot: 1. ", "refund. ", "2. ", "cancel.\n", "Bye."]

    assert find_heads(sentences) == [[], [0], [0], [0], []]


def test_thousands_of_heads_leave_the_innermost() -> None:
    heads = find_heads(["Not:\n"] * 20_000)

    assert heads[-1] == list(range(20_000 - 1 - MOST_HEADS, 20_000 - 1))


@pytest.mark.parametrize(
    "negation",
    ["cannot", "don't", "don’t", "NOT", "never", "without", "nicht", "keine", "ne veux pas", "não"],
)
def test_long_head_loses_no_negation(negation: str) -> None:
    words = "some more words "
    short = shorten_head(f"Of all these {words * 9}{negation} {words * 9}of this:\n")

    assert short.startswith("Of all these") and short.endswith("of this: ")
    assert negation.rpartition(" ")[2] in short
    assert len(short) <= HEAD_CHARACTERS + len(negation) + len(" …  … ")


@pytest.mark.parametrize("head", ["Not:\n", "x" * 300 + ":", "好" * 300 + "："])
def test_head_is_short_whatever_it_is(head: str) -> None:
    short = shorten_head(head)

    assert len(short) <= HEAD_CHARACTERS + len(" … ") + 1
    assert short.rstrip()[-1] == head.rstrip()[-1]
