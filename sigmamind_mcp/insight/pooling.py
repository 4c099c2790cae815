"""Pool what is known of a test case from before the candidate into one baseline.

Pooling assumes one constant rate. So it stops at a change point, and then leaves out the oldest
batch runs until the rates of the rest do not differ. A change of the agent's prompt leaves no
trace in the API, so it can only be seen as a change of the rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sigmamind_mcp.insight.rate_series import (
    compute_homogeneity_p,
    find_change_point,
)
from sigmamind_mcp.insight.statistics import Counts, add_counts
from sigmamind_mcp.moments import sort_by_date

MAX_POOLED_ATTEMPTS = 100
MAX_AGE = timedelta(days=90)
CHANGE_POINT_LIMIT = 0.05
HOMOGENEITY_LIMIT = 0.1

NotPooled = Literal[
    "date unknown",
    "not before the candidate",
    "another definition or model",
    "older than 90 days",
    "no decided attempts",
    "beyond 100 attempts",
    "before a change of the rate",
    "rate differs from the later ones",
]
OTHER_RATE: tuple[NotPooled, ...] = (
    "before a change of the rate",
    "rate differs from the later ones",
)


@dataclass(frozen=True)
class KnownRun:
    """One test case in one earlier batch run.

    `is_same` says whether its definition and model are those of the candidate.
    """

    batch_id: str
    created: datetime | None
    counts: Counts
    is_same: bool = True


@dataclass(frozen=True)
class Baseline:
    """The pooled counts, the batch runs in them, and why the others are not; oldest first."""

    counts: Counts
    pooled: tuple[KnownRun, ...]
    left_out: tuple[tuple[KnownRun, NotPooled], ...]


def pool_known_runs(runs: Sequence[KnownRun], *, before: datetime | None) -> Baseline:
    """Pool the batch runs of one test case, in their order if a date is missing.

    Only those of the 90 days before `before` are pooled; None pools those of any date.
    """
    ordered = sort_by_date(runs, lambda run: run.created)
    left_out: list[tuple[KnownRun, NotPooled]] = []
    usable: list[KnownRun] = []
    for run in ordered:
        reason = _find_reason(run, before)
        if reason:
            left_out.append((run, reason))
        else:
            usable.append(run)

    # Each step takes the latest batch runs of the one before.
    recent = _take_recent(usable)
    constant = _take_constant(recent)
    alike = _drop_until_alike(constant)
    steps: list[tuple[NotPooled, Sequence[KnownRun], Sequence[KnownRun]]] = [
        ("beyond 100 attempts", usable, recent),
        ("before a change of the rate", recent, constant),
        ("rate differs from the later ones", constant, alike),
    ]
    for reason, given, taken in steps:
        for run in given[: len(given) - len(taken)]:
            left_out.append((run, reason))
    left_out.sort(key=lambda entry: ordered.index(entry[0]))
    counts = add_counts(run.counts for run in alike)
    return Baseline(counts, tuple(alike), tuple(left_out))


def _find_reason(run: KnownRun, before: datetime | None) -> NotPooled | None:
    if before and not run.created:
        return "date unknown"
    if before and run.created and run.created >= before:
        return "not before the candidate"
    if not run.is_same:
        return "another definition or model"
    if before and run.created and before - run.created > MAX_AGE:
        return "older than 90 days"
    if not run.counts.decided:
        return "no decided attempts"
    return None


def _take_recent(runs: Sequence[KnownRun]) -> list[KnownRun]:
    """Return the latest batch runs with at most 100 attempts; the last one whatever its size."""
    taken: list[KnownRun] = []
    attempts = 0
    for run in reversed(runs):
        attempts += run.counts.decided
        if taken and attempts > MAX_POOLED_ATTEMPTS:
            break
        taken.insert(0, run)
    return taken


def _take_constant(runs: Sequence[KnownRun]) -> Sequence[KnownRun]:
    """Return the batch runs after a proven change of the rate; all if there is none."""
    change = find_change_point([run.counts for run in runs])
    if change and change.p <= CHANGE_POINT_LIMIT:
        return runs[change.place :]
    return runs


def _drop_until_alike(runs: Sequence[KnownRun]) -> Sequence[KnownRun]:
    """Leave out the oldest batch run until the rates of the others do not differ."""
    while compute_homogeneity_p([run.counts for run in runs]) <= HOMOGENEITY_LIMIT:
        runs = runs[1:]
    return runs
