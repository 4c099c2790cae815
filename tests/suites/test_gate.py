"""The decisions of the gate: words, looks, reruns and exit statuses."""

from typing import Any

import pytest

from sigmamind_mcp.insight.statistics import Counts
from sigmamind_mcp.suites.gate import (
    BROKEN,
    PASSED,
    UNSETTLED,
    WORSE,
    GateCase,
    Look,
    choose_rerun,
    choose_status,
    judge_cases,
    plan_looks,
)
from tests.checks.suite_gate import measure
from tests.conftest import RoundCount

BASE = Counts(48, 50)


def judge(*looks: Counts, case: dict[str, Any]) -> tuple[str, int]:
    gate = GateCase("a", 5, **{"baseline": BASE, **case})
    outcomes = judge_cases([gate], [Look({"a": counts}, {}) for counts in looks], planned=4)
    return outcomes[0].word, choose_status(outcomes)


@pytest.mark.parametrize(
    ("looks", "case", "word", "status"),
    [
        ([Counts(5, 5)], {}, "passed", PASSED),
        ([Counts(0, 5)], {}, "worse", WORSE),
        ([Counts(0, 5)], {"quarantine": True}, "worse", PASSED),
        ([Counts(4, 5)], {}, "open", UNSETTLED),
        ([Counts(4, 5), Counts(5, 5), Counts(5, 5), Counts(5, 5)], {}, "passed", PASSED),
        ([Counts(4, 5)] * 3, {}, "open", UNSETTLED),
        ([Counts(4, 5), Counts(5, 5), Counts(4, 5), Counts(5, 5)], {}, "not shown", PASSED),
        ([Counts(0, 5)], {"baseline": Counts(0, 0)}, "no baseline", PASSED),
        ([Counts(0, 0)], {}, "undecided", UNSETTLED),
        ([Counts(0, 0)], {"baseline": Counts(0, 0)}, "undecided", UNSETTLED),
        ([Counts(0, 0)], {"quarantine": True}, "undecided", PASSED),
        ([Counts(0, 5)], {"baseline": Counts(0, 0), "bar": 0.9}, "below its bar", WORSE),
        ([Counts(5, 5)], {"baseline": Counts(0, 0), "bar": 0.9}, "open", UNSETTLED),
        ([Counts(5, 5)] * 3, {"baseline": Counts(0, 0), "bar": 0.9}, "passed", PASSED),
    ],
)
def test_word_and_status_of_one_case(
    looks: list[Counts], case: dict[str, Any], word: str, status: int
) -> None:
    assert judge(*looks, case=case) == (word, status)


def test_suspect_is_unsettled_or_fails_if_asked() -> None:
    cases = [GateCase(str(number), 5, BASE) for number in range(20)]
    # Each of four small p values alone may be chance; all of them together are not.
    counts = {case.key: Counts(5 if int(case.key) < 4 else 8, 8) for case in cases}
    outcomes = judge_cases(cases, [Look(counts, {})], planned=1)

    assert [outcome.word for outcome in outcomes[:5]] == ["suspect"] * 4 + ["passed"]
    assert choose_status(outcomes) == UNSETTLED
    assert choose_status(outcomes, fail_on_suspect=True) == WORSE


def test_undecided_attempts_break_the_run_beyond_what_is_allowed() -> None:
    outcomes = judge_cases(
        [GateCase("a", 5, BASE)], [Look({"a": Counts(3, 3)}, {"a": 2})], planned=1
    )

    assert choose_status(outcomes, allow_undecided=1) == BROKEN
    assert choose_status(outcomes, allow_undecided=2) == PASSED


def test_case_without_any_verdict_never_passes() -> None:
    cases = [GateCase("a", 5, BASE), GateCase("b", 5, BASE)]
    looks = [Look({"a": Counts(5, 5), "b": Counts(0, 0)}, {"b": 5})]
    outcomes = judge_cases(cases, looks, planned=1)

    assert choose_status(outcomes, allow_undecided=4) == BROKEN
    assert choose_status(outcomes, allow_undecided=5) == UNSETTLED


@pytest.mark.parametrize(
    ("budget", "looks"), [(15, 1), (19, 1), (20, 2), (25, 3), (30, 4), (500, 4)]
)
def test_looks_are_planned_by_the_budget(budget: int, looks: int) -> None:
    cases = [GateCase("a", 5, BASE), GateCase("b", 10, BASE)]

    assert plan_looks(cases, budget) == looks


def test_only_open_cases_run_again_and_within_the_budget() -> None:
    cases = [GateCase(key, 5, BASE, quarantine=key == "q") for key in "abcq"]
    counts = {"a": Counts(4, 5), "b": Counts(5, 5), "c": Counts(3, 5), "q": Counts(3, 5)}
    outcomes = judge_cases(cases, [Look(counts, {})], planned=4)

    assert choose_rerun(outcomes, 10) == ["c", "a"]
    assert choose_rerun(outcomes, 9) == ["c"]
    assert choose_rerun(outcomes, 4) == []


@pytest.mark.slow
def test_gate_is_rarely_red_without_a_change(rounds: RoundCount, figures: list[str]) -> None:
    suites = rounds(short=200, long=2_000)
    same, _, _ = measure(suites, 0)
    worse, found, used = measure(suites, 3)

    red, caught = same[WORSE] / suites, (worse[WORSE] + worse[UNSETTLED]) / suites
    figures.append(
        f"suites: {suites} through the gate: red without a change {red:.1%}; with three real drops"
        f" 1 in {worse[WORSE] / suites:.1%}, 1 or 3 in {caught:.1%}; {found:.0%} of the drops"
        f" proven with {used:.0f} attempts"
    )
    assert red <= 0.05 and caught >= 0.8


def test_cases_in_quarantine_cost_the_others_no_certainty() -> None:
    cases = [GateCase(str(number), 8, BASE, quarantine=number > 0) for number in range(20)]
    counts = {case.key: Counts(8, 8) for case in cases} | {"0": Counts(5, 8)}
    outcomes = judge_cases(cases, [Look(counts, {})], planned=1)
    together = [case._replace(quarantine=False) for case in cases]

    assert outcomes[0].word == "worse"
    assert judge_cases(together, [Look(counts, {})], planned=1)[0].word != "worse"
