"""The scripted judge reads nothing but the words."""

from time import perf_counter

import pytest

from sigmamind_mcp.sandbox.judge import Clause, Turn, clauses_of, judge, outcomes_asked, outcomes_forbidden

CANCEL = (
    "The agent should acknowledge the cancellation request, present retention alternatives, and confirm the"
    " cancellation if the customer insists."
)


@pytest.mark.parametrize(
    ("criteria", "clauses"),
    [
        (
            CANCEL,
            [
                Clause("acknowledge the cancellation request"),
                Clause("present retention alternatives"),
                Clause("confirm the cancellation", "the customer insists"),
            ],
        ),
        ("If the customer asks for a supervisor, escalate.", [Clause("escalate", "the customer asks for a supervisor")]),
        ("Apologises and explains the reason; stays polite", [Clause("Apologises"), Clause("explains the reason"), Clause("stays polite")]),
        ("Apologises and names a delivery date.", [Clause("Apologises"), Clause("names a delivery date")]),
        ("Explains the terms and conditions.", [Clause("Explains the terms and conditions")]),
        ("Reads the terms and conditions.", [Clause("Reads the terms and conditions")]),
        ("It must not promise a refund. Never guarantee a date", [Clause("not promise a refund"), Clause("Never guarantee a date")]),
        (" . ;\n\n ", []),
        ("", []),
    ],
)  # fmt: skip
def test_criteria_are_split_into_clauses(criteria: str, clauses: list[Clause]) -> None:
    assert list(clauses_of(criteria)) == clauses


@pytest.mark.parametrize(
    ("criteria", "outcome"),
    [
        ("acknowledge the problem", "acknowledge"),
        ("apologise for the delay", "apologise"),
        ("apologize for the delay", "apologise"),
        ("offer alternatives", "offer alternatives"),
        ("confirm the refund", "confirm"),
        ("verify the caller's identity", "verify identity"),
        ("ask for the name", "verify identity"),
        ("escalate to a human", "escalate"),
        ("explain the policy", "explain"),
        ("name the next step", "name the next step"),
    ],
)
def test_catalogue_of_outcomes(criteria: str, outcome: str) -> None:
    assert outcomes_asked(criteria) == {outcome}


def verdict(criteria: str, *said: str, mock_data: dict[str, str] | None = None) -> tuple[bool, str]:
    """Judge a conversation in which the user speaks first and the sides take turns."""
    turns = [Turn(("user", "assistant")[number % 2], content) for number, content in enumerate(said)]
    judgement = judge(criteria, turns, mock_data or {})
    return judgement.is_successful, judgement.remarks.removeprefix("Scripted sandbox judge: ")


def test_remarks_say_which_clause_was_met_at_which_turn_and_which_was_not() -> None:
    good, remarks = verdict(CANCEL, "Cancel it. I insist.", "I understand.", "So?", "We could also pause it instead.")

    assert not good
    assert remarks == (
        '"acknowledge the cancellation request": met at turn 2. "present retention alternatives": met at turn 4.'
        ' "confirm the cancellation": not met.'
    )


def test_condition_that_did_not_arise_decides_nothing() -> None:
    said = ("Cancel it.", "I understand. We could also pause it instead.", "Fine, do that.")

    good, remarks = verdict(CANCEL, *said)

    assert good
    assert '"confirm the cancellation": did not arise (the customer insists).' in remarks


def test_what_is_forbidden_is_kept_or_broken() -> None:
    criteria = "The agent must not promise a refund."

    assert verdict(criteria, "Promise?", "I cannot say.") == (True, '"not promise a refund": kept.')
    assert verdict(criteria, "Promise?", "I promise.") == (False, '"not promise a refund": broken at turn 2.')
    assert outcomes_forbidden(criteria) == {"promise"}


def test_fact_from_the_mock_data_must_be_stated_as_it_is() -> None:
    mock = {"order_number": "4411", "customerName": "Ana"}

    assert verdict("States the order number", "Which?", "It is 4411.", mock_data=mock)[0]
    assert not verdict("States the order number", "Which?", "It is 4412.", mock_data=mock)[0]
    assert verdict("Mentions the customer name", "Hi", "Hello ANA.", mock_data=mock)[0]


def test_rude_word_breaks_politeness() -> None:
    assert verdict("Stays polite", "Hi", "Hello.")[0]
    assert not verdict("Stays polite", "Hi", "That is not my problem.")[0]


def test_clause_outside_the_catalogue_is_called_not_judged_and_decides_nothing() -> None:
    assert verdict("Apologises. Uses the metric system.", "Hi", "I am sorry.") == (
        True,
        '1 of 2 clauses decide. "Apologises": met at turn 2. "Uses the metric system": not judged by the sandbox.',
    )


@pytest.mark.parametrize("criteria", ["Uses the metric system.", "", "?!", "Удачи", "(?P<x>["])
def test_run_with_no_judgeable_clause_is_not_a_success_and_says_why(criteria: str) -> None:
    good, remarks = verdict(criteria, "Hi", "Hello.")

    assert not good
    assert remarks.endswith("No clause could be judged, so this run is not a success.")


def test_users_words_are_not_the_agents() -> None:
    assert not verdict("Apologises", "I am sorry", "Hm.")[0]


@pytest.mark.parametrize(
    "piece", ["and if when ", ", if", "a ", "not n't ", "confirm the state and ", "\n", "{{", "((("]
)
def test_hostile_criteria_take_linear_time(piece: str) -> None:
    start = perf_counter()
    judge(piece * (100_000 // len(piece)), [Turn("assistant", piece * 2000)] * 12, {piece: piece})

    assert perf_counter() - start < 5  # quadratic time would need minutes
