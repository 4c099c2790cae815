"""Turns that passed test runs have much alike are found; what is said only here is not."""

import pytest

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.alike_turns import MAX_COMPARED, PassedTurns
from tests.insight.conversations import make_run

GREETING = "May I have your name and the place that you gave us?"
REFUND = "Your refund of 40 CHF is on its way to you now."


def passed(*said: str, case: str = "tc_1", **more: str) -> TestRun:
    return make_run("Hi!", *said, passed=True, case=case, mock_data=more)


def test_turn_of_another_passed_run_is_alike() -> None:
    known = PassedTurns([passed(GREETING), passed(GREETING, "Ok.", REFUND)])

    assert known.find_alike(make_run("Hey.", GREETING, "So?", "No, that is impossible.")) == {2}


@pytest.mark.parametrize(
    ("text", "is_alike"),
    [
        (GREETING, True),
        (GREETING.upper(), True),
        ("May I have your name, and the place you gave us, please?", True),
        ("Where did you last use it?", False),
        (f"{GREETING} By the way, you can stay until three, and nobody will charge you.", False),
        ("", False),
    ],
)
def test_only_nearly_the_same_words_are_alike(text: str, is_alike: bool) -> None:
    known = PassedTurns([passed(GREETING), passed(GREETING)])

    assert (2 in known.find_alike(make_run("Hello there.", text))) is is_alike


def test_own_mock_values_are_no_difference_and_other_values_are_one() -> None:
    says = "The dispute is open, its number is DSP-{}, and the team looks into it."
    known = PassedTurns(
        [passed(says.format(70418), ref="DSP-70418"), passed(says.format(1144), ref="DSP-1144")]
    )

    def is_alike(number: int, *, user: str = "Well?") -> bool:
        run = make_run(user, says.format(number), mock_data={"ref": "DSP-99321"})
        return 2 in known.find_alike(run)

    assert is_alike(99321)
    assert not is_alike(99231)  # two digits change places
    assert is_alike(99231, user="Is it DSP-99231?")


def test_first_passed_run_of_a_test_case_shows_what_its_attempts_have_in_common() -> None:
    runs = [
        passed(GREETING, "Refund?", REFUND),
        passed(GREETING, "Money?", REFUND),
        passed(GREETING, "Bill?", "The bill is in the mail.", case="tc_2"),
    ]
    known = PassedTurns(runs)

    assert [4 in known.find_alike(run) for run in runs] == [False, True, False]
    assert [2 in known.find_alike(run) for run in runs] == [True, True, True]


def test_failed_and_undecided_runs_are_no_measure() -> None:
    known = PassedTurns([make_run("Hi!", GREETING), make_run("Hi!", GREETING)])

    assert known.find_alike(make_run("Hi!", GREETING)) == set()
    assert known.measure_unlike(make_run("Hi!", GREETING)) == {}


def test_goodbye_at_the_end_is_routine_and_a_thanks_before_is_not() -> None:
    known = PassedTurns([passed(GREETING)])
    thanks, goodbye = "Thank you. Where did you last use it?", "Thank you, have a nice day!"
    run = make_run("Gone!", thanks, "At a bar.", "Blocked, and a new one comes.", "Ok.", goodbye)

    assert known.find_alike(run) == {6}


def test_sides_are_compared_apart() -> None:
    known = PassedTurns([passed(GREETING), passed(GREETING)])

    assert known.find_alike(make_run(GREETING, "Pardon me, who is asking?")) == set()


def test_how_unlike_a_turn_is_counts_from_nothing_to_all() -> None:
    known = PassedTurns([passed(GREETING), passed(GREETING)])

    unlike = known.measure_unlike(make_run("Hi!", GREETING, "So?", "Zebras graze."))

    assert (unlike[2], unlike[4]) == (0.0, 1.0)


def test_as_many_passed_runs_are_compared_as_take_bounded_time() -> None:
    known = PassedTurns([*[passed(GREETING)] * MAX_COMPARED, passed(REFUND)])

    assert known.find_alike(make_run("Hey.", GREETING)) == {2}
    assert known.find_alike(make_run("Hey.", REFUND)) == set()
