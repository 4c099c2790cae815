"""Values that nobody gave the agent are found, if only one attempt has them."""

import pytest

from sigmamind_mcp.insight.values_not_given import find_values_not_given
from tests.insight.conversations import make_run

PROMPT = "A move costs 46 CHF. Close before 18:30. Call 0800 555 0193 if in doubt."


def find(*said: str, prompt: str = PROMPT, **more: str) -> list[tuple[str, int]]:
    found = find_values_not_given([make_run(*said, mock_data=more)], prompt)
    assert found is not None
    return [(one.value, one.turn) for one in found]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("Your number is DSP-70481.", ["DSP-70481"]),
        ("That was $241.60, on 3/14/31.", ["$241.60", "3/14/31"]),
        ("Ring him at 0660 555 01 44!", ["0660 555 01 44"]),
        ("It costs 46 CHF, by 18:30.", []),
        ("Call 0800 555 0193.", []),
        ("Two of you, in 5 days, or a 7.", []),
        ("Nothing to say.", []),
    ],
)
def test_values_without_a_source_are_found_as_they_are_written(
    text: str, values: list[str]
) -> None:
    assert find("Hi!", text) == [(value, 2) for value in values]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("DSP-70418", "Your number is DSP-70418."),
        ("2026-11-09", "On 9 November 2026, or 09/11/26."),
        ("1240.50", "You owe $1,240.50."),
        ("0660555", "Call 0660555."),
    ],
)
def test_value_of_the_mock_data_is_given_in_other_forms(given: str, said: str) -> None:
    assert find("Hi!", said, value=given) == []
    assert find("Hi!", said) != []


def test_what_user_and_tools_said_before_is_given_and_what_comes_later_is_not() -> None:
    assert find("My code is 99231.", "99231, thanks.") == []
    assert find("tool|order 88410", "Order 88410, then.") == []
    assert find("Hi!", "Is it 99231?", "99231, yes.") == [("99231", 2)]


def test_value_of_several_attempts_is_no_slip_and_no_time_is_no_answer() -> None:
    one, two = make_run("Hi!", "It is 7731.", job="j1"), make_run("Hi!", "7731!", job="j2")

    assert find_values_not_given([one, two], "") == []
    assert [each.value for each in find_values_not_given([one], "") or ()] == ["7731"]
    assert find_values_not_given([one], "", has_time=lambda: False) is None
