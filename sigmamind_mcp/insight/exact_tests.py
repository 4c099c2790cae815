"""Test whether a pass rate fell: one-sided exact tests of two counts.

Up to 200 attempts on each side it is Boschloo's test, which finds more than Fisher's at the same
error rate. Above that it is Fisher's test, and above 10,000 possible outcomes an approximation.
A rise is tested as a fall of the failures.
"""

import math
from array import array
from bisect import bisect_right
from functools import lru_cache
from operator import mul
from typing import Literal

from sigmamind_mcp.insight.distributions import (
    NEGLIGIBLE,
    Distribution,
    compute_normal_tail,
    list_binomial,
    list_coefficients,
    list_hypergeometric,
)
from sigmamind_mcp.insight.statistics import Counts

MAX_BOSCHLOO_SIZE = 200
"""Boschloo's test is used up to this many attempts on each side."""

MAX_OUTCOMES = 10_000
"""Fisher's test is exact up to this many possible outcomes; never more than all attempts."""

RateTest = Literal["Boschloo", "Fisher", "normal approximation"]

_TIE = 1 + 1e-11
"""Tail probabilities within this factor are equal but for rounding."""

_GRID_DENSITY = 16
"""Grid points of the unknown rate per square root of all attempts: five per standard deviation."""

_GOLDEN = (math.sqrt(5) - 1) / 2
_SECTIONS = 25
"""Each section leaves 0.618 of the distance, so the top is found to 1e-5 of a grid step."""

_NEAR_BEST = 0.95
"""Peaks on the grid this near to the best one are searched more closely."""


def compute_worse_p(base: Counts, candidate: Counts) -> float:
    """Return the one-sided p value that the candidate's true pass rate is below the base's."""
    if choose_rate_test(base, candidate) == "Boschloo":
        return compute_boschloo_p(base, candidate)
    return compute_fisher_tail(base, candidate)


def compute_better_p(base: Counts, candidate: Counts) -> float:
    """Return the one-sided p value that the candidate's true pass rate is above the base's."""
    return compute_worse_p(base.count_failures(), candidate.count_failures())


def choose_rate_test(base: Counts, candidate: Counts) -> RateTest:
    """Return the name of the test that suits the numbers of attempts."""
    if max(base.decided, candidate.decided) <= MAX_BOSCHLOO_SIZE:
        return "Boschloo"
    return (
        "Fisher"
        if _count_most_outcomes(base, candidate) <= MAX_OUTCOMES
        else "normal approximation"
    )


@lru_cache(maxsize=4_096)
def compute_boschloo_p(base: Counts, candidate: Counts) -> float:
    """Return the one-sided p value of Boschloo's test that the candidate's rate is lower.

    It is the largest probability, over all common rates, of a Fisher p value as small as this one.

    Source: Boschloo (1970), "Raised conditional level of significance for the 2 x 2-table".
    Same as scipy's `boschloo_exact(alternative="greater")` with the base as first column.
    """
    tails = list_fisher_tails(base.decided, candidate.decided)
    passed = base.passed + candidate.passed
    most = min(base.decided, passed)
    limit: float = tails[passed][most - base.passed]
    return _find_largest_size(base.decided, candidate.decided, limit)


@lru_cache(maxsize=4_096)
def compute_fisher_tail(base: Counts, candidate: Counts) -> float:
    """Return the one-sided p value of Fisher's test that the candidate's rate is lower.

    Above 10,000 possible outcomes it is the normal approximation with continuity correction.
    Same as scipy's `fisher_exact(alternative="greater")` with the base in the first row.
    """
    passed = base.passed + candidate.passed
    if _count_most_outcomes(base, candidate) > MAX_OUTCOMES:
        return _approximate_tail(base, candidate)
    window = list_hypergeometric(base.decided, candidate.decided, passed)
    tail = window.sum_from(base.passed)
    return min(1.0, max(tail, NEGLIGIBLE))


@lru_cache(maxsize=4_096)
def find_smallest_worse_p(base_decided: int, candidate_decided: int) -> float:
    """Return the smallest p value that these numbers of attempts can reach."""
    return compute_worse_p(Counts(base_decided, base_decided), Counts(0, candidate_decided))


@lru_cache(maxsize=512)
def find_rejection_limits(
    base_decided: int, candidate_decided: int, alpha: float
) -> tuple[int, ...]:
    """Return the fewest passes of the base that Boschloo's test calls a drop, by all passes.

    Its p value is at most `alpha` for them and for more.
    """
    tails = list_fisher_tails(base_decided, candidate_decided)
    # Fisher's p is never below Boschloo's, so the limit is at least alpha.
    candidates = sorted({tail for row in tails for tail in row if tail > alpha / _TIE})
    low, high = 0, len(candidates)
    limit = alpha
    while low < high:
        middle = (low + high) // 2
        tail = candidates[middle]
        if _find_largest_size(base_decided, candidate_decided, tail) <= alpha:
            limit = tail
            low = middle + 1
        else:
            high = middle
    limits = []
    for passed, row in enumerate(tails):
        most = min(base_decided, passed)
        limits.append(most - bisect_right(row, limit * _TIE) + 1)
    return tuple(limits)


