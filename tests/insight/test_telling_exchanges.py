"""The exchanges that tell most come first: unlike passed runs, and about the test case."""

import pytest

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight import telling_exchanges
from sigmamind_mcp.insight.telling_exchanges import MAX_COMPARED, ExchangeRanking
from tests.insight.conversations import make_run

GREETING = "May I have your name and the place that you gave us?"
POOL = "There is a pool downstairs, open till ten."
REFUND = "Your refund of 40 CHF is on its way to you now."


def passed(*said: str, case: str = "tc_1", **more: str) -> TestRun:
    return make_run(*said, passed=True, case=case, mock_data=more)


def rank(run: TestRun, *others: TestRun) -> list[int]:
    return [exchange.agent for exchange in ExchangeRanking([*others, run]).rank(run)]


def test_what_passed_runs_say_too_comes_last() -> None:
    run = make_run("Hi!", GREETING, "Pool?", POOL, "Late?", "Yes, and nobody will charge you.")

    assert rank(run, passed("Hi!", GREETING), passed("A pool?", POOL, case="tc_2"))[0] == 6


def test_exchange_about_the_test_case_comes_before_other_talk() -> None:
    run = make_run(
        "Is it far?", "A few minutes on foot.",
        "And the deposit?", "Nothing today.",
        "Teachers pay less?", "Not at present.",
        criteria="The agent names the deposit.",
    )  # fmt: skip

    assert rank(run, passed("Hi!", GREETING), passed("A pool?", POOL))[0] == 4


def test_passed_run_shows_what_its_own_test_case_is_about() -> None:
    runs = [
        passed("Hi!", GREETING, "My money?", REFUND),
        passed("Hey!", GREETING, "Money?", REFUND),
        passed("Hello!", GREETING, "A pool?", POOL, case="tc_2"),
    ]

    assert [rank(run, *runs)[0] for run in runs] == [4, 4, 4]


def test_exchange_has_the_numbers_of_both_turns_and_goodbyes_are_none() -> None:
    run = make_run(
        "Gone!", "Where did you last use it?", "system|timer", "assistant|Blocked.", "Thanks, bye!",
        "Thank you, have a nice day!",
    )  # fmt: skip

    exchanges = ExchangeRanking([run]).rank(run)
    assert sorted((one.user, one.agent) for one in exchanges if one.user) == [(1, 2)]
    assert {one.agent for one in exchanges} == {2, 4}


def test_answer_after_turns_that_only_call_tools_belongs_to_the_user_before_them() -> None:
    run = make_run(
        "Hi.", GREETING, "My money?", "assistant|", "tool|ok", "assistant|", "tool|ok",
        f"assistant|{REFUND}", f"assistant|{POOL}",
    )  # fmt: skip

    exchanges = ExchangeRanking([run]).rank(run)
    assert sorted((one.agent, one.user) for one in exchanges) == [(2, 1), (8, 3), (9, None)]


@pytest.mark.parametrize(("number", "is_new"), [(99321, False), (99231, True)])
def test_own_mock_values_are_no_difference_and_other_values_are_one(
    number: int, is_new: bool
) -> None:
    says = "The dispute is open, its number is DSP-{}, and the team looks into it."
    run = make_run("Well?", says.format(number), mock_data={"ref": "DSP-99321"})
    known = passed("Well?", says.format(70418), ref="DSP-70418")

    (exchange,) = ExchangeRanking([known, run]).rank(run)
    assert (exchange.score > 0) is is_new


def test_first_and_last_exchange_come_after_their_like() -> None:
    said = [
        "Hm.", "The red box costs ten francs.",
        "Hm.", "The blue bag weighs two pounds.",
        "Hm.", "The grey van comes next week.",
    ]  # fmt: skip

    assert rank(make_run(*said, criteria="-", prompt="-")) == [4, 2, 6]


def test_few_words_come_after_more_that_are_as_unlike() -> None:
    run = make_run(
        "Hi!", GREETING, "Well?", "Certainly, sir.", "And?", "You pay for two nights on that day.",
        "Thanks, bye!", "Goodbye!",
        criteria="-", prompt="-",
    )  # fmt: skip

    assert rank(run, passed("Hi!", GREETING))[:2] == [6, 4]


def test_what_the_remarks_say_comes_before_what_the_test_case_says() -> None:
    run = make_run(
        "Hi!", GREETING, "Well?", "The deposit is high.", "And?", "The breakfast is cold.",
        "Thanks, bye!", "Goodbye!",
        criteria="Deposit.", prompt="-", remarks="Breakfast.",
    )  # fmt: skip

    assert rank(run, passed("Hi!", GREETING))[:2] == [6, 4]


def test_thanks_are_a_goodbye_only_at_the_end() -> None:
    thanks = "Thank you. Could it be at home?"
    run = make_run("Gone!", GREETING, "Ann.", thanks, "No.", "Blocked now.", "Bye.", thanks)

    assert sorted(rank(run)) == [2, 4, 6]


def test_without_passed_runs_the_subject_alone_decides() -> None:
    run = make_run(
        "Hi.", "Hello there.", "My bill?", "The late fee is 12 CHF.", "Ok.", "Anything else?",
        remarks="A wrong late fee was stated.",
    )  # fmt: skip

    assert rank(run)[0] == 4


def test_as_many_passed_runs_are_compared_as_take_bounded_time() -> None:
    run = make_run("Hey.", GREETING, "And?", REFUND)
    many = [passed("Hi!", GREETING)] * MAX_COMPARED

    assert [one.score > 0 for one in ExchangeRanking([*many, passed("Hi!", REFUND)]).rank(run)] == [
        True,
        False,
    ]


def test_empty_and_undecided_runs_have_a_ranking() -> None:
    assert rank(make_run()) == []
    assert rank(make_run("Hi!", "Hello."), make_run()) == [2]


@pytest.mark.parametrize(("runs", "turns", "words"), [(12, 600, 6), (60, 30, 60)])
def test_runs_of_any_length_are_ranked_with_a_limited_number_of_steps(
    monkeypatch: pytest.MonkeyPatch, runs: int, turns: int, words: int
) -> None:
    steps = []
    find_likest = ExchangeRanking._find_likest

    def count(self: ExchangeRanking, own: frozenset[str], others: list[frozenset[str]]) -> float:
        steps.append(len(own) * len(others))
        return find_likest(self, own, others)

    monkeypatch.setattr(telling_exchanges, "ALL_STEPS", 30_000)
    monkeypatch.setattr(telling_exchanges, "MAX_STEPS", 10_000)
    monkeypatch.setattr(telling_exchanges, "MIN_STEPS", 5_000)
    monkeypatch.setattr(ExchangeRanking, "_find_likest", count)
    said = [" ".join(f"word{n * words + k}" for k in range(words)) for n in range(turns)]
    known = [passed(*said, case=f"tc_{n % 5}") for n in range(runs)]
    ranking = ExchangeRanking([*known, make_run(*said)])

    for number in range(8):
        run = make_run(*said, f"turn {number}", "Nobody else says this zebra sentence.")
        assert ranking.rank(run)
    assert sum(steps) <= 30_000 + 8 * 5_000


def test_passed_run_is_picked_once_however_often_the_answer_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = [passed("Hi!", GREETING, "My money?", REFUND), passed("Hi!", GREETING, "Pool?", POOL)]
    ranking = ExchangeRanking([*runs, make_run("Hi!", GREETING)])
    first = ranking.pick_passed(runs)
    monkeypatch.setattr(ExchangeRanking, "_rank_unlike", None)

    assert ranking.pick_passed(list(runs)) is first is not None
