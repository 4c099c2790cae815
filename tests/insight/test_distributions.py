import math
from random import Random

import pytest
from scipy.stats import beta, binom, hypergeom, norm, t

from sigmamind_mcp.insight.distributions import (
    Distribution,
    compute_beta_below,
    compute_normal_tail,
    convolve,
    find_normal_quantile,
    find_t_quantile,
    list_binomial,
    list_hypergeometric,
)


@pytest.mark.parametrize("n", [0, 1, 2, 17, 400, 100_000])
@pytest.mark.parametrize("rate", [0.0, 1e-6, 0.3, 0.9, 1.0])
def test_binomial_equals_scipy(n: int, rate: float) -> None:
    window = list_binomial(n, rate)

    assert math.fsum(window.probabilities) == pytest.approx(1, rel=1e-12)
    for k, chance in list(enumerate(window.probabilities, window.first))[:: max(1, n // 50)]:
        if chance > 1e-200:
            assert chance == pytest.approx(float(binom.pmf(k, n, rate)), rel=1e-9), k


def test_hypergeometric_equals_scipy() -> None:
    random = Random(1)
    for _ in range(200):
        base, candidate = random.randint(0, 60), random.randint(0, 60)
        passed = random.randint(0, base + candidate)
        window = list_hypergeometric(base, candidate, passed)
        expected = hypergeom(base + candidate, passed, base)
        for k in range(-1, base + 2):
            assert window.get(k) == pytest.approx(float(expected.pmf(k)), rel=1e-10, abs=1e-290)
        assert window.sum_from(5) == pytest.approx(float(expected.sf(4)), rel=1e-10, abs=1e-290)


def test_ten_million_attempts_need_only_the_outcomes_near_the_middle() -> None:
    window = list_hypergeometric(5_000_000, 5_000_000, 9_000_000)

    assert len(window.probabilities) < 40_000
    expected = float(hypergeom.sf(4_501_000 - 1, 10_000_000, 9_000_000, 5_000_000))
    assert window.sum_from(4_501_000) == pytest.approx(expected, rel=1e-6)


def test_sum_of_two_binomials_is_a_binomial() -> None:
    total = convolve(list_binomial(30, 0.7), list_binomial(12, 0.7))

    assert total.first == 0
    assert total.probabilities == pytest.approx(list_binomial(42, 0.7).probabilities, rel=1e-12)
    assert convolve(Distribution(3, [1.0]), Distribution(4, [1.0])) == Distribution(7, [1.0])


def test_quantiles_equal_scipy() -> None:
    for probability in (0.001, 0.025, 0.5, 0.8, 0.9975):
        assert find_normal_quantile(probability) == pytest.approx(norm.ppf(probability), abs=1e-9)
        for a, b in ((1, 1), (3, 8), (0.5, 40), (900, 100), (50_000, 3)):
            expected = beta.ppf(probability, a, b)
            below = compute_beta_below(a, b, float(expected))
            assert below == pytest.approx(probability, rel=1e-8)
    for freedom in (1, 2, 9, 200):
        assert find_t_quantile(0.975, freedom) == pytest.approx(t.ppf(0.975, freedom), rel=1e-9)
    assert compute_normal_tail(8.0) == pytest.approx(norm.sf(8.0), rel=1e-12)
