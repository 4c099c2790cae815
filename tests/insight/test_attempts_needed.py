from itertools import product
from random import Random

import pytest
from scipy.stats import binom
from statsmodels.stats.proportion import samplesize_proportions_2indep_onetail

from sigmamind_mcp.insight.attempts_needed import (
    compute_worse_power,
    find_attempts_for_counts,
    find_attempts_for_rates,
    find_smallest_drop,
    judge_by_bar,
)
from sigmamind_mcp.insight.exact_tests import compute_boschloo_p, compute_fisher_tail
from sigmamind_mcp.insight.statistics import Counts
from tests.checks.power import compute_expected_attempts


@pytest.mark.parametrize("sizes", [(5, 5), (10, 10), (12, 7)])
@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_power_equals_brute_force(sizes: tuple[int, int], alpha: float) -> None:
    base_size, candidate_size = sizes
    expected = sum(
        float(binom.pmf(x, base_size, 0.9) * binom.pmf(y, candidate_size, 0.5))
        for x, y in product(range(base_size + 1), range(candidate_size + 1))
        if compute_boschloo_p(Counts(x, base_size), Counts(y, candidate_size)) <= alpha
    )

    power = compute_worse_power(0.9, 0.5, base_size, candidate_size, alpha)

    assert power == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "higher, lower, cases", [(0.95, 0.4, 1), (0.9, 0.5, 1), (0.9, 0.5, 20), (1.0, 0.65, 100)]
)
def test_exact_number_is_the_first_with_enough_power(
    higher: float, lower: float, cases: int
) -> None:
    needed = find_attempts_for_rates(higher, lower, cases=cases)

    powers = []
    assert needed.attempts and needed.test == "Boschloo"
    for attempts in range(1, needed.attempts + 1):
        powers.append(compute_worse_power(higher, lower, attempts, attempts, 0.05 / cases))
    assert [power >= 0.8 for power in powers] == [False] * (needed.attempts - 1) + [True]


def test_small_drop_needs_an_approximate_number() -> None:
    needed = find_attempts_for_rates(0.9, 0.85)
    expected = samplesize_proportions_2indep_onetail(0.05, 0.85, 0.8, alternative="larger")

    assert needed.test == "Fisher"
    assert needed.attempts and expected < needed.attempts < expected * 1.1
    assert find_attempts_for_rates(0.9, 0.899).attempts is None


def test_counts_are_no_proof_of_extreme_rates() -> None:
    assert find_attempts_for_counts(Counts(1, 1), Counts(0, 1)) is None
    assert find_attempts_for_counts(Counts(4, 4), Counts(0, 40)) is None
    assert find_attempts_for_counts(Counts(5, 10), Counts(5, 10)) is None
    needed = find_attempts_for_counts(Counts(5, 5), Counts(0, 5))

    assert needed and needed.higher_rate == pytest.approx(11 / 12)
    assert needed.lower_rate == pytest.approx(1 / 12)


@pytest.mark.parametrize("higher, lower", [(0.5, 0.5), (0.4, 0.5), (1.1, 0.5), (0.5, -0.1)])
def test_rates_must_be_in_order(higher: float, lower: float) -> None:
    with pytest.raises(ValueError, match="lower rate"):
        find_attempts_for_rates(higher, lower)


def test_bar_is_passed_failed_or_not_settled() -> None:
    assert judge_by_bar(Counts(0, 0), 0.9) == "continue"
    assert judge_by_bar(Counts(7, 7), 0.9) == "passed"
    assert judge_by_bar(Counts(0, 3), 0.9) == "failed"
    assert judge_by_bar(Counts(1, 4), 0.9, cases=20) == "continue"


def test_bar_of_one_fails_with_the_first_failure() -> None:
    assert judge_by_bar(Counts(30, 31), 1.0) == "failed"
    assert judge_by_bar(Counts(6, 6), 1.0) == "continue"
    assert judge_by_bar(Counts(7, 7), 1.0) == "passed"


@pytest.mark.parametrize("bar", [0.0, 0.2, 1.01])
def test_bar_must_be_above_its_margin(bar: float) -> None:
    with pytest.raises(ValueError, match=r"above 0\.2"):
        judge_by_bar(Counts(1, 2), bar)


@pytest.mark.parametrize("rate, limit", [(0.8, 0.05), (0.6, 0.2)])
def test_bar_keeps_its_error_rates_and_the_expected_number(rate: float, limit: float) -> None:
    random = Random(12)
    wrong = total = 0
    for _ in range(2_000):
        passed = attempts = 0
        verdict = "continue"
        while verdict == "continue":
            attempts += 1
            passed += random.random() < rate
            verdict = judge_by_bar(Counts(passed, attempts), 0.8)
        wrong += verdict == ("failed" if rate == 0.8 else "passed")
        total += attempts

    assert wrong / 2_000 <= limit
    assert total / 2_000 == pytest.approx(compute_expected_attempts(0.8, rate), rel=0.06)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 1e-3])
def test_smallest_drop_is_the_smallest_that_fishers_test_shows(alpha: float) -> None:
    for base_decided, candidate_decided in product((0, 1, 4, 10, 13), (0, 1, 5, 10, 12)):
        for base in (Counts(passed, base_decided) for passed in range(base_decided + 1)):
            shown = [
                base.rate - passed / candidate_decided
                for passed in range(candidate_decided + 1)
                if candidate_decided
                and compute_fisher_tail(base, Counts(passed, candidate_decided)) <= alpha
            ]
            assert find_smallest_drop(base, candidate_decided, alpha) == min(shown, default=None)


def test_search_stops_being_exact_where_the_caller_says() -> None:
    exact = find_attempts_for_rates(0.9, 0.5)
    stopped = find_attempts_for_rates(0.9, 0.5, exact_up_to=5)

    assert (exact.test, stopped.test) == ("Boschloo", "Fisher")
    assert exact.attempts and stopped.attempts and exact.attempts < stopped.attempts
