from itertools import combinations
from math import comb

import pytest

from sigmamind_mcp.insight.pass_k import (
    Consistency,
    compute_pass_k,
    count_consistency,
    summarize_pass_k,
)
from sigmamind_mcp.insight.statistics import Counts


def test_pass_k_is_the_share_of_choices_that_all_passed() -> None:
    for decided in range(1, 7):
        for passed in range(decided + 1):
            for k in range(1, decided + 1):
                verdicts = [True] * passed + [False] * (decided - passed)
                chosen = list(combinations(verdicts, k))
                expected = sum(map(all, chosen)) / len(chosen)
                assert compute_pass_k(Counts(passed, decided), k) == pytest.approx(expected)


def test_pass_k_has_no_bias() -> None:
    rate, decided, k = 0.7, 6, 3
    mean = 0.0
    for passed in range(decided + 1):
        chance = comb(decided, passed) * rate**passed * (1 - rate) ** (decided - passed)
        mean += chance * (compute_pass_k(Counts(passed, decided), k) or 0)

    assert mean == pytest.approx(rate**k)


def test_pass_k_of_a_suite_states_how_many_cases_it_rests_on() -> None:
    summary = summarize_pass_k([Counts(4, 4), Counts(2, 4), Counts(1, 2), Counts(0, 0)])

    assert [(power.k, power.cases) for power in summary] == [(1, 3), (2, 3), (4, 2)]
    assert summary[1].rate == pytest.approx((1 + 1 / 6 + 0) / 3)
    for power in summary:
        assert power.interval and power.interval.low <= power.rate <= power.interval.high
    assert summary == summarize_pass_k([Counts(4, 4), Counts(2, 4), Counts(1, 2), Counts(0, 0)])


def test_single_case_has_no_interval_over_cases() -> None:
    assert [power.interval for power in summarize_pass_k([Counts(1, 2)])] == [None, None]
    assert summarize_pass_k([Counts(0, 0)]) == []
    assert compute_pass_k(Counts(2, 2), 3) is None


def test_cases_pass_always_sometimes_or_never() -> None:
    cases = [Counts(4, 4), Counts(1, 4), Counts(3, 4), Counts(0, 4), Counts(0, 0)]

    assert count_consistency(cases) == Consistency(always=1, sometimes=2, never=1)
