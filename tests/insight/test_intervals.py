import math
from random import Random

import pytest
from scipy.stats import norm, t

from sigmamind_mcp.insight.intervals import bound_rate, compute_suite_interval
from sigmamind_mcp.insight.statistics import Counts, compute_wilson_interval
from tests.checks.power import draw_counts


def test_undecided_attempts_stay_visible_as_bounds() -> None:
    assert bound_rate(Counts(6, 8), 2) == (0.6, 0.8)
    assert bound_rate(Counts(6, 8), 0) == (0.75, 0.75)
    assert bound_rate(Counts(0, 0), 0) == (0, 1)


def test_interval_of_a_suite_is_wider_where_cases_differ() -> None:
    differing = compute_suite_interval([Counts(10, 10)] * 5 + [Counts(0, 10)] * 5)
    alike = compute_suite_interval([Counts(5, 10)] * 10)

    assert alike == pytest.approx(compute_wilson_interval(Counts(50, 100)), abs=1e-12)
    # Variance 10 / 9 * 250 where 25 is expected, and Student's t with 9 degrees of freedom.
    effective = 100 / (10 / 9 * 250 / 25 * (t.ppf(0.975, 9) / norm.ppf(0.975)) ** 2)
    share = norm.ppf(0.975) ** 2 / effective
    margin = math.sqrt(0.25 * share + share**2 / 4) / (1 + share)
    assert differing == pytest.approx((0.5 - margin, 0.5 + margin), abs=1e-9)


def test_interval_of_a_single_case_is_wilsons() -> None:
    counts = [Counts(3, 4), Counts(0, 0)]

    assert compute_suite_interval(counts) == compute_wilson_interval(Counts(3, 4))
    assert compute_suite_interval([]) == (0, 1)
    assert compute_suite_interval([Counts(4, 4)] * 3).high == 1


def test_interval_of_a_suite_contains_the_mean_rate_as_often_as_it_says() -> None:
    random = Random(4)
    hits = independent_hits = 0
    for _ in range(600):
        # Rates of cases are 0.2 or 0.95; a suite is a draw of 20 cases.
        rates = [random.choice([0.2, 0.95]) for _ in range(20)]
        counts = [draw_counts(random, 10, rate) for rate in rates]
        interval = compute_suite_interval(counts)
        hits += interval.low <= 0.575 <= interval.high
        total = Counts(sum(c.passed for c in counts), 200)
        independent = compute_wilson_interval(total)
        independent_hits += independent.low <= 0.575 <= independent.high

    assert 0.92 <= hits / 600 <= 0.98
    assert independent_hits / 600 < 0.7
