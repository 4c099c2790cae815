"""Read the test runs of a batch run, and its progress."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

import anyio

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.last_ends import LastEnd, find_last_end, has_only_ids
from sigmamind_mcp.api.listings import Listing, UnreadableEntry
from sigmamind_mcp.api.models import BatchRun, BatchRunState, TestRun
from sigmamind_mcp.concurrency import gather_errors, require_results
from sigmamind_mcp.errors import ConnectionFailed, InvalidArguments, NotFound, SigmaMindError
from sigmamind_mcp.ids import valid_id

MAX_READ_ONE_BY_ONE = 200
READ_SECONDS = 30.0

# A listed test run without these fields may still have a verdict: it must be read.
VERDICT_FIELDS = {"isSuccessful", "isSuccesful"}


RunOutcomes = dict[str, TestRun | SigmaMindError]
Keep = Callable[[TestRun], TestRun]


def keep_whole(run: TestRun) -> TestRun:
    """Keep a test run as it is."""
    return run


def drop_source(run: TestRun) -> TestRun:
    """Keep what was read of a test run, without the lists and objects that it was read from."""
    return run.without()


def drop_conversation(run: TestRun) -> TestRun:
    """Keep a test run without its conversation."""
    return run.without("conversation")


class Progress(NamedTuple):
    """How far a batch run is; the numbers count attempts, and are None if unknown."""

    state: BatchRunState
    created_date: datetime | None
    passed: int | None
    failed: int | None
    expected: int | None
    undecided: int | None


class BatchRunStatus(NamedTuple):
    """A batch run and its progress at the time of the answer."""

    batch_run: BatchRun
    progress: Progress


async def read_progress(batch_id: str, agent_id: str, api: SigmaMindClient) -> BatchRunStatus:
    """Read a batch run as it is now."""
    batch_run, now = await api.get_batch_run(batch_id, agent_id)
    last_end = await find_end_if_stalled(batch_run, batch_id, agent_id, now, api)
    return BatchRunStatus(batch_run, derive_progress(batch_run, now, last_end))


def derive_progress(
    batch_run: BatchRun,
    now: datetime,
    last_end: LastEnd | None = None,
) -> Progress:
    """Count the attempts of a batch run; `now` is the time by the API's clock."""
    expected, decided = batch_run.expected_attempts, batch_run.decided_attempts
    undecided = None
    if expected is not None and decided is not None:
        undecided = max(expected - decided, 0)
    return Progress(
        state=derive_state(batch_run, now, last_end),
        created_date=batch_run.created_date,
        passed=batch_run.successful_attempts,
        failed=batch_run.failed_attempts,
        expected=expected,
        undecided=undecided,
    )


def derive_state(batch_run: BatchRun, now: datetime, last_end: LastEnd | None) -> BatchRunState:
    """Return the state of a batch run; it is stalled only if all ends of its attempts were seen.

    `last_end` is None if no end could be read.
    """
    state = batch_run.state(now, last_end.date if last_end else None)
    if state != "stalled":
        return state
    if last_end is None or not last_end.is_of_all:
        return "unknown"
    # A list that has fewer attempts than the counters may lack the newest.
    return "stalled" if last_end.attempt_count >= (batch_run.decided_attempts or 0) else "unknown"


async def find_end_if_stalled(
    batch_run: BatchRun,
    batch_id: str,
    agent_id: str,
    now: datetime,
    api: SigmaMindClient,
) -> LastEnd | None:
    """Return the end of the newest attempt; None if it cannot be read or is not needed."""
    # It costs requests, and only a batch run that seems stalled needs it.
    if batch_run.state(now) != "stalled":
        return None
    try:
        listing = await api.list_test_runs(batch_id, agent_id, keep=drop_conversation)
    except SigmaMindError:
        return None
    return find_last_end(listing)


async def read_states(
    batch_runs: Sequence[BatchRun],
    agent_id: str,
    now: datetime,
    api: SigmaMindClient,
    *,
    most: int,
) -> list[Progress]:
    """Return the progress of listed batch runs, with one request for each that seems stalled.

    After `most` requests, the state of further ones is unknown.
    """
    seeming = [run.batch_id for run in batch_runs if run.batch_id and run.state(now) == "stalled"]
    asked = seeming[:most]
    reads = [partial(api.find_last_end, batch_id, agent_id) for batch_id in asked]
    outcomes = await gather_errors(reads)
    ends: dict[str, LastEnd] = {}
    for batch_id, outcome in zip(asked, outcomes, strict=True):
        if isinstance(outcome, LastEnd):
            ends[batch_id] = outcome
    return [derive_progress(run, now, ends.get(run.batch_id or "")) for run in batch_runs]


