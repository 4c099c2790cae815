"""SigmaMind's simulation API, one method per endpoint, for one caller's key."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

import anyio
from pydantic import SecretStr

from sigmamind_mcp.api.idempotency import PendingWrite, RecentWrites, StoredRecord, entry_of
from sigmamind_mcp.api.models import (
    Agent,
    AgentRef,
    BatchRun,
    Page,
    Record,
    RecordT,
    TestCase,
    TestRun,
)
from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.concurrency import run_if_large
from sigmamind_mcp.errors import (
    APIError,
    ConnectionFailed,
    InvalidRequest,
    NotFound,
    NotOffered,
    OutcomeUnknown,
    SigmaMindError,
    UnexpectedAnswer,
)
from sigmamind_mcp.strict_json import JSONObject

Query = Mapping[str, str | int]
T = TypeVar("T")

WALK_SIZE = 100
MAX_WALKED_PAGES = 200
WALK_SECONDS = 45.0

SURELY_NOT_WRITTEN = frozenset({400, 401, 403, 404, 405, 409, 422, 429})

RUN_FIELDS = ("testRuns", "jobs", "jobIds", "runs", "results")
"""Undocumented fields of a batch run, or of its test cases, in which test runs may stand."""


class Dated(NamedTuple):
    """A batch run and the time by the API's clock when it looked so."""

    batch_run: BatchRun
    date: datetime


class WriteResult(NamedTuple, Generic[RecordT]):
    """What a write stored; None when the API confirmed without saying what, and its list does not tell either.

    `repeated` means that this is the outcome of the same call made before, `earlier` what that one had stored
    when this one was sent all the same.
    """

    record: RecordT | None
    repeated: bool
    earlier: RecordT | None


