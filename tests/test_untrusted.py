"""The cleaner and the fence."""

import pytest

from sigmamind_mcp.untrusted import clean, clean_json, fence


@pytest.mark.parametrize(
    "text",
    [
        "Plain text,\twith tabs\nand lines.",
        "Grüße, naïve café — “quoted” … €5",
        "日本語のテキスト、한국어, 中文",
        "العربية مرحبا بكم",
        "می‌خواهم",
        "שלום עולם",
        "क्षत्रिय, क्‍ष",
        "👩‍👩‍👧‍👦 👍🏽 ❤️ 1️⃣ 🏳️‍🌈",
        "",
    ],
)
def test_what_people_write_comes_through_letter_by_letter(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\u200bb\ufeffc\u00add", "abcd"),
        ("pay\u202e100\u2066!", "pay100!"),
        ("hid\U000e0068\U000e0069den", "hidden"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07text", "red text"),
        ("bell\x07 null\x00 delete\x7f c1\x9b", "bell null delete c1"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("a\u200db \u200c", "ab "),
        ("a\ufe0f\ufe01b", "ab"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
    ],
)
def test_what_nobody_sees_is_taken_out(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    assert clean(clean(text)) == cleaned


def test_keys_of_objects_are_cleaned_too() -> None:
    assert clean_json({"a\u200bb": ["c\u200bd", 1, None, True]}) == {"ab": ["cd", 1, None, True]}


def test_fence_has_a_new_boundary_each_time_that_its_text_cannot_close() -> None:
    first = fence("hello")
    second = fence(first)

    assert first != fence("hello")
    assert second.splitlines()[1:-1] == first.splitlines()
    assert second.splitlines()[0].split(":")[0] != first.splitlines()[0].split(":")[0]
