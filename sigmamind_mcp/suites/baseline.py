"""Read what earlier batch runs say about the cases of a suite, pooled into a baseline."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.listings import Listing
from sigmamind_mcp.api.models import BatchRun, TestCase, TestRun
from sigmamind_mcp.api.run_reading import drop_conversation, list_complete_runs
from sigmamind_mcp.concurrency import gather_errors
from sigmamind_mcp.errors import SigmaMindError
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.case_definitions import DEFINING_FIELDS, find_differences
from sigmamind_mcp.insight.diagnosis import assign_single_case, count_verdicts, get_case_id
from sigmamind_mcp.insight.pooling import (
    MAX_AGE,
    MAX_POOLED_ATTEMPTS,
    OTHER_RATE,
    Baseline,
    KnownRun,
    pool_known_runs,
)
from sigmamind_mcp.insight.statistics import Counts, add_counts

LISTED = 100
CLOCK_SLACK = timedelta(minutes=5)
"""The Date header, the API's clock, is kept for a while by servers and proxies."""
MOST_READ = 30
"""Batch runs that are read for a baseline."""


class SuiteBaseline(NamedTuple):
    """The pooled counts by test case id, and how many batch runs could not be read.

    `unfinished_ids` are the batch runs that still run: they are left out.
    """

    counts: dict[str, Counts]
    batch_ids: list[str]
    unread: int
    unfinished_ids: list[str]


async def read_baseline(
    agent_id: str,
    cases: Sequence[TestCase],
    api: SigmaMindClient,
    *,
    before: datetime | None = None,
    chosen: Sequence[str] = (),
    without: Sequence[str] = (),
) -> SuiteBaseline:
    """Pool the batch runs before a time, by default now; only the `chosen` ones, if any.

    Only batch runs that have ended are pooled, and none of `without`. If none are chosen, batch
    runs after a drop are not pooled either.
    """
    listed, unread, now = await _list_candidates(agent_id, api, chosen)
    listed = [run for run in listed if run.batch_id not in without]
    before = before or now + CLOCK_SLACK
    ran_a_case = _select_batch_runs(listed, cases, before, now=now)
    candidates = [run for run in ran_a_case if run.state(now) != "running"]
    unfinished = [run.batch_id or "" for run in ran_a_case if run.state(now) == "running"]
    read = partial(list_complete_runs, agent_id=agent_id, api=api, keep=drop_conversation)
    listings = await gather_errors([partial(read, run.batch_id or "") for run in candidates])
    known: defaultdict[str, list[KnownRun]] = defaultdict(list)
    for batch_run, listing in zip(candidates, listings, strict=True):
        if isinstance(listing, SigmaMindError):
            unread += 1
            continue
        # One that seems stalled may still run: its attempts may end late.
        ends = [run.completed_date for run in listing.items if run.completed_date]
        if batch_run.state(now, max(ends, default=None)) == "running":
            unfinished.append(batch_run.batch_id or "")
            continue
        for case in cases:
            run = _read_known_run(batch_run, listing, case)
            if run is not None:
                known[case.test_case_id or ""].append(run)
    pool = pool_known_runs if chosen else pool_before_drop
    counts = {}
    pooled: set[str] = set()
    for case_id, runs in known.items():
        baseline = pool(runs, before=before)
        counts[case_id] = baseline.counts
        pooled.update(run.batch_id for run in baseline.pooled)
    return SuiteBaseline(counts, sorted(pooled), unread, sorted(unfinished))


def pool_before_drop(runs: Sequence[KnownRun], *, before: datetime) -> Baseline:
    """Pool what is known of a case, up to the first batch run after a drop of its rate.

    Otherwise the runs of a red gate would be the baseline that makes the next one green.
    """
    baseline = pool_known_runs(runs, before=before)
    earlier = [run for run, reason in baseline.left_out if reason in OTHER_RATE]
    earlier_counts = add_counts(run.counts for run in earlier)
    if earlier_counts.rate > baseline.counts.rate:
        return pool_before_drop(earlier, before=before)
    return baseline


async def _list_candidates(
    agent_id: str, api: SigmaMindClient, chosen: Sequence[str]
) -> tuple[list[BatchRun], int, datetime]:
    """Return the batch runs that may count, how many could not be read, and the API's time."""
    page, now = await api.list_batch_runs(agent_id, size=LISTED)
    if not chosen:
        return page.items, 0, now
    newest_first = list(chosen)[::-1]
    reads = [partial(api.get_batch_run, batch_id, agent_id) for batch_id in newest_first]
    outcomes = await gather_errors(reads)
    found = [outcome.value for outcome in outcomes if not isinstance(outcome, SigmaMindError)]
    return found, len(outcomes) - len(found), now


def _select_batch_runs(
    batch_runs: Sequence[BatchRun],
    cases: Sequence[TestCase],
    before: datetime,
    *,
    now: datetime,
) -> list[BatchRun]:
    """Return the newest batch runs of the cases, until each case has enough attempts.

    Those that still run are among them, and count for nothing.
    """
    missing = {case.test_case_id: MAX_POOLED_ATTEMPTS for case in cases}
    selected: list[BatchRun] = []
    for run in batch_runs:
        if not valid_id(run.batch_id) or not run.created_date:
            continue
        age = before - run.created_date
        if not timedelta() < age <= MAX_AGE:
            continue
        needed = [case for case in run.test_cases if missing.get(case.test_case_id, 0) > 0]
        if needed and len(selected) < MOST_READ:
            selected.append(run)
        if run.state(now) == "running":
            continue
        for case in needed:
            missing[case.test_case_id] -= case.attempt or 1
    return selected


def _read_known_run(
    batch_run: BatchRun, listing: Listing[TestRun], case: TestCase
) -> KnownRun | None:
    """Return one case in one earlier batch run; None if that shows no attempt of it."""
    assigned = assign_single_case(batch_run.test_cases, listing.items)
    runs = [run for run in assigned if get_case_id(run) == case.test_case_id]
    if not runs or batch_run.created_date is None:
        return None
    launched = [one for one in batch_run.test_cases if one.test_case_id == case.test_case_id]
    is_same = all(is_same_definition(one, case) for one in launched)
    counts = count_verdicts(runs)
    return KnownRun(batch_run.batch_id or "", batch_run.created_date, counts, is_same)


def is_same_definition(launched: TestCase, stored: TestCase) -> bool:
    """Whether a batch run ran a case as it is stored now, as far as the API shows it."""
    return set(DEFINING_FIELDS).isdisjoint(find_differences(launched, stored))
