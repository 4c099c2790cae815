"""The scripted judge reads nothing but the words."""

from random import Random
from time import perf_counter

import pytest

from sigmamind_mcp.sandbox.judge import (
    CATALOGUE,
    GREET,
    RUDE,
    Clause,
    Turn,
    clauses_of,
    judge,
    read_criteria,
)
from sigmamind_mcp.sandbox.simulator import INTENTS, ORDER, VAGUE, Behaviour, Scenario, converse

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
        ("It must not promise a refund. Never guarantee a date", [Clause("not promise a refund", forbidden=True), Clause("Never guarantee a date", forbidden=True)]),
        ("Confirm the date and time and apologise", [Clause("Confirm the date and time"), Clause("apologise")]),
        ("Confirms unless the customer accepts.", [Clause("Confirms", "the customer accepts", unless=True)]),
        ("Tells the customer when to expect the money", [Clause("Tells the customer when to expect the money")]),
        (
            "Do not apologise, promise a refund, or transfer the call",
            [
                Clause("Do not apologise", forbidden=True),
                Clause("promise a refund", forbidden=True),
                Clause("transfer the call", forbidden=True),
            ],
        ),
        (
            "Confirms it without escalating, and apologises",
            [Clause("Confirms it"), Clause("without escalating", forbidden=True), Clause("apologises")],
        ),
        ("Not only apologises but also confirms", [Clause("Not only apologises"), Clause("confirms")]),
        (" . ;\n\n ", []),
        ("", []),
    ],
)  # fmt: skip
def test_criteria_are_split_into_clauses(criteria: str, clauses: list[Clause]) -> None:
    assert clauses_of(criteria) == clauses


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
        ("tell the customer when it arrives", "name the next step"),
        ("decline the request", "decline"),
        ("refuse to transfer the call", "decline"),
        ("give a full refund", "grant a refund"),
        ("offer store credit", "offer alternatives"),
        ("greet the customer", "greet"),
        ("stay polite", "stay polite"),
    ],
)
def test_catalogue_of_outcomes(criteria: str, outcome: str) -> None:
    assert read_criteria(criteria, {}).asked == {outcome}


def verdict(criteria: str, *said: str, mock_data: dict[str, str] | None = None) -> tuple[bool, str]:
    """Judge a conversation in which the user speaks first and the sides take turns."""
    turns = [
        Turn(("user", "assistant")[number % 2], content) for number, content in enumerate(said)
    ]
    judgement = judge(read_criteria(criteria, mock_data or {}), turns)
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
    judge(criteria, [Turn("assistant", piece * 2000)] * 12)

    assert perf_counter() - start < 5  # quadratic time would need minutes


def spoken(criteria: str, prompt: str, behaviour: Behaviour) -> list[str]:
    """What an agent with that behaviour says in many conversations."""
    scenario = Scenario.of(
        prompt, {"customer_name": "Ana", "amount": "18"}, read_criteria(criteria, {})
    )
    talks = [
        converse(scenario, agent=behaviour, greeting=None, random=Random(number))
        for number in range(40)
    ]
    return [turn.content for talk in talks for turn in talk if turn.role == "assistant"]


PATTERNS = {outcome.name: outcome for outcome in (*CATALOGUE, GREET)}
PROMPTS = [intent.wish for intent in INTENTS] + ["something else"]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("outcome", sorted(PATTERNS.keys() - {"fact"}))
def test_skilled_agent_shows_each_outcome_whatever_the_user_wants(
    outcome: str, prompt: str
) -> None:
    criteria = read_criteria(outcome, {})
    scenario = Scenario.of(prompt, {}, criteria)

    for number in range(10):
        talk = converse(scenario, agent=Behaviour(skill=1), greeting=None, random=Random(number))
        assert judge(criteria, talk).is_successful, talk


def test_missed_step_shows_nothing_that_the_judge_knows() -> None:
    lines = [line for missed in VAGUE.values() for line in missed]

    assert set(VAGUE) <= set(ORDER)
    assert not [
        line for line in lines if any(known.shown.search(line) for known in PATTERNS.values())
    ]
    assert not [line for line in lines if RUDE.search(line)]


def test_agent_speaks_of_the_users_things_as_theirs() -> None:
    said = spoken("acknowledge", "You want to cancel your subscription.", Behaviour(skill=1))

    assert any("you want to cancel your subscription" in line for line in said)
    assert not any("cancel my subscription" in line for line in said)


def test_user_tells_what_the_prompt_tells() -> None:
    prompt = "You are upset. Your kettle arrived broken and you want to get a refund."
    scenario = Scenario.of(prompt, {}, read_criteria("acknowledge", {}))
    talk = converse(scenario, agent=Behaviour(skill=1), greeting=None, random=Random(1))

    assert talk[0].content.endswith("I want to get a refund.")
    assert talk[2].content.startswith("My kettle arrived broken.")


def test_agent_never_repeats_itself_within_a_turn() -> None:
    behaviour = Behaviour(skill=0.5, weaknesses=("loops",))

    for line in spoken(
        "confirm, name the next step", "You want to cancel your subscription.", behaviour
    ):
        sentences = [sentence for sentence in line.split(". ") if len(sentence) > 3]
        assert len(sentences) == len(set(sentences)), line
