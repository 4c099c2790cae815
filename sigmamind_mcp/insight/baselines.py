"""Find what each test case of the candidate is compared with: its baseline, pooled by case."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from sigmamind_mcp.insight.batch_sides import CaseSide, Side, list_case_names, pool_case_sides
from sigmamind_mcp.insight.case_definitions import (
    find_differences,
    has_definition,
    list_defining,
)
from sigmamind_mcp.insight.decisions import RateChange
from sigmamind_mcp.insight.pooling import KnownRun, NotPooled, pool_known_runs
from sigmamind_mcp.insight.statistics import Counts

Obstacle = Literal[
    "too few attempts", "no decided attempts", "not seen on both sides", "no baseline left"
]
LeftOutReason = (
    NotPooled
    | Literal[
        "none of these test cases", "test cases not shown", "not read in time", "no usable answer"
    ]
)


@dataclass(frozen=True)
class BaseRuns:
    """The batch runs to compare with.

    With `is_recent` they were found by date, so they can have cases that the candidate does not
    run. `is_complete` says that no other batch run can have a case of the candidate.
    """

    sides: Sequence[Side]
    is_recent: bool = False
    is_complete: bool = True


class LeftOut(NamedTuple):
    """A batch run that is not pooled, and why: for so many test cases, or None for all."""

    batch_id: str
    reason: LeftOutReason
    cases: int | None = None


class PooledCandidate(NamedTuple):
    """A test case in the candidate's batch runs: all together, at the first look, and by look."""

    side: CaseSide
    first: CaseSide
    looks: tuple[Counts, ...]
    others: Sequence[CaseSide]


def pool_candidates(candidates: Sequence[Side], looks: int) -> dict[str, PooledCandidate]:
    """Pool each test case over the candidate's batch runs, oldest first."""
    names = list_case_names(candidates)
    return {name: _pool_candidate(name, candidates, looks) for name in names}


def _pool_candidate(name: str, candidates: Sequence[Side], looks: int) -> PooledCandidate:
    """Pool the batch runs in which the case is as in the newest that shows its definition."""
    shown = [side.cases[name] for side in candidates if name in side.cases]
    defined = [side for side in shown if has_definition(side.case)]
    newest = (defined or shown)[-1]
    alike = []
    others = []
    for side in shown:
        if _is_same_test(side, newest):
            alike.append(side)
        else:
            others.append(side)
    pooled = pool_case_sides(alike)
    if looks == 1:
        return PooledCandidate(pooled, pooled, (pooled.counts,), others)
    none = CaseSide(newest.case, Counts(0, 0))
    by_look = []
    for candidate in candidates:
        own = candidate.cases.get(name, none)
        by_look.append(own if _is_same_test(own, newest) else none)
    counts = tuple(side.counts for side in by_look)
    return PooledCandidate(pooled, by_look[0], counts, others)


def _is_same_test(side: CaseSide, other: CaseSide) -> bool:
    return not list_defining(find_differences(side.case, other.case))


KnownCase = tuple[Side, CaseSide]


def match_known_cases(
    bases: Sequence[Side], candidates: Mapping[str, PooledCandidate]
) -> tuple[dict[str, list[KnownCase]], dict[str, list[CaseSide]]]:
    """Return the base's batch runs of each candidate case, and the cases that only the base has."""
    sides = {name: case.side for name, case in candidates.items()}
    known: dict[str, list[KnownCase]] = {name: [] for name in candidates}
    unmatched: dict[str, list[CaseSide]] = {}
    for base in bases:
        names = _pair_names(base.cases, sides)
        for name, side in base.cases.items():
            if name in names:
                known[names[name]].append((base, side))
            else:
                unmatched.setdefault(name, []).append(side)
    return known, unmatched


