"""Compare two batch runs case by case: what changed, and what the attempts can prove.

Each test case gets Fisher's exact test, adjusted by Holm. All cases together get the exact
Cochran-Mantel-Haenszel test, which a change in the mix of cases does not distort. A case whose
definition changed says nothing about the agent, so it is not tested.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, NamedTuple

from sigmamind_mcp.api.models import BatchRun, TestCase, TestRun, Verdict
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.case_definitions import (
    DEFINING_FIELDS,
    find_definition,
    find_differences,
    has_definition,
)
from sigmamind_mcp.insight.diagnosis import assign_single_case, count_verdicts
from sigmamind_mcp.insight.statistics import (
    ALPHA,
    Counts,
    Stratum,
    adjust_p_values,
    compute_cmh_p,
    compute_fisher_p,
    find_attempts_to_settle,
    find_smallest_drop,
    find_smallest_p,
)

Change = Literal[
    "regressed",
    "improved",
    "changed, not proven",
    "unchanged",
    "not decided",
    "definition changed",
    "new",
    "removed",
]
WORST_FIRST: tuple[Change, ...] = (
    "regressed",
    "changed, not proven",
    "definition changed",
    "improved",
    "not decided",
    "removed",
    "new",
    "unchanged",
)
Direction = Literal["worse", "better", "alike"]
DefinitionSource = Literal["test runs", "batch run"]

MAX_ATTEMPTS_TO_SETTLE = 100
_CASE_PLACE = re.compile(r"testCases(\.[0-9]+(\.testCaseId)?)?")
ROUNDING_ERROR = 1e-9


@dataclass(frozen=True)
class CaseSide:
    """A test case in one batch run: its definition there, and its counts.

    `undecided` counts its attempts that show no verdict.
    """

    case: TestCase
    counts: Counts
    undecided: int = 0


@dataclass(frozen=True)
class Side:
    """One batch run. `cases` has its test cases by id; it is empty if only the totals are known.

    `unassigned` counts the runs whose test case is unreadable; they are in no case. If
    `is_complete` is False, the batch run may have more test cases than could be read.
    """

    cases: Mapping[str, CaseSide]
    overall: Counts
    definitions: DefinitionSource
    undecided: int = 0
    unassigned: int = 0
    is_complete: bool = True

    @property
    def is_by_case(self) -> bool:
        return bool(self.cases)


@dataclass(frozen=True)
class CaseChange:
    """How one test case changed from base to candidate."""

    change: Change
    base: CaseSide | None
    candidate: CaseSide | None
    differs: tuple[str, ...] = ()
    p: float | None = None
    adjusted_p: float | None = None
    attempts_to_settle: int | None = None
    smallest_drop: float | None = None

    @property
    def case(self) -> TestCase:
        side = self.candidate or self.base
        assert side is not None
        return side.case


class Overall(NamedTuple):
    """All compared cases together; `p` is None if there is nothing to compare.

    `excess` is how many more attempts of the candidate passed than if both sides were alike in
    each case. Its sign is the direction of the change; the totals can mislead when the mix of
    cases differs.
    """

    base: Counts
    candidate: Counts
    p: float | None
    excess: float
    separates_mix: bool

    @property
    def direction(self) -> Direction:
        if abs(self.excess) < ROUNDING_ERROR:
            return "alike"
        return "better" if self.excess > 0 else "worse"


@dataclass(frozen=True)
class Comparison:
    """The change of each case, worst first, and of all compared cases together.

    `compared` is the number of tests, for which p values are adjusted. `definitions_unknown`
    counts the compared cases whose prompt or criteria one side lacks: an edit would go unseen.
    """

    changes: Sequence[CaseChange]
    overall: Overall
    compared: int
    could_prove: bool
    definitions_unknown: int = 0

    @property
    def mix_differs(self) -> bool:
        """Whether the share of attempts of any compared case differs between the sides."""
        base_total, candidate_total = self.overall.base.decided, self.overall.candidate.decided
        for change in self.changes:
            if change.p is None or not (change.base and change.candidate):
                continue
            base, candidate = change.base.counts.decided, change.candidate.counts.decided
            if candidate * base_total != base * candidate_total:
                return True
        return False


class RunPair(NamedTuple):
    """A passed run of the base and a failed run of the candidate, by job id."""

    passed_job_id: str
    failed_job_id: str


def build_side_from_runs(
    batch_run: BatchRun, runs: Sequence[TestRun], *, unreadable_count: int = 0
) -> Side:
    """Build a side from its test runs; without cases if any run does not name its own.

    `unreadable_count` is the number of listed entries that could not be read as runs.
    """
    runs = assign_single_case(batch_run.test_cases, runs)
    overall = count_verdicts(runs)
    undecided = len(runs) - overall.decided
    assigned = [run for run in runs if not _hides_case(run)]
    nothing_assigned = bool(runs) and not assigned
    if nothing_assigned or not all(map(_get_case_name, assigned)):
        return Side({}, overall, "batch run", undecided)

    cases = _index_by_id(batch_run)
    runs_by_case: dict[str, list[TestRun]] = {name: [] for name in cases}
    for run in assigned:
        name = _get_case_name(run)
        cases.setdefault(name, run.test_case or TestCase())
        runs_by_case.setdefault(name, []).append(run)

    sides: dict[str, CaseSide] = {}
    source: DefinitionSource = "batch run"
    for name, case_runs in runs_by_case.items():
        definition = find_definition(case_runs)
        if definition:
            source = "test runs"
        counts = count_verdicts(case_runs)
        sides[name] = CaseSide(definition or cases[name], counts, len(case_runs) - counts.decided)
    unassigned = len(runs) - len(assigned)
    is_complete = not (unassigned or unreadable_count or _hides_cases(batch_run))
    return Side(sides, overall, source, undecided, unassigned, is_complete)


def build_side_from_counters(batch_run: BatchRun) -> Side:
    """Build a side from the batch run's own counters; by case only if it has a single one."""
    overall, undecided = Counts(0, 0), batch_run.expected_attempts or 0
    if batch_run.successful_attempts is not None and batch_run.failed_attempts is not None:
        passed, failed = batch_run.successful_attempts, batch_run.failed_attempts
        overall = Counts(passed, passed + failed)
        undecided = max(0, undecided - overall.decided)
    cases: dict[str, CaseSide] = {}
    if len(batch_run.test_cases) == 1 and not _hides_cases(batch_run):
        for name, case in _index_by_id(batch_run).items():
            cases[name] = CaseSide(case, overall, undecided)
    return Side(cases, overall, "batch run", undecided)


