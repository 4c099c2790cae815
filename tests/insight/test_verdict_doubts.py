"""Verdicts worth a second look: failures that say it, passes that do not, and broken judges."""

import pytest

from sigmamind_mcp.insight.agent_words import AgentWords
from sigmamind_mcp.insight.verdict_doubts import Doubt, find_doubts
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
        ("The agent books it and tells the code 0711 334 556.", "You get the code in a text."),
        ("Agent must state the rate of 240 and the term of 18 months.", "You pay 240 each time."),
        ("The agent names the start, Monday 8 June.", "It is for the summer, as you like."),
        ('The agent mentions the "no refund rule".', "You can cancel if you like."),
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
        ("The agent gives the total of 1,260.", "It is one thousand two hundred and sixty in all."),
        ("The agent gives the total of 243.", "It is two hundred and forty-three in all."),
        ("The agent gives the total of 1,260.", "That is 1 260 in all, if you like."),
        ("The agent says it is due on 10.11.", "You have until the tenth of November."),
        ("The agent states the term of 14 days.", "You have two weeks for it."),
        ("The agent says 90 minutes.", "It takes you an hour and a half. So one and a half hours."),
        ("The agent gives the number 0711 334 556.", "Call 0711-33 45 56 for that."),
        ("The agent gives the shelf C-12-07.", "It is Charlie, twelve, zero seven."),
        ("The agent names the day, 8 June.", "It is on Monday."),
        ("The agent explains how to change a price below 500.", "You can do it in the app."),
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
        ("The deadline is not named.", "You must send it within 21 days."),
        ("No apology was made.", "We are very sorry for the wait."),
        ("The agent did not ask for the postcode.", "What is your postcode?"),
        ("The agent did not offer a free upgrade.", "I can give you a free upgrade."),
        ("It never told the waiting time of 48 hours.", "Wait two days, please."),
    ],
)
def test_failure_whose_remarks_miss_what_a_turn_says(remarks: str, said: str) -> None:
    criteria = "The agent names the deadline of 21 days."
    (doubt,) = doubts("Hi.", "Hello.", "And?", said, remarks=remarks, criteria=criteria)

    assert (doubt.kind, doubt.turn) == ("failed although said", 4)
    assert doubt.asked in remarks


@pytest.mark.parametrize(
    ("remarks", "said"),
    [
        ("The agent never mentioned the fee of 25 CHF.", "There is no fee of 25 CHF."),
        ("The agent never mentioned the fee.", "Is it about the fee?"),
        ("The agent did not confirm the refund.", "A refund takes a while."),
        ("The agent was rude.", "Go away."),
        ("The agent said 98 rather than 89, not the price.", "The price is 98."),
        ("It did not offer a voucher.", "A voucher takes a while."),
        ("No apology was made.", "I'm sorry, but I can't do that."),
        ("The agent did not ask for the postcode.", "The postcode is wrong."),
        ("It never said that the fee of 25 CHF is due at once.", "There is a fee of 25 CHF."),
        ("The agent did not tell the user.", "Hello."),
        ("", "Hello."),
    ],
)
def test_failure_that_stands_is_not_doubted(remarks: str, said: str) -> None:
    assert doubts("Hi.", said, remarks=remarks) == []


@pytest.mark.parametrize("passed", [True, False])
def test_broken_judge_is_doubted_on_both_sides(passed: bool) -> None:
    (doubt,) = doubts("Hi.", "Hm.", passed=passed, remarks="Rate limit exceeded")

    assert doubt.kind == "judge error"


def test_criteria_are_not_compared_with_another_language() -> None:
    said = "Der Vertrag kostet monatlich fünfundzwanzig Franken, wie besprochen."

    assert doubts("Hallo.", said, passed=True, criteria="The agent states the fee of 25.") == []
