"""Read the test runs of a batch run, and its progress."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

import anyio

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import BatchRun, BatchRunState, TestRun
from sigmamind_mcp.concurrency import gather_errors, require_results
from sigmamind_mcp.errors import ConnectionFailed, InvalidArguments, NotFound, SigmaMindError
from sigmamind_mcp.ids import valid_id

MAX_READ_ONE_BY_ONE = 200
READ_SECONDS = 30.0

# A listed test run without any of these fields may still have a verdict: it must be read.
VERDICT_FIELDS = {"isSuccessful", "isSuccesful", "completedDate", "remarks"}


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
    last_completed = await find_last_completed(batch_run, batch_id, agent_id, now, api)
    return BatchRunStatus(batch_run, derive_progress(batch_run, now, last_completed))


def derive_progress(
    batch_run: BatchRun,
    now: datetime,
    last_completed: datetime | None = None,
) -> Progress:
    """Count the attempts of a batch run; `now` is the time by the API's clock."""
    expected, decided = batch_run.expected_attempts, batch_run.decided_attempts
    undecided = None
    if expected is not None and decided is not None:
        undecided = max(expected - decided, 0)
    return Progress(
        state=batch_run.state(now, last_completed),
        created_date=batch_run.created_date,
        passed=batch_run.successful_attempts,
        failed=batch_run.failed_attempts,
        expected=expected,
        undecided=undecided,
    )


async def find_last_completed(
    batch_run: BatchRun,
    batch_id: str | None,
    agent_id: str,
    now: datetime,
    api: SigmaMindClient,
) -> datetime | None:
    """Return the end of the newest attempt; None if unknown or not needed."""
    # It costs requests, and only a batch run that seems stalled needs it.
    if batch_id is None or batch_run.state(now) != "stalled":
        return None
    try:
        runs = await api.list_test_runs(batch_id, agent_id)
    except SigmaMindError:
        return None
    ends = [run.completed_date for run in runs if run.completed_date]
    return max(ends, default=None)


async def list_complete_runs(batch_id: str, agent_id: str, api: SigmaMindClient) -> list[TestRun]:
    """Return all test runs of a batch run; read those that are listed without a verdict.

    Raises:
        NotOffered: the API does not list them.
        InvalidArguments: the list has ids alone, more than MAX_READ_ONE_BY_ONE.
    """
    runs = await api.list_test_runs(batch_id, agent_id)
    job_ids: list[str] = []
    for run in runs:
        has_verdict = bool(VERDICT_FIELDS & set(run.raw))
        job_id = valid_id(run.job_id)
        if job_id and not has_verdict:
            job_ids.append(job_id)
    if any(_has_id_alone(run) for run in runs):
        complete = await _read_all(job_ids, batch_id, agent_id, api)
    else:
        # Each listed run has some content, so it stands if it cannot be read.
        some_ids = job_ids[:MAX_READ_ONE_BY_ONE]
        complete = await _read_some(some_ids, batch_id, agent_id, api)
    return [complete.get(run.job_id or "", run) for run in runs]


async def read_runs(
    job_ids: Sequence[str],
    batch_id: str,
    agent_id: str,
    api: SigmaMindClient,
) -> list[TestRun]:
    """Read these test runs of a batch run, in this order.

    Raises:
        InvalidArguments: the batch run has no test run with such an id; the first few are named.
        ConnectionFailed: the reads take longer than READ_SECONDS.
        SigmaMindError: the first other error of a read.
    """
    outcomes: list[TestRun | SigmaMindError] = []
    with anyio.move_on_after(READ_SECONDS):
        reads = [partial(api.get_test_run, job_id, batch_id, agent_id) for job_id in job_ids]
        outcomes = await gather_errors(reads)
    if len(outcomes) < len(job_ids):
        raise ConnectionFailed(
            f"The {len(job_ids)} test runs were not all read within {READ_SECONDS:.0f} s."
            " Ask for fewer.",
            sent=True,
        )
    read = zip(job_ids, outcomes, strict=True)
    missing = [job_id for job_id, outcome in read if isinstance(outcome, NotFound)]
    if missing:
        raise InvalidArguments(f"Batch run {batch_id} has no test run {', '.join(missing[:5])}.")
    return require_results(outcomes)


async def _read_all(
    job_ids: Sequence[str],
    batch_id: str,
    agent_id: str,
    api: SigmaMindClient,
) -> dict[str, TestRun]:
    """Read all of these test runs, by job id."""
    if len(job_ids) > MAX_READ_ONE_BY_ONE:
        raise InvalidArguments(
            f"This batch run lists {len(job_ids)} job ids without verdicts, too many to read one"
            " by one. Read single runs with get_test_run."
        )
    runs = await read_runs(job_ids, batch_id, agent_id, api)
    return dict(zip(job_ids, runs, strict=True))


async def _read_some(
    job_ids: Sequence[str],
    batch_id: str,
    agent_id: str,
    api: SigmaMindClient,
) -> dict[str, TestRun]:
    """Read those of these test runs that can be read, by job id."""
    reads = [partial(api.get_test_run, job_id, batch_id, agent_id) for job_id in job_ids]
    outcomes = await gather_errors(reads)
    read = zip(job_ids, outcomes, strict=True)
    return {job_id: run for job_id, run in read if isinstance(run, TestRun)}


def _has_id_alone(run: TestRun) -> bool:
    return set(run.raw) <= {"jobId", "testCase"}
