"""Read batch runs and count them by test case."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from sigmamind_mcp.api.batch_run_pages import Dated
from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.listings import Listing, count_by_counters
from sigmamind_mcp.api.models import BatchRun, TestCase, TestRun
from sigmamind_mcp.api.run_parts import pack_texts, unpack_texts
from sigmamind_mcp.api.run_reading import drop_conversation, list_complete_runs, read_runs
from sigmamind_mcp.errors import NotOffered
from sigmamind_mcp.heavy_work import WorkClock
from sigmamind_mcp.insight.batch_sides import (
    RunPlace,
    Side,
    build_side_from_counters,
    build_side_from_runs,
)
from sigmamind_mcp.insight.diagnosis import get_case_id
from sigmamind_mcp.tools.call_context import RunHeavy
from sigmamind_mcp.tools.unread_notes import NotRead, note_listing, note_record

COUNTING_SECONDS = 20.0
MAX_KEPT_BYTES = 32 * 2**20
OTHERS_OF_BATCH_RUN = 5
"""As many passed runs of other test cases; batch runs are read at once, and none takes it all."""


class ReadSide(NamedTuple):
    """A batch run by test case, and what could not be read of it."""

    side: Side
    notes: list[NotRead]


class KeptTranscripts:
    """Transcripts of decided test runs, compressed; as many as `bytes_left` allows.

    With `case_id`, those of other test cases are not kept, except a few passed ones.
    """

    def __init__(self, bytes_left: int, *, case_id: str = "") -> None:
        self.bytes_left = bytes_left
        self._least_for_own = bytes_left // 2
        self.case_id = case_id
        self._packed: dict[RunPlace, bytes] = {}
        # Apart, since runs of two test cases can have one id, or none.
        self._others: dict[str, list[tuple[bytes, TestCase | None]]] = defaultdict(list)

    def keep(self, batch_id: str, run: TestRun) -> TestRun:
        """Keep the conversation here; return the test run without it."""
        if run.conversation is not None and self.bytes_left > 0 and self._wants(batch_id, run):
            packed = pack_texts(run)
            self.bytes_left -= len(packed)
            if self._is_other(run):
                self._others[batch_id].append((packed, run.test_case))
            else:
                self._packed[RunPlace(batch_id, run.job_id or "")] = packed
        return drop_conversation(run)

    def load(self, place: RunPlace) -> TestRun | None:
        """Return a test run with its conversation, without its test case; None if not kept."""
        packed = self._packed.get(place)
        return None if packed is None else unpack_texts(packed)

    def load_others(self) -> list[TestRun]:
        """Return the passed runs of other test cases, with their conversations and test cases."""
        loaded = []
        for batch_id in sorted(self._others):
            for packed, case in self._others[batch_id]:
                loaded.append(unpack_texts(packed).model_copy(update={"test_case": case}))
        return loaded

    def _wants(self, batch_id: str, run: TestRun) -> bool:
        if self._is_other(run):
            has_place = len(self._others[batch_id]) < OTHERS_OF_BATCH_RUN
            return run.verdict == "passed" and has_place and self.bytes_left > self._least_for_own
        return run.verdict != "undecided"

    def _is_other(self, run: TestRun) -> bool:
        return bool(self.case_id) and get_case_id(run) not in (self.case_id, "")


@dataclass(frozen=True)
class SideReader:
    """Reads batch runs of an agent by test case; keeps transcripts if there is a place for them."""

    agent_id: str
    api: SigmaMindClient
    run_heavy: RunHeavy
    kept: KeptTranscripts | None = None

    async def read_by_id(self, batch_id: str, *, job_ids: Sequence[str] = ()) -> Dated[ReadSide]:
        """Read a batch run and its test runs, or only these; with the time by the API's clock."""
        batch_run, now = await self.api.get_batch_run(batch_id, self.agent_id)
        named = batch_run.model_copy(update={"batch_id": batch_id})
        return Dated(await self.read(named, job_ids=job_ids), now)

    async def read(self, batch_run: BatchRun, *, job_ids: Sequence[str] = ()) -> ReadSide:
        """Count the test runs of a batch run; if none is listed, take its counters."""
        batch_id = batch_run.batch_id or ""
        notes = note_record("batch run", batch_run, batch_id)
        try:
            listing = await self._list_runs(batch_id, job_ids)
        except NotOffered:
            return ReadSide(build_side_from_counters(batch_run), notes)
        if not job_ids:
            listing = count_by_counters(listing, batch_run)
        notes += note_listing("test run", listing, lambda run: run.job_id, batch_id=batch_id)
        if not listing.items and batch_run.decided_attempts:
            return ReadSide(build_side_from_counters(batch_run), notes)
        # Thousands of test runs would delay every other caller.
        count = partial(
            build_side_from_runs,
            batch_run,
            listing.items,
            unreadable_count=listing.unread_count,
        )
        side = await self.run_heavy(WorkClock(COUNTING_SECONDS), count)
        return ReadSide(side, notes)

    async def _list_runs(self, batch_id: str, job_ids: Sequence[str]) -> Listing[TestRun]:
        keep = partial(self.kept.keep, batch_id) if self.kept else drop_conversation
        if not job_ids:
            return await list_complete_runs(batch_id, self.agent_id, self.api, keep=keep)
        asked_ids = list(dict.fromkeys(job_ids))
        listing = await read_runs(asked_ids, batch_id, self.agent_id, self.api)
        return replace(listing, items=list(map(keep, listing.items)))
