"""Statistics of pass counts: intervals, exact tests, power and the attempts that a proof needs.

Exact integers are used where they are fast enough, so equally likely outcomes compare as equal.
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from operator import mul
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

MAX_EXACT_ATTEMPTS = 4_000
"""Up to this many attempts on both sides together, exact integers are fast enough."""

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


Stratum = tuple[Counts, Counts]
"""The counts of one test case: base and candidate."""


def compute_wilson_interval(counts: Counts) -> Interval:
    """Return the 95 % score interval of a pass rate.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    Same as statsmodels' `proportion_confint(method="wilson")`. Without a verdict: 0 to 1.
    """
    passed, decided = counts
    if not decided:
        return Interval(0.0, 1.0)
    failed = decided - passed
    margin = Z * math.sqrt(Z**2 + 4 * passed * failed / decided)
    # The upper bound is 1 minus the lower bound of the failures, so that 0 and 1 are exact.
    scale = 2 * (decided + Z**2)
    low = (2 * passed + Z**2 - margin) / scale
    failed_low = (2 * failed + Z**2 - margin) / scale
    return Interval(low, 1 - failed_low)


def compute_fisher_p(base: Counts, candidate: Counts) -> float:
    """Return the two-sided p value of Fisher's exact test of two pass counts.

    Source: Fisher (1935), "The logic of inductive inference"; the two-sided rule is that of R's
    `fisher.test`: add up all outcomes that are at most as likely as the observed one.
    """
    if base.decided + candidate.decided > MAX_EXACT_ATTEMPTS:
        return compute_cmh_p([(base, candidate)])
    ways, observed = _count_ways(base, candidate)
    limit = ways[observed]
    unlikely = sum(count for count in ways if count <= limit)
    return unlikely / sum(ways)


def compute_cmh_p(strata: Iterable[Stratum]) -> float:
    """Return the exact two-sided p value of the Cochran-Mantel-Haenszel test.

    It compares base and candidate within each stratum. A stratum with an empty side, or in which
    all attempts passed or all failed, has no effect. With more than 10,000 possible outcomes it is
    the normal approximation with continuity correction.

    Source: Agresti, "Categorical Data Analysis", exact conditional tests of 2 x 2 x K tables.
    Same as R's `mantelhaen.test`, with `exact = TRUE` and with the defaults.
    """
    telling = [stratum for stratum in strata if _count_outcomes(*stratum) > 1]
    if sum(_count_outcomes(*stratum) - 1 for stratum in telling) > MAX_CMH_OUTCOMES:
        return _approximate_cmh_p(telling)
    distribution, observed = Distribution(0, [1.0]), 0
    for base, candidate in telling:
        passed = base.passed + candidate.passed
        window = list_hypergeometric(base.decided, candidate.decided, passed)
        distribution = convolve(distribution, window)
        observed += base.passed
    return _sum_unlikely(distribution, observed)


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


def find_smallest_p(base_decided: int, candidate_decided: int) -> float:
    """Return the smallest p value that Fisher's test can reach with this many attempts.

    Formula: the p value of the most extreme outcome, all passed on one side and none on the other.
    """
    return compute_fisher_p(Counts(base_decided, base_decided), Counts(0, candidate_decided))


def find_smallest_drop(base: Counts, candidate_decided: int, alpha: float) -> float | None:
    """Return the smallest drop of the pass rate that Fisher's test proves at level `alpha`.

    A difference of rates, from 0 to 1; None if these attempts cannot prove any drop.

    Formula: base rate - x / candidate_decided, for the largest x that is a drop with p <= alpha.
    """
    for passed in reversed(range(candidate_decided)):
        candidate = Counts(passed, candidate_decided)
        is_drop = passed * base.decided < base.passed * candidate_decided
        if is_drop and compute_fisher_p(base, candidate) <= alpha:
            return base.rate - passed / candidate_decided
    return None


def compute_power(base_rate: float, candidate_rate: float, attempts: int, alpha: float) -> float:
    """Return the probability that Fisher's test proves a change between two true pass rates.

    `attempts` is the number on each side.

    Formula: the sum of binomial(x; attempts, base_rate) * binomial(y; attempts, candidate_rate)
    over all outcomes (x, y) with a p value of at most `alpha`. It is exact.
    Same as R's `Exact::power.exact.test(method = "Fisher")`.
    """
    base = _compute_binomial(attempts, base_rate)
    candidate = _compute_binomial(attempts, candidate_rate)
    at_most = [0.0, *accumulate(candidate)]
    at_least = [0.0, *accumulate(reversed(candidate))]
    # By symmetry, the limits for too many passes are those for too few, read from the other end.
    too_few = _find_rejection_limits(attempts, alpha)
    too_many = reversed(too_few)
    terms = []
    for chance, low, high in zip(base, too_few, too_many, strict=True):
        rejected = at_most[low + 1] + at_least[high + 1]
        terms.append(chance * rejected)
    return min(1.0, math.fsum(terms))


def find_attempts_to_settle(
    base_rate: float,
    candidate_rate: float,
    alpha: float,
    *,
    at_most: int = 100,
    wanted: float = 0.8,
) -> int | None:
    """Return the fewest attempts on each side whose power is at least `wanted`.

    None if `at_most` attempts are too few.

    Formula: the smallest n with compute_power(base_rate, candidate_rate, n, alpha) >= wanted.
    """
    # Try each number in turn: exact power can fall when the attempts grow.
    for attempts in range(1, at_most + 1):
        if compute_power(base_rate, candidate_rate, attempts, alpha) >= wanted:
            return attempts
    return None


class _Ways(NamedTuple):
    """The number of arrangements that lead to each outcome, and the index of the observed one."""

    counts: list[int]
    observed: int


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


def _count_ways(base: Counts, candidate: Counts) -> _Ways:
    """Count the ways in which the passes can be split between the two sides."""
    passed = base.passed + candidate.passed
    outcomes = _list_outcomes(base, candidate)
    base_ways = _list_binomials(base.decided)[outcomes.start : outcomes.stop]
    first, last = passed - outcomes.stop + 1, passed - outcomes.start
    candidate_ways = _list_binomials(candidate.decided)[first : last + 1]
    # The candidate has the rest of the passes: one less for each one more of the base.
    counts = list(map(mul, base_ways, reversed(candidate_ways)))
    return _Ways(counts, base.passed - outcomes.start)


def _list_outcomes(base: Counts, candidate: Counts) -> range:
    """Return each number of passes that the base can have, given all passes."""
    passed = base.passed + candidate.passed
    return range(max(0, passed - candidate.decided), min(base.decided, passed) + 1)


def _count_outcomes(base: Counts, candidate: Counts) -> int:
    return len(_list_outcomes(base, candidate))


@lru_cache(maxsize=8)  # the same sizes come again and again, and a large row takes megabytes
def _list_binomials(n: int) -> list[int]:
    """Return the binomial coefficients of n, from k = 0 to n."""
    binomials = [1]
    for k in range(n):
        binomials.append(binomials[-1] * (n - k) // (k + 1))
    return binomials


def _compute_binomial(n: int, rate: float) -> list[float]:
    """Return the binomial probabilities of 0 to n passes."""
    if rate in (0, 1):
        return [float(k == n * rate) for k in range(n + 1)]
    # Logarithms, because the coefficients of a large n are too large for a float.
    passed, failed = math.log(rate), math.log1p(-rate)
    probabilities = []
    for k, ways in enumerate(_list_binomials(n)):
        logarithm = math.log(ways) + k * passed + (n - k) * failed
        probabilities.append(math.exp(logarithm))
    return probabilities


@lru_cache(maxsize=1024)
def _find_rejection_limits(attempts: int, alpha: float) -> tuple[int, ...]:
    """Return, for each count of the base, the highest lower count of the candidate that is proven.

    Proven means a p value of at most `alpha`; -1 means that no lower count is.
    """
    # All counts below a limit are rejected too, and the limit never falls when the base's count
    # rises: Barnard's convexity (1947), which holds when both sides have the same size.
    limits = []
    limit = -1
    for passed in range(attempts + 1):
        base = Counts(passed, attempts)
        while limit + 1 < passed:
            candidate = Counts(limit + 1, attempts)
            if compute_fisher_p(base, candidate) > alpha:
                break
            limit += 1
        limits.append(limit)
    return tuple(limits)
