"""Find what failed attempts have and passed ones lack, or the reverse, within the same test cases.

An item is anything that an attempt has or lacks. Each item is one integer with a bit for each
attempt, so a count is one `&` and one `bit_count`.

Only attempts of the same test case are compared: otherwise the topics of the test cases that fail
most would seem to be causes. The statistic is that of Cochran, Mantel and Haenszel (Agresti,
"Categorical Data Analysis"), with a constant in the denominator that keeps rare items from
dominating (Tusher, Tibshirani and Chu 2001, "Significance analysis of microarrays"). Its p value is
corrected for all items at once by the largest statistic of each permutation of the verdicts within
the test cases (Westfall and Young 1993, "Resampling-based multiple testing").
"""

import random
from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import groupby
from math import sqrt
from typing import Generic, NamedTuple, TypeVar

PERMUTATIONS = 499
SEED = 20_260_101
LEVEL = 0.025
"""The accepted risk of showing anything if nothing separates; half of the usual 5 %."""

MIN_RATIO = 1.3
MAX_TOO_FEW = 3
MAX_P_TOO_FEW = 0.25
DAMPING = 0.5
MIN_VARIANCE = 0.3
MIN_PRESENT = 2
"""An item of one attempt has at most a variance of 1/4."""

ItemT = TypeVar("ItemT", bound=Hashable)


class Attempt(NamedTuple):
    """An attempt with a verdict."""

    case_id: str
    has_failed: bool


class SideCounts(NamedTuple):
    """How many failed and passed attempts there are, of test cases with both verdicts."""

    failed: int
    passed: int


class Separation(NamedTuple, Generic[ItemT]):
    """An item, the attempts with it, and how well it separates.

    `with_it` counts attempts of test cases with both verdicts. `p` is corrected for all items.
    """

    item: ItemT
    with_it: SideCounts
    ratio: float
    p: float
    attempts: int

    @property
    def is_in_failed(self) -> bool:
        """Whether failed attempts have the item more often than passed ones."""
        return self.ratio > 1


class Contrast(NamedTuple, Generic[ItemT]):
    """What separates, what may do so with more attempts, and how much was compared.

    `is_tested` is False if the time allowed too few permutations to tell anything.
    """

    separating: list[Separation[ItemT]]
    too_few: list[Separation[ItemT]]
    compared: SideCounts
    case_count: int
    item_count: int
    is_tested: bool

    def list_found(self) -> Iterator[tuple[Separation[ItemT], bool]]:
        """Yield all of both lists, each with whether it is proven."""
        for separation in self.separating:
            yield separation, True
        for separation in self.too_few:
            yield separation, False


class _Stratum(NamedTuple):
    """The attempts of one test case, as `size` bits from the bit `start` on."""

    attempts: int
    failed: int
    start: int
    size: int


class _Scored(NamedTuple, Generic[ItemT]):
    """An item with its expected number of failed attempts and the scale of the statistic.

    No permutation of the verdicts gives a score beyond `limit`.
    """

    item: ItemT
    mask: int
    expected: float
    scale: float
    score: float
    limit: float


def contrast_items(
    attempts: Sequence[Attempt],
    presence: Mapping[ItemT, int],
    *,
    rank: Callable[[ItemT], tuple[int, int, str]],
    weigh: Callable[[ItemT], float] = lambda item: 1.0,
    has_time: Callable[[], bool] = lambda: True,
) -> Contrast[ItemT]:
    """Return the items that separate failed from passed attempts, the best first.

    The attempts of a test case stand together. `presence` has a bit for each attempt, in their
    order. Of items on almost the same attempts the one with the lowest `rank` stands for all. A
    weight above 1 lets a kind of item that is likely to matter pass among many others. Without
    `has_time` there are fewer permutations: p is coarser, and as true.
    """
    strata = _list_strata(attempts)
    informative = sum(stratum.attempts for stratum in strata)
    failed = sum(stratum.failed for stratum in strata)
    passed = informative & ~failed
    compared = SideCounts(failed.bit_count(), passed.bit_count())
    by_mask: dict[int, ItemT] = {}
    for item, mask in presence.items():
        # Thousands of equal integers of hundreds of bytes each would be kept twice.
        inside = mask if mask | informative == informative else mask & informative
        if inside not in by_mask or rank(item) < rank(by_mask[inside]):
            by_mask[inside] = item
    scored = _score_items(by_mask, strata, failed, weigh)
    largest = _permute(scored, strata, has_time)
    is_tested = not scored or 1 / (len(largest) + 1) <= LEVEL
    contrast: Contrast[ItemT] = Contrast(
        [], [], compared, len(strata), len(scored), is_tested=is_tested
    )
    scored.sort(key=lambda one: (-abs(one.score), rank(one.item)))
    for candidate in scored:
        p = _correct_p(candidate.score, largest)
        is_proven = p <= LEVEL
        if not is_proven and len(contrast.too_few) >= MAX_TOO_FEW:
            break
        separates_all = candidate.mask in (failed, passed)
        if p > MAX_P_TOO_FEW and not separates_all:
            continue
        separation = _describe(candidate, strata, failed, p)
        if MIN_RATIO > separation.ratio > 1 / MIN_RATIO:
            continue
        shown = [*contrast.separating, *contrast.too_few]
        if any(_overlap(separation.attempts, other.attempts) for other in shown):
            continue
        target = contrast.separating if is_proven else contrast.too_few
        target.append(separation)
    return contrast


