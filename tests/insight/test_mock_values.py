"""Contradicted mock values: what must be found, and near misses that must not."""

import pytest

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.mock_values import (
    AmountCheck,
    Contradiction,
    DateCheck,
    LabelledIdCheck,
    PersonNameCheck,
    PrefixedIdCheck,
    SpokenTurn,
    SwappedAmountDigitsCheck,
    SwappedIdDigitsCheck,
    build_checks,
    find_contradictions,
)
from sigmamind_mcp.insight.signals import find_signals
from sigmamind_mcp.insight.spoken_values import KnownValues, Sentence
from tests.checks.measured import build_run

MOCK_DATA = {
    "customer_name": "John Doe",
    "order_id": "A-1001",
    "delivery_date": "2026-03-04",
    "balance": "120.50",
}


def run(*contents: str, mock_data: dict[str, str] | None = None) -> TestRun:
    """A test run in which user and agent speak in turn, the user first."""
    turns = [
        ["assistant" if number % 2 else "user", content] for number, content in enumerate(contents)
    ]
    return build_run({"mockData": mock_data or MOCK_DATA, "conversation": turns})


def contradictions(*contents: str, mock_data: dict[str, str] | None = None) -> list[Contradiction]:
    talk = run(*contents, mock_data=mock_data)
    assert talk.conversation is not None
    assert talk.test_case is not None
    turns = [
        SpokenTurn(number, turn.role == "user", turn.content)
        for number, turn in enumerate(talk.conversation, start=1)
    ]
    return find_contradictions(turns, talk.test_case.mock_data)


@pytest.mark.parametrize(
    ("says", "variable"),
    [
        ("Hi Jane, how can I help?", "customer_name"),
        ("Your order A-1007 is on its way.", "order_id"),
        ("I have the order id here: A-1010.", "order_id"),
        ("It arrives on March 9.", "delivery_date"),
        ("The delivery is on 2026-03-14.", "delivery_date"),
        ("Your balance is $210.50.", "balance"),
    ],
)
def test_another_value_next_to_the_noun_is_a_contradiction(says: str, variable: str) -> None:
    assert contradictions("Hi", says) == [Contradiction(variable, 2, language_bound=True)]


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ("Hello", "Hello John, order A-1001 arrives on 4 March. The balance is 120.50."),
        ("I am Jane, his wife.", "Hi Jane, how can I help?"),
        ("Hello", "Hi Johnny! Hello There! Dear Customer, welcome."),
        ("It is about A-1007.", "Your order A-1007 is on its way."),
        ("Hello", "I opened ticket A-1007 for you."),
        ("Hello", "I also see another order A-1007."),
        ("Hello", "You placed the order on March 1 and it was dispatched on March 2."),
        ("Hello", "We could deliver on March 9 instead."),
        ("Hello", "The minimum balance is $200.00."),
        ("Hello", "Your balance is about $120."),
    ],
)
def test_other_values_that_contradict_nothing(user: str, says: str) -> None:
    assert find_signals(run(user, says), []) == []


def test_what_the_agent_offered_it_may_confirm() -> None:
    talk = ("Can it come later?", "How about March 9?", "Fine.", "It arrives on March 9.")
    assert find_signals(run(*talk), []) == []


def test_only_the_first_contradiction_of_a_variable_is_returned() -> None:
    found = contradictions("Hi", "Your order A-1007 left.", "Hm.", "Order A-1007 left.")
    assert found == [Contradiction("order_id", 2, language_bound=True)]


def test_id_with_letters_in_front_is_known_in_any_language() -> None:
    talk = ("Hallo", "Ihre Bestellung ORD-12 ist da.")
    found = contradictions(*talk, mock_data={"order_id": "ORD-21"})
    assert found == [Contradiction("order_id", 2, language_bound=False)]


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("order_id", "45871", "Die Nummer lautet 45817."),
        ("balance", "€120.50", "Das macht €210.50."),
    ],
)
def test_swapped_digits_are_found_in_any_language(variable: str, value: str, says: str) -> None:
    found = contradictions("Hallo", says, mock_data={variable: value})
    assert found == [Contradiction(variable, 2, language_bound=False)]


@pytest.mark.parametrize(
    ("variable", "value", "checks"),
    [
        ("customer_name", "John Doe", [PersonNameCheck]),
        ("delivery_date", "4 March", [DateCheck]),
        ("balance", "120.50", [AmountCheck, SwappedAmountDigitsCheck]),
        ("order_id", "A-101", [LabelledIdCheck]),
        ("order_id", "4411", [LabelledIdCheck, SwappedIdDigitsCheck]),
        ("order_id", "ORD-21", [LabelledIdCheck, PrefixedIdCheck]),
        ("rooms", "4", []),
        ("mood", "angry", []),
    ],
)
def test_kind_of_value_decides_its_checks(variable: str, value: str, checks: list[type]) -> None:
    assert [type(check) for check in build_checks(variable, value)] == checks


def test_only_some_checks_read_sentences_that_ask_or_offer() -> None:
    [name_check] = build_checks("customer_name", "John Doe")
    [date_check] = build_checks("delivery_date", "4 March")
    named = Sentence("Hi Jane, how are you?", is_open=True)
    dated = Sentence("Shall it arrive on March 9?", is_open=True)

    assert name_check.is_contradicted_by(named, KnownValues())
    assert not date_check.is_contradicted_by(dated, KnownValues())
