"""Few selected runs show more of each, many show what tells most, and what fits is whole."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from sigmamind_mcp.api.conversations import Side
from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.tools.conversations_answer import TURN_CHARACTERS, count_characters
from sigmamind_mcp.tools.exchange_choice import (
    MAX_MEASURED,
    MIN_EXCHANGES,
    SELECTION_CHARACTERS,
    ExchangeChoice,
)
from tests.insight.conversations import make_run

DECISIVE = "We keep no deposit, the whole sum is due on departure, whatever the terms say."
CRITERIA = "The agent says that the deposit of a third of the sum is kept."
ROUTINE = [
    ("Is there a pool?", "There is a pool downstairs and it is open till ten."),
    ("And parking?", "Each house has a small garage, no need to reserve a bay."),
    ("Is it quiet?", "Most of our rooms face the garden, away from the street."),
    ("Breakfast?", "Breakfast is served from seven to eleven in the dining room."),
    ("Internet?", "The internet is fast enough for calls, with a code at check-in."),
    ("Any sauna?", "The sauna next to the gym is free for all of our guests."),
]


def make_long_run(number: int, *, passed: bool = False) -> TestRun:
    """Make a run of six exchanges and a goodbye; in failed ones, the fourth is decisive."""
    said = [text for pair in ROUTINE for text in pair]
    if not passed:
        said[6:8] = ["Is there a deposit?", DECISIVE]
    return make_run(*said, "Thanks, bye!", passed=passed, criteria=CRITERIA, job=f"j{number}")


def choose(runs: Sequence[TestRun], **more: Any) -> tuple[int | None, list[list[int]]]:
    known = [*runs, make_long_run(0, passed=True)]
    choice = ExchangeChoice(known, runs, **{"total": len(runs), "side": None, **more})
    return choice.count, [[turn.number for turn in choice.choose_turns(run)] for run in runs]


@pytest.mark.parametrize(
    ("runs", "count"), [(1, None), (6, None), (8, 5), (10, 4), (25, 2), (50, 2), (200, 2)]
)
def test_more_runs_show_fewer_exchanges_of_each(runs: int, count: int | None) -> None:
    found, numbers = choose([make_long_run(number) for number in range(runs)])

    assert found == count
    for one in numbers:
        assert {7, 8} <= set(one) and len(one) <= (13 if count is None else 2 * count)
        assert one == sorted(one)


def test_single_run_is_whole_however_long_it_is() -> None:
    run = make_run(*(f"Say {number} " * 100 for number in range(400)))

    assert choose([run]) == (None, [list(range(1, 401))])
    count, (numbers, _) = choose([run, run])
    assert count is not None and len(numbers) < 10


@pytest.mark.parametrize("seed", range(20))
def test_selection_fits_or_shows_the_fewest_exchanges(seed: int) -> None:
    dice = random.Random(seed)
    runs = []
    for number in range(dice.randint(2, 40)):
        said = [f"{dice.random()} " * dice.randint(1, 60) for _ in range(dice.randint(0, 30))]
        runs.append(make_run(*said, job=f"j{number}", passed=dice.random() < 0.3))
    side: Side | None = dice.choice([None, "agent", "user"])

    choice = ExchangeChoice(runs, runs, total=len(runs), side=side)

    turns = [choice.choose_turns(run) for run in runs]
    size = sum(count_characters(one, TURN_CHARACTERS) for one in turns)
    assert size <= SELECTION_CHARACTERS or choice.count == MIN_EXCHANGES
    for run, shown in zip(runs, turns, strict=True):
        whole = [turn for turn in run.conversation or [] if side in (None, turn.side)]
        # One more turn, of a user whom nobody answered.
        most = len(whole) if choice.count is None else 2 * choice.count + 1
        assert len(shown) <= most and (shown or not whole or choice.count)


def test_side_leaves_room_for_more_exchanges_and_shows_only_its_turns() -> None:
    runs = [make_long_run(number) for number in range(14)]

    both, _ = choose(runs)
    agent, numbers = choose(runs, side="agent")

    assert both is not None and agent is not None and agent > both
    assert all(8 in one and all(number % 2 == 0 for number in one) for one in numbers)


def test_second_exchange_that_tells_far_less_is_left_out_where_room_is_short() -> None:
    runs = [make_long_run(number) for number in range(25)]
    two_things = ("And the deposit?", "No deposit at all, in none of our houses, ever.")
    said = [text for pair in (*ROUTINE[:4], two_things, ROUTINE[5]) for text in pair]
    both = make_run(*said[:6], "A deposit?", DECISIVE, *said[8:], criteria=CRITERIA)

    _, numbers = choose([*runs, both])

    assert numbers[0] == [7, 8] and numbers[-1] == [7, 8, 9, 10]


@pytest.mark.parametrize(("last", "is_shown"), [("Hello? Anybody?", True), ("Bye!", False)])
def test_user_whom_nobody_answered_is_shown_and_a_goodbye_is_not(last: str, is_shown: bool) -> None:
    runs = [make_long_run(number) for number in range(25)]
    said = [text for pair in ROUTINE for text in pair]
    silent = make_run(*said, last, criteria=CRITERIA)

    _, numbers = choose([*runs, silent])

    assert (len(said) + 1 in numbers[-1]) is is_shown


def test_exchange_has_what_tools_say_between_its_turns() -> None:
    said = [text for pair in ROUTINE[:3] for text in pair]
    asked = ("A deposit?", "assistant|", "tool|deposit: a third", "assistant|", "tool|ok")
    runs = [
        make_run(*said, *asked, f"assistant|{DECISIVE}", "Fine.", "Noted.", criteria=CRITERIA)
        for _ in range(25)
    ]

    assert choose(runs)[1][0][:6] == [7, 8, 9, 10, 11, 12]
    assert choose(runs, side="tool")[1][0] == [9, 11]


@pytest.mark.parametrize(
    ("said", "numbers"),
    [
        ([], []),
        (["user|Hello?"], [1]),
        ([f"user|Anybody {number}?" for number in range(9)], [6, 7, 8, 9]),
        (["Thanks.", "Thank you, goodbye!"], [1, 2]),
        ([f"system|{number}" for number in range(9)], [6, 7, 8, 9]),
        (["assistant|Good day."], [1]),
    ],
    ids=["empty", "one turn", "user alone", "goodbyes", "system", "agent alone"],
)
def test_run_without_exchanges_shows_its_end(said: list[str], numbers: list[int]) -> None:
    runs = [make_long_run(number) for number in range(25)]

    assert choose([*runs, make_run(*said)])[1][-1] == numbers


@pytest.mark.parametrize("total", [30, MAX_MEASURED, MAX_MEASURED + 1])
def test_runs_that_are_not_yet_read_get_their_share(total: int) -> None:
    assert choose([make_long_run(number) for number in range(6)], total=total)[0] == MIN_EXCHANGES
    assert choose([make_run("Hi.", "Hello.")], total=total)[0] in (None, MIN_EXCHANGES)
    assert choose([], total=total)[1] == []
