"""Whether the agent says the values and phrases that the criteria ask for, in any spelling."""

import pytest

from sigmamind_mcp.insight.agent_words import AgentWords
from sigmamind_mcp.insight.unsaid_values import has_unsaid_value
from tests.insight.conversations import make_run


def lacks_value(*said: str, criteria: str) -> bool:
    run = make_run(*said, criteria=criteria)
    return has_unsaid_value(run, AgentWords.read_run(run))


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
def test_agent_lacks_what_the_criteria_ask_for(criteria: str, said: str) -> None:
    assert lacks_value("Hi.", said, criteria=criteria)


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
def test_other_spellings_are_said_and_without_a_demand_nothing_is_missing(
    criteria: str, said: str
) -> None:
    assert not lacks_value("Hi.", said, criteria=criteria)


def test_criteria_are_not_compared_with_another_language() -> None:
    said = "Der Vertrag kostet monatlich fünfundzwanzig Franken, wie besprochen."

    assert not lacks_value("Hallo.", said, criteria="The agent states the fee of 25.")
