"""Pass counts, their interval, the test of all test cases together, and Holm's adjustment."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sigmamind_mcp.insight.distributions import (
    NEGLIGIBLE,
    Distribution,
    compute_normal_tail,
    convolve,
    list_hypergeometric,
)

ALPHA = 0.05
"""The significance level: the accepted risk of calling noise a change."""

Z = 1.959963984540054
"""The normal quantile of 0.975, for intervals of 95 %."""

MAX_CMH_OUTCOMES = 10_000
"""Up to this many possible outcomes, the test of all cases together is exact."""

TIE_TOLERANCE = 1 + 1e-7
"""Probabilities within this factor are equal but for rounding (R's `fisher.test` uses the same)."""


class Interval(NamedTuple):
    low: float
    high: float


class Counts(NamedTuple):
    """How many attempts passed, of those with a verdict."""

    passed: int
    decided: int

    @property
    def rate(self) -> float:
        """The share that passed, from 0 to 1; 0 without a verdict."""
        return self.passed / self.decided if self.decided else 0.0

    def plus(self, other: "Counts") -> "Counts":
        """Return both counts together."""
        return Counts(self.passed + other.passed, self.decided + other.decided)

    def count_failures(self) -> "Counts":
        """Return the same attempts with failures for passes."""
        return Counts(self.decided - self.passed, self.decided)


def add_counts(parts: Iterable[Counts]) -> Counts:
    """Return all counts together."""
    passed = decided = 0
    for counts in parts:
        passed += counts.passed
        decided += counts.decided
    return Counts(passed, decided)


Stratum = tuple[Counts, Counts]
"""The counts of one test case: base and candidate."""


def compute_wilson_interval(counts: Counts) -> Interval:
    """Return the 95 % score interval of a pass rate.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    Same as statsmodels' `proportion_confint(method="wilson")`. Without a verdict: 0 to 1.
    """
    return compute_score_interval(*counts) if counts.decided else Interval(0.0, 1.0)


def compute_score_interval(passed: float, decided: float) -> Interval:
    """Return Wilson's interval for numbers that need not be whole."""
    failed = decided - passed
    margin = Z * math.sqrt(Z**2 + 4 * passed * failed / decided)
    # The upper bound is 1 minus the lower bound of the failures, so that 0 and 1 are exact.
    scale = 2 * (decided + Z**2)
    low = (2 * passed + Z**2 - margin) / scale
    failed_low = (2 * failed + Z**2 - margin) / scale
    high = 1 - max(0.0, failed_low)
    return Interval(max(0.0, low), high)


def compute_cmh_p(strata: Iterable[Stratum]) -> float:
    """Return the exact two-sided p value of the Cochran-Mantel-Haenszel test.

    It compares base and candidate within each stratum. A stratum with an empty side, or in which
    all attempts passed or all failed, has no effect. With more than 10,000 possible outcomes it is
    the normal approximation with continuity correction.

    Source: Agresti, "Categorical Data Analysis", exact conditional tests of 2 x 2 x K tables.
    Same as R's `mantelhaen.test`, with `exact = TRUE` and with the defaults.
    """
    telling = [stratum for stratum in strata if _count_outcomes(*stratum) > 1]
    if not is_cmh_exact(telling):
        return _approximate_cmh_p(telling)
    distribution, observed = Distribution(0, [1.0]), 0
    for base, candidate in telling:
        passed = base.passed + candidate.passed
        window = list_hypergeometric(base.decided, candidate.decided, passed)
        distribution = convolve(distribution, window)
        observed += base.passed
    return _sum_unlikely(distribution, observed)


def is_cmh_exact(strata: Iterable[Stratum]) -> bool:
    """Whether `compute_cmh_p` is exact for these counts, not an approximation."""
    return sum(_count_outcomes(*stratum) - 1 for stratum in strata) <= MAX_CMH_OUTCOMES


def adjust_p_values(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for the number of tests, and return them in their order.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure".
    Same as R's `p.adjust(method = "holm")`.
    """
    count = len(p_values)
    adjusted = [0.0] * count
    largest = 0.0
    by_size = sorted(range(count), key=p_values.__getitem__)
    for rank, index in enumerate(by_size):
        factor = count - rank
        # Never less than the adjusted value of a smaller p.
        largest = max(largest, min(1.0, factor * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _sum_unlikely(distribution: Distribution, observed: int) -> float:
    """Return the probability of all outcomes that are at most as likely as the observed one."""
    limit = distribution.get(observed) * TIE_TOLERANCE
    unlikely = math.fsum(chance for chance in distribution.probabilities if chance <= limit)
    return min(1.0, max(unlikely, NEGLIGIBLE))


def _approximate_cmh_p(strata: Sequence[Stratum]) -> float:
    excess = variance = 0.0
    for base, candidate in strata:
        total = base.plus(candidate)
        excess += base.passed - base.decided * total.rate
        spread = total.rate * (1 - total.rate) * total.decided / (total.decided - 1)
        variance += base.decided * candidate.decided / total.decided * spread
    z = max(0.0, abs(excess) - 0.5) / math.sqrt(variance)
    return 2 * compute_normal_tail(z)


def _list_outcomes(base: Counts, candidate: Counts) -> range:
    """Return each number of passes that the base can have, given all passes."""
    passed = base.passed + candidate.passed
    fewest = max(0, passed - candidate.decided)
    most = min(base.decided, passed)
    return range(fewest, most + 1)


def _count_outcomes(base: Counts, candidate: Counts) -> int:
    return len(_list_outcomes(base, candidate))