def _list_strata(attempts: Sequence[Attempt]) -> list[_Stratum]:
    """Return the test cases with failed and passed attempts."""
    strata = []
    start = 0
    for _, members in groupby(attempts, key=lambda attempt: attempt.case_id):
        size = failed = 0
        for attempt in members:
            failed |= attempt.has_failed << size
            size += 1
        attempts_of_case = (1 << size) - 1
        if failed not in (0, attempts_of_case):
            strata.append(_Stratum(attempts_of_case << start, failed << start, start, size))
        start += size
    return strata


def _score_items(
    by_mask: Mapping[int, ItemT],
    strata: Sequence[_Stratum],
    failed: int,
    weigh: Callable[[ItemT], float],
) -> list[_Scored[ItemT]]:
    """Score the items that enough attempts have and lack; the others can never separate."""
    scored = []
    # Most items are in few test cases, so the others are not looked at.
    by_attempt = {}
    for stratum in strata:
        sizes = (stratum.attempts, stratum.size, stratum.failed.bit_count())
        by_attempt.update(dict.fromkeys(range(stratum.start, stratum.start + stratum.size), sizes))
    for mask, item in by_mask.items():
        expected = variance = 0.0
        fewest = most = 0
        rest = mask
        while rest:
            attempts, size, failures = by_attempt[(rest & -rest).bit_length() - 1]
            inside = rest & attempts
            rest ^= inside
            with_it = inside.bit_count()
            fewest += max(0, with_it + failures - size)
            most += min(with_it, failures)
            expected += with_it * failures / size
            mixed = with_it * (size - with_it) * failures * (size - failures)
            variance += mixed / (size * size * (size - 1))
        if variance < MIN_VARIANCE:
            continue
        scale = sqrt(variance + DAMPING) / weigh(item)
        score = ((mask & failed).bit_count() - expected) / scale
        limit = max(most - expected, expected - fewest) / scale
        scored.append(_Scored(item, mask, expected, scale, score, limit))
    return scored


def _permute(
    scored: Sequence[_Scored[ItemT]], strata: Sequence[_Stratum], has_time: Callable[[], bool]
) -> list[float]:
    """Return the largest score of each permutation of the verdicts, in order."""
    generator = random.Random(SEED)
    # Most items are rare, and cannot have the largest score.
    ordered = sorted(scored, key=lambda one: -one.limit)
    prepared = [(one.mask, one.expected, one.scale, one.limit) for one in ordered]
    largest = []
    for _ in range(PERMUTATIONS if scored else 0):
        if not has_time():
            break
        failed = 0
        for stratum in strata:
            failed |= _draw_failures(stratum, generator) << stratum.start
        highest = 0.0
        for mask, expected, scale, limit in prepared:
            if limit < highest:
                break
            score = abs((mask & failed).bit_count() - expected) / scale
            if score > highest:  # faster than max(), in the innermost loop
                highest = score
        largest.append(highest)
    return sorted(largest)


def _draw_failures(stratum: _Stratum, generator: random.Random) -> int:
    """Draw as many attempts as have failed, as bits."""
    failures = stratum.failed.bit_count()
    passes = stratum.size - failures
    # The smaller part is drawn; the other one is the rest.
    drawn = 0
    for number in generator.sample(range(stratum.size), min(failures, passes)):
        drawn |= 1 << number
    if failures <= passes:
        return drawn
    all_attempts = (1 << stratum.size) - 1
    return drawn ^ all_attempts


def _correct_p(score: float, largest: Sequence[float]) -> float:
    """Return how often a permutation has a score as large, corrected for all items."""
    as_large = len(largest) - bisect_left(largest, abs(score) - 1e-9)
    return (as_large + 1) / (len(largest) + 1)


def _describe(
    candidate: _Scored[ItemT], strata: Sequence[_Stratum], failed: int, p: float
) -> Separation[ItemT]:
    mask = candidate.mask
    in_failed = (mask & failed).bit_count()
    return Separation(
        item=candidate.item,
        with_it=SideCounts(in_failed, mask.bit_count() - in_failed),
        ratio=_compute_ratio(mask, strata),
        p=p,
        attempts=mask,
    )


def _compute_ratio(mask: int, strata: Sequence[_Stratum]) -> float:
    """Return how many times as frequent the item is in failed attempts, within the test cases.

    It is the ratio of risks by Mantel and Haenszel (Greenland and Robins 1985).
    """
    above = below = 0.0
    for stratum in strata:
        failures = stratum.failed.bit_count()
        passes = stratum.size - failures
        in_failed = (mask & stratum.failed).bit_count()
        in_passed = (mask & stratum.attempts).bit_count() - in_failed
        above += in_failed * passes / stratum.size
        below += in_passed * failures / stratum.size
    return above / below if below else float("inf")


def _overlap(first: int, second: int) -> bool:
    """Whether two items are on almost the same attempts."""
    either = (first | second).bit_count()
    return (first & second).bit_count() >= 0.8 * either
