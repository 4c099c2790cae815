import math
from collections.abc import Callable, Sequence
from itertools import product
from random import Random

import numpy
import pytest
from scipy.stats import chi2_contingency, norm
from statsmodels.stats.contingency_tables import Table

from sigmamind_mcp.insight.rate_series import (
    MAX_SERIES_ATTEMPTS,
    MAX_TREND_ATTEMPTS,
    ChangePoint,
    compute_falling_p,
    compute_homogeneity_p,
    compute_trend,
    find_change_point,
)
from sigmamind_mcp.insight.statistics import Counts, add_counts
from tests.checks.power import draw_counts, simulate_changes

Series = Sequence[Counts]


def compute_by_listing(series: Series, measure: Callable[[Series], float]) -> float:
    """Return the share of all ways to spread the passes that reach the observed measure."""
    total = add_counts(series)
    reached = everything = 0
    for passes in product(*(range(counts.decided + 1) for counts in series)):
        if sum(passes) != total.passed:
            continue
        ways = math.prod(
            math.comb(counts.decided, k) for counts, k in zip(series, passes, strict=True)
        )
        spread = [Counts(k, counts.decided) for counts, k in zip(series, passes, strict=True)]
        everything += ways
        if measure(spread) >= measure(series) - 1e-9:
            reached += ways
    return reached / everything


def measure_fall(series: Series) -> float:
    return -sum(place * counts.passed for place, counts in enumerate(series))


def measure_change(series: Series) -> float:
    """Return the largest gain in likelihood by two rates."""
    return max(
        likelihood(add_counts(series[:place])) + likelihood(add_counts(series[place:]))
        for place in range(1, len(series))
    )


def likelihood(counts: Counts) -> float:
    rate = counts.rate
    failed = counts.decided - counts.passed
    return sum(n * math.log(r) for n, r in ((counts.passed, rate), (failed, 1 - rate)) if n)


def measure_deviation(series: Series) -> float:
    """Return Pearson's statistic with each part rounded to sixteenths."""
    rate = add_counts(series).rate
    parts = (
        (c.passed - c.decided * rate) ** 2 / (c.decided * rate * (1 - rate))
        for c in series
        if c.decided
    )
    return sum(math.floor(part * 16 + 0.5) for part in parts)


def draw_series(random: Random) -> list[Counts]:
    sizes = [random.randint(0, 4) for _ in range(random.randint(2, 5))]
    return [Counts(random.randint(0, size), size) for size in sizes]


def test_p_values_equal_a_listing_of_all_outcomes() -> None:
    random = Random(3)
    for _ in range(120):
        series = draw_series(random)
        fall = compute_by_listing(series, measure_fall)
        assert compute_falling_p(series) == pytest.approx(fall, rel=1e-12), series
        total = add_counts(series)
        if 0 < total.passed < total.decided:
            deviation = compute_by_listing(series, measure_deviation)
            assert compute_homogeneity_p(series) == pytest.approx(deviation, rel=1e-9), series
        change = find_change_point(series)
        if change:
            expected = compute_by_listing(series, measure_change)
            assert change.p == pytest.approx(expected, rel=1e-9), series


def test_decay_is_a_falling_trend() -> None:
    decay = [Counts(passed, 10) for passed in (10, 10, 8, 7, 6, 4)]

    trend = compute_trend(decay)

    assert compute_falling_p(decay) == pytest.approx(7.0204e-5, rel=1e-4)
    assert trend and trend.direction == "falling" and trend.is_exact
    assert trend.p == pytest.approx(2 * compute_falling_p(decay))
    rise = compute_trend(decay[::-1])
    assert rise and rise.direction == "rising" and rise.p == pytest.approx(trend.p)


def test_large_trend_equals_statsmodels() -> None:
    random = Random(8)
    series = [draw_counts(random, 400, 0.8 - place / 200) for place in range(6)]
    assert add_counts(series).decided > MAX_TREND_ATTEMPTS
    rows = [[counts.passed, counts.decided - counts.passed] for counts in series]
    table = Table(rows, shift_zeros=False)
    association = table.test_ordinal_association(numpy.arange(6), numpy.array([1, 0]))

    trend = compute_trend(series)

    # R and Armitage divide by n where statsmodels divides by n - 1.
    z = association.zscore * math.sqrt(2_400 / 2_399)
    assert trend and not trend.is_exact
    assert trend.p == pytest.approx(2 * float(norm.sf(abs(z))), rel=1e-9)


def test_exact_trend_is_close_to_its_approximation() -> None:
    series = [Counts(passed, 40) for passed in (30, 33, 27, 28, 24)]
    rows = [[counts.passed, counts.decided - counts.passed] for counts in series]
    association = Table(rows, shift_zeros=False).test_ordinal_association(
        numpy.arange(5), numpy.array([1, 0])
    )

    trend = compute_trend(series)

    assert trend and trend.is_exact
    assert trend.p == pytest.approx(float(association.pvalue), rel=0.15)


def test_homogeneity_is_close_to_chi_squared() -> None:
    series = [Counts(passed, 20) for passed in (14, 10, 17, 9, 12)]
    rows = [[counts.passed, counts.decided - counts.passed] for counts in series]

    assert compute_homogeneity_p(series) == pytest.approx(
        float(chi2_contingency(rows).pvalue), rel=0.15
    )


def test_series_without_a_difference_has_a_p_of_one() -> None:
    for series in ([Counts(3, 3)] * 4, [Counts(0, 3)] * 4, [Counts(2, 4), Counts(2, 4)]):
        trend, change = compute_trend(series), find_change_point(series)
        assert trend and trend.direction == "level" and trend.p == 1
        assert change and change.p == pytest.approx(1)
        assert compute_homogeneity_p(series) == 1


def test_fewer_than_two_decided_batch_runs_say_nothing() -> None:
    for series in ([], [Counts(3, 4)], [Counts(0, 0), Counts(3, 4), Counts(0, 0)]):
        assert compute_trend(series) is None
        assert find_change_point(series) is None
        assert compute_homogeneity_p(series) == 1


def test_change_point_is_the_first_batch_run_after_the_change() -> None:
    series = [Counts(10, 10), Counts(9, 10), Counts(0, 0), Counts(3, 10), Counts(4, 10)]

    change = find_change_point(series)

    assert change and change.p < 0.001
    assert change == ChangePoint(3, change.p, Counts(19, 20), Counts(7, 20), is_exact=True)


def test_large_change_point_has_an_upper_bound_as_p() -> None:
    small = [Counts(passed, 300) for passed in (240, 250, 244, 225, 236)]
    large = [Counts(counts.passed * 8, counts.decided * 8) for counts in small]
    assert add_counts(large).decided > MAX_SERIES_ATTEMPTS

    change = find_change_point(large)

    assert change and change.place == 3 and not change.is_exact
    assert 0 < change.p < 0.01


@pytest.mark.parametrize("runs, detected", [(6, 0.75), (10, 0.9), (20, 0.9), (30, 0.9)])
def test_change_is_located_and_detected(runs: int, detected: float) -> None:
    histories = 6_000 // runs
    figures = simulate_changes(runs, histories, seed=2)

    assert figures.located >= 0.9
    assert figures.detected >= detected
    assert figures.false_alarms <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / histories)