def _pair_names(base: Mapping[str, CaseSide], candidate: Mapping[str, CaseSide]) -> dict[str, str]:
    """Pair cases by id, then by a label that only one unpaired case on each side has."""
    names = {name: name for name in base if name in candidate}
    base_only = _group_by_label(base, without=candidate)
    candidate_only = _group_by_label(candidate, without=base)
    for label, own in base_only.items():
        matches = candidate_only.get(label, [])
        if label and len(own) == len(matches) == 1:
            names[own[0]] = matches[0]
    return names


def _group_by_label(
    sides: Mapping[str, CaseSide], *, without: Collection[str]
) -> dict[str, list[str]]:
    """Group the names of the cases by label, except those in `without`."""
    groups: dict[str, list[str]] = {}
    for name, side in sides.items():
        if name not in without:
            label = (side.case.label or "").strip()
            groups.setdefault(label, []).append(name)
    return groups


@dataclass(frozen=True)
class CasePair:
    """One test case on both sides. A `change` or an `obstacle` says why it cannot be tested."""

    candidate: PooledCandidate
    base: CaseSide | None = None
    differs: tuple[str, ...] = ()
    change: RateChange | None = None
    obstacle: Obstacle | None = None
    is_defined: bool = True

    @property
    def base_side(self) -> CaseSide:
        assert self.base is not None
        return self.base


class BaselineFinder:
    """Finds the baseline of each case, and counts what it leaves out.

    With `before`, only batch runs created before that time are pooled.
    """

    def __init__(self, base: BaseRuns, before: datetime | None) -> None:
        self.before = before
        self.takes_all = not base.is_recent and len(base.sides) == 1
        self.is_complete = base.is_complete and all(side.is_complete for side in base.sides)
        self.left_out: Counter[tuple[str, NotPooled]] = Counter()

    def pair_case(self, candidate: PooledCandidate, known: Sequence[KnownCase]) -> CasePair:
        """Return the case with its pooled baseline, or why it has none."""
        for other in candidate.others:
            self._leave_out(other.batch_ids, "another definition or model")
        if not known:
            if self.is_complete:
                return CasePair(candidate, change="new")
            return CasePair(candidate, obstacle="not seen on both sides")
        alike = []
        for base_run, base_side in known:
            if _is_same_test(base_side, candidate.side):
                alike.append((base_run, base_side))
        if not alike:
            _, newest = known[-1]
            differs = find_differences(newest.case, candidate.side.case)
            return CasePair(candidate, newest, differs, change="definition changed")
        pooled = self._pool(known, alike)
        if not pooled:
            whole = pool_case_sides([side for _, side in alike])
            if whole.counts.decided:
                return CasePair(candidate, obstacle="no baseline left")
            return CasePair(candidate, whole, obstacle="no decided attempts")
        base = pool_case_sides(pooled)
        differs = find_differences(base.case, candidate.side.case)
        obstacle: Obstacle | None = None
        if not (base.counts.decided and candidate.side.counts.decided):
            obstacle = "no decided attempts"
        sides = [*pooled, candidate.side]
        is_defined = all(has_definition(side.case) for side in sides)
        return CasePair(candidate, base, differs, obstacle=obstacle, is_defined=is_defined)

    def _pool(self, known: Sequence[KnownCase], alike: Sequence[KnownCase]) -> list[CaseSide]:
        if self.takes_all:
            return [side for _, side in alike]
        by_id = {base.batch_id: side for base, side in alike}
        runs = []
        for base, side in known:
            is_same = base.batch_id in by_id
            runs.append(KnownRun(base.batch_id, base.created, side.counts, is_same))
        baseline = pool_known_runs(runs, before=self.before)
        for run, reason in baseline.left_out:
            self._leave_out([run.batch_id], reason)
        return [by_id[run.batch_id] for run in baseline.pooled]

    def _leave_out(self, batch_ids: Collection[str], reason: NotPooled) -> None:
        for batch_id in batch_ids:
            self.left_out[batch_id, reason] += 1
