"""Decide which test cases became worse or better, with error rates that hold for all of them.

*Proven*: the chance of any false call among all cases is at most alpha (Holm). *Suspect*: of the
calls at most alpha are false on average (Benjamini-Hochberg). *Open*: looks changed, with a p
value below 0.3, and is not called; more attempts are worth their cost. The rest is *not shown*.

Boschloo's test holds its level on average over the number of all passes. Where that number is
fixed, as in random halves of the same attempts, it can exceed it. So *proven* uses only a part of
alpha.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sigmamind_mcp.insight.error_rates import (
    Question,
    adjust_by_discovery,
    find_testable,
    split_alpha,
)
from sigmamind_mcp.insight.exact_tests import (
    compute_better_p,
    compute_worse_p,
    find_smallest_worse_p,
)
from sigmamind_mcp.insight.statistics import ALPHA, Counts, add_counts, adjust_p_values

OPEN_BELOW = 0.3
"""A case that is not called is open if its one-sided p value is below this."""

PROOF_SHARE = 0.78
"""The share of alpha that a proof uses; the rest is a reserve for fixed numbers of passes.

Found by trying: it divides the false proofs in random halves of published verdicts by three, and
costs one drop in a hundred. `scripts/release/power` prints both.
"""

RateChange = Literal["regressed", "improved", "not called", "definition changed", "new", "removed"]
Level = Literal["proven", "suspect", "open", "not shown"]
LEVELS: tuple[Level, ...] = ("proven", "suspect", "open", "not shown")


@dataclass(frozen=True)
class CaseEvidence:
    """The counts of one test case: of its baseline, and of the candidate at each look.

    `looks` has the attempts that each look added, oldest first; no attempts if the case was not
    run again.
    """

    base: Counts
    looks: tuple[Counts, ...]

    def pool_candidate(self, look: int) -> Counts:
        """Return the candidate's counts of all looks up to this one, counted from 1."""
        return add_counts(self.looks[:look])


@dataclass(frozen=True)
class CaseDecision:
    """What became of one test case.

    `p` is the one-sided p value of the asked direction; of the observed one if both are asked. It
    is None if a side has no verdict. `called_at` is the first look that called the case.
    """

    change: RateChange
    level: Level
    p: float | None
    called_at: int | None = None


class SuiteDecision(NamedTuple):
    """The decision of each case in the given order.

    `counted` is the number of tests at the current look; `left_out` has the places of the cases
    that cannot be significant with their numbers of attempts. `alpha` is that of this look and of
    one direction.
    """

    cases: list[CaseDecision]
    look: int
    alpha: float
    counted: int
    left_out: list[int]


class _Call(NamedTuple):
    level: Level
    look: int


def decide_cases(
    cases: Sequence[CaseEvidence], *, question: Question = "regression", looks: int = 1
) -> SuiteDecision:
    """Decide each case by all looks made so far; a case that was called stays called.

    `looks` is the number planned before the first look.

    Raises: ValueError if a case has more looks than planned, or another number than the others.
    """
    made = {len(case.looks) for case in cases}
    if len(made) > 1 or not made <= set(range(1, looks + 1)):
        raise ValueError(f"each case needs the same number of looks, from 1 to {looks}")
    look = made.pop() if made else 1
    directions: list[RateChange] = ["regressed", "improved"]
    if question != "both":
        directions = ["regressed" if question == "regression" else "improved"]

    calls = {
        direction: _call_cases(cases, direction, question, looks=looks, look=look)
        for direction in directions
    }
    alpha = split_alpha(ALPHA, question, looks=looks, look=look)
    tested = _list_tested(cases, look, alpha, looks)
    decisions = []
    left_out = []
    for place, case in enumerate(cases):
        own_calls = {direction: calls[direction].get(place) for direction in directions}
        decisions.append(_decide_case(case, look, own_calls))
        if place not in tested:
            left_out.append(place)
    return SuiteDecision(decisions, look, alpha, len(tested), left_out)


def _call_cases(
    cases: Sequence[CaseEvidence],
    direction: RateChange,
    question: Question,
    *,
    looks: int,
    look: int,
) -> dict[int, _Call]:
    """Return the calls of one direction by place, from the first look to this one."""
    calls: dict[int, _Call] = {}
    for number in range(1, look + 1):
        alpha = split_alpha(ALPHA, question, looks=looks, look=number)
        tested = _list_tested(cases, number, alpha, looks)
        p_values = [_compute_p(cases[place], number, direction) for place in tested]
        families = adjust_p_values(p_values)
        discoveries = adjust_by_discovery(p_values)
        for place, family, discovery in zip(tested, families, discoveries, strict=True):
            previous = calls.get(place)
            if family <= alpha * PROOF_SHARE:
                if previous is None or previous.level != "proven":
                    calls[place] = _Call("proven", number)
            elif discovery <= alpha and previous is None:
                calls[place] = _Call("suspect", number)
    return calls


def _list_tested(cases: Sequence[CaseEvidence], look: int, alpha: float, looks: int) -> list[int]:
    """Return the places of the cases that count as tests."""
    places = []
    smallest = []
    for place, case in enumerate(cases):
        candidate = case.pool_candidate(look)
        if case.base.decided and candidate.decided:
            p = find_smallest_worse_p(case.base.decided, candidate.decided)
            places.append(place)
            smallest.append(p)
    # With several looks, the results of earlier looks decide how often a case is run. Leaving out
    # by number would then leave out by result, so every case counts.
    if looks > 1:
        return places
    return [places[index] for index in find_testable(smallest, alpha)]


def _compute_p(case: CaseEvidence, look: int, direction: RateChange) -> float:
    compute = compute_worse_p if direction == "regressed" else compute_better_p
    return compute(case.base, case.pool_candidate(look))


def _decide_case(
    case: CaseEvidence, look: int, calls: dict[RateChange, _Call | None]
) -> CaseDecision:
    candidate = case.pool_candidate(look)
    if not (case.base.decided and candidate.decided):
        return CaseDecision("not called", "not shown", None)
    p_values = {direction: _compute_p(case, look, direction) for direction in calls}
    direction = min(p_values, key=p_values.__getitem__)
    p = p_values[direction]
    for called, call in calls.items():
        if call:
            return CaseDecision(called, call.level, p_values[called], call.look)
    # A change is stated only if it is called. Open and not shown say that it is not known.
    return CaseDecision("not called", "open" if p < OPEN_BELOW else "not shown", p)
