"""Read what earlier batch runs say about the cases of a suite, pooled into a baseline."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.last_ends import find_last_end
from sigmamind_mcp.api.listings import Listing
from sigmamind_mcp.api.models import BatchRun, TestCase, TestRun
from sigmamind_mcp.api.newest_batch_runs import NewestBatchRuns, read_newest_batch_runs
from sigmamind_mcp.api.run_reading import derive_state, drop_conversation, list_complete_runs
from sigmamind_mcp.concurrency import gather_errors
from sigmamind_mcp.errors import SigmaMindError
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
from sigmamind_mcp.nouns import pluralize

LISTED_AT_ONCE = 100
MOST_LISTED = 500
"""Batch runs that are looked at for one of the cases, of any suite of the agent."""
CLOCK_SLACK = timedelta(minutes=5)
"""The Date header, the API's clock, is kept for a while by servers and proxies."""
MOST_READ = 30
"""Batch runs that are read for a baseline."""


class SuiteBaseline(NamedTuple):
    """The pooled counts by test case id, and how many batch runs could not be read whole.

    `unfinished_ids` are the batch runs that still run: they are left out. `is_cut` says that older
    batch runs were not looked at, though a case has too few attempts. `unread_ids` names the unread
    ones that have an id.
    """

    counts: dict[str, Counts]
    batch_ids: list[str]
    unread: int
    unfinished_ids: list[str]
    is_cut: bool = False
    unread_ids: Sequence[str] = ()

    def describe_gap(self) -> str | None:
        """Say what is missing, in a sentence; None if nothing is."""
        gaps = []
        if self.unread:
            unread = pluralize(self.unread, "earlier batch run")
            gaps.append(f"{unread} could not be read for the baseline")
        if self.is_cut:
            gaps.append(f"only the newest {MOST_LISTED} batch runs were looked at")
        sentence = ", and ".join(gaps)
        return f"{sentence[0].upper()}{sentence[1:]}." if sentence else None


class _Candidates(NamedTuple):
    """The batch runs that may count, and the API's time.

    Chosen ones are in their order, others newest first. `unread` counts those without an id.
    """

    batch_runs: list[BatchRun]
    now: datetime
    unread: int = 0
    is_cut: bool = False
    unread_ids: Sequence[str] = ()


