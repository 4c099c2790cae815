"""Find what failed attempts have and passed ones lack, or the reverse, within the same test cases.

An item is anything that an attempt has or lacks. Most items are in few attempts, so each has the
numbers of its attempts; one addition for each of them counts its failures in all permutations.

Only attempts of the same test case are compared: otherwise the topics of the test cases that fail
most would seem to be causes. The statistic is that of Cochran, Mantel and Haenszel (Agresti,
"Categorical Data Analysis"), with a constant in the denominator that keeps rare items from
dominating (Tusher, Tibshirani and Chu 2001, "Significance analysis of microarrays"). Its p value is
corrected for all items at once by the largest statistic of each permutation of the verdicts within
the test cases (Westfall and Young 1993, "Resampling-based multiple testing").
"""

import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import chain, compress, groupby
from math import ceil, floor, sqrt
from typing import Generic, NamedTuple, TypeVar

PERMUTATIONS_AT_ONCE = (99, 400)
"""Counted together; the first ones are enough for a p value of 1 %, if time is short."""
SEED = 20_260_101
LEVEL = 0.025
"""The accepted risk of showing anything if nothing separates; half of the usual 5 %."""

MIN_RATIO = 1.3
MAX_TOO_FEW = 3
MAX_P_TOO_FEW = 0.25
HOPELESS_P = 0.5
"""A best p above this in the first permutations ends at MAX_P_TOO_FEW once in 10^10."""
DAMPING = 0.5
MIN_VARIANCE = 0.3
"""An item of one attempt has at most a variance of 1/4, and never separates (Tarone 1990)."""
ROUNDING = 1e-9
"""More than the error of a sum of floats."""

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
    attempts: frozenset[int]

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
    """The attempts of one test case, by number, and those that have failed."""

    attempts: range
    failed: tuple[int, ...]


class _Scored(NamedTuple, Generic[ItemT]):
    """An item with its expected number of failed attempts and the scale of the statistic.

    No permutation of the verdicts gives a score beyond `limit`.
    """

    item: ItemT
    attempts: tuple[int, ...]
    expected: float
    scale: float
    score: float
    limit: float


def contrast_items(
    attempts: Sequence[Attempt],
    presence: Mapping[ItemT, Sequence[int]],
    *,
    rank: Callable[[ItemT], tuple[int, int, str]],
    weigh: Callable[[ItemT], float] = lambda item: 1.0,
    has_time: Callable[[], bool] = lambda: True,
) -> Contrast[ItemT]:
    """Return the items that separate failed from passed attempts, the best first.

    The attempts of a test case stand together. `presence` has the numbers of the attempts with
    each item, in order. Of items on almost the same attempts the one with the lowest `rank` stands
    for all. A weight above 1 lets a kind of item that is likely to matter pass among many others.
    When `has_time` returns False, the permutations end: p is coarser, and as true.
    """
    strata = _list_strata(attempts)
    sides = _list_sides(strata)
    compared = SideCounts(*map(len, sides))
    scored = _score_items(_merge_items(presence, strata, rank), strata, weigh)
    separates_all = any(one.attempts in sides for one in scored)
    largest = _permute(scored, strata, has_time, needs_all=separates_all)
    is_tested = not scored or 1 / (len(largest) + 1) <= LEVEL
    contrast: Contrast[ItemT] = Contrast(
        [], [], compared, len(strata), len(scored), is_tested=is_tested
    )
    candidates = []
    for one in scored:
        if _correct_p(one.score, largest) <= MAX_P_TOO_FEW or one.attempts in sides:
            candidates.append(one)
    candidates.sort(key=lambda one: (-abs(one.score), rank(one.item)))
    for candidate in candidates:
        p = _correct_p(candidate.score, largest)
        is_proven = p <= LEVEL
        if not is_proven and len(contrast.too_few) >= MAX_TOO_FEW:
            break
        separation = _describe(candidate, strata, p)
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
        failures = [attempt.has_failed for attempt in members]
        numbers = range(start, start + len(failures))
        failed = tuple(compress(numbers, failures))
        if 0 < len(failed) < len(numbers):
            strata.append(_Stratum(numbers, failed))
        start = numbers.stop
    return strata


