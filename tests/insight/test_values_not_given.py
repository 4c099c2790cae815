"""Values that nobody gave the agent are found, if only one attempt has them."""

from collections.abc import Sequence

import pytest

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.values_not_given import FoundValues, find_values_not_given
from tests.insight.conversations import make_run

PROMPT = "A move costs 46 CHF. Close before 18:30. Call 0800 555 0193 if in doubt."


def find(*said: str, prompt: str = PROMPT, **more: str) -> list[tuple[str, int]]:
    return list_found([make_run(*said, mock_data=more)], prompt)


def list_found(runs: Sequence[TestRun], prompt: str = "") -> list[tuple[str, int]]:
    found = find_values_not_given(runs, [prompt])
    assert found is not None and found.run_count == len(runs)
    return [(one.value, one.turn) for one in found.values]


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


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("06605550144", "0660 555 01 44"),
        ("+43 (660) 555-0144", "06605550144"),
        ("4111111111111111", "4111 1111 1111 1111"),
        ("4111111111111111", "a card that ends in 1111"),
        ("88-410", "MRN 88410"),
        ("five five five, zero one four four", "555-0144"),
        ("DSP seven oh four eight one", "DSP-70481"),
        ("nineteen eighty-four", "1984"),
        ("two hundred and fifty", "250"),
        ("the twenty-first", "21"),
        ("twenty-five thousand", "25,000"),
        ("16:30", "4:30 PM"),
        ("2026-11-09T16:30:00Z", "November 9, 2026, 4:30 PM"),
        ("20261109", "2026-11-09"),
        ("November 2026", "11/2026"),
        ("1240.5", "$1,240.50"),
        ("$50", "$50.00"),
        ("24160 cents", "$241.60"),
        ("0.15", "15%"),
        ("\u0664\u0662\u0664\u0662", "4242"),
        ("4242", "\uff14\uff12\uff14\uff12"),
    ],
)
def test_value_is_given_in_whatever_form_it_is_written(given: str, said: str) -> None:
    assert find(f"It is {given}.", f"It is {said}.", prompt="") == []
    assert find("Hi!", f"It is {said}.", prompt="", value=given) == []
    assert find("Hi!", f"It is {said}.", prompt="") != []


@pytest.mark.parametrize(
    "tool",
    [
        {"role": "tool", "tool_call_id": "c1", "content": '{"order": 88410}'},
        {"role": "tool", "tool_call_id": "c1", "content": "x " * 5_000 + "order 88410"},
        {"role": "user", "content": [{"type": "tool_result", "content": '{"order": 88410}'}]},
        {"role": "user", "content": [{"type": "tool_result", "content": [{"text": "88410"}]}]},
        {"role": "function", "parts": [{"functionResponse": {"response": {"order": 88410}}}]},
        {"role": "system", "event": {"order": 88410}},
    ],
    ids=lambda tool: str(tool)[:60],
)
def test_what_tools_answer_is_given_in_every_form_of_their_messages(tool: object) -> None:
    spoken = make_run("Hi!", "Order 88410, then.")
    asked, answered = spoken.raw["conversation"]
    case = spoken.raw["testCase"]
    told = TestRun.read({"testCase": case, "conversation": [asked, tool, answered]})

    assert list_found([told]) == []
    assert list_found([spoken]) == [("88410", 2)]


def test_one_value_in_two_forms_is_of_two_attempts() -> None:
    one, two = make_run("Hi!", "It is $77.50."), make_run("Hi!", "It is 77.5 dollars.")

    assert list_found([one, two]) == []


def test_runs_of_which_not_all_is_known_are_left_out() -> None:
    known = make_run("Hi!", "It is 7731.")
    conversation = known.raw["conversation"]
    thin = {"jobId": "j", "testCase": {"testCaseId": "tc_1"}, "conversation": conversation}
    unknown = TestRun.read(thin)
    broken = TestRun.read({**known.raw, "conversation": [conversation[0], 5, conversation[1]]})

    for run in (unknown, broken):
        assert find_values_not_given([run], []) == FoundValues([], 0)
    case = known.test_case
    assert case is not None
    found = find_values_not_given([unknown], [], {"tc_1": case})
    assert found is not None and [one.value for one in found.values] == ["7731"]


def test_value_of_several_attempts_is_no_slip_and_no_time_is_no_answer() -> None:
    one, two = make_run("Hi!", "It is 7731.", job="j1"), make_run("Hi!", "7731!", job="j2")

    assert list_found([one, two]) == []
    assert list_found([one]) == [("7731", 2)]
    assert find_values_not_given([one], [], has_time=lambda: False) is None
