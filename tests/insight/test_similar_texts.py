"""Texts are compared by their letter triples."""

import pytest

from sigmamind_mcp.insight.similar_texts import ComparableText, normalize_text


@pytest.mark.parametrize(
    ("first", "second", "similarity"),
    [
        ("refund", "refund", 1.0),
        ("abcd", "abce", 0.5),
        ("abcd", "wxyz", 0.0),
        ("ab", "cd", 0.0),
        ("abcdefghij", "abc", 0.0),
        ("", "", 1.0),
    ],
    ids=["equal", "half", "nothing", "too short", "too different in length", "empty"],
)
def test_similarity_is_the_share_of_triples(first: str, second: str, similarity: float) -> None:
    assert ComparableText.read(first).measure_similarity(second) == similarity


def test_case_spaces_and_final_marks_make_no_difference() -> None:
    assert normalize_text("  A  Refund\n of 39.90!? ") == "a refund of 39.90"
    assert normalize_text(None) == ""
