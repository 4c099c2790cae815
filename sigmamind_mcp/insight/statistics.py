"""What pass counts can and cannot show: intervals, exact tests, and the attempts it takes to settle a difference.

Probabilities are computed from whole numbers where that is fast enough, so equally likely outcomes are equal here.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from operator import mul
from typing import NamedTuple

ALPHA = 0.05

Z = 1.959963984540054  # the normal quantile of 0.975
MOST_EXACT = 4_000  # attempts of both sides together, up to which whole numbers are fast enough
TIES = 1 + 1e-7  # R's allowance for probabilities that would be equal but for rounding


class Interval(NamedTuple):
    low: float
    high: float


class Counts(NamedTuple):
    """How many of the decided attempts passed."""

    passed: int
    decided: int

    @property
    def rate(self) -> float:
        """The share that passed; 0 when nothing was decided."""
        return self.passed / self.decided if self.decided else 0.0


def wilson(counts: Counts) -> Interval:
    """Return the 95 % score interval of a pass rate (Wilson 1927; statsmodels' `proportion_confint`, "wilson")."""
    if not counts.decided:
        return Interval(0.0, 1.0)
    passed, failed = counts.passed, counts.decided - counts.passed
    margin = Z * math.sqrt(Z**2 + 4 * passed * failed / counts.decided)
    low, high = (
        (2 * count + Z**2 - margin) / (2 * (counts.decided + Z**2)) for count in (passed, failed)
    )
    return Interval(low, 1 - high)


def fisher(base: Counts, candidate: Counts) -> float:
    """Return Fisher's exact two-sided p: every outcome no likelier than the one seen counts (R's `fisher.test`)."""
    if base.decided + candidate.decided > MOST_EXACT:
        return _fisher_by_logarithms(base, candidate)
    ways, seen = _ways(base, candidate)
    return sum(way for way in ways if way <= ways[seen]) / sum(ways)


def _fisher_by_logarithms(base: Counts, candidate: Counts) -> float:
    """The same by logarithms of the binomial coefficients, whose whole numbers outgrow every patience."""
    chances, seen = _chances(base, candidate)
    limit = chances[seen] * TIES
    return min(1.0, math.fsum(chance for chance in chances if chance <= limit))


def _chances(base: Counts, candidate: Counts) -> tuple[list[float], int]:
    """Return the chance of each number of passes that base can have, if both are alike, and where the seen one is."""
    if base.decided + candidate.decided <= MOST_EXACT:
        ways, seen = _ways(base, candidate)
        total = sum(ways)
        return [way / total for way in ways], seen
    passed = base.passed + candidate.passed
    first, last = max(0, passed - candidate.decided), min(base.decided, passed)
    logarithms = [
        _choose(base.decided, k) + _choose(candidate.decided, passed - k)
        for k in range(first, last + 1)
    ]
    top = max(logarithms)
    likely = [math.exp(one - top) for one in logarithms]
    whole = math.fsum(likely)
    return [one / whole for one in likely], base.passed - first


def _choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for being several, in their order (Holm 1979; R's `p.adjust`, "holm")."""
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = worst
    return adjusted


def cochran_mantel_haenszel(strata: Sequence[tuple[Counts, Counts]]) -> float:
    """Return the exact conditional two-sided p of base against candidate over all strata together.

    This is R's `mantelhaen.test(exact = TRUE)` (Agresti, Categorical Data Analysis, on 2 x 2 x K tables). A stratum
    with an empty side, or where all passed or all failed, says nothing and changes nothing.
    """
    chances, seen = [1.0], 0
    for base, candidate in strata:
        of_stratum, here = _chances(base, candidate)
        chances, seen = _convolve(chances, of_stratum), seen + here
    limit = chances[seen] * TIES
    return min(1.0, math.fsum(chance for chance in chances if chance <= limit))


def least_p(base_decided: int, candidate_decided: int) -> float:
    """Return the smallest p of `fisher` that sides of these sizes can reach: all passed against none."""
    return fisher(Counts(base_decided, base_decided), Counts(0, candidate_decided))


def smallest_drop(base: Counts, candidate_decided: int, alpha: float) -> float | None:
    """Return the smallest drop from the base's pass rate for which `fisher` gives alpha or less; None if none does."""
    for passed in reversed(range(candidate_decided)):
        drops = passed * base.decided < base.passed * candidate_decided
        if drops and fisher(base, Counts(passed, candidate_decided)) <= alpha:
            return base.rate - passed / candidate_decided
    return None


def power(base_rate: float, candidate_rate: float, attempts: int, alpha: float) -> float:
    """Return how often `fisher` gives alpha or less at these true rates, with so many attempts on each side.

    Exact: the sum over all outcomes of their binomial probabilities (R's `Exact::power.exact.test`, method "Fisher").
    """
    worse = _rejected_up_to(attempts, alpha)
    base, candidate = _binomial(attempts, base_rate), _binomial(attempts, candidate_rate)
    below = [0.0, *accumulate(candidate)]
    above = [0.0, *accumulate(reversed(candidate))]
    tails = (
        below[low + 1] + above[high + 1] for low, high in zip(worse, reversed(worse), strict=True)
    )
    return min(1.0, math.fsum(map(mul, base, tails)))


def attempts_to_settle(
    base_rate: float,
    candidate_rate: float,
    alpha: float,
    *,
    at_most: int = 100,
    wanted: float = 0.8,
) -> int | None:
    """Return the fewest attempts on each side whose `power` is as wanted; None when `at_most` are too few.

    Each number is tried in turn, because exact power does not always grow with the attempts.
    """
    tried = range(1, at_most + 1)
    return next((n for n in tried if power(base_rate, candidate_rate, n, alpha) >= wanted), None)


def _ways(base: Counts, candidate: Counts) -> tuple[list[int], int]:
    """Count the ways to deal the passes out, for each number that base can have, and say where the seen one is."""
    passed = base.passed + candidate.passed
    first, last = max(0, passed - candidate.decided), min(base.decided, passed)
    of_base = _choices(base.decided)[first : last + 1]
    of_candidate = _choices(candidate.decided)[passed - last : passed - first + 1]
    return list(map(mul, of_base, reversed(of_candidate))), base.passed - first


@lru_cache(maxsize=8)  # one side's size comes again and again, and a large row takes megabytes
def _choices(n: int) -> list[int]:
    """Return the binomial coefficients of n."""
    return list(accumulate(range(n), lambda ways, k: ways * (n - k) // (k + 1), initial=1))


def _convolve(left: list[float], right: list[float]) -> list[float]:
    """Return the distribution of a sum of two; without subtractions, so the smallest chances keep their digits."""
    width, margin = len(right), [0.0] * (len(right) - 1)
    padded, mirrored = [*margin, *left, *margin], right[::-1]
    return [
        sum(map(mul, padded[at : at + width], mirrored)) for at in range(len(padded) - len(margin))
    ]


def _binomial(n: int, rate: float) -> list[float]:
    """Return the chance of each number of passes, by logarithms because the coefficients outgrow a float."""
    if rate in (0, 1):
        return [float(k == n * rate) for k in range(n + 1)]
    passed, failed = math.log(rate), math.log1p(-rate)
    return [
        math.exp(math.log(ways) + k * passed + (n - k) * failed)
        for k, ways in enumerate(_choices(n))
    ]


@lru_cache(maxsize=1024)
def _rejected_up_to(attempts: int, alpha: float) -> tuple[int, ...]:
    """Return, for each count of base, the highest lower count of candidate at which p is alpha or less, or -1.

    All counts below it are rejected too, and it never falls as base's count rises (Barnard's convexity, which the
    test has when both sides are equally large). By symmetry this describes the counts that are too high as well.
    """
    highest, found = -1, []
    for passed in range(attempts + 1):
        while (
            highest + 1 < passed
            and fisher(Counts(passed, attempts), Counts(highest + 1, attempts)) <= alpha
        ):
            highest += 1
        found.append(highest)
    return tuple(found)
