"""Find the batch runs that a search or a history covers."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import anyio

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import BatchRun
from sigmamind_mcp.concurrency import gather_errors, require_results
from sigmamind_mcp.errors import ConnectionFailed, InvalidArguments, NotFound
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.tools.batch_run_walk import BATCH_RUNS_AT_ONCE
from sigmamind_mcp.tools.unread_notes import STOP_CAUSES, NotRead, note_listing

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
    found: dict[str, BatchRun] = {}
    notes: list[NotRead] = []
    size = count
    number = 0
    added = 0
    total = None
    while True:
        page, _ = await api.list_batch_runs(agent_id, page=number, size=size)
        given = page.size or page.entry_count
        known_count = len(found)
        notes += note_listing("batch run", page, lambda run: run.batch_id, start=number * given)
        for batch_run in page.items:
            if batch_id := valid_id(batch_run.batch_id):
                found.setdefault(batch_id, batch_run)
            else:
                notes.append(NotRead(kind="batch run", reason="unreadable"))
        if number == 0:
            total = known_total or page.total
            added = max(0, (page.total or 0) - known_total) if known_total else 0
        if len(found) >= count + added or not page.has_next or not page.entry_count:
            break
        if page.items and len(found) == known_count:
            cause = STOP_CAUSES["repeated page"]
            notes.append(NotRead(kind="batch run", reason="not listed", cause=cause))
            break
        # The API may page by less than was asked; the next page is counted by its size.
        size = min(size, given)
        number = max(number, page.number or 0) + 1
    newest = list(found.values())[added : added + count]
    return SearchScope(_order_oldest_first(newest[::-1]), total, notes)


def _order_oldest_first(batch_runs: Sequence[BatchRun]) -> list[BatchRun]:
    """Sort by date; leave the order as it is if a date is missing."""
    dated = []
    for run in batch_runs:
        if run.created_date is None:
            return list(batch_runs)
        dated.append((run.created_date, run))
    dated.sort(key=lambda entry: entry[0])
    return [run for _, run in dated]
