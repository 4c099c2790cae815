from itertools import product
from random import Random

import pytest
from scipy.stats import boschloo_exact, fisher_exact

from sigmamind_mcp.insight.exact_tests import (
    RateTest,
    choose_rate_test,
    compute_better_p,
    compute_boschloo_p,
    compute_fisher_tail,
    compute_worse_p,
    find_rejection_limits,
    find_smallest_worse_p,
)
from sigmamind_mcp.insight.statistics import Counts
from tests.checks.power import compare_with_brute_force


def draw_pair(random: Random, most: int) -> tuple[Counts, Counts]:
    sizes = random.randint(1, most), random.randint(1, most)
    base, candidate = (Counts(random.randint(0, size), size) for size in sizes)
    return base, candidate


def list_table(base: Counts, candidate: Counts) -> list[list[int]]:
    """Return passes and failures as rows, base and candidate as columns."""
    return [
        [base.passed, candidate.passed],
        [base.count_failures().passed, candidate.count_failures().passed],
    ]


def test_boschloo_is_never_below_brute_force() -> None:
    figures = compare_with_brute_force(7)

    assert figures.tables == sum(range(2, 9)) ** 2
    assert figures.shortfall > -1e-12
    assert figures.excess < 1e-6


@pytest.mark.slow
def test_boschloo_is_never_below_brute_force_up_to_20_attempts() -> None:
    figures = compare_with_brute_force(20)

    assert figures.tables == 52_900
    assert figures.shortfall > -1e-12
    assert figures.excess < 1e-6


@pytest.mark.parametrize("points", [32, 64])
def test_boschloo_equals_scipy(points: int) -> None:
    random = Random(points)
    for _ in range(30):
        base, candidate = draw_pair(random, 60)
        expected = boschloo_exact(
            list_table(base, candidate), alternative="greater", n=points
        ).pvalue
        assert compute_boschloo_p(base, candidate) == pytest.approx(expected, abs=1e-7)


def test_boschloo_equals_scipy_at_its_largest_sizes() -> None:
    base, candidate = Counts(180, 200), Counts(160, 200)

    expected = boschloo_exact(list_table(base, candidate), alternative="greater", n=64).pvalue

    assert compute_worse_p(base, candidate) == pytest.approx(expected, abs=1e-7)


def test_one_sided_fisher_equals_scipy() -> None:
    random = Random(5)
    for most in (20, 500, 5_000):
        for _ in range(40):
            base, candidate = draw_pair(random, most)
            expected = fisher_exact(list_table(base, candidate), alternative="greater").pvalue
            p = compute_fisher_tail(base, candidate)
            assert p == pytest.approx(float(expected), rel=1e-9, abs=1e-290), (base, candidate)


def test_boschloo_is_never_weaker_than_fisher() -> None:
    random = Random(6)
    for _ in range(100):
        base, candidate = draw_pair(random, 40)
        fisher = compute_fisher_tail(base, candidate)
        assert compute_boschloo_p(base, candidate) <= fisher * (1 + 1e-9)


@pytest.mark.parametrize(
    "base, candidate, name",
    [
        ((180, 200), (1, 1), "Boschloo"),
        ((180, 201), (1, 1), "Fisher"),
        ((4_000, 5_000), (4_000, 5_000), "Fisher"),
        ((9_999_990, 10_000_000), (9_999_990, 10_000_000), "Fisher"),
        ((9_000_000, 10_000_000), (90, 100), "Fisher"),
        ((9_000_000, 10_000_000), (9_000_000, 10_000_000), "normal approximation"),
    ],
)
def test_test_follows_from_the_number_of_outcomes(
    base: tuple[int, int], candidate: tuple[int, int], name: RateTest
) -> None:
    assert choose_rate_test(Counts(*base), Counts(*candidate)) == name


def test_approximation_is_close_to_fisher() -> None:
    for fewer in (0, 1_000, 3_000, 6_000):
        base, candidate = Counts(4_500_000, 5_000_000), Counts(4_500_000 - fewer, 5_000_000)
        table = list_table(base, candidate)
        expected = float(fisher_exact(table, alternative="greater").pvalue)
        assert compute_worse_p(base, candidate) == pytest.approx(expected, rel=1e-3)


def test_improvement_is_a_regression_of_the_failures() -> None:
    for x, y in product(range(6), range(9)):
        assert compute_better_p(Counts(x, 5), Counts(y, 8)) == pytest.approx(
            compute_worse_p(Counts(5 - x, 5), Counts(8 - y, 8)), rel=1e-12
        )
    assert compute_better_p(Counts(0, 5), Counts(5, 5)) < 0.01
    assert compute_better_p(Counts(5, 5), Counts(0, 5)) == 1


def test_no_outcome_is_below_the_smallest_p() -> None:
    for base_size, candidate_size in product((1, 2, 5, 9), repeat=2):
        smallest = find_smallest_worse_p(base_size, candidate_size)
        for x, y in product(range(base_size + 1), range(candidate_size + 1)):
            p = compute_worse_p(Counts(x, base_size), Counts(y, candidate_size))
            assert p >= smallest


@pytest.mark.parametrize("alpha", [0.05, 0.0025])
def test_rejection_limits_are_those_of_the_significant_outcomes(alpha: float) -> None:
    for base_size, candidate_size in ((4, 4), (10, 10), (12, 5), (1, 9)):
        limits = find_rejection_limits(base_size, candidate_size, alpha)
        for x, y in product(range(base_size + 1), range(candidate_size + 1)):
            p = compute_boschloo_p(Counts(x, base_size), Counts(y, candidate_size))
            assert (x >= limits[x + y]) == (p <= alpha), (x, y)