class SigmaMindClient:
    """The API as one caller sees it. Every method raises what `APITransport.get` raises."""

    def __init__(
        self, transport: APITransport, key: SecretStr, recent_writes: RecentWrites | None = None
    ) -> None:
        self._transport = transport
        self._key = key
        self._recent_writes = recent_writes or RecentWrites()
        self._used: list[PendingWrite] = []

    def delivered(self) -> None:
        """Note that the outcomes of this client's writes are on their way to the caller."""
        for write in self._used:
            write.delivered = True

    async def create_test_case(
        self, agent_id: str, fields: JSONObject, *, allow_duplicate: bool = False
    ) -> WriteResult[TestCase]:
        """POST /v1/test-cases. The same call within ten minutes gets the first one's outcome, unless told otherwise.

        Raises:
            OutcomeUnknown: the case may have been created; list_test_cases tells.
        """
        body = {"agentId": agent_id, **fields}

        async def send() -> StoredRecord:
            with anyio.CancelScope(shield=True):
                data = await self._write(
                    "POST", ("test-cases",), body, "test case", "list_test_cases"
                )
                case = _readable(data, TestCase)
                if case is None or case.test_case_id is None:
                    case = await self._only_one(self.list_test_cases(agent_id), fits) or case
            return StoredRecord(case)

        def fits(case: TestCase) -> bool:
            return all(case.raw.get(name) == value for name, value in fields.items())

        def is_same(earlier: PendingWrite) -> bool:
            return earlier.awaits_caller or (earlier.may_have_written and not allow_duplicate)

        write, repeated, _ = await self._once("test-cases", body, send, is_same)
        return WriteResult(_of(TestCase, write.stored().record), repeated, None)

    async def get_test_case(self, test_case_id: str, agent_id: str) -> TestCase:
        """GET /v1/test-cases/{testCaseId}"""
        case, _ = await self._read(
            TestCase.read, "test-cases", test_case_id, query={"agentId": agent_id}
        )
        return case

    async def update_test_case(self, test_case_id: str, body: JSONObject) -> None:
        """PUT /v1/test-cases/{testCaseId} with the whole case; PATCH where this version of the API has no PUT.

        Raises:
            OutcomeUnknown: the case may have been changed; get_test_case tells.
        """
        try:
            await self._write(
                "PUT",
                ("test-cases", test_case_id),
                body,
                "change of the test case",
                "get_test_case",
            )
        except NotOffered:
            await self._write(
                "PATCH",
                ("test-cases", test_case_id),
                body,
                "change of the test case",
                "get_test_case",
            )

    async def list_test_cases(self, agent_id: str) -> list[TestCase]:
        """GET /v1/test-cases, every page of it; its one published version has no pages."""
        return await self._walk("test-cases", {"agentId": agent_id}, TestCase.read)

    async def create_batch_run(
        self,
        agent_id: str,
        test_case_ids: Sequence[str],
        prepare: Callable[[], Awaitable[Sequence[BatchRun] | None]],
        *,
        call: str = "",
        yes: str | None = None,
    ) -> WriteResult[BatchRun]:
        """POST /v1/batch-runs. Joins the same call while that is under way, or takes over its undelivered outcome.

        Otherwise it is a new batch run: running the same cases again is what people do; the one before is named.
        `prepare` is awaited before anything is sent, unless the call joins another. Raising, it stops the launch; it
        returns the batch runs that there are, so that one whose id the API does not give can be told from them, or
        None where they are not known. `call` is what a same call has in common besides what it writes; `yes` names
        the answer of a person that this call brings, which starts one batch run and no second.

        Raises:
            OutcomeUnknown: the batch may have started; list_batch_runs tells.
        """
        body: JSONObject = {"agentId": agent_id, "testCases": list(test_case_ids)}

        async def send() -> StoredRecord:
            there = await prepare()
            known = {batch_run.batch_id for batch_run in there or ()}

            def fits(batch_run: BatchRun) -> bool:
                cases = sorted(case.test_case_id or "" for case in batch_run.test_cases)
                return batch_run.batch_id not in known and cases == sorted(test_case_ids)

            with anyio.CancelScope(shield=True):
                data = await self._write(
                    "POST", ("batch-runs",), body, "batch run", "list_batch_runs"
                )
                batch_run = _readable(data, BatchRun)
                if there is not None and (batch_run is None or batch_run.batch_id is None):
                    batch_run = await self._only_one(self._newest(agent_id), fits) or batch_run
            return StoredRecord(batch_run)

        def is_same(earlier: PendingWrite) -> bool:
            return earlier.awaits_caller or (yes is not None and earlier.may_have_written)

        write, repeated, earlier = await self._once(
            "batch-runs", body, send, is_same, f"{call} {yes or ''}"
        )
        before = (
            earlier.outcome.record
            if earlier and isinstance(earlier.outcome, StoredRecord)
            else None
        )
        return WriteResult(_of(BatchRun, write.stored().record), repeated, _of(BatchRun, before))

    async def _once(
        self,
        path: str,
        body: JSONObject,
        send: Callable[[], Awaitable[StoredRecord]],
        is_same: Callable[[PendingWrite], bool],
        call: str = "",
    ) -> tuple[PendingWrite, bool, PendingWrite | None]:
        """The write with its outcome, whether an earlier call made it, and else the last one with the same body."""
        alike = entry_of(self._key, self._transport.base_url, "POST", path, body)
        entry = f"{alike} {call}"
        while (earlier := self._recent_writes.find(entry)) and is_same(earlier):
            await earlier.finished.wait()
            if earlier.outcome is not None:
                self._used.append(earlier)
                return earlier, True, None
        before = self._recent_writes.find(alike)
        write = await self._recent_writes.run_once((entry, alike), send)
        self._used.append(write)
        return write, False, before

    async def _newest(self, agent_id: str) -> list[BatchRun]:
        page, _ = await self.list_batch_runs(agent_id)
        return page.items

    async def _only_one(
        self, listed: Awaitable[list[RecordT]], fits: Callable[[RecordT], bool]
    ) -> RecordT | None:
        """The one listed record that what was written fits; None where none or several do, or they cannot be listed."""
        try:
            found = [record for record in await listed if fits(record)]
        except SigmaMindError:
            return None
        return found[0] if len(found) == 1 else None

    async def get_batch_run(self, batch_id: str, agent_id: str) -> Dated:
        """GET /v1/batch-runs/{batchId}"""
        return Dated(
            *await self._read(BatchRun.read, "batch-runs", batch_id, query={"agentId": agent_id})
        )

    async def list_batch_runs(
        self, agent_id: str, *, page: int = 0, size: int = 10
    ) -> tuple[Page[BatchRun], datetime]:
        """GET /v1/batch-runs: one page, newest first, and the time by the API's clock."""

        def read(data: object) -> Page[BatchRun]:
            found = Page.read(data, BatchRun.read)
            if not isinstance(data, list):
                return found
            # The whole list, whatever page was asked for.
            start, total = page * size, len(found.items)
            return Page(found.items[start : start + size], size, total, start + size < total)

        return await self._read(
            read, "batch-runs", query={"agentId": agent_id, "page": page, "size": size}
        )

    async def get_test_run(self, job_id: str, batch_id: str, agent_id: str) -> TestRun:
        """GET /v1/test-runs/{jobId}"""
        run, _ = await self._read(
            TestRun.read, "test-runs", job_id, query={"batchId": batch_id, "agentId": agent_id}
        )
        return run

    async def list_test_runs(self, batch_id: str, agent_id: str) -> list[TestRun]:
        """Every test run of a batch, from wherever this version of the API gives them.

        The list is named on the API's pages but not documented: GET /v1/test-runs is asked first, then the
        batch run is searched for fields that hold runs or job ids. A run known by its id alone has only that.

        Raises:
            NotOffered: neither gives any job id.
        """
        query: Query = {"batchId": batch_id, "agentId": agent_id}
        try:
            return _once_each(await self._walk("test-runs", query, TestRun.read))
        except (NotFound, NotOffered, InvalidRequest):
            batch_run, _ = await self.get_batch_run(batch_id, agent_id)
        if runs := _runs_within(batch_run):
            return _once_each(runs)
        raise NotOffered(
            "This version of the API does not list the test runs of a batch. Open the batch in the SigmaMind"
            " dashboard, copy a run's job id, and read it with get_test_run.",
            status=404,
        )

    async def list_agents(self) -> list[AgentRef]:
        """GET /v1/agents, every page of it."""
        return await self._walk("agents", {}, AgentRef.read)

    async def get_agent(self, agent_id: str) -> Agent:
        """GET /v1/agents/{agentId}"""
        agent, _ = await self._read(Agent.read, "agents", agent_id)
        return agent

    async def _write(
        self, method: str, path: Sequence[str], body: JSONObject, noun: str, reading_tool: str
    ) -> object:
        """Write once and return the answer's data, None where the API confirmed without any that can be read.

        There is no idempotency key, so a lost answer must not look like a failure.
        """
        try:
            return (await self._transport.send(method, "v1", *path, key=self._key, body=body)).data
        except (ConnectionFailed, APIError, UnexpectedAnswer) as exc:
            if isinstance(exc, UnexpectedAnswer) and exc.succeeded:
                return None
            if isinstance(exc, ConnectionFailed) and not exc.sent:
                raise
            if isinstance(exc, APIError) and (
                exc.status in SURELY_NOT_WRITTEN or isinstance(exc, NotOffered)
            ):
                raise
            raise OutcomeUnknown(
                f"The {noun} may have been made: the request left, but its answer was lost or unreadable."
                f" Look with {reading_tool} before trying again."
            ) from exc

    async def _walk(
        self, collection: str, query: Query, read_item: Callable[[object], RecordT]
    ) -> list[RecordT]:
        def read(data: object) -> Page[RecordT]:
            return Page.read(data, read_item)

        with anyio.move_on_after(WALK_SECONDS):
            # The first request is the documented one. Only an API that answers in pages is asked for larger ones.
            page, _ = await self._read(read, collection, query=query)
            if not page.has_next:
                return page.items
            items: list[RecordT] = []
            for number in range(MAX_WALKED_PAGES):
                page, _ = await self._read(
                    read, collection, query={**query, "page": number, "size": WALK_SIZE}
                )
                items += page.items
                if not page.has_next or not page.items:
                    return items
            raise UnexpectedAnswer(
                f"The API's list of {collection} did not end after {MAX_WALKED_PAGES} pages."
            )
        raise ConnectionFailed(
            f"The API did not give its whole list of {collection} within {WALK_SECONDS:.0f} s. Try again.",
            sent=True,
        )

    async def _read(
        self, read: Callable[[object], T], *path: str, query: Query | None = None
    ) -> tuple[T, datetime]:
        """GET this path below /v1, its body read by `read`, and the time by the API's clock."""
        reply = await self._transport.get("v1", *path, key=self._key, query=query)
        return await run_if_large(reply.size, read, reply.data), reply.date


