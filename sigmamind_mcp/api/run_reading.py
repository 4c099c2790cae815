"""Read the test runs of a batch run, and how far the batch run is."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import anyio

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import BatchRun, TestRun
from sigmamind_mcp.concurrency import gather_errors
from sigmamind_mcp.errors import ConnectionFailed, InvalidArguments, NotFound, SigmaMindError
from sigmamind_mcp.ids import valid_id

MAX_READ_ONE_BY_ONE = 200


VERDICT_FIELDS = {"isSuccessful", "isSuccesful", "completedDate", "remarks"}
"""A listed run that has none of these tells no more than its job id."""


READ_SECONDS = 30.0


def counts(
    batch_run: BatchRun, now: datetime, last_completed: datetime | None = None
) -> dict[str, object]:
    expected, decided = batch_run.expected_attempts, batch_run.decided_attempts
    return {
        "state": batch_run.state(now, last_completed),
        "created_date": batch_run.created_date,
        "successful_attempts": batch_run.successful_attempts,
        "failed_attempts": batch_run.failed_attempts,
        "expected_attempts": expected,
        "undecided_attempts": None
        if expected is None or decided is None
        else max(expected - decided, 0),
    }


async def read_progress(
    batch_id: str, agent_id: str, api: SigmaMindClient
) -> tuple[BatchRun, dict[str, object]]:
    batch_run, now = await api.get_batch_run(batch_id, agent_id)
    return batch_run, counts(
        batch_run, now, await find_last_completed(batch_run, batch_id, agent_id, now, api)
    )


async def find_last_completed(
    batch_run: BatchRun, batch_id: str | None, agent_id: str, now: datetime, api: SigmaMindClient
) -> datetime | None:
    """When the newest attempt ended. Only a batch run that seems stalled without it is worth the asking."""
    if batch_id is None or batch_run.state(now) != "stalled":
        return None
    try:
        ended = [run.completed_date for run in await api.list_test_runs(batch_id, agent_id)]
    except SigmaMindError:
        return None
    return max((moment for moment in ended if moment), default=None)


async def list_complete_runs(batch_id: str, agent_id: str, api: SigmaMindClient) -> list[TestRun]:
    """Every test run of a batch; those that the API lists without a verdict or an end are read one by one."""
    runs = await api.list_test_runs(batch_id, agent_id)
    bare = [
        job_id
        for run in runs
        if not VERDICT_FIELDS & set(run.raw) and (job_id := valid_id(run.job_id))
    ]
    if not any(set(run.raw) <= {"jobId", "testCase"} for run in runs):
        # What is listed says something, so it stands where reading says no more.
        read = await gather_errors(
            [
                partial(api.get_test_run, name, batch_id, agent_id)
                for name in bare[:MAX_READ_ONE_BY_ONE]
            ]
        )
        found = {
            name: run for name, run in zip(bare, read, strict=False) if isinstance(run, TestRun)
        }
        return [found.get(run.job_id or "", run) for run in runs]
    if len(bare) > MAX_READ_ONE_BY_ONE:
        raise InvalidArguments(
            f"This batch run lists {len(bare)} job ids without verdicts, too many to read one by one."
            " Read single runs with get_test_run."
        )
    by_id = (
        dict(zip(bare, await read_runs(bare, batch_id, agent_id, api), strict=True)) if bare else {}
    )
    return [by_id.get(run.job_id or "", run) for run in runs]


async def read_runs(
    job_ids: Sequence[str], batch_id: str, agent_id: str, api: SigmaMindClient
) -> list[TestRun]:
    """These test runs of a batch, in this order.

    Raises:
        InvalidArguments: the batch run has no test run of such an id; the first few are named.
        SigmaMindError: the first other failure of a read.
    """
    read: list[TestRun | SigmaMindError] = []
    with anyio.move_on_after(READ_SECONDS):
        read = await gather_errors(
            [partial(api.get_test_run, job_id, batch_id, agent_id) for job_id in job_ids]
        )
    if len(read) < len(job_ids):
        raise ConnectionFailed(
            f"The {len(job_ids)} test runs were not all read within {READ_SECONDS:.0f} s. Ask for fewer.",
            sent=True,
        )
    if missing := [
        job_id for job_id, run in zip(job_ids, read, strict=True) if isinstance(run, NotFound)
    ]:
        raise InvalidArguments(f"Batch run {batch_id} has no test run {', '.join(missing[:5])}.")
    if failures := [run for run in read if isinstance(run, SigmaMindError)]:
        raise failures[0]
    return [run for run in read if isinstance(run, TestRun)]
