"""Mock values are found in every form in which a conversation says them."""

import pytest

from sigmamind_mcp.insight.mock_masks import MockMask


def mask(text: str, *values: str) -> str:
    return MockMask(values, mark="***").mask(text)


@pytest.mark.parametrize(
    ("value", "text", "masked"),
    [
        ("Ana Lopez", "I am Ana Lopez.", "I am ***."),
        ("Ana Lopez", "I am ANA  LOPEZ.", "I am ***."),
        ("Ana Lopez", "Thanks, Ana!", "Thanks, ***!"),
        ("Ana Lopez", "An analysis of lopezia", "An analysis of lopezia"),
        ("4411", "Order 4411, not 44110.", "Order ***, not 44110."),
        ("2026-05-25", "on May 25th", "on ***"),
        ("W-2378", "number #W2378 please", "number #*** please"),
        ("$1,093.34", "it costs 1093.34 dollars", "it costs ***"),
        ("16:00", "at 4 pm", "at ***"),
        ("fourteen days", "within 14 days", "within ***"),
        ("ana.lopez@example.com", "mail ANA.LOPEZ@example.com now", "mail *** now"),
        ("C++ (x)", "the C++ (x) plan", "the *** plan"),
        ("active", "It is inactive, not active.", "It is inactive, not ***."),
        ("The order arrived broken", "The cup broke.", "The cup broke."),
        ("أحمد", "أنا أحمد هنا", "أنا *** هنا"),
        ("İpek 77", "İİ İpek 77 and 77", "II *** and ***"),
        ("Wait… 7 days", "Wait... 7 days it is, wait… 7 days", "*** it is, ***"),
        ("  ", "a  b", "a  b"),
        ("", "nothing", "nothing"),
    ],
)
def test_value_is_masked_in_each_form_and_nothing_else(value: str, text: str, masked: str) -> None:
    assert mask(text, value) == masked


def test_longer_values_come_first() -> None:
    assert mask("Ana Maria Lopez and Ana", "Ana", "Ana Maria Lopez") == "*** and ***"


def test_no_values_change_nothing() -> None:
    assert mask("at 4 pm, Ana") == "at 4 pm, Ana"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("I am Ana Lo [cut: 11 of 40 characters]", "I am *** [cut: 11 of 40 characters]"),
        ("I am Ana  [cut: 10 of 40 characters]", "I am *** [cut: 10 of 40 characters]"),
        ("I am ANA LOPE…", "I am ***…"),
        ("Banana Lo…", "Banana Lo…"),
        ("Ana Lima… and Ana L… here", "*** Lima… and ***… here"),
        ("An…", "An…"),
    ],
)
def test_value_that_a_cut_text_ends_in_is_masked(text: str, masked: str) -> None:
    assert mask(text, "Ana Lopez", "4411") == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Sent to: … Apt 4 Riverton, WA … Bye.", "Sent to: … *** … Bye."),
        ("… RIVERTON, WA is right.", "… *** is right."),
        ("It is … Apt 4 … here", "It is … *** … here"),
        ("… Riverton, WAX", "… Riverton, WAX"),
        ("…WA", "…WA"),
        ("… is fine …", "… is fine …"),
    ],
)
def test_rest_of_a_value_after_what_is_left_out_is_masked(text: str, masked: str) -> None:
    assert mask(text, "17 Lake St. Apt 4 Riverton, WA") == masked


def test_letters_that_are_longer_in_lower_case_do_not_move_the_rest_of_a_value() -> None:
    assert mask("a … Straße İx …", "12 Straße İx") == "a … *** …"


@pytest.mark.parametrize(
    "text", ["… Ana Lisa Road 7 now", "at Ana Lisa Road 7 …", "… Ana Lisa Road 7 …"]
)
def test_part_of_one_value_leaves_nothing_of_another(text: str) -> None:
    masked = mask(text, "from Ana", "Road 7 in town", "Ana Lisa Road 7")

    assert "***" in masked
    assert not any(word in masked for word in ("Ana", "Lisa", "Road", "7"))


def test_sentence_of_a_value_without_spaces_is_masked() -> None:
    assert mask("… 電話は内緒。", "住所は東京。電話は内緒。") == "… ***"
