"""Pool what is known of a test case from before the candidate into one baseline.

Pooling assumes one constant rate. So it stops at a change point, and then leaves out the oldest
batch runs until the rates of the rest do not differ. A change of the agent's prompt leaves no
trace in the API, so it can only be seen as a change of the rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Literal

from sigmamind_mcp.insight.rate_series import (
    add_counts,
    compute_homogeneity_p,
    find_change_point,
)
from sigmamind_mcp.insight.statistics import Counts

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
    ordered = list(runs)
    dates = [run.created for run in runs if run.created]
    if len(dates) == len(runs):
        ordered = [run for _, run in sorted(zip(dates, runs, strict=True), key=itemgetter(0))]
    left_out: list[tuple[KnownRun, NotPooled]] = []
    usable: list[KnownRun] = []
    for run in ordered:
        reason = _find_reason(run, before)
        if reason:
            left_out.append((run, reason))
        else:
            usable.append(run)

    recent = _take_recent(usable)
    left_out += [(run, "beyond 100 attempts") for run in usable[: len(usable) - len(recent)]]
    start = _find_constant_start(recent)
    left_out += [(run, "before a change of the rate") for run in recent[:start]]
    constant = recent[start:]
    alike = _drop_until_alike(constant)
    different = constant[: len(constant) - len(alike)]
    left_out += [(run, "rate differs from the later ones") for run in different]
    left_out.sort(key=lambda entry: ordered.index(entry[0]))
    counts = add_counts([run.counts for run in alike])
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


def _find_constant_start(runs: Sequence[KnownRun]) -> int:
    """Return the place of the first batch run after a proven change of the rate, or 0."""
    change = find_change_point([run.counts for run in runs])
    return change.place if change and change.p <= CHANGE_POINT_LIMIT else 0


def _drop_until_alike(runs: Sequence[KnownRun]) -> Sequence[KnownRun]:
    """Leave out the oldest batch run until the rates of the others do not differ."""
    while compute_homogeneity_p([run.counts for run in runs]) <= HOMOGENEITY_LIMIT:
        runs = runs[1:]
    return runs