def _list_sides(strata: Sequence[_Stratum]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the numbers of all failed and of all passed attempts."""
    failed: list[int] = []
    passed: list[int] = []
    for stratum in strata:
        failed += stratum.failed
        passed += sorted(set(stratum.attempts).difference(stratum.failed))
    return tuple(failed), tuple(passed)


def _merge_items(
    presence: Mapping[ItemT, Sequence[int]],
    strata: Sequence[_Stratum],
    rank: Callable[[ItemT], tuple[int, int, str]],
) -> dict[tuple[int, ...], ItemT]:
    """Return the attempts of these test cases that items have, each with the first by rank."""
    compared = frozenset(chain.from_iterable(stratum.attempts for stratum in strata))
    merged: dict[tuple[int, ...], ItemT] = {}
    for item, attempts in presence.items():
        inside = tuple(filter(compared.__contains__, attempts))
        if inside not in merged or rank(item) < rank(merged[inside]):
            merged[inside] = item
    return merged


class _CaseSums(NamedTuple):
    """What an item adds to its sums in one test case."""

    fewest: int
    most: int
    expected: float
    variance: float


def _score_items(
    merged: Mapping[tuple[int, ...], ItemT],
    strata: Sequence[_Stratum],
    weigh: Callable[[ItemT], float],
) -> list[_Scored[ItemT]]:
    """Score the items that enough attempts have and lack; the others can never separate."""
    scored = []
    places: dict[int, int] = {}
    failed: set[int] = set()
    for place, stratum in enumerate(strata):
        places.update(dict.fromkeys(stratum.attempts, place))
        failed.update(stratum.failed)
    sums = list(map(_list_case_sums, strata))
    for attempts, item in merged.items():
        expected = variance = 0.0
        fewest = most = 0
        for place, with_it in Counter(map(places.__getitem__, attempts)).items():
            added = sums[place][with_it]
            fewest += added.fewest
            most += added.most
            expected += added.expected
            variance += added.variance
        if variance < MIN_VARIANCE:
            continue
        scale = sqrt(variance + DAMPING) / weigh(item)
        score = (len(failed.intersection(attempts)) - expected) / scale
        limit = max(most - expected, expected - fewest) / scale
        scored.append(_Scored(item, attempts, expected, scale, score, limit))
    return scored


def _list_case_sums(stratum: _Stratum) -> list[_CaseSums]:
    """Return what an item adds by how many attempts of the test case have it."""
    size, failures = len(stratum.attempts), len(stratum.failed)
    sums = []
    for with_it in range(size + 1):
        fewest, most = max(0, with_it + failures - size), min(with_it, failures)
        mixed = with_it * (size - with_it) * failures * (size - failures)
        variance = mixed / (size * size * (size - 1))
        sums.append(_CaseSums(fewest, most, with_it * failures / size, variance))
    return sums


def _permute(
    scored: Sequence[_Scored[ItemT]],
    strata: Sequence[_Stratum],
    has_time: Callable[[], bool],
    *,
    needs_all: bool,
) -> list[float]:
    """Return the largest score of each permutation of the verdicts, in order.

    If the first ones leave no item a chance, they are enough (Besag and Clifford 1991, "Sequential
    Monte Carlo p-values"), unless an item is shown whatever its p, so that it needs all.
    """
    generator = random.Random(SEED)
    # Most items are rare, and cannot have the largest score.
    ordered = sorted(scored, key=lambda one: -one.limit)
    best = max((abs(one.score) for one in scored), default=0.0)
    largest: list[float] = []
    for count in PERMUTATIONS_AT_ONCE if scored else ():
        is_enough = largest and not needs_all and _correct_p(best, largest) > HOPELESS_P
        if is_enough or not has_time():
            break
        largest += _find_largest(ordered, _draw_verdicts(strata, count, generator))
        largest.sort()
    return largest


class _DrawnVerdicts(NamedTuple):
    """Permutations of the verdicts, as an integer for each attempt with a field for each of them.

    A field is 1 where the attempt fails. The sum of these integers counts the failures of each
    permutation at once. No count reaches the highest bit of its field, of `width` bits.
    """

    by_attempt: dict[int, int]
    permutations: int
    width: int

    ones: int
    """An integer with 1 in each field."""

    def get_count(self, failures: int, number: int) -> int:
        """Return how many failures a permutation has in a sum of integers of attempts."""
        return failures >> number * self.width & (1 << self.width) - 1

    def find_outside(self, failures: int, low: float, high: float) -> list[int]:
        """Return the permutations that have about `low` failures or less, or `high` or more."""
        outside = self._mark_at_least(failures, ceil(high - ROUNDING))
        outside |= ~self._mark_at_least(failures, floor(low + ROUNDING) + 1)
        outside &= self.ones << self.width - 1
        return [place // self.width for place in _list_bits(outside)]

    def _mark_at_least(self, failures: int, number: int) -> int:
        """Set the highest bit of each field with at least so many failures, and other bits."""
        top = 1 << self.width - 1
        return failures + self.ones * (top - min(max(number, 0), top))


def _draw_verdicts(
    strata: Sequence[_Stratum], count: int, generator: random.Random
) -> _DrawnVerdicts:
    """Permute the verdicts so many times, within each test case."""
    field_bytes = strata[-1].attempts.stop.bit_length() // 8 + 1
    rows: dict[int, bytearray] = {}
    plans = []
    for stratum in strata:
        failures = len(stratum.failed)
        passes = len(stratum.attempts) - failures
        # The smaller part is drawn; the other one is the rest.
        is_failure = failures <= passes
        plans.append((stratum.attempts, min(failures, passes), is_failure))
        rest = (not is_failure).to_bytes(field_bytes, "little") * count
        rows.update((attempt, bytearray(rest)) for attempt in stratum.attempts)
    for field in range(0, count * field_bytes, field_bytes):
        for attempts, drawn, is_failure in plans:
            for attempt in generator.sample(attempts, drawn):
                rows[attempt][field] = is_failure
    by_attempt = {}
    for attempt in list(rows):  # thousands of rows are not kept twice
        by_attempt[attempt] = int.from_bytes(rows.pop(attempt), "little")
    ones = int.from_bytes((1).to_bytes(field_bytes, "little") * count, "little")
    return _DrawnVerdicts(by_attempt, count, 8 * field_bytes, ones)


def _find_largest(ordered: Sequence[_Scored[ItemT]], drawn: _DrawnVerdicts) -> list[float]:
    """Return the largest score of each permutation; the items with the highest limit come first."""
    largest = [0.0] * drawn.permutations
    lowest = 0.0
    for one in ordered:
        if one.limit < lowest:
            break
        failures = sum(map(drawn.by_attempt.__getitem__, one.attempts))
        reach = lowest * one.scale
        # Few permutations have a score that can be the largest.
        fields = drawn.find_outside(failures, one.expected - reach, one.expected + reach)
        for number in fields:
            score = abs(drawn.get_count(failures, number) - one.expected) / one.scale
            largest[number] = max(score, largest[number])
        if fields:
            lowest = min(largest)
    return largest


def _list_bits(mask: int) -> Iterator[int]:
    """Yield the positions of the bits, the lowest first."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _correct_p(score: float, largest: Sequence[float]) -> float:
    """Return how often a permutation has a score as large, corrected for all items."""
    as_large = len(largest) - bisect_left(largest, abs(score) - ROUNDING)
    return (as_large + 1) / (len(largest) + 1)


def _describe(candidate: _Scored[ItemT], strata: Sequence[_Stratum], p: float) -> Separation[ItemT]:
    attempts = frozenset(candidate.attempts)
    in_failed = sum(len(attempts.intersection(stratum.failed)) for stratum in strata)
    return Separation(
        item=candidate.item,
        with_it=SideCounts(in_failed, len(attempts) - in_failed),
        ratio=_compute_ratio(attempts, strata),
        p=p,
        attempts=attempts,
    )


def _compute_ratio(attempts: frozenset[int], strata: Sequence[_Stratum]) -> float:
    """Return how many times as frequent the item is in failed attempts, within the test cases.

    It is the ratio of risks by Mantel and Haenszel (Greenland and Robins 1985).
    """
    above = below = 0.0
    for stratum in strata:
        size, failures = len(stratum.attempts), len(stratum.failed)
        in_failed = len(attempts.intersection(stratum.failed))
        in_passed = len(attempts.intersection(stratum.attempts)) - in_failed
        above += in_failed * (size - failures) / size
        below += in_passed * failures / size
    return above / below if below else float("inf")


def _overlap(first: frozenset[int], second: frozenset[int]) -> bool:
    """Whether two items are on almost the same attempts."""
    return len(first & second) >= 0.8 * len(first | second)