def _readable(data: object, kind: type[RecordT]) -> RecordT | None:
    """What the API shows of a write that it confirmed; None for an answer that is empty or says something else."""
    try:
        return kind.read(data) if data else None
    except UnexpectedAnswer:
        return None


def _once_each(runs: Sequence[TestRun]) -> list[TestRun]:
    """The runs without those whose job id came before: pages that shift while a batch run goes on repeat some."""
    first = {run.job_id: run for run in reversed(runs)}
    return [run for run in runs if run.job_id is None or first[run.job_id] is run]


def _of(kind: type[RecordT], record: Record | None) -> RecordT | None:
    return record if isinstance(record, kind) else None


def _runs_within(batch_run: BatchRun) -> list[TestRun]:
    """The runs, or bare job ids, that a batch run or its test cases hold beside their documented fields."""
    runs = [TestRun.read(item) for item in _entries(batch_run.raw)]
    for case in batch_run.test_cases:
        runs += [TestRun.read({"testCase": case.raw, **item}) for item in _entries(case.raw)]
    return runs


def _entries(holder: JSONObject) -> list[JSONObject]:
    for field in RUN_FIELDS:
        found = holder.get(field)
        if isinstance(found, list) and found:
            entries = [{"jobId": item} if isinstance(item, str) else item for item in found]
            return [entry for entry in entries if isinstance(entry, dict) and entry.get("jobId")]
    return []