def compare_sides(base: Side, candidate: Side) -> Comparison:
    """Compare each test case of two batch runs, and all together; only the totals without cases."""
    if base.is_by_case and candidate.is_by_case:
        return _compare_cases(base, candidate)
    return _compare_totals(base.overall, candidate.overall)


def pick_pair_to_read(
    changes: Sequence[CaseChange], base_runs: Sequence[TestRun], candidate_runs: Sequence[TestRun]
) -> RunPair | None:
    """Pick a passed and a failed run of the worst case whose pass rate fell."""
    for change in changes:
        if not (change.base and change.candidate) or change.p is None:
            continue
        if change.candidate.counts.rate >= change.base.counts.rate:
            continue
        passed = _find_job_id(base_runs, change.base.case, "passed")
        failed = _find_job_id(candidate_runs, change.candidate.case, "failed")
        if passed and failed:
            return RunPair(passed, failed)
    return None


class _CasePair(NamedTuple):
    """One test case on both sides, and the fields in which it differs."""

    base: CaseSide
    candidate: CaseSide
    differs: tuple[str, ...]

    @property
    def stratum(self) -> Stratum:
        return self.base.counts, self.candidate.counts

    @property
    def is_defined(self) -> bool:
        return has_definition(self.base.case) and has_definition(self.candidate.case)


class _Pairing(NamedTuple):
    """The cases that both sides have, and those that only one of them has."""

    pairs: list[_CasePair]
    removed: list[CaseSide]
    added: list[CaseSide]


def _compare_totals(base: Counts, candidate: Counts) -> Comparison:
    # Totals cannot tell a change of the agent from a change in the mix of cases.
    p = None
    could_prove = False
    if base.decided and candidate.decided:
        p = compute_fisher_p(base, candidate)
        could_prove = find_smallest_p(base.decided, candidate.decided) <= ALPHA
    excess = _compute_excess([(base, candidate)])
    overall = Overall(base, candidate, p, excess, separates_mix=False)
    return Comparison([], overall, compared=0, could_prove=could_prove)


def _compare_cases(base: Side, candidate: Side) -> Comparison:
    pairing = _pair_cases(base.cases, candidate.cases)
    # A case that cannot be seen on a side may be among what could not be read there.
    removed: Change = "removed" if candidate.is_complete else "not decided"
    added: Change = "new" if base.is_complete else "not decided"
    changes = [CaseChange(removed, side, None) for side in pairing.removed]
    changes += [CaseChange(added, None, side) for side in pairing.added]
    compared: list[_CasePair] = []
    for pair in pairing.pairs:
        obstacle = _find_obstacle(pair)
        if obstacle:
            changes.append(CaseChange(obstacle, pair.base, pair.candidate, pair.differs))
        else:
            compared.append(pair)

    changes += _test_pairs(compared)
    changes.sort(key=_rank_change)
    strata = [pair.stratum for pair in compared]
    return Comparison(
        changes,
        _compute_overall(strata),
        compared=len(compared),
        could_prove=_can_prove_any(strata),
        definitions_unknown=sum(not pair.is_defined for pair in compared),
    )


