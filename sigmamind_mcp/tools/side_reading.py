"""Read batch runs and count them by test case."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import anyio.to_thread

from sigmamind_mcp.api.batch_run_pages import Dated
from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.listings import Listing
from sigmamind_mcp.api.models import BatchRun, TestRun
from sigmamind_mcp.api.run_reading import drop_conversation, list_complete_runs, read_runs
from sigmamind_mcp.errors import NotOffered
from sigmamind_mcp.insight.batch_sides import (
    Side,
    build_side_from_counters,
    build_side_from_runs,
)
from sigmamind_mcp.tools.unread_notes import NotRead, note_listing, note_record


class ReadSide(NamedTuple):
    """A batch run by test case, and what could not be read of it."""

    side: Side
    notes: list[NotRead]


async def read_side_by_id(
    batch_id: str, agent_id: str, api: SigmaMindClient, *, job_ids: Sequence[str] = ()
) -> Dated[ReadSide]:
    """Read a batch run and its test runs, or only these; with the time by the API's clock."""
    batch_run, now = await api.get_batch_run(batch_id, agent_id)
    named = batch_run.model_copy(update={"batch_id": batch_id})
    return Dated(await read_side(named, agent_id, api, job_ids=job_ids), now)


async def read_side(
    batch_run: BatchRun, agent_id: str, api: SigmaMindClient, *, job_ids: Sequence[str] = ()
) -> ReadSide:
    """Count the test runs of a batch run; without a list of them, take its counters."""
    batch_id = batch_run.batch_id or ""
    notes = note_record("batch run", batch_run, batch_id)
    try:
        listing = await _list_side_runs(batch_id, job_ids, agent_id, api)
    except NotOffered:
        return ReadSide(build_side_from_counters(batch_run), notes)
    # Thousands of test runs would delay every other caller.
    side = await anyio.to_thread.run_sync(
        partial(
            build_side_from_runs,
            batch_run,
            listing.items,
            unreadable_count=listing.unread_count,
        ),
        abandon_on_cancel=True,
    )
    notes += note_listing("test run", listing, lambda run: run.job_id, batch_id=batch_id)
    return ReadSide(side, notes)


async def _list_side_runs(
    batch_id: str, job_ids: Sequence[str], agent_id: str, api: SigmaMindClient
) -> Listing[TestRun]:
    if not job_ids:
        return await list_complete_runs(batch_id, agent_id, api, keep=drop_conversation)
    return await read_runs(list(dict.fromkeys(job_ids)), batch_id, agent_id, api)
