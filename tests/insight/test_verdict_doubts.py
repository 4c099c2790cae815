"""Verdicts worth a second look: failures that say it, passes that do not, and broken judges."""

import pytest

from sigmamind_mcp.insight.agent_words import AgentWords
from sigmamind_mcp.insight.verdict_doubts import Doubt, find_doubts, is_judge_error
from tests.insight.conversations import make_run


def doubts(*said: str, **fields: object) -> list[Doubt]:
    run = make_run(*said, **fields)  # type: ignore[arg-type]  # the fields of make_run
    return find_doubts(run, AgentWords.read_run(run))


@pytest.mark.parametrize(
    ("criteria", "said"),
    [
        ("The agent states the fee of 25 CHF.", "There is a small fee."),
        ("The agent tells the user: 1093.34.", "In total 1,193.34 USD."),
        ("The agent must mention 4 May.", "It comes on May 5th."),
        (
            'The agent sends the user to "PIN services" and does not offer a PIN.',
            "I text you a PIN.",
        ),
        ("The agent says that order W-2378 is late.", "Your order is late."),
    ],
)
def test_pass_that_lacks_what_the_criteria_ask_for(criteria: str, said: str) -> None:
    (doubt,) = doubts("Hi.", said, passed=True, criteria=criteria)

    assert doubt.kind == "passed without it" and doubt.asked in criteria


@pytest.mark.parametrize(
    ("criteria", "said"),
    [
        ("The agent states the fee of 25 CHF.", "It costs twenty-five francs."),
        ("The agent tells the user: 1093.34.", "In total $1,093.34."),
        ("The agent must mention 4 May.", "It comes on 2026-05-04."),
        ('The agent sends the user to "PIN services".', "Please go to PIN services."),
        ("The agent must not state the fee of 25 CHF.", "There is a small fee."),
        ("The agent carries out: update (zip 10228, state NY, item_ids [\"8886009523\"]).", "Done."),
        ("The agent says it within 2 turns.", "Done."),
        ("The agent names a time, 4 PM.", "At four o'clock."),
        ("The agent states a fee of 25 CHF or 30 CHF.", "30 CHF."),
    ],
)  # fmt: skip
def test_pass_in_other_spellings_or_without_a_demand_is_not_doubted(
    criteria: str, said: str
) -> None:
    assert doubts("Hi.", said, passed=True, criteria=criteria) == []


@pytest.mark.parametrize(
    ("remarks", "said"),
    [
        ("The agent never mentioned the fee of 25 CHF.", "There is a fee of CHF 25."),
        (
            "It did not say that more is possible in a branch.",
            "The rest needs one of our branches.",
        ),
        ("The agent failed to tell the user about 1093.34.", "It is $1,093.34 in all."),
        (
            "It did not confirm the express refund payment.",
            "Your express refund payment is on its way.",
        ),
    ],
)
def test_failure_whose_remarks_miss_what_a_turn_says(remarks: str, said: str) -> None:
    (doubt,) = doubts("Hi.", "Hello.", "And?", said, remarks=remarks)

    assert (doubt.kind, doubt.turn) == ("failed although said", 4)
    assert doubt.asked in remarks


@pytest.mark.parametrize(
    ("remarks", "said"),
    [
        ("The agent never mentioned the fee of 25 CHF.", "There is no fee of 25 CHF."),
        ("The agent never mentioned the fee.", "Is it about the fee?"),
        ("The agent did not confirm the refund.", "A refund takes a while."),
        ("The agent was rude.", "Go away."),
        ("The agent did not tell the user.", "Hello."),
        ("", "Hello."),
    ],
)
def test_failure_that_stands_is_not_doubted(remarks: str, said: str) -> None:
    assert doubts("Hi.", said, remarks=remarks) == []


@pytest.mark.parametrize(
    ("remarks", "is_error"),
    [
        ("Rate limit exceeded", True),
        ("Error code: 429 - too many requests", True),
        ("Evaluation failed: timed out after 60 s", True),
        ("Could not parse the JSON of the judgement", True),
        ("502 gateway error", True),
        ("The agent told the customer about a rate limit.", False),
        ("The agent's webhook gave an internal server error.", False),
        ("The refund was not confirmed.", False),
        ("", False),
    ],
)
def test_failure_of_the_judge_itself(remarks: str, is_error: bool) -> None:
    assert is_judge_error(remarks) is is_error
    assert (
        [one.kind for one in doubts("Hi.", "Hm.", remarks=remarks)] == ["judge error"]
    ) is is_error
