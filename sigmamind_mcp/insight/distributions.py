"""Compute probabilities of counts in plain Python, because a library would slow the start.

Each probability follows from its neighbour by a ratio, starting at the most likely outcome. So
nothing overflows, and 10 million attempts need no more than the outcomes near the middle.
"""

import math
from collections.abc import Callable
from operator import mul
from typing import NamedTuple

NEGLIGIBLE = 1e-300
"""Outcomes this much less likely than the most likely one are left out."""


class Distribution(NamedTuple):
    """The probabilities of the outcomes `first`, `first + 1`, …; all others are negligible."""

    first: int
    probabilities: list[float]

    def sum_from(self, outcome: int) -> float:
        """Return the probability of `outcome` or more."""
        start = max(0, outcome - self.first)
        return math.fsum(self.probabilities[start:])

    def get(self, outcome: int) -> float:
        """Return the probability of one outcome; 0 if it is negligible."""
        index = outcome - self.first
        return self.probabilities[index] if 0 <= index < len(self.probabilities) else 0.0


def list_binomial(n: int, rate: float, *, negligible: float = NEGLIGIBLE) -> Distribution:
    """Return the probabilities of each number of passes among n attempts."""
    if rate <= 0 or rate >= 1:
        return Distribution(n if rate >= 1 else 0, [1.0])
    odds = rate / (1 - rate)

    def compute_ratio(k: int) -> float:
        return (n - k) / (k + 1) * odds

    mode = min(n, int((n + 1) * rate))
    return _walk_from_mode(compute_ratio, range(n + 1), mode, negligible)


def list_hypergeometric(base_size: int, candidate_size: int, passed: int) -> Distribution:
    """Return the probabilities of the base's passes, given all passes, if both sides are alike."""
    fewest = max(0, passed - candidate_size)
    most = min(base_size, passed)

    def compute_ratio(k: int) -> float:
        more = (base_size - k) * (passed - k)
        fewer = (k + 1) * (candidate_size - passed + k + 1)
        return more / fewer

    mode = (passed + 1) * (base_size + 1) // (base_size + candidate_size + 2)
    return _walk_from_mode(compute_ratio, range(fewest, most + 1), mode, NEGLIGIBLE)


def list_coefficients(n: int) -> list[int]:
    """Return the binomial coefficients of n."""
    return [math.comb(n, k) for k in range(n + 1)]


def convolve(left: Distribution, right: Distribution) -> Distribution:
    """Return the distribution of the sum of two independent numbers, without its far ends."""
    # Additions and products only, no FFT: even the smallest probabilities keep all their digits.
    width = len(right.probabilities)
    margin = [0.0] * (width - 1)
    padded = [*margin, *left.probabilities, *margin]
    mirrored = right.probabilities[::-1]
    sums = []
    for start in range(len(padded) - len(margin)):
        window = padded[start : start + width]
        sums.append(sum(map(mul, window, mirrored)))
    return _trim(Distribution(left.first + right.first, sums))


def compute_normal_tail(z: float) -> float:
    """Return the probability that a standard normal number is at least z."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def find_normal_quantile(probability: float) -> float:
    """Return the z that a standard normal number stays below with this probability."""
    return _bisect(lambda z: 1 - compute_normal_tail(z), probability, -9.0, 9.0)


def find_t_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t distribution, for a probability of at least 0.5."""

    def compute_below(t: float) -> float:
        beyond = compute_beta_below(freedom / 2, 0.5, freedom / (freedom + t * t))
        return 1 - beyond / 2

    return _bisect(compute_below, probability, 0.0, 1_000.0)


def compute_beta_below(a: float, b: float, x: float) -> float:
    """Return the probability that a beta number is at most x.

    Formula: the continued fraction of the regularised incomplete beta function, DLMF 8.17.22.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast only below the mean
        return 1 - compute_beta_below(b, a, 1 - x)
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    logarithm += a * math.log(x) + b * math.log1p(-x)
    fraction = _evaluate_beta_fraction(a, b, x)
    return math.exp(logarithm) * fraction / a


def _evaluate_beta_fraction(a: float, b: float, x: float) -> float:
    """Evaluate the continued fraction by Lentz's method."""
    c = 1.0
    d = 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 100_000):
        middle = a + 2 * m
        even = m * (b - m) * x / ((middle - 1) * middle)
        odd = -(a + m) * (a + b + m) * x / (middle * (middle + 1))
        step = 1.0
        for numerator in (even, odd):
            c = 1 + numerator / c
            d = 1 / (1 + numerator * d)
            step *= c * d
        value *= step
        if abs(step - 1) < 1e-15:
            break
    return value


def _walk_from_mode(
    compute_ratio: Callable[[int], float], outcomes: range, mode: int, negligible: float
) -> Distribution:
    """Build a window from the ratios P(k + 1) / P(k), outward from the most likely outcome."""
    upper = [1.0]
    for k in range(mode, outcomes[-1]):
        weight = upper[-1] * compute_ratio(k)
        if weight < negligible:
            break
        upper.append(weight)
    lower: list[float] = []
    weight = 1.0
    for k in range(mode - 1, outcomes.start - 1, -1):
        weight /= compute_ratio(k)
        if weight < negligible:
            break
        lower.append(weight)
    weights = [*reversed(lower), *upper]
    total = math.fsum(weights)
    probabilities = [weight / total for weight in weights]
    return Distribution(mode - len(lower), probabilities)


def _trim(window: Distribution) -> Distribution:
    """Leave out the negligible outcomes at both ends."""
    limit = max(window.probabilities) * NEGLIGIBLE
    kept = [index for index, chance in enumerate(window.probabilities) if chance >= limit]
    first, last = kept[0], kept[-1]
    return Distribution(window.first + first, window.probabilities[first : last + 1])


def _bisect(compute: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Return where a rising function reaches a value, to the last digit."""
    while True:
        middle = (low + high) / 2
        if not low < middle < high:
            return middle
        if compute(middle) < wanted:
            low = middle
        else:
            high = middle
