"""Values as they are written in a conversation."""

from decimal import Decimal

import pytest

from sigmamind_mcp.insight.spoken_values import (
    KnownValues,
    Sentence,
    WrittenAmount,
    WrittenDate,
    find_amounts,
    find_dates,
    find_ids,
    find_person_names,
    fold_words,
    parse_amount,
    split_sentences,
)


def test_ids_have_a_digit() -> None:
    assert find_ids("Order A-1001, ticket 4411/b, code ABC.") == ["A-1001", "4411/b"]


@pytest.mark.parametrize(
    ("text", "days", "year"),
    [
        ("2026-03-04", {(3, 4)}, 2026),
        ("on the 4th of March", {(3, 4)}, None),
        ("March 4, 2026", {(3, 4)}, 2026),
        ("el 4 de marzo de 2026", {(3, 4)}, 2026),
        ("03/04/2026", {(3, 4), (4, 3)}, 2026),
        ("2026年3月4日", {(3, 4)}, 2026),
    ],
)
def test_date_in_each_form(text: str, days: set[tuple[int, int]], year: int | None) -> None:
    assert find_dates(text) == [WrittenDate(frozenset(days), year)]


@pytest.mark.parametrize(
    ("first", "second", "differs"),
    [
        ("4 March", "2026-03-04", False),
        ("03/04/2026", "3 April 2026", False),
        ("4 March 2025", "4 March 2026", True),
        ("4 March", "5 March", True),
    ],
)
def test_dates_differ_if_no_reading_is_the_same(first: str, second: str, differs: bool) -> None:
    [one], [another] = find_dates(first), find_dates(second)
    assert one.differs(another) is differs


@pytest.mark.parametrize(
    ("text", "value", "is_money"),
    [
        ("$1,200", "1200", True),
        ("1.200,50", "1200.50", True),
        ("120 euros", "120", True),
        ("120", "120", False),
        ("12.5", "12.5", False),
    ],
)
def test_amount_in_each_form(text: str, value: str, is_money: bool) -> None:
    assert find_amounts(text) == [WrittenAmount(Decimal(value), is_money)]
    assert parse_amount(text) == Decimal(value)


def test_person_is_greeted_titled_or_stated() -> None:
    text = "Hello Ana Lopez, good day, Mr Doe, the name on the account is Jane Roe."
    assert find_person_names(text) == ["Ana Lopez", "Doe", "Jane Roe"]


def test_words_are_compared_without_case_and_accents() -> None:
    assert fold_words("José MÜLLER") == ["jose", "muller"]


def test_sentence_that_asks_or_offers_is_open() -> None:
    assert list(split_sentences("It is here. Is it yours? You could keep it.")) == [
        Sentence("It is here.", is_open=False),
        Sentence("Is it yours?", is_open=True),
        Sentence("You could keep it.", is_open=True),
    ]


def test_known_values_grow_without_changing_the_record() -> None:
    nothing = KnownValues()
    known = nothing.with_text("Order A-1001 of 4 March costs $12.")

    assert known.has_id("a1001")
    assert not known.has_id("A-1002")
    assert Decimal(12) in known.amounts
    assert nothing == KnownValues()


def test_closed_sentence_of_the_agent_adds_only_its_ids() -> None:
    known = KnownValues().with_agent_sentence(Sentence("Order A-1001 is here.", is_open=False))
    assert known == KnownValues(ids_of_agent=frozenset({"A1001"}))
