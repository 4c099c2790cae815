"""Compare batch runs case by case: what changed, and what the attempts can show.

The batch runs of each side are pooled by case. Each case is decided by `decisions`. All cases
together get the exact Cochran-Mantel-Haenszel test, which a change in the mix of cases does not
distort. A case whose definition changed says nothing about the agent, so it is not tested.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.insight.attempts_needed import (
    AttemptsNeeded,
    find_attempts_for_counts,
    find_smallest_drop,
)
from sigmamind_mcp.insight.baselines import (
    BaselineFinder,
    BaseRuns,
    CasePair,
    LeftOut,
    Obstacle,
    match_known_cases,
    pool_candidates,
)
from sigmamind_mcp.insight.batch_sides import (
    CaseSide,
    RunPlace,
    Side,
    order_by_date,
    pool_case_sides,
)
from sigmamind_mcp.insight.decisions import (
    PROOF_SHARE,
    CaseDecision,
    CaseEvidence,
    Level,
    RateChange,
    SuiteDecision,
    decide_cases,
)
from sigmamind_mcp.insight.error_rates import Question, find_testable, split_alpha
from sigmamind_mcp.insight.exact_tests import MAX_BOSCHLOO_SIZE, find_smallest_worse_p
from sigmamind_mcp.insight.intervals import compute_suite_interval
from sigmamind_mcp.insight.statistics import (
    ALPHA,
    Counts,
    Interval,
    Stratum,
    add_counts,
    compute_cmh_p,
    compute_wilson_interval,
    is_cmh_exact,
)

Direction = Literal["worse", "better", "alike"]
MAX_PLANNED_CASES = 3
MAX_EXACT_PLAN = 40
"""Attempts are planned for few cases, and exactly up to this number: the search takes long."""

ROUNDING_ERROR = 1e-9

_ORDER: tuple[tuple[RateChange, Level], ...] = (
    ("regressed", "proven"),
    ("regressed", "suspect"),
    ("not called", "open"),
    ("definition changed", "not shown"),
    ("improved", "proven"),
    ("improved", "suspect"),
    ("removed", "not shown"),
    ("new", "not shown"),
    ("not called", "not shown"),
)


@dataclass(frozen=True)
class CaseChange:
    """What became of one test case from base to candidate.

    `obstacle` says why it is not a test. `called_at` is the look that called it.
    """

    change: RateChange
    level: Level
    base: CaseSide | None
    candidate: CaseSide | None
    differs: tuple[str, ...] = ()
    p: float | None = None
    called_at: int | None = None
    obstacle: Obstacle | None = None
    smallest_drop: float | None = None
    attempts_needed: AttemptsNeeded | None = None

    @property
    def case(self) -> TestCase:
        side = self.candidate or self.base
        assert side is not None
        return side.case


class Total(NamedTuple):
    """All compared cases of one side: their counts, and the 95 % interval by cases."""

    counts: Counts
    interval: Interval
    undecided: int


class Overall(NamedTuple):
    """All compared cases together; `p` is None if there is nothing to compare.

    `excess` is how many more attempts of the candidate passed than if both sides were alike in
    each case. Its sign is the direction of the change; the totals can mislead when the mix of
    cases differs.
    """

    base: Total
    candidate: Total
    p: float | None
    excess: float
    separates_mix: bool
    mix_differs: bool = False
    is_exact: bool = True

    @property
    def direction(self) -> Direction:
        if abs(self.excess) < ROUNDING_ERROR:
            return "alike"
        return "better" if self.excess > 0 else "worse"


@dataclass(frozen=True)
class Comparison:
    """The change of each case, worst first, and of all compared cases together.

    `compared` counts the cases with verdicts on both sides and one definition, `counted` those
    that are tests. `alpha` is that of this look and one direction. `definitions_unknown` counts
    the compared cases whose prompt or criteria a side lacks: an edit would go unseen.
    """

    changes: Sequence[CaseChange]
    overall: Overall
    question: Question
    looks: int
    look: int
    alpha: float
    compared: int
    counted: int
    could_call: bool
    left_out: Sequence[LeftOut] = ()
    undecided: tuple[int, int] = (0, 0)
    definitions_unknown: int = 0

    @property
    def open_cases(self) -> list[CaseChange]:
        return [change for change in self.changes if change.level == "open"]


class RunPair(NamedTuple):
    """A passed run of the base and a failed run of the candidate."""

    passed: RunPlace
    failed: RunPlace


def compare_sides(
    base: BaseRuns,
    candidates: Sequence[Side],
    *,
    question: Question = "regression",
    looks: int = 1,
) -> Comparison:
    """Compare each test case, and all together; only the totals if a side has no cases.

    `looks` is the number planned before the first look. With one, all candidates are that look;
    otherwise each is one look.

    Raises: ValueError if there are more candidates than looks, and more than one look.
    """
    candidates = order_by_date(candidates)
    bases = order_by_date(base.sides)
    if not all(side.is_by_case for side in [*bases, *candidates]):
        return _compare_totals(bases, candidates, question)
    tested_cases = pool_candidates(candidates, looks)
    known, unmatched = match_known_cases(bases, tested_cases)
    dates = [side.created for side in candidates if side.created]
    before = min(dates, default=None) if base.is_recent else None
    finder = BaselineFinder(base, before)
    changes = []
    compared = []
    for name, case in tested_cases.items():
        pair = finder.pair_case(case, known[name])
        if pair.obstacle or pair.change:
            changes.append(_build_untested(pair))
        else:
            compared.append(pair)
    if not base.is_recent:
        is_complete = all(side.is_complete for side in candidates)
        for sides in unmatched.values():
            changes.append(_build_removed(sides, is_complete))
    return _decide_pairs(base, candidates, compared, changes, finder, question, looks)


def pick_pair_to_read(changes: Sequence[CaseChange]) -> RunPair | None:
    """Pick a passed and a failed run of the worst case whose pass rate fell."""
    for change in changes:
        if not (change.base and change.candidate) or change.p is None:
            continue
        if change.candidate.counts.rate >= change.base.counts.rate:
            continue
        passed = change.base.examples.get("passed")
        failed = change.candidate.examples.get("failed")
        if passed and failed:
            return RunPair(passed, failed)
    return None


def _build_untested(pair: CasePair) -> CaseChange:
    return CaseChange(
        pair.change or "not called",
        "not shown",
        pair.base,
        pair.candidate.side,
        pair.differs,
        obstacle=pair.obstacle,
    )


def _build_removed(sides: Sequence[CaseSide], is_complete: bool) -> CaseChange:
    base = pool_case_sides(sides)
    if is_complete:
        return CaseChange("removed", "not shown", base, None)
    # A case that cannot be seen in the candidate may be among what could not be read there.
    return CaseChange("not called", "not shown", base, None, obstacle="not seen on both sides")


def _decide_pairs(
    base: BaseRuns,
    candidates: Sequence[Side],
    compared: Sequence[CasePair],
    untested: Sequence[CaseChange],
    finder: BaselineFinder,
    question: Question,
    looks: int,
) -> Comparison:
    evidence = [CaseEvidence(pair.base_side.counts, pair.candidate.looks) for pair in compared]
    decision = decide_cases(evidence, question=question, looks=looks)
    changes = [*untested, *_build_changes(compared, decision, question)]
    changes.sort(key=_rank_change)
    smallest = [_find_smallest_p(pair) for pair in compared]
    base_undecided = sum(pair.base_side.undecided for pair in compared)
    if not base.is_recent:
        base_undecided = _count_undecided(base.sides)
    return Comparison(
        _plan_open(changes, decision, question),
        _compute_overall(compared),
        question,
        looks,
        decision.look if compared else min(looks, len(candidates)),
        decision.alpha,
        compared=len(compared),
        counted=decision.counted,
        could_call=bool(find_testable(smallest, decision.alpha)),
        left_out=[LeftOut(*place, cases) for place, cases in finder.left_out.items()],
        undecided=(base_undecided, _count_undecided(candidates)),
        definitions_unknown=sum(not pair.is_defined for pair in compared),
    )


def _find_smallest_p(pair: CasePair) -> float:
    base, candidate = pair.base_side.counts, pair.candidate.side.counts
    return find_smallest_worse_p(base.decided, candidate.decided)


def _build_changes(
    compared: Sequence[CasePair], decision: SuiteDecision, question: Question
) -> list[CaseChange]:
    left_out = set(decision.left_out)
    proof = decision.alpha * PROOF_SHARE / max(1, decision.counted)
    changes = []
    for place, (pair, case) in enumerate(zip(compared, decision.cases, strict=True)):
        change = CaseChange(
            case.change,
            case.level,
            pair.base,
            pair.candidate.side,
            pair.differs,
            case.p,
            case.called_at,
            "too few attempts" if place in left_out else None,
            smallest_drop=_find_drop(pair, case, question, proof),
        )
        changes.append(change)
    return changes


def _find_drop(
    pair: CasePair, case: CaseDecision, question: Question, alpha: float
) -> float | None:
    base, candidate = pair.base_side.counts, pair.candidate.side.counts
    is_small = max(base.decided, candidate.decided) <= MAX_BOSCHLOO_SIZE
    if question == "improvement" or case.level != "not shown" or not is_small:
        return None
    return find_smallest_drop(base, candidate.decided, alpha)


def _rank_change(change: CaseChange) -> tuple[int, bool, float]:
    place = _ORDER.index((change.change, change.level))
    p = 2.0 if change.p is None else change.p
    return place, change.obstacle is None, p


def _plan_open(
    changes: Sequence[CaseChange], decision: SuiteDecision, question: Question
) -> list[CaseChange]:
    """Add the attempts that the worst open cases need in a comparison with one look."""
    planned = list(changes)
    places = [place for place, change in enumerate(changes) if change.level == "open"]
    alpha = split_alpha(ALPHA, question, looks=1, look=1) * PROOF_SHARE
    for place in places[:MAX_PLANNED_CASES]:
        change = changes[place]
        if change.base and change.candidate:
            base, candidate = change.base.counts, change.candidate.counts
            cases = max(1, decision.counted)
            needed = find_attempts_for_counts(
                base, candidate, alpha=alpha, cases=cases, exact_up_to=MAX_EXACT_PLAN
            )
            planned[place] = replace(change, attempts_needed=needed)
    return planned


def _compare_totals(
    bases: Sequence[Side], candidates: Sequence[Side], question: Question
) -> Comparison:
    # Totals cannot tell a change of the agent from a change in the mix of cases.
    base = add_counts(side.overall for side in bases)
    base_undecided = _count_undecided(bases)
    candidate = add_counts(side.overall for side in candidates)
    candidate_undecided = _count_undecided(candidates)
    strata = [(base, candidate)] if base.decided and candidate.decided else []
    overall = Overall(
        Total(base, compute_wilson_interval(base), base_undecided),
        Total(candidate, compute_wilson_interval(candidate), candidate_undecided),
        compute_cmh_p(strata) if strata else None,
        _compute_excess(strata),
        separates_mix=False,
        is_exact=is_cmh_exact(strata),
    )
    alpha = split_alpha(ALPHA, question, looks=1, look=1)
    smallest = find_smallest_worse_p(base.decided, candidate.decided) if strata else 1.0
    return Comparison(
        [],
        overall,
        question,
        looks=1,
        look=1,
        alpha=alpha,
        compared=0,
        counted=0,
        could_call=smallest <= alpha,
        undecided=(base_undecided, candidate_undecided),
    )


def _compute_overall(compared: Sequence[CasePair]) -> Overall:
    """Test all cases together at the first look: later looks repeat only some of them."""
    bases = [pair.base_side for pair in compared]
    candidates = [pair.candidate.first for pair in compared]
    base = _total_sides(bases)
    candidate = _total_sides(candidates)
    strata = []
    for base_side, candidate_side in zip(bases, candidates, strict=True):
        strata.append((base_side.counts, candidate_side.counts))
    return Overall(
        base,
        candidate,
        compute_cmh_p(strata) if strata else None,
        _compute_excess(strata),
        separates_mix=True,
        mix_differs=_is_other_mix(strata, base.counts, candidate.counts),
        is_exact=is_cmh_exact(strata),
    )


def _total_sides(sides: Sequence[CaseSide]) -> Total:
    cases = [side.counts for side in sides]
    return Total(add_counts(cases), compute_suite_interval(cases), _count_undecided(sides))


def _count_undecided(sides: Iterable[CaseSide | Side]) -> int:
    return sum(side.undecided for side in sides)


def _is_other_mix(strata: Sequence[Stratum], base_total: Counts, candidate_total: Counts) -> bool:
    """Whether the share of attempts of any case differs between the sides."""
    for base, candidate in strata:
        # Two shares, without the rounding of a division.
        in_candidate = candidate.decided * base_total.decided
        in_base = base.decided * candidate_total.decided
        if in_candidate != in_base:
            return True
    return False


def _compute_excess(strata: Sequence[Stratum]) -> float:
    """Return how many more attempts of the candidate passed than expected if nothing changed."""
    excess = 0.0
    for base, candidate in strata:
        both = base.plus(candidate)
        if both.decided:
            expected = candidate.decided * both.passed / both.decided
            excess += candidate.passed - expected
    return excess
