"""The turns worth reading are where the agent acts, and never goodbyes."""

import pytest

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.diagnosis import Quote
from sigmamind_mcp.insight.endings import Ending
from sigmamind_mcp.insight.key_turns import choose_key_turns, find_item, quote_item
from sigmamind_mcp.insight.said_items import Item
from sigmamind_mcp.insight.telling_exchanges import ExchangeRanking
from tests.insight.conversations import make_run

DEAL = ["Cancel.", "Which one?", "4411", "Cancel 4411 for 40 CHF, shall I?", "Yes, please.", "Done.",
        "Thanks, bye.", "You are welcome, have a nice day!"]  # fmt: skip


def choose(run: TestRun, ending: Ending = "closed", *items: Item) -> list[Quote]:
    return choose_key_turns(run, ending, items, ExchangeRanking([run]).rank(run))


def test_no_goodbye_is_quoted() -> None:
    for remarks in ("", "The agent was welcome and had a nice day."):
        run = make_run(*DEAL, remarks=remarks)
        numbers = [quote.number for quote in choose(run)]
        assert 4 in numbers and 8 not in numbers


def test_before_silence_the_last_turn_of_the_agent_is_quoted_first() -> None:
    run = make_run("Hi.", "Let me look into it.", "Hello?", "user|Are you there?")

    quote, *_ = choose(run, "agent silent")
    assert (quote.number, quote.why) == (2, "before the end")


def test_turn_with_what_separates_is_found_and_quoted() -> None:
    run = make_run("Hi.", "Hello.", "When?", "Within fourteen days.", "Ok.", "Anything else?")

    assert find_item(run, Item("value", "14 day")) == 4
    assert find_item(run, Item("ending", "closed")) is None
    assert 4 in [q.number for q in choose(run, "closed", Item("value", "14 day"))]


def test_turn_that_only_an_item_separates_is_quoted_for_it() -> None:
    said = [
        "Hi.",
        "Hello.",
        "When?",
        "Within fourteen days.",
        "My bill?",
        "The late fee is 12 CHF.",
    ]
    run = make_run(*said, remarks="A wrong late fee was stated.")
    passed = make_run(*said[:4], passed=True)
    item = Item("value", "14 day")

    ranked = ExchangeRanking([passed, run]).rank(run)

    assert 4 not in [one.number for one in choose_key_turns(run, "closed", [], ranked)]
    quotes = choose_key_turns(run, "closed", [item], ranked)
    assert (4, "has what separates") in [(one.number, one.why) for one in quotes]


def test_run_that_says_only_what_passed_runs_say_shows_its_end() -> None:
    said = ["Hi.", "Hello.", "My bill?", "I look into it.", "Thanks, bye!"]
    passed = make_run(*said[:4], "And?", "It is paid.", passed=True)
    run = make_run(*said)

    (quote,) = choose_key_turns(run, "closed", [], ExchangeRanking([passed, run]).rank(run))

    assert (quote.number, quote.why) == (4, "before the end")


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (Item("value", "14 day"), "fourteen days"),
        (Item("value", "14"), "fourteen days"),
        (Item("phrase", "gift card"), "Gift cards"),
        (Item("phrase", "refund"), "refunded"),
        (Item("phrase", "train"), ""),
        (Item("ending", "closed"), ""),
    ],
)
def test_item_is_quoted_as_it_is_written(item: Item, words: str) -> None:
    assert quote_item("Gift cards are refunded within fourteen days.", item) == words


def test_empty_conversation_has_no_turns() -> None:
    assert choose(make_run(), "no transcript") == []


def test_what_tells_most_is_quoted_first_and_what_tells_nothing_is_not() -> None:
    fee = ["Hi.", "Hello there.", "My bill?", "The late fee is 12 CHF.", "Hm.", "You can keep it."]
    run = make_run(*fee, remarks="A wrong late fee was stated.")
    passed = make_run("Hi.", "Hello there.", passed=True)

    quotes = choose_key_turns(run, "closed", [], ExchangeRanking([passed, run]).rank(run))

    assert (quotes[0].number, quotes[0].why) == (4, "tells most")
    assert 2 not in [quote.number for quote in quotes]
