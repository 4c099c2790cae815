"""Summarize test cases over their batch runs: how each rate moved, and how reliable they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

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
    add_counts,
    compute_trend,
    find_change_point,
)
from sigmamind_mcp.insight.statistics import Counts, Interval, adjust_p_values


@dataclass(frozen=True)
class CaseHistory:
    """One test case over its batch runs; `pass_k` has each k with enough decided attempts."""

    pooled: Counts
    trend: Trend | None
    change_point: ChangePoint | None
    pass_k: dict[int, float]


class RankedCase(NamedTuple):
    """The place of a case in the given order, its change point, and p adjusted over all cases."""

    place: int
    change_point: ChangePoint | None
    adjusted_p: float


@dataclass(frozen=True)
class SuiteHistory:
    """All test cases over their batch runs, largest change first."""

    ranked: list[RankedCase]
    pooled: Counts
    interval: Interval
    pass_k: list[PassK]
    consistency: Consistency


def summarize_case_history(series: Sequence[Counts]) -> CaseHistory:
    """Summarize the counts of one test case, one entry for each batch run, oldest first."""
    pooled = add_counts(series)
    estimates = {k: compute_pass_k(pooled, k) for k in PASS_K}
    known = {k: rate for k, rate in estimates.items() if rate is not None}
    return CaseHistory(pooled, compute_trend(series), find_change_point(series), known)


def summarize_suite_history(cases: Sequence[Sequence[Counts]]) -> SuiteHistory:
    """Summarize the counts of all test cases; each has its own batch runs, oldest first."""
    changes = [find_change_point(series) for series in cases]
    adjusted = adjust_p_values([change.p if change else 1.0 for change in changes])
    ranked = [
        RankedCase(place, change, p)
        for place, (change, p) in enumerate(zip(changes, adjusted, strict=True))
    ]
    ranked.sort(key=lambda case: (case.adjusted_p, -_measure_change(case.change_point)))
    totals = [add_counts(series) for series in cases]
    return SuiteHistory(
        ranked,
        add_counts(totals),
        compute_suite_interval(totals),
        summarize_pass_k(totals),
        count_consistency(totals),
    )


def _measure_change(change: ChangePoint | None) -> float:
    return abs(change.after.rate - change.before.rate) if change else 0.0
