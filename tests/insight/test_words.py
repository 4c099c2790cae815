"""The meaningful words of a text, and how similar two texts are."""

import pytest

from sigmamind_mcp.insight.words import (
    dice_similarity,
    extract_words,
    measure_similarity,
    split_stems,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The agent confirmed the refunds.", {"confirm", "refund"}),
        ("It was never confirmed, and isn't wrong.", {"confirm", "wrong"}),
        ("Order 4411 arrives", {"order", "arriv"}),
        ("返金を", {"返金", "金を"}),
        ("犬", {"犬"}),
        ("", set()),
    ],
)
def test_words_are_those_that_carry_meaning(text: str, words: set[str]) -> None:
    assert extract_words(text) == words


def test_stems_are_the_same_in_a_text_with_other_letters() -> None:
    text = "The agent's order_no X4411y isn't REFUNDED, 'said' o'clock''s"

    assert split_stems(f"{text} é") == [*split_stems(text), "é"]


def test_stems_stand_in_order_with_empty_words_as_gaps() -> None:
    assert split_stems("The agent confirmed the refunds") == ["", "", "confirm", "", "refund"]


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("解約したい", "プランを解約したい"),
        ("ยกเลิกแผน", "ขอยกเลิกแผนวันนี้"),
        ("ຍົກເລີກແຜນ", "ຂໍຍົກເລີກແຜນມື້ນີ້"),
        ("លុបចោលគម្រោង", "សូមលុបចោលគម្រោងនេះ"),
        ("အစီအစဉ်ပယ်ဖျက်", "ယနေ့အစီအစဉ်ပယ်ဖျက်ပါ"),
    ],
)
def test_scripts_without_spaces_have_parts_of_words_in_common(text: str, other: str) -> None:
    words = extract_words(text)

    assert max(map(len, words)) <= 2
    assert len(words & extract_words(other)) > len(words) / 2


def test_similarity_is_dices_coefficient() -> None:
    first, second = frozenset("abcd"), frozenset("cdefgh")

    assert measure_similarity(first, second) == dice_similarity(2, 4, 6) == 0.4
    assert measure_similarity(first, first) == measure_similarity(frozenset(), frozenset()) == 1
    assert measure_similarity(first, frozenset()) == dice_similarity(0, 0, 0) == 0
