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
    prompted = {name: value for name, value in known.raw["testCase"].items() if name != "mockData"}
    without_mocks = TestRun.read({**thin, "testCase": prompted})
    broken = TestRun.read({**known.raw, "conversation": [conversation[0], 5, conversation[1]]})

    for run in (unknown, without_mocks, broken):
        assert find_values_not_given([run], []) == FoundValues([], 0)
    case = known.test_case
    assert case is not None and case.test_case_id
    for run in (unknown, without_mocks):
        found = find_values_not_given([run], [], {case.test_case_id: case, "tc_1": case})
        assert found is not None and [one.value for one in found.values] == ["7731"]


def test_value_of_several_attempts_is_no_slip_and_no_time_is_no_answer() -> None:
    one, two = make_run("Hi!", "It is 7731.", job="j1"), make_run("Hi!", "7731!", job="j2")

    assert list_found([one, two]) == []
    assert list_found([one]) == [("7731", 2)]
    assert find_values_not_given([one], [], has_time=lambda: False) is None


ASKS = "What day was the charge that I do not know?"
DATED = {"day": "2026-11-06", "limit": "3500", "id": "DSP-70991"}
# The numbers of the date are there, as those of something else.
PARTS = "9. Promise nothing.\n 11) End politely. Id tc_9, since 2026-09-25 and 2020-05-05."


def make_dated(*said: str, job: str = "job_1") -> TestRun:
    return make_run(ASKS, *said, job=job, mock_data=DATED)


@pytest.mark.parametrize(
    "said",
    [
        "11/09/26",
        "11/09/2026",
        "2026-11-09",
        "09.11.2026",
        "9-11-26",
        "2026-11-07",
        "2026-09-06",
        "11/06/25",
    ],
)
def test_date_near_a_mock_date_is_found_though_its_numbers_are_given(said: str) -> None:

    found = find_values_not_given([make_dated(f"It was on {said}.")], [PARTS + "\n7. Be kind."])

    assert found is not None
    [value] = found.values
    assert (value.value, value.turn) == (said, 2)
    assert value.near is not None and value.near.variable_name == "day"


@pytest.mark.parametrize("said", ["11/06/26", "6.11.2026", "10/09/26", "09/09/20", "31/31/26"])
def test_mock_date_in_another_form_or_far_from_it_is_not_found(said: str) -> None:
    assert list_found([make_dated(f"It was on {said}.")], PARTS + " 10. 31. 20.") == []


@pytest.mark.parametrize(
    "before",
    [
        "It was on 11/9/2026.",
        "On 9. 11. 2026, I think.",
        "On 9/11.",
        "It says 20261109.",
        "At 2026-11-09T16:30:00Z.",
        "Nov. 9th",
        "the ninth of november",
        "between November 5 and 9",
        "9 or so",
        "It was on ١١/٠٩/٢٠٢٦.",
    ],
)
def test_near_date_is_not_found_if_a_text_before_it_gives_it_or_its_day(before: str) -> None:
    says = "It was on 11/09/26."

    assert list_found([make_dated("Hm.", before, says)], PARTS) == []
    assert list_found([make_dated("Hm.", f"tool|{before}", f"assistant|{says}")], PARTS) == []
    assert list_found([make_dated(says)], f"{PARTS} {before}") == []
    assert list_found([make_dated(says, before)], PARTS) == [("11/09/26", 2)]


@pytest.mark.parametrize(
    ("said", "before"),
    [("2026-09-06", "In September?"), ("2026-09-06", "month 9"), ("11/06/25", "In '25?")],
)
def test_month_and_year_are_parts_too(said: str, before: str) -> None:
    assert list_found([make_dated("Hm.", "On 6 October?", said)], PARTS) == [(said, 4)]
    assert list_found([make_dated("Hm.", before, said)], PARTS) == []


@pytest.mark.parametrize("other", ["It was on 2026-11-09.", "On 9.11.2026.", "On 11/9/26, yes."])
def test_near_date_of_two_attempts_in_any_form_is_no_slip(other: str) -> None:
    one, two = make_dated("On 11/09/26."), make_dated(other, job="job_2")

    assert list_found([one, two], PARTS) == list_found([two, one], PARTS) == []


def test_many_near_dates_are_sums_and_no_slips() -> None:
    prompt = PARTS + " 2020-05-17 2020-05-18 2020-05-19 2020-05-23"
    runs = [make_dated(f"Until 2026-11-{day}.", job=f"job_{day}") for day in (17, 18, 19, 23)]

    assert len(list_found(runs[:3], prompt)) == 3
    assert list_found(runs, prompt) == []


def make_named(*said: str, job: str) -> TestRun:
    greeting = "Thank you, Mr. Figueroa."
    return make_run("Hi!", greeting, *said, job=job, mock_data={"owner": "Marlon Figueroa"})


def find_name(*said: str, prompt: str = "Be kind.", other: str = "") -> list[tuple[str, int]]:
    others = [make_named("And?", other or "Fine.", job=f"job_{number}") for number in (1, 2)]
    return list_found([*others, make_named(*said, job="job_3")], prompt)


SLIP = "Goodbye, Mr. Ferreira."


def test_name_in_the_place_of_a_mock_value_is_found() -> None:
    assert find_name("Bye!", SLIP) == [("Ferreira", 4)]


def test_name_that_anybody_gave_is_not_found() -> None:
    assert find_name("I am Ferreira now.", SLIP) == []
    assert find_name("maria.ferreira@example.com is mine", SLIP) == []
    assert find_name("FERREYRA", SLIP) == []
    assert find_name("Bye!", SLIP, prompt="Your boss is Ana Ferreira.") == []
    assert find_name("tool|{'user': 'ferreira'}", f"assistant|{SLIP}") == []
    assert find_name("Who is it?", "A Ms Ferreira.", "Bye!", SLIP) == [("Ferreira", 4)]
    assert find_name("Bye!", SLIP, other="Ask Ana Ferreira.") == []
    assert find_name("Bye!", SLIP, "I am Ferreira now.") == [("Ferreira", 4)]


def test_many_names_come_from_elsewhere() -> None:
    says = "Dear Figueroa, Mr. Figueroa, Herr Figueroa, Signor Figueroa."
    names = ("Dear Adams", "Mr. Brook", "Herr Chan", "Signor Drake")

    def find_first(count: int) -> list[str]:
        slips = ", ".join(names[:count])
        runs = [make_named("And?", says, job=f"job_{number}") for number in (1, 2)]
        runs.append(make_named("And?", says, "And?", slips, job="job_3"))
        return sorted(value for value, _ in list_found(runs))

    assert find_first(3) == ["Adams", "Brook", "Chan"]
    assert find_first(4) == []