async def list_complete_runs(
    batch_id: str,
    agent_id: str,
    api: SigmaMindClient,
    *,
    keep: Keep = keep_whole,
) -> Listing[TestRun]:
    """Return all test runs of a batch run; read those that are listed without a verdict.

    `keep` returns what to keep of each test run, as soon as it is read. It may run in a thread, and
    twice for a run that the API lists twice. `TestRun.without` drops what a caller does not need.
    `unreadable` names those too whose own record the API did not give. They are not among the
    items if the list has nothing but their ids.

    Raises:
        NotOffered: the API does not list them.
        InvalidArguments: the list has ids alone, more than MAX_READ_ONE_BY_ONE.
        SigmaMindError: the list has ids alone, and none of its runs can be read.
    """
    keep_complete = partial(_keep_if_complete, keep=keep)
    listing = await api.list_test_runs(batch_id, agent_id, keep=keep_complete)
    incomplete = [run for run in listing.items if _is_incomplete(run)]
    if not incomplete:
        return listing
    job_ids = [run.job_id for run in incomplete if run.job_id and valid_id(run.job_id)]
    lists_only_ids = any(map(has_only_ids, incomplete))
    if lists_only_ids and len(job_ids) > MAX_READ_ONE_BY_ONE:
        raise InvalidArguments(
            f"This batch run lists {len(job_ids)} job ids without verdicts, too many to read one"
            " by one. Read single runs with get_test_run."
        )
    outcomes = await _read_each(job_ids[:MAX_READ_ONE_BY_ONE], batch_id, agent_id, api, keep)
    if lists_only_ids and len(incomplete) == len(listing.items):
        _require_any_run(job_ids, outcomes)
    return _complete_listing(listing, outcomes, job_ids, keep)


async def read_runs(
    job_ids: Sequence[str],
    batch_id: str,
    agent_id: str,
    api: SigmaMindClient,
) -> Listing[TestRun]:
    """Read these test runs of a batch run, in this order; name those that cannot be read.

    Raises:
        InvalidArguments: the API has nothing at some of the ids; the first few are named.
        ConnectionFailed: the reads take longer than READ_SECONDS.
        SigmaMindError: no test run can be read; this is the first error.
    """
    outcomes = await _read_each(job_ids, batch_id, agent_id, api)
    missing = [job_id for job_id, outcome in outcomes.items() if isinstance(outcome, NotFound)]
    if missing:
        raise InvalidArguments(
            f"The API answered 404 for {', '.join(sorted(missing)[:5])} in batch run {batch_id}."
            " list_test_runs shows its job ids."
        )
    _require_any_run(job_ids, outcomes)
    named = [TestRun.read({"jobId": job_id}) for job_id in job_ids]
    return _complete_listing(Listing(named), outcomes, job_ids)


async def _read_each(
    job_ids: Sequence[str],
    batch_id: str,
    agent_id: str,
    api: SigmaMindClient,
    keep: Keep = keep_whole,
) -> RunOutcomes:
    """Read each of these test runs, as far as READ_SECONDS allow."""
    outcomes: RunOutcomes = {}

    async def read(job_id: str) -> None:
        try:
            outcomes[job_id] = keep(await api.get_test_run(job_id, batch_id, agent_id))
        except SigmaMindError as exc:
            outcomes[job_id] = exc

    with anyio.move_on_after(READ_SECONDS):
        await gather_errors([partial(read, job_id) for job_id in job_ids])
    return outcomes


def _require_any_run(job_ids: Sequence[str], outcomes: RunOutcomes) -> None:
    """Raise an error if there was no time for all test runs, or if none can be read."""
    if len(outcomes) < len(set(job_ids)):
        raise ConnectionFailed(
            f"The {len(job_ids)} test runs were not all read within {READ_SECONDS:.0f} s."
            " Ask for fewer.",
            sent=True,
        )
    if not any(isinstance(outcome, TestRun) for outcome in outcomes.values()):
        require_results([outcomes[job_id] for job_id in job_ids])


def _complete_listing(
    listing: Listing[TestRun],
    outcomes: RunOutcomes,
    job_ids: Sequence[str],
    keep: Keep = keep_whole,
) -> Listing[TestRun]:
    """Replace listed test runs by those that were read; name those of `job_ids` that were not."""
    items: list[TestRun] = []
    unreadable = list(listing.unreadable)
    incomplete = set(job_ids)
    for run in listing.items:
        outcome = outcomes.get(run.job_id or "")
        if isinstance(outcome, TestRun):
            items.append(outcome)
            continue
        if run.job_id in incomplete:
            # Items that were left out or merged do not count here, so its position is unknown.
            unreadable.append(UnreadableEntry(None, run.job_id))
        # A listed test run that has more than its id stands without its own record.
        if run.job_id not in incomplete or not has_only_ids(run):
            items.append(keep(run) if _is_incomplete(run) else run)
    return replace(listing, items=items, unreadable=unreadable)


def _keep_if_complete(run: TestRun, keep: Keep) -> TestRun:
    return run if _is_incomplete(run) else keep(run)


def _is_incomplete(run: TestRun) -> bool:
    return VERDICT_FIELDS.isdisjoint(run.raw)
