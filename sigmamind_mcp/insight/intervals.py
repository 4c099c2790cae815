"""Compute intervals and bounds of pass rates where Wilson's interval is not the right one."""

import math
from collections.abc import Sequence

from sigmamind_mcp.insight.distributions import find_t_quantile
from sigmamind_mcp.insight.statistics import (
    Counts,
    Interval,
    Z,
    add_counts,
    compute_score_interval,
    compute_wilson_interval,
)

CONFIDENCE = 0.95


def bound_rate(counts: Counts, undecided: int) -> Interval:
    """Return the rate if every undecided attempt had failed, and if every one had passed."""
    attempts = counts.decided + undecided
    if not attempts:
        return Interval(0.0, 1.0)
    return Interval(counts.passed / attempts, (counts.passed + undecided) / attempts)


def compute_suite_interval(cases: Sequence[Counts]) -> Interval:
    """Return the 95 % interval of the pass rate of all cases together, with cases as the draws.

    Attempts of one case resemble each other, so they count as fewer attempts: as many as would
    vary like the rates of the cases do. With a single decided case it is Wilson's interval.

    Source: Korn and Graubard (1998), "Confidence intervals for proportions with small expected
    number of positive counts estimated from survey data", with Wilson's interval (Dean and
    Pagano 2015).
    """
    decided = [counts for counts in cases if counts.decided]
    total = add_counts(decided)
    if len(decided) < 2:
        return compute_wilson_interval(total)
    squares = []
    for counts in decided:
        deviation = counts.passed - counts.decided * total.rate
        squares.append(deviation * deviation)
    freedom = len(decided) - 1
    variance = len(decided) / freedom * math.fsum(squares)
    independent = total.decided * total.rate * (1 - total.rate)
    effect = max(1.0, variance / independent) if independent else 1.0
    # Few cases say little about their own variance, so the interval is that of Student's t.
    if effect > 1:
        quantile = find_t_quantile((1 + CONFIDENCE) / 2, freedom)
        effect *= (quantile / Z) ** 2
    return compute_score_interval(total.passed / effect, total.decided / effect)