@lru_cache(maxsize=32)  # 200 against 200 takes 350 kB
def list_fisher_tails(base_decided: int, candidate_decided: int) -> tuple["array[float]", ...]:
    """Return, for each number of all passes, the one-sided Fisher p values, smallest first."""
    base_ways = list_coefficients(base_decided)
    candidate_ways = list_coefficients(candidate_decided)
    attempts = base_decided + candidate_decided
    rows = []
    for passed in range(attempts + 1):
        least = max(0, passed - candidate_decided)
        most = min(base_decided, passed)
        # Whole numbers, so that equal tails of different rows are equal but for one rounding.
        total = math.comb(attempts, passed)
        ways = 0
        row = array("d")
        for k in range(most, least - 1, -1):
            ways += base_ways[k] * candidate_ways[passed - k]
            row.append(ways / total)
        rows.append(row)
    return tuple(rows)


def _count_most_outcomes(base: Counts, candidate: Counts) -> int:
    passed = base.passed + candidate.passed
    failed = base.decided + candidate.decided - passed
    return min(base.decided, candidate.decided, passed, failed)


def _approximate_tail(base: Counts, candidate: Counts) -> float:
    passed = base.passed + candidate.passed
    total = base.decided + candidate.decided
    expected = base.decided * passed / total
    share = passed / total * (1 - passed / total)
    variance = base.decided * (candidate.decided / (total - 1)) * share
    excess = base.passed - expected - 0.5
    return compute_normal_tail(excess / math.sqrt(variance))


@lru_cache(maxsize=8_192)
def _find_largest_size(base_decided: int, candidate_decided: int, limit: float) -> float:
    """Return the largest probability, over all rates, of a Fisher p value of at most `limit`.

    Given all passes, that probability is the largest tail within the limit; all passes are
    binomial. So it is one sum per rate.
    """
    chances = []
    for row in list_fisher_tails(base_decided, candidate_decided):
        within = bisect_right(row, limit * _TIE)
        chances.append(row[within - 1] if within else 0.0)
    if chances[0]:  # no attempt passed, and even that is within the limit
        return 1.0
    attempts = base_decided + candidate_decided
    sizes = [_sum_chances(window, chances) for window in _list_windows(attempts)]
    best = max(sizes)
    peaks = [best]
    for index in _list_peaks(sizes, best):
        peaks.append(_search_peak(attempts, chances, index, len(sizes)))
    return min(1.0, max(peaks))


def _list_peaks(sizes: list[float], best: float) -> list[int]:
    """Return the places of the local maxima that can be the largest between grid points."""
    padded = [0.0, *sizes, 0.0]
    peaks = []
    for index, size in enumerate(sizes):
        is_peak = padded[index] <= size >= padded[index + 2]
        if is_peak and size >= best * _NEAR_BEST:
            peaks.append(index)
    return peaks


def _search_peak(attempts: int, chances: list[float], index: int, points: int) -> float:
    """Return the largest probability between the neighbours of a grid point, by golden sections."""
    step = math.pi / 2 / points

    def compute_size(angle: float) -> float:
        return _sum_chances(_build_window(attempts, angle), chances)

    low = (index - 0.5) * step
    high = (index + 1.5) * step
    left = high - _GOLDEN * (high - low)
    right = low + _GOLDEN * (high - low)
    left_size = compute_size(left)
    right_size = compute_size(right)
    for _ in range(_SECTIONS):
        if left_size < right_size:
            low = left
            left, left_size = right, right_size
            right = low + _GOLDEN * (high - low)
            right_size = compute_size(right)
        else:
            high = right
            right, right_size = left, left_size
            left = high - _GOLDEN * (high - low)
            left_size = compute_size(left)
    return max(left_size, right_size)


def _sum_chances(window: Distribution, chances: list[float]) -> float:
    first, probabilities = window
    own_chances = chances[first : first + len(probabilities)]
    total: float = sum(map(mul, probabilities, own_chances))
    return total


@lru_cache(maxsize=64)
def _list_windows(attempts: int) -> list[Distribution]:
    """Return the distribution of all passes at each rate of the grid."""
    points = max(48, math.ceil(_GRID_DENSITY * math.sqrt(attempts)))
    step = math.pi / 2 / points
    windows = []
    for index in range(points):
        angle = (index + 0.5) * step
        windows.append(_build_window(attempts, angle))
    return windows


def _build_window(attempts: int, angle: float) -> Distribution:
    # Equal steps of the angle, because the standard deviation is the same at each of them.
    return list_binomial(attempts, math.sin(angle) ** 2, negligible=1e-20)
