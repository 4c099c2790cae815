"""Estimate pass^k: how likely all of k attempts of a test case pass."""

import math
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from sigmamind_mcp.insight.statistics import Counts, Interval

PASS_K = (1, 2, 4, 8)
RESAMPLES = 2_000
_SEED = 17  # fixed, so that the same batch runs give the same interval


class PassK(NamedTuple):
    """The mean of pass^k over the cases with at least k decided attempts.

    `interval` is the 95 % bootstrap interval over cases; None with a single case.
    """

    k: int
    rate: float
    cases: int
    interval: Interval | None


class Consistency(NamedTuple):
    """How many cases pass always, sometimes and never; cases without a verdict are in none."""

    always: int
    sometimes: int
    never: int


def compute_pass_k(counts: Counts, k: int) -> float | None:
    """Return the chance that k attempts all pass; None with fewer than k decided attempts.

    Formula: C(passed, k) / C(decided, k), without bias.
    Source: Yao et al. (2024), "tau-bench", section 3.
    """
    if counts.decided < k:
        return None
    return math.comb(counts.passed, k) / math.comb(counts.decided, k)


def summarize_pass_k(cases: Sequence[Counts]) -> list[PassK]:
    """Return pass^k of the suite for each k that any case has enough attempts for."""
    summary = []
    for k in PASS_K:
        estimates = [compute_pass_k(counts, k) for counts in cases]
        rates = [rate for rate in estimates if rate is not None]
        if rates:
            mean = math.fsum(rates) / len(rates)
            summary.append(PassK(k, mean, len(rates), _bootstrap_mean(rates)))
    return summary


def count_consistency(cases: Sequence[Counts]) -> Consistency:
    """Count the cases by whether all, some or none of their decided attempts passed."""
    decided = [counts for counts in cases if counts.decided]
    always = sum(counts.passed == counts.decided for counts in decided)
    never = sum(counts.passed == 0 for counts in decided)
    return Consistency(always, len(decided) - always - never, never)


def _bootstrap_mean(values: Sequence[float]) -> Interval | None:
    """Return the 95 % percentile interval of the mean, from draws with replacement."""
    if len(values) < 2:
        return None
    random = Random(_SEED)
    means = []
    for _ in range(RESAMPLES):
        drawn = random.choices(values, k=len(values))
        means.append(sum(drawn) / len(drawn))
    means.sort()
    margin = RESAMPLES // 40
    return Interval(means[margin - 1], means[-margin])
