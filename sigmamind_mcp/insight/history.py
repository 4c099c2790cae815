"""Summarize test cases over their batch runs: how each rate moved, and how reliable they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.insight.batch_sides import CaseSide, Side, list_case_names
from sigmamind_mcp.insight.case_definitions import (
    find_differences,
    has_definition,
    list_defining,
)
from sigmamind_mcp.insight.intervals import compute_suite_interval
from sigmamind_mcp.insight.pass_k import (
    PASS_K,
    Consistency,
    PassK,
    compute_pass_k,
    count_consistency,
    summarize_pass_k,
)
from sigmamind_mcp.insight.rate_series import (
    ChangePoint,
    Trend,
    compute_trend,
    find_change_point,
)
from sigmamind_mcp.insight.statistics import Counts, Interval, add_counts, adjust_p_values


class CaseEdit(NamedTuple):
    """A test case before and after an edit, and the defining fields that differ."""

    before: TestCase
    after: TestCase
    fields: list[str]


@dataclass(frozen=True)
class CaseTrace:
    """One test case in its batch runs, oldest first.

    `places` are those of its batch runs in the given order; `edits` has those in which its
    definition or model differs from the one before.
    """

    places: list[int]
    runs: list[CaseSide]
    edits: dict[int, CaseEdit]

    @property
    def series(self) -> list[Counts]:
        return [run.counts for run in self.runs]

    @property
    def since(self) -> int:
        """The entry of the first batch run since the last edit."""
        return self.places.index(max(self.edits)) if self.edits else 0


@dataclass(frozen=True)
class CaseHistory:
    """One test case over its batch runs; `pass_k` has each k with enough decided attempts."""

    pooled: Counts
    trend: Trend | None
    change_point: ChangePoint | None
    pass_k: dict[int, float]


class RankedCase(NamedTuple):
    """The place of a case in the given order, its change point and trend.

    Their p are adjusted over all cases.
    """

    place: int
    change_point: ChangePoint | None
    adjusted_p: float
    trend: Trend | None = None
    trend_p: float = 1.0


@dataclass(frozen=True)
class SuiteHistory:
    """All test cases over their batch runs, largest change first."""

    ranked: list[RankedCase]
    pooled: Counts
    interval: Interval
    pass_k: list[PassK]
    consistency: Consistency


def trace_cases(sides: Sequence[Side]) -> dict[str, CaseTrace]:
    """Follow each test case through the batch runs, oldest first; without those without cases."""
    return {name: _trace_case(name, sides) for name in list_case_names(sides)}


def _trace_case(name: str, sides: Sequence[Side]) -> CaseTrace:
    places: list[int] = []
    runs: list[CaseSide] = []
    edits: dict[int, CaseEdit] = {}
    last: TestCase | None = None
    for place, side in enumerate(sides):
        run = side.cases.get(name)
        if run is None:
            continue
        fields = list_defining(find_differences(last, run.case)) if last else []
        if fields and last:
            edits[place] = CaseEdit(last, run.case, fields)
        if last is None or has_definition(run.case):
            last = run.case
        places.append(place)
        runs.append(run)
    return CaseTrace(places, runs, edits)


def summarize_case_history(series: Sequence[Counts], *, since: int = 0) -> CaseHistory:
    """Summarize the counts of one test case, one entry for each batch run, oldest first.

    The pooled rate and pass^k are those from entry `since` on.
    """
    pooled = add_counts(series[since:])
    pass_k = {}
    for k in PASS_K:
        rate = compute_pass_k(pooled, k)
        if rate is not None:
            pass_k[k] = rate
    return CaseHistory(pooled, compute_trend(series), find_change_point(series), pass_k)


def summarize_suite_history(
    cases: Sequence[Sequence[Counts]], since: Sequence[int] = ()
) -> SuiteHistory:
    """Summarize the counts of all test cases; each has its own batch runs, oldest first.

    The totals are those from entry `since` of each case on.
    """
    starts = since or [0] * len(cases)
    changes = [find_change_point(series) for series in cases]
    adjusted = adjust_p_values([change.p if change else 1.0 for change in changes])
    trends = [compute_trend(series) for series in cases]
    trend_ps = adjust_p_values([trend.p if trend else 1.0 for trend in trends])
    ranked = list(map(RankedCase, range(len(cases)), changes, adjusted, trends, trend_ps))
    ranked.sort(key=_rank_change_point)
    totals = []
    for series, start in zip(cases, starts, strict=True):
        totals.append(add_counts(series[start:]))
    return SuiteHistory(
        ranked,
        add_counts(totals),
        compute_suite_interval(totals),
        summarize_pass_k(totals),
        count_consistency(totals),
    )


def _rank_change_point(case: RankedCase) -> tuple[float, float]:
    """The least p value comes first, then the largest change."""
    change = case.change_point
    size = abs(change.after.rate - change.before.rate) if change else 0.0
    return case.adjusted_p, -size
