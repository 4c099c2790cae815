"""Plan attempts: how many show a drop, and when enough were made to judge a case by its bar."""

import math
from functools import lru_cache
from typing import Literal, NamedTuple

from sigmamind_mcp.insight.distributions import find_normal_quantile, list_binomial
from sigmamind_mcp.insight.exact_tests import (
    MAX_BOSCHLOO_SIZE,
    RateTest,
    compute_fisher_tail,
    find_rejection_limits,
)
from sigmamind_mcp.insight.statistics import ALPHA, Counts

WANTED_POWER = 0.8
MAX_PLANNED_ATTEMPTS = 10_000
MIN_COUNTED_ATTEMPTS = 5
"""Fewer attempts on a side are no estimate of its rate."""

BAR_MARGIN = 0.2
BAR_BETA = 0.2

BarVerdict = Literal["passed", "failed", "continue"]


class AttemptsNeeded(NamedTuple):
    """The attempts on each side that a one-sided test needs, and what the number rests on.

    `attempts` is None if 10,000 are too few.
    """

    attempts: int | None
    test: RateTest
    higher_rate: float
    lower_rate: float


def find_attempts_for_counts(
    base: Counts,
    candidate: Counts,
    *,
    alpha: float = ALPHA,
    cases: int = 1,
    exact_up_to: int = MAX_BOSCHLOO_SIZE,
) -> AttemptsNeeded | None:
    """Return the attempts that would show the observed difference, if it is the true one.

    None if the rates are equal, or if a side has fewer than 5 decided attempts. Half a pass and
    half a failure are added to each side, because 5 of 5 is no proof of a rate of 1.
    """
    if min(base.decided, candidate.decided) < MIN_COUNTED_ATTEMPTS:
        return None
    if base.rate == candidate.rate:
        return None
    rates = [(side.passed + 0.5) / (side.decided + 1) for side in (base, candidate)]
    return find_attempts_for_rates(
        max(rates), min(rates), alpha=alpha, cases=cases, exact_up_to=exact_up_to
    )


def find_attempts_for_rates(
    higher_rate: float,
    lower_rate: float,
    *,
    alpha: float = ALPHA,
    cases: int = 1,
    exact_up_to: int = MAX_BOSCHLOO_SIZE,
) -> AttemptsNeeded:
    """Return the fewest attempts on each side that show such a drop in four of five comparisons.

    Up to 200 on each side, or `exact_up_to`, it is exact: the first number with that power, which
    a few larger ones can miss again. Above that it is an approximation for Fisher's test.

    Raises: ValueError if the rates are not in order.
    """
    if not 0 <= lower_rate < higher_rate <= 1:
        raise ValueError("the lower rate must be below the higher one, both from 0 to 1")
    share = alpha / cases
    attempts = _search_exact(higher_rate, lower_rate, share, exact_up_to)
    test: RateTest = "Boschloo"
    if attempts is None:
        test = "Fisher"
        attempts = _approximate_attempts(higher_rate, lower_rate, share)
    is_planned = attempts <= MAX_PLANNED_ATTEMPTS
    return AttemptsNeeded(attempts if is_planned else None, test, higher_rate, lower_rate)


def find_smallest_drop(base: Counts, candidate_decided: int, alpha: float) -> float | None:
    """Return a drop of the pass rate that Fisher's one-sided test shows at level `alpha`.

    A difference of rates from 0 to 1, the smallest such; None if these attempts cannot show any.
    Boschloo's p value is never above Fisher's, so it shows this drop too.

    Formula: base rate - x / candidate_decided, for the largest x with p <= alpha.
    """
    low, high = -1, candidate_decided
    while high - low > 1:
        passed = (low + high) // 2
        if compute_fisher_tail(base, Counts(passed, candidate_decided)) <= alpha:
            low = passed
        else:
            high = passed
    return None if low < 0 else base.rate - low / candidate_decided


@lru_cache(maxsize=1_024)
def compute_worse_power(
    higher_rate: float, lower_rate: float, base_decided: int, candidate_decided: int, alpha: float
) -> float:
    """Return the chance that Boschloo's one-sided test calls such a drop; it is exact."""
    limits = find_rejection_limits(base_decided, candidate_decided, alpha)
    base = list_binomial(base_decided, higher_rate)
    candidate = list_binomial(candidate_decided, lower_rate)
    terms = []
    for k, chance in enumerate(base.probabilities, base.first):
        for passed in range(candidate_decided + 1):
            # All lower counts of the candidate are in the region too.
            if k < limits[k + passed]:
                break
            terms.append(chance * candidate.get(passed))
    return min(1.0, math.fsum(terms))


def judge_by_bar(counts: Counts, bar: float, *, cases: int = 1) -> BarVerdict:
    """Say whether the attempts so far pass the bar, fail it, or must go on.

    At a true rate of the bar, it fails with a chance of at most 0.05 divided by the number of
    cases with a bar; at a rate 0.2 lower it passes with a chance of at most 0.2.

    Source: Wald (1945), "Sequential tests of statistical hypotheses".

    Raises: ValueError if the bar is not above 0.2 and at most 1.
    """
    if not BAR_MARGIN < bar <= 1:
        raise ValueError("a bar is above 0.2 and at most 1")
    alpha = ALPHA / cases
    low = bar - BAR_MARGIN
    failures = counts.decided - counts.passed
    evidence_for_low = counts.passed * math.log(low / bar)
    if bar < 1:
        evidence_for_low += failures * math.log((1 - low) / (1 - bar))
    elif failures:
        return "failed"
    if evidence_for_low >= math.log((1 - BAR_BETA) / alpha):
        return "failed"
    return "passed" if evidence_for_low <= math.log(BAR_BETA / (1 - alpha)) else "continue"


def _search_exact(higher_rate: float, lower_rate: float, alpha: float, most: int) -> int | None:
    """Return the first number of attempts with the wanted power; None above `most`."""
    # Exact power can fall when the attempts grow, so each number is tried, from 0.7 times the
    # approximation on: over a grid of rates and levels, the exact number is at least 0.79 times it.
    estimate = _approximate_attempts(higher_rate, lower_rate, alpha, correct=False)
    for attempts in range(max(1, int(0.7 * estimate)), most + 1):
        power = compute_worse_power(higher_rate, lower_rate, attempts, attempts, alpha)
        if power >= WANTED_POWER:
            return attempts
    return None


def _approximate_attempts(
    higher_rate: float, lower_rate: float, alpha: float, *, correct: bool = True
) -> int:
    """Return the attempts on each side by the normal approximation.

    Source: Fleiss, Tytun and Ury (1980), "A simple approximation for calculating sample sizes for
    comparing independent proportions", with their continuity correction for Fisher's test.
    """
    difference = higher_rate - lower_rate
    mean = (higher_rate + lower_rate) / 2
    alike = find_normal_quantile(1 - alpha) * math.sqrt(2 * mean * (1 - mean))
    spread = higher_rate * (1 - higher_rate) + lower_rate * (1 - lower_rate)
    different = find_normal_quantile(WANTED_POWER) * math.sqrt(spread)
    attempts = ((alike + different) / difference) ** 2
    if correct:
        root = math.sqrt(1 + 4 / (attempts * difference))
        attempts *= (1 + root) ** 2 / 4
    return math.ceil(attempts)
