"""The scripted judge reads nothing but the words."""

from time import perf_counter

import pytest

from sigmamind_mcp.sandbox.criteria import read_criteria
from sigmamind_mcp.sandbox.judge import SimulatedTurn, judge_conversation

CANCEL = (
    "The agent should acknowledge the cancellation request, present retention alternatives, and confirm the"
    " cancellation if the customer insists."
)


def verdict(criteria: str, *said: str, mock_data: dict[str, str] | None = None) -> tuple[bool, str]:
    """Judge a conversation in which the user speaks first and the sides take turns."""
    turns = [
        SimulatedTurn(("user", "assistant")[number % 2], content)
        for number, content in enumerate(said)
    ]
    judgement = judge_conversation(read_criteria(criteria, mock_data or {}), turns)
    return judgement.is_successful, judgement.remarks.removeprefix("Scripted sandbox judge: ")


def test_remarks_say_which_clause_was_met_at_which_turn_and_which_was_not() -> None:
    good, remarks = verdict(
        CANCEL, "Cancel it. I insist.", "I understand.", "So?", "We could also pause it instead."
    )

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
    assert verdict(criteria, "Promise?", "I promise.") == (
        False,
        '"not promise a refund": broken at turn 2.',
    )
    assert read_criteria(criteria, {}).forbidden == {"promise"}


@pytest.mark.parametrize(
    ("criteria", "said"),
    [
        ("Resolves it without escalating to a human.", "I have now fixed it."),
        ("No transfer to a human.", "I have now fixed it."),
        ("The agent must refrain from promising anything.", "I cannot say."),
        ("Should not offer a refund.", "We could also pause it instead."),
        ("Refuses to give a refund.", "I cannot do that."),
        ("Confirms that the change is not possible.", "I confirm that it is not possible."),
        ("Acknowledges the request but never promises a refund.", "I understand."),
    ],
)
def test_negation_reaches_what_it_is_said_of(criteria: str, said: str) -> None:
    assert verdict(criteria, "Hi", said)[0]


@pytest.mark.parametrize(
    ("criteria", "said"),
    [
        ("Confirms the booking.", "I cannot confirm the booking: nothing is confirmed."),
        ("Escalates to a human.", "I will not transfer you to anyone."),
        ("Apologises.", "I am not sorry."),
        ("Offers alternatives.", "I have no alternatives and no options."),
    ],
)
def test_what_the_agent_denies_is_not_shown(criteria: str, said: str) -> None:
    assert not verdict(criteria, "Hi", said)[0]


def test_condition_with_unless_decides_nothing_once_it_arose() -> None:
    criteria = "Apologises. Confirms unless the customer accepts the offer."

    assert verdict(criteria, "Fine, I accept.", "I am sorry.")[0]
    assert not verdict(criteria, "No.", "I am sorry.")[0]


def test_fact_from_the_mock_data_must_be_stated_as_it_is() -> None:
    mock = {"order_number": "4411", "customerName": "Ana"}

    assert verdict("States the order number", "Which?", "It is 4411.", mock_data=mock)[0]
    assert not verdict("States the order number", "Which?", "It is 4412.", mock_data=mock)[0]
    assert not verdict("States the order number", "Which?", "It is 44112.", mock_data=mock)[0]
    assert verdict("Mentions the customer name", "Hi", "Hello ANA.", mock_data=mock)[0]
    assert verdict("Greets the customer by name", "Hi", "Hello Ana.", mock_data=mock)[0]
    assert not verdict("Greets the customer by name", "Hi", "Hi ,", mock_data=mock)[0]


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
    "piece",
    [
        "a" + " " * 20_000 + "b",
        "and if when ",
        ", if",
        "a ",
        "and ",
        "not n't ",
        "confirm the state and ",
        "without ",
        "\n",
        "{{",
        "(((",
    ],
)
def test_hostile_criteria_take_linear_time(piece: str) -> None:
    start = perf_counter()
    criteria = read_criteria(piece * (100_000 // len(piece)), {piece: piece})
    judge_conversation(criteria, [SimulatedTurn("assistant", piece * 2000)] * 12)

    assert perf_counter() - start < 5  # quadratic time would need minutes