class _Selection(NamedTuple):
    """The batch runs of the cases; `unusable` are those that do not show whether they are.

    `is_enough` says that no older batch run can count.
    """

    batch_runs: list[BatchRun]
    unusable: list[BatchRun]
    is_enough: bool


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

    Only batch runs that have ended are pooled, and none of `without`. Chosen ones are pooled
    whatever their date. If none are chosen, batch runs after a drop are not pooled either.
    """
    select = partial(_select_batch_runs, cases=cases, before=before, without=without)
    if chosen:
        candidates = await _read_chosen(agent_id, api, chosen)
        selection = _select_chosen(candidates.batch_runs, cases, without)
    else:
        candidates = await _list_newest(agent_id, api, select)
        selection = select(candidates.batch_runs, now=candidates.now)
    now = candidates.now
    unread_ids = [*candidates.unread_ids, *(run.batch_id or "" for run in selection.unusable)]
    unfinished = [run.batch_id or "" for run in selection.batch_runs if run.state(now) == "running"]
    ended = [run for run in selection.batch_runs if run.state(now) != "running"]
    read = partial(list_complete_runs, agent_id=agent_id, api=api, keep=drop_conversation)
    listings = await gather_errors([partial(read, run.batch_id or "") for run in ended])
    known: defaultdict[str, list[KnownRun]] = defaultdict(list)
    for batch_run, listing in zip(ended, listings, strict=True):
        # Of a part, nobody knows the rate of the whole.
        if isinstance(listing, SigmaMindError) or listing.unread_count:
            unread_ids.append(batch_run.batch_id or "")
            continue
        # One that seems stalled may still run: its attempts may end late.
        if derive_state(batch_run, now, find_last_end(listing)) == "running":
            unfinished.append(batch_run.batch_id or "")
            continue
        for case in cases:
            run = _read_known_run(batch_run, listing, case)
            if run is not None:
                known[case.test_case_id or ""].append(run)
    counts = {}
    pooled: set[str] = set()
    for case_id, runs in known.items():
        if chosen:
            baseline = pool_known_runs(runs, before=None)
        else:
            baseline = pool_before_drop(runs, before=before or now + CLOCK_SLACK)
        counts[case_id] = baseline.counts
        pooled.update(run.batch_id for run in baseline.pooled)
    is_cut = candidates.is_cut and not selection.is_enough
    unread = candidates.unread + len(unread_ids)
    return SuiteBaseline(
        counts,
        sorted(pooled),
        unread,
        sorted(unfinished),
        is_cut,
        sorted(filter(None, unread_ids)),
    )


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


async def _read_chosen(agent_id: str, api: SigmaMindClient, chosen: Sequence[str]) -> _Candidates:
    """Read the chosen batch runs, whatever their number and date."""
    batch_ids = list(dict.fromkeys(chosen))
    reads = [partial(api.get_batch_run, batch_id, agent_id) for batch_id in batch_ids]
    _, now = await api.list_batch_runs(agent_id)
    outcomes = await gather_errors(reads)
    found, unread_ids = [], []
    for batch_id, outcome in zip(batch_ids, outcomes, strict=True):
        if isinstance(outcome, SigmaMindError):
            unread_ids.append(batch_id)
        else:
            found.append(outcome.value.model_copy(update={"batch_id": batch_id}))
    return _Candidates(found, now, unread_ids=unread_ids)


def _select_chosen(
    batch_runs: Sequence[BatchRun], cases: Sequence[TestCase], without: Sequence[str]
) -> _Selection:
    """Return the chosen batch runs that ran one of the cases."""
    case_ids = {case.test_case_id for case in cases}
    counted = [run for run in batch_runs if run.batch_id not in without]
    unusable = [run for run in counted if not _shows_cases(run)]
    shown = [run for run in counted if _shows_cases(run)]
    selected = []
    for run in shown:
        if not case_ids.isdisjoint(case.test_case_id for case in run.test_cases):
            selected.append(run)
    return _Selection(selected, unusable, is_enough=True)


async def _list_newest(
    agent_id: str, api: SigmaMindClient, select: Callable[..., _Selection]
) -> _Candidates:
    """List the newest batch runs, until `select` has enough."""

    def is_enough(newest: NewestBatchRuns) -> bool:
        is_limit = len(newest.batch_runs) >= MOST_LISTED
        return is_limit or select(newest.batch_runs, now=newest.now).is_enough

    newest = await read_newest_batch_runs(agent_id, api, size=LISTED_AT_ONCE, is_enough=is_enough)
    return _Candidates(newest.batch_runs, newest.now, newest.unread_count, newest.has_more)


def _select_batch_runs(
    batch_runs: Sequence[BatchRun],
    cases: Sequence[TestCase],
    before: datetime | None,
    without: Sequence[str],
    *,
    now: datetime,
) -> _Selection:
    """Return the newest batch runs of the cases, until each case has enough attempts.

    Those that still run are among them, and count for nothing.
    """
    before = before or now + CLOCK_SLACK
    missing = {case.test_case_id: MAX_POOLED_ATTEMPTS for case in cases}
    selected: list[BatchRun] = []
    unusable: list[BatchRun] = []
    is_past_limit = False
    for run in batch_runs:
        if len(selected) == MOST_READ or max(missing.values(), default=0) <= 0:
            return _Selection(selected, unusable, is_enough=True)
        needed = [case for case in run.test_cases if missing.get(case.test_case_id, 0) > 0]
        may_count = bool(needed) or not _shows_cases(run)
        age = before - run.created_date if run.created_date else None
        if age is not None and not timedelta() < age <= MAX_AGE:
            is_past_limit = is_past_limit or age > MAX_AGE
        elif run.batch_id in without or not may_count:
            continue
        elif age is None or not needed:
            unusable.append(run)
        else:
            selected.append(run)
            _take_attempts(missing, run, needed, now)
    return _Selection(selected, unusable, is_enough=is_past_limit)


def _take_attempts(
    missing: dict[str | None, int], run: BatchRun, needed: Sequence[TestCase], now: datetime
) -> None:
    """Count the attempts of a batch run, unless it still runs."""
    if run.state(now) == "running":
        return
    for case in needed:
        missing[case.test_case_id] -= case.attempt or 1


def _shows_cases(run: BatchRun) -> bool:
    """Return whether all test cases of a batch run can be seen."""
    return "testCases" in run.raw and not run.has_unreadable("testCases")


def _read_known_run(
    batch_run: BatchRun, listing: Listing[TestRun], case: TestCase
) -> KnownRun | None:
    """Return one case in one earlier batch run; None if that shows no attempt of it."""
    assigned = assign_single_case(batch_run.test_cases, listing.items)
    runs = [run for run in assigned if get_case_id(run) == case.test_case_id]
    if not runs:
        return None
    launched = [one for one in batch_run.test_cases if one.test_case_id == case.test_case_id]
    is_same = all(is_same_definition(one, case) for one in launched)
    counts = count_verdicts(runs)
    return KnownRun(batch_run.batch_id or "", batch_run.created_date, counts, is_same)


def is_same_definition(launched: TestCase, stored: TestCase) -> bool:
    """Whether a batch run ran a case as it is stored now, as far as the API shows it."""
    return set(DEFINING_FIELDS).isdisjoint(find_differences(launched, stored))