def _pair_cases(base: Mapping[str, CaseSide], candidate: Mapping[str, CaseSide]) -> _Pairing:
    """Pair cases by id, then by a label that only one case on each side has."""
    pairs = []
    for name, side in base.items():
        if name in candidate:
            pairs.append(_make_pair(side, candidate[name]))

    base_only = _group_by_label(base, without=candidate)
    candidate_only = _group_by_label(candidate, without=base)
    removed: list[CaseSide] = []
    for label, sides in base_only.items():
        matches = candidate_only.get(label, [])
        is_unique = len(sides) == len(matches) == 1
        if label and is_unique:
            pairs.append(_make_pair(sides[0], matches[0]))
            del candidate_only[label]
        else:
            removed += sides
    added = list(chain.from_iterable(candidate_only.values()))
    return _Pairing(pairs, removed, added)


def _make_pair(base: CaseSide, candidate: CaseSide) -> _CasePair:
    return _CasePair(base, candidate, find_differences(base.case, candidate.case))


def _group_by_label(
    sides: Mapping[str, CaseSide], *, without: Collection[str]
) -> dict[str, list[CaseSide]]:
    """Group the cases by label, except those whose id is in `without`."""
    groups: dict[str, list[CaseSide]] = {}
    for name, side in sides.items():
        if name not in without:
            label = (side.case.label or "").strip()
            groups.setdefault(label, []).append(side)
    return groups


def _find_obstacle(pair: _CasePair) -> Change | None:
    """Return why the pair cannot be tested; None if it can."""
    if set(pair.differs) & set(DEFINING_FIELDS):
        return "definition changed"
    if pair.base.counts.decided == 0 or pair.candidate.counts.decided == 0:
        return "not decided"
    return None


def _test_pairs(pairs: Sequence[_CasePair]) -> list[CaseChange]:
    p_values = [compute_fisher_p(*pair.stratum) for pair in pairs]
    adjusted = adjust_p_values(p_values)
    changes = []
    for pair, p, adjusted_p in zip(pairs, p_values, adjusted, strict=True):
        changes.append(_classify_change(pair, p, adjusted_p, len(pairs)))
    return changes


def _classify_change(pair: _CasePair, p: float, adjusted_p: float, compared: int) -> CaseChange:
    base, candidate = pair.stratum
    alpha = ALPHA / compared
    change: Change = "changed, not proven"
    attempts = drop = None
    if base.rate == candidate.rate:
        change = "unchanged"
        drop = find_smallest_drop(base, candidate.decided, alpha)
    elif adjusted_p <= ALPHA:
        change = "improved" if candidate.rate > base.rate else "regressed"
    else:
        attempts = find_attempts_to_settle(
            base.rate, candidate.rate, alpha, at_most=MAX_ATTEMPTS_TO_SETTLE
        )
    return CaseChange(
        change,
        pair.base,
        pair.candidate,
        pair.differs,
        p,
        adjusted_p,
        attempts_to_settle=attempts,
        smallest_drop=drop,
    )


def _rank_change(change: CaseChange) -> tuple[int, float]:
    return WORST_FIRST.index(change.change), 2.0 if change.p is None else change.p


def _compute_overall(strata: Sequence[Stratum]) -> Overall:
    base_total = candidate_total = Counts(0, 0)
    for base, candidate in strata:
        base_total = base_total.plus(base)
        candidate_total = candidate_total.plus(candidate)
    p = compute_cmh_p(strata) if strata else None
    excess = _compute_excess(strata)
    return Overall(base_total, candidate_total, p, excess, separates_mix=True)


def _compute_excess(strata: Sequence[Stratum]) -> float:
    """Return how many more attempts of the candidate passed than expected if nothing changed."""
    excess = 0.0
    for base, candidate in strata:
        both = base.plus(candidate)
        if both.decided:
            expected = candidate.decided * both.passed / both.decided
            excess += candidate.passed - expected
    return excess


def _can_prove_any(strata: Sequence[Stratum]) -> bool:
    """Whether any outcome in any stratum would be significant after adjustment."""
    for base, candidate in strata:
        if find_smallest_p(base.decided, candidate.decided) <= ALPHA / len(strata):
            return True
    return False


def _index_by_id(batch_run: BatchRun) -> dict[str, TestCase]:
    return {case.test_case_id: case for case in batch_run.test_cases if case.test_case_id}


def _get_case_name(run: TestRun) -> str:
    """Return the id of the run's test case, else its label; "" if it has neither."""
    case = run.test_case or TestCase()
    return case.test_case_id or case.label or ""


def _hides_case(run: TestRun) -> bool:
    """Whether the run's test case cannot be told because its field is unreadable."""
    if _get_case_name(run):
        return False
    return any(name.split(".")[0] == "testCase" for name in run.unreadable_fields())


def _hides_cases(batch_run: BatchRun) -> bool:
    """Whether a test case of the batch run, or the id of one, is unreadable."""
    return any(_CASE_PLACE.fullmatch(name) for name in batch_run.unreadable_fields())


def _find_job_id(runs: Iterable[TestRun], case: TestCase, verdict: Verdict) -> str | None:
    """Return the job id of the first run of this case that ended so; None if it is not valid."""
    for run in runs:
        is_same_case = run.test_case and run.test_case.test_case_id == case.test_case_id
        if is_same_case and run.verdict == verdict:
            return valid_id(run.job_id)
    return None
