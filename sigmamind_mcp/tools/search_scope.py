"""Find the batch runs that a search or a history covers."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import anyio

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import BatchRun
from sigmamind_mcp.api.newest_batch_runs import NewestBatchRuns, read_newest_batch_runs
from sigmamind_mcp.concurrency import gather_errors, require_results
from sigmamind_mcp.errors import ConnectionFailed, InvalidArguments, NotFound
from sigmamind_mcp.tools.batch_run_walk import BATCH_RUNS_AT_ONCE
from sigmamind_mcp.tools.unread_notes import NotRead, note_listing

MAX_MISSING_NAMED = 5


class SearchScope(NamedTuple):
    """The batch runs to read, oldest first; `total` counts all that the agent has."""

    batch_runs: Sequence[BatchRun]
    total: int | None
    notes: Sequence[NotRead] = ()


async def find_scope(
    batch_ids: Sequence[str],
    agent_id: str,
    api: SigmaMindClient,
    *,
    count: int,
    seconds: float,
    known_total: int = 0,
) -> SearchScope:
    """Find the batch runs with these ids; without ids, the newest.

    Raises:
        ConnectionFailed: the API does not show them in so many seconds.
    """
    with anyio.move_on_after(seconds):
        if batch_ids:
            return await read_asked_batch_runs(batch_ids, agent_id, api)
        return await list_newest_batch_runs(agent_id, api, count=count, known_total=known_total)
    raise ConnectionFailed(
        f"The API did not show the batch runs within {seconds:.0f} s. Try again.", sent=True
    )


async def read_asked_batch_runs(
    batch_ids: Sequence[str], agent_id: str, api: SigmaMindClient
) -> SearchScope:
    """Read the batch runs with these ids.

    Raises:
        InvalidArguments: the API has nothing at some of the ids; the first few are named.
    """
    asked_ids = list(dict.fromkeys(batch_ids))
    calls = [partial(api.get_batch_run, batch_id, agent_id) for batch_id in asked_ids]
    outcomes = await gather_errors(calls, limit=BATCH_RUNS_AT_ONCE)
    missing = []
    for batch_id, outcome in zip(asked_ids, outcomes, strict=True):
        if isinstance(outcome, NotFound):
            missing.append(batch_id)
    if missing:
        raise InvalidArguments(
            f"The API answered 404 for {', '.join(missing[:MAX_MISSING_NAMED])} in batchIds."
            " list_batch_runs shows the batch runs of this agent."
        )
    batch_runs = []
    for batch_id, dated in zip(asked_ids, require_results(outcomes), strict=True):
        batch_runs.append(dated.value.model_copy(update={"batch_id": batch_id}))
    return SearchScope(_order_oldest_first(batch_runs), None)


async def list_newest_batch_runs(
    agent_id: str, api: SigmaMindClient, *, count: int, known_total: int
) -> SearchScope:
    """List the newest batch runs, as of the time when there were `known_total`; 0 means now."""

    def count_added(newest: NewestBatchRuns) -> int:
        total = newest.pages[0].total or 0
        return max(0, total - known_total) if known_total else 0

    def is_enough(newest: NewestBatchRuns) -> bool:
        return len(newest.batch_runs) >= count + count_added(newest)

    newest = await read_newest_batch_runs(agent_id, api, size=count, is_enough=is_enough)
    notes: list[NotRead] = []
    for page in newest.pages:
        start = (page.number or 0) * (page.size or 0)
        notes += note_listing("batch run", page, lambda run: run.batch_id, start=start)
    notes += [NotRead(kind="batch run", reason="unreadable")] * newest.nameless_count
    added = count_added(newest)
    asked = newest.batch_runs[added : added + count]
    total = known_total or newest.pages[0].total
    return SearchScope(_order_oldest_first(asked[::-1]), total, notes)


def _order_oldest_first(batch_runs: Sequence[BatchRun]) -> list[BatchRun]:
    """Sort by date; leave the order as it is if a date is missing."""
    dated = []
    for run in batch_runs:
        if run.created_date is None:
            return list(batch_runs)
        dated.append((run.created_date, run))
    dated.sort(key=lambda entry: entry[0])
    return [run for _, run in dated]
