"""Test how the pass rate of one test case moved over its batch runs, oldest first.

The tests compare with every way in which the same passes could have been spread over the batch
runs if the rate had stayed the same. Of long series, trend and change point are approximate.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from sigmamind_mcp.insight.distributions import (
    Distribution,
    compute_normal_tail,
    list_binomial,
    list_coefficients,
)
from sigmamind_mcp.insight.statistics import Counts, add_counts

MAX_SERIES_ATTEMPTS = 10_000
"""Up to this many attempts in a series, its change point is tested exactly."""

MAX_TREND_ATTEMPTS = 400
"""Up to this many attempts in a series, its trend is tested exactly."""

_ROUNDING = 1e-9
_HOMOGENEITY_STEP = 1 / 16
"""Deviations are rounded to this, so that few different sums arise; the test stays exact."""

TrendDirection = Literal["rising", "falling", "level"]


class Trend(NamedTuple):
    """The two-sided p value of a steady rise or fall, and what was observed."""

    p: float
    direction: TrendDirection
    is_exact: bool


class ChangePoint(NamedTuple):
    """The most likely change: `place` is that of the first batch run after it."""

    place: int
    p: float
    before: Counts
    after: Counts
    is_exact: bool


def compute_trend(series: Sequence[Counts]) -> Trend | None:
    """Return the trend over the places of the batch runs; None without two decided ones.

    Above 400 attempts it is the normal approximation, the same as R's `prop.trend.test`.

    Source: Cochran (1954) and Armitage (1955); exact as twice the tail of the
    observed direction.
    """
    decided = [place for place, counts in enumerate(series) if counts.decided]
    if len(decided) < 2:
        return None
    total = add_counts(series)
    score, highest = _compute_scores(series)
    expected = highest * total.rate
    excess = score - expected
    direction: TrendDirection = "level"
    if abs(excess) > _ROUNDING * max(1.0, expected):
        direction = "rising" if excess > 0 else "falling"
    if total.passed in (0, total.decided):
        return Trend(1.0, direction, is_exact=True)
    if total.decided > MAX_TREND_ATTEMPTS:
        return Trend(_approximate_trend(series, total, excess), direction, is_exact=False)
    # A rise is a fall read backwards.
    falling = series[::-1] if direction == "rising" else series
    tail = compute_falling_p(falling)
    return Trend(min(1.0, 2 * tail), direction, is_exact=True)


def compute_falling_p(series: Sequence[Counts]) -> float:
    """Return the exact one-sided p value of a fall: a score as low as this one, or lower.

    The score is the sum of place times passes. Whole numbers count every outcome.
    """
    total = add_counts(series)
    score, highest = _compute_scores(series)
    if total.passed * 2 <= total.decided:
        return _count_low_scores(series, total.passed, score)
    # As many failures with as high a score; few outcomes are faster to count than many.
    mirrored = [counts.count_failures() for counts in reversed(series)]
    last = len(series) - 1
    failed = total.decided - total.passed
    mirrored_score = last * failed - (highest - score)
    return _count_low_scores(mirrored, failed, mirrored_score)


def _compute_scores(series: Sequence[Counts]) -> tuple[int, int]:
    """Return the sum of place times passes, and what it would be if all attempts passed."""
    score = highest = 0
    for place, counts in enumerate(series):
        score += place * counts.passed
        highest += place * counts.decided
    return score, highest


def _count_low_scores(series: Sequence[Counts], passed: int, limit: int) -> float:
    """Return the share of outcomes with this many passes and a score of at most `limit`."""
    attempts = add_counts(series).decided
    ways = math.comb(attempts, passed)
    # A row is a polynomial in the score for one number of passes so far. Its coefficients are the
    # digits of one large integer, so that one addition adds all of them.
    digit = ways.bit_length() + 1
    mask = (1 << digit * (limit + 1)) - 1
    rows = [1, *[0] * passed]
    for place, counts in enumerate(series):
        coefficients = list_coefficients(counts.decided)
        for so_far in range(passed, 0, -1):
            row = rows[so_far]
            most = min(counts.decided, so_far)
            for k in range(1, most + 1):
                previous = rows[so_far - k]
                score = place * k
                if previous and score <= limit:
                    row += (previous * coefficients[k]) << (digit * score)
            rows[so_far] = row & mask
    low = 0
    row = rows[passed]
    one_digit = (1 << digit) - 1
    for score in range(limit + 1):
        low += (row >> digit * score) & one_digit
    return low / ways


def _approximate_trend(series: Sequence[Counts], total: Counts, excess: float) -> float:
    sums = squares = 0
    for place, counts in enumerate(series):
        sums += place * counts.decided
        squares += place**2 * counts.decided
    spread = squares - sums**2 / total.decided
    variance = total.rate * (1 - total.rate) * spread
    z = abs(excess) / math.sqrt(variance)
    return min(1.0, 2 * compute_normal_tail(z))


def find_change_point(series: Sequence[Counts]) -> ChangePoint | None:
    """Return the most likely single change of the rate; None without two decided batch runs.

    The place is where the likelihood of two rates is largest. The p value is the exact chance of
    a likelihood as large at any place. Above 10,000 attempts it is an upper bound: the normal
    approximation, multiplied by the number of places.

    Source: Worsley (1983), "The power of likelihood ratio and cumulative sum tests for a change in
    a binomial probability".
    """
    total = add_counts(series)
    places = _list_places(series)
    if not places:
        return None
    gains = {}
    so_far = Counts(0, 0)
    for place, counts in enumerate(series):
        if place in places:
            gains[place] = _compute_gain(so_far, total)
        so_far = so_far.plus(counts)

    def rank(place: int) -> tuple[float, int]:
        # Of equal gains, the one nearest to the middle.
        distance = abs(2 * place - len(series))
        return gains[place], -distance

    best = max(places, key=rank)
    gain = gains[best]
    is_exact = total.decided <= MAX_SERIES_ATTEMPTS
    if is_exact:
        p = _compute_chance_of_gain(series, total, gain, places)
    else:
        tail = compute_normal_tail(math.sqrt(2 * gain))
        p = 2 * len(places) * tail
    before = add_counts(series[:best])
    after = add_counts(series[best:])
    return ChangePoint(best, min(1.0, p), before, after, is_exact)


def _list_places(series: Sequence[Counts]) -> list[int]:
    """Return each place before which a change can lie: decided batch runs are on both sides."""
    decided = [place for place, counts in enumerate(series) if counts.decided]
    return decided[1:]


def _compute_gain(before: Counts, total: Counts) -> float:
    """Return how much more likely two rates make the counts than one, as a logarithm."""
    after = Counts(total.passed - before.passed, total.decided - before.decided)
    gain = _log_likelihood(before) + _log_likelihood(after) - _log_likelihood(total)
    return max(0.0, gain)


def _log_likelihood(counts: Counts) -> float:
    passed, decided = counts
    failed = decided - passed
    value = 0.0
    if passed:
        value += passed * math.log(passed / decided)
    if failed:
        value += failed * math.log(failed / decided)
    return value


def _compute_chance_of_gain(
    series: Sequence[Counts], total: Counts, gain: float, places: Sequence[int]
) -> float:
    """Return the chance that any place reaches this gain, by recursion over cumulative passes."""
    limit = gain - _ROUNDING * max(1.0, gain)
    chances = {0: 1.0}
    before = 0
    reached = []
    for place, counts in enumerate(series):
        if place in places:
            rest = list_binomial(total.decided - before, total.rate)
            below = {}
            for passed, chance in chances.items():
                own_gain = _compute_gain(Counts(passed, before), total)
                if own_gain < limit:
                    below[passed] = chance
                else:
                    reached.append(chance * rest.get(total.passed - passed))
            chances = below
        before += counts.decided
        chances = _add_run(chances, list_binomial(counts.decided, total.rate))
        fewest = total.passed - (total.decided - before)
        chances = {k: chance for k, chance in chances.items() if fewest <= k <= total.passed}
    whole = list_binomial(total.decided, total.rate).get(total.passed)
    return math.fsum(reached) / whole


def _add_run(chances: dict[int, float], run: Distribution) -> dict[int, float]:
    """Return the distribution of the passes so far with those of one more batch run."""
    sums: dict[int, float] = {}
    for so_far, chance in chances.items():
        for passed, probability in enumerate(run.probabilities, so_far + run.first):
            sums[passed] = sums.get(passed, 0.0) + chance * probability
    return sums


def compute_homogeneity_p(series: Sequence[Counts]) -> float:
    """Return the exact p value of Pearson's test that all batch runs have one rate.

    Each squared deviation is rounded to sixteenths. Meant for up to 100 attempts.
    """
    decided = [counts for counts in series if counts.decided]
    total = add_counts(decided)
    if total.passed * 2 > total.decided:  # few failures are faster to count than many passes
        decided = [counts.count_failures() for counts in decided]
        total = total.count_failures()
    if len(decided) < 2 or not total.passed:
        return 1.0
    observed = sum(_round_deviation(counts, total.rate) for counts in decided)
    chances = {(0, 0): 1.0}
    attempts_left = total.decided
    reached = [0.0] if observed else [1.0]
    for counts in decided:
        attempts_left -= counts.decided
        rest = list_binomial(attempts_left, total.rate)
        sums: dict[tuple[int, int], float] = {}
        steps = _list_steps(counts.decided, total.rate)
        for (so_far, deviation), chance in chances.items():
            for more, added, probability in steps:
                passed = so_far + more
                if passed > total.passed:
                    break
                joint = chance * probability
                if deviation + added >= observed:
                    reached.append(joint * rest.get(total.passed - passed))
                    continue
                state = passed, deviation + added
                sums[state] = sums.get(state, 0.0) + joint
        chances = sums
    whole = list_binomial(total.decided, total.rate).get(total.passed)
    return min(1.0, math.fsum(reached) / whole)


def _list_steps(attempts: int, rate: float) -> list[tuple[int, int, float]]:
    """Return what one batch run can add: passes, rounded deviation, and their probability."""
    window = list_binomial(attempts, rate)
    steps = []
    for passed, probability in enumerate(window.probabilities, window.first):
        deviation = _round_deviation(Counts(passed, attempts), rate)
        steps.append((passed, deviation, probability))
    return steps


def _round_deviation(counts: Counts, rate: float) -> int:
    passed, decided = counts
    deviation = passed - decided * rate
    variance = decided * rate * (1 - rate)
    return math.floor(deviation**2 / variance / _HOMOGENEITY_STEP + 0.5)
