"""SigmaMind's simulation API, one method per endpoint, for one caller's key."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import anyio
from pydantic import SecretStr

from sigmamind_mcp.api.idempotency import (
    New,
    PendingWrite,
    RecentWrites,
    Replayed,
    StoredRecord,
    identify_write,
)
from sigmamind_mcp.api.models import (
    Agent,
    AgentRef,
    BatchRun,
    Page,
    Record,
    RecordT,
    TestCase,
    TestRun,
    extract_runs,
)
from sigmamind_mcp.api.transport import APITransport, Query
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

logger = logging.getLogger(__name__)

T = TypeVar("T")

WALK_SIZE = 100
MAX_WALKED_PAGES = 200
WALK_SECONDS = 45.0

SURELY_NOT_WRITTEN = frozenset({400, 401, 403, 404, 405, 409, 422, 429})


class Dated(NamedTuple, Generic[T]):
    """What the API answered, and when, by its own clock."""

    value: T
    date: datetime


class WriteResult(NamedTuple, Generic[RecordT]):
    """What a write stored; `record` is None if neither the answer nor the API's list shows it.

    `repeated` says that an earlier call made this write. `earlier` is what the last write with the
    same body stored, if this one was sent all the same.
    """

    record: RecordT | None
    repeated: bool
    earlier: RecordT | None


class SigmaMindClient:
    """The API for one caller. Every method raises what `APITransport.get` raises."""

    def __init__(
        self,
        transport: APITransport,
        key: SecretStr,
        recent_writes: RecentWrites | None = None,
    ) -> None:
        self._transport = transport
        self._key = key
        self._recent_writes = recent_writes or RecentWrites()
        self._own_writes: list[PendingWrite] = []

    def mark_delivered(self) -> None:
        """Record that the caller gets the outcomes of this client's writes."""
        for write in self._own_writes:
            write.delivered = True

    async def create_test_case(
        self,
        agent_id: str,
        fields: JSONObject,
        *,
        allow_duplicate: bool = False,
    ) -> WriteResult[TestCase]:
        """POST /v1/test-cases; repeat the outcome of the same call within ten minutes.

        With `allow_duplicate`, only a call that is still running or was cancelled is repeated.

        Raises:
            OutcomeUnknown: the case may exist; list_test_cases shows it.
        """
        body = {"agentId": agent_id, **fields}
        identity = identify_write(self._key, self._transport.base_url, "test-cases", body)
        claimed = self._recent_writes.claim(identity, replay_delivered=not allow_duplicate)
        async with claimed as claim:
            if isinstance(claim, New):
                claim.write.outcome = await self._post_test_case(agent_id, body)
        return self._write_result(claim, TestCase)

    async def _post_test_case(self, agent_id: str, body: JSONObject) -> StoredRecord:
        # A cancellation may not come between the request and the search for what it stored.
        with anyio.CancelScope(shield=True):
            data = await self._send_write(
                "POST",
                ("test-cases",),
                body,
                noun="test case",
                reading_tool="list_test_cases",
            )
            with _report_unknown_outcome("test case", "list_test_cases"):
                case = _read_confirmation(data, TestCase)
                if case is None or case.test_case_id is None:
                    case = await self._find_stored_case(agent_id, body) or case
        return StoredRecord(case)

    async def _find_stored_case(self, agent_id: str, body: JSONObject) -> TestCase | None:
        """Return the listed test case that was written; None if no list shows exactly one."""
        try:
            listed = await self.list_test_cases(agent_id)
        except SigmaMindError:
            return None
        return _take_only(case for case in listed if _has_fields(case, body))

    async def get_test_case(self, test_case_id: str, agent_id: str) -> TestCase:
        """GET /v1/test-cases/{testCaseId}"""
        query: Query = {"agentId": agent_id}
        answer = await self._get(TestCase.read, "test-cases", test_case_id, query=query)
        return answer.value

    async def update_test_case(self, test_case_id: str, body: JSONObject) -> None:
        """PUT the whole case to /v1/test-cases/{testCaseId}; PATCH it if the API has no PUT.

        Raises:
            OutcomeUnknown: the case may have changed; get_test_case shows it.
        """
        send = partial(
            self._send_write,
            path=("test-cases", test_case_id),
            body=body,
            noun="change of the test case",
            reading_tool="get_test_case",
        )
        try:
            await send("PUT")
        except NotOffered:
            await send("PATCH")

    async def list_test_cases(self, agent_id: str) -> list[TestCase]:
        """GET /v1/test-cases, all pages; the one published version has no pages."""
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
        """POST /v1/batch-runs; repeat the same call's outcome only if no caller got it yet.

        `prepare` runs before a new batch run is sent, and may raise to stop it. It returns the
        existing batch runs, or None if they are unknown: they help to find a batch run whose id
        the API does not return. `call` tells calls apart that start the same test cases. `yes`
        identifies a person's answer, which starts one batch run and no second one.

        Raises:
            OutcomeUnknown: the batch run may have started; list_batch_runs shows it.
        """
        body: JSONObject = {"agentId": agent_id, "testCases": list(test_case_ids)}
        identity = identify_write(
            self._key,
            self._transport.base_url,
            "batch-runs",
            body,
            call=f"{call} {yes or ''}",
        )
        # To run the same cases again is normal: only a yes makes a delivered outcome repeat.
        claimed = self._recent_writes.claim(identity, replay_delivered=yes is not None)
        async with claimed as claim:
            if isinstance(claim, New):
                existing = await prepare()
                claim.write.outcome = await self._post_batch_run(agent_id, body, existing)
        return self._write_result(claim, BatchRun)

    async def _post_batch_run(
        self,
        agent_id: str,
        body: JSONObject,
        existing: Sequence[BatchRun] | None,
    ) -> StoredRecord:
        # A cancellation may not come between the request and the search for what it started.
        with anyio.CancelScope(shield=True):
            data = await self._send_write(
                "POST",
                ("batch-runs",),
                body,
                noun="batch run",
                reading_tool="list_batch_runs",
            )
            with _report_unknown_outcome("batch run", "list_batch_runs"):
                batch_run = _read_confirmation(data, BatchRun)
                has_no_id = batch_run is None or batch_run.batch_id is None
                if has_no_id and existing is not None:
                    ids = body["testCases"]
                    found = await self._find_started_batch_run(agent_id, ids, existing)
                    batch_run = found or batch_run
        return StoredRecord(batch_run)

    async def _find_started_batch_run(
        self,
        agent_id: str,
        test_case_ids: Sequence[str],
        existing: Sequence[BatchRun],
    ) -> BatchRun | None:
        """Return the only listed batch run of these cases that did not exist before, or None."""
        try:
            listed = (await self.list_batch_runs(agent_id)).value.items
        except SigmaMindError:
            return None
        known_ids = {batch_run.batch_id for batch_run in existing}
        added = [batch_run for batch_run in listed if batch_run.batch_id not in known_ids]
        return _take_only(run for run in added if _has_cases(run, test_case_ids))

    async def get_batch_run(self, batch_id: str, agent_id: str) -> Dated[BatchRun]:
        """GET /v1/batch-runs/{batchId}"""
        query: Query = {"agentId": agent_id}
        return await self._get(BatchRun.read, "batch-runs", batch_id, query=query)

    async def list_batch_runs(
        self,
        agent_id: str,
        *,
        page: int = 0,
        size: int = 10,
    ) -> Dated[Page[BatchRun]]:
        """GET /v1/batch-runs: one page, newest first."""
        query: Query = {"agentId": agent_id, "page": page, "size": size}
        read = partial(_read_batch_runs, page=page, size=size)
        return await self._get(read, "batch-runs", query=query)

    async def get_test_run(self, job_id: str, batch_id: str, agent_id: str) -> TestRun:
        """GET /v1/test-runs/{jobId}"""
        query: Query = {"batchId": batch_id, "agentId": agent_id}
        answer = await self._get(TestRun.read, "test-runs", job_id, query=query)
        return answer.value

    async def list_test_runs(self, batch_id: str, agent_id: str) -> list[TestRun]:
        """Return all test runs of a batch run; some may have nothing but a job id.

        The API's pages name this list without documenting it. GET /v1/test-runs comes first. If
        the API refuses it, the fields of the batch run may hold test runs or job ids.

        Raises:
            NotOffered: neither has any job id.
        """
        query: Query = {"batchId": batch_id, "agentId": agent_id}
        try:
            return _drop_repeated_runs(await self._walk("test-runs", query, TestRun.read))
        except (NotFound, NotOffered, InvalidRequest):
            batch_run = (await self.get_batch_run(batch_id, agent_id)).value
        if runs := extract_runs(batch_run):
            return _drop_repeated_runs(runs)
        raise NotOffered(
            "This version of the API does not list the test runs of a batch. Open the batch in the"
            " SigmaMind dashboard, copy a run's job id, and read it with get_test_run.",
            status=404,
        )

    async def list_agents(self) -> list[AgentRef]:
        """GET /v1/agents, all pages."""
        return await self._walk("agents", {}, AgentRef.read)

    async def get_agent(self, agent_id: str) -> Agent:
        """GET /v1/agents/{agentId}"""
        answer = await self._get(Agent.read, "agents", agent_id)
        return answer.value

    def _write_result(self, claim: Replayed | New, kind: type[RecordT]) -> WriteResult[RecordT]:
        """Return what the claimed write stored, or raise its error."""
        self._own_writes.append(claim.write)
        record = _narrow(claim.write.result().record, kind)
        if isinstance(claim, Replayed):
            return WriteResult(record, repeated=True, earlier=None)
        return WriteResult(record, repeated=False, earlier=_find_earlier(claim, kind))

    async def _send_write(
        self,
        method: str,
        path: Sequence[str],
        body: JSONObject,
        *,
        noun: str,
        reading_tool: str,
    ) -> object:
        """Send a write once; return the answer's data, or None if a 2xx answer is unreadable.

        Raises:
            OutcomeUnknown: the write may have been made; the message names `reading_tool`.
        """
        # The API has no idempotency key, so a lost answer must not look like a failure.
        try:
            reply = await self._transport.send(method, "v1", *path, key=self._key, body=body)
            return reply.data
        except (ConnectionFailed, APIError, UnexpectedAnswer) as exc:
            if isinstance(exc, UnexpectedAnswer) and exc.succeeded:
                return None
            if _is_surely_not_written(exc):
                raise
            raise _build_unknown_outcome(noun, reading_tool) from exc

    async def _walk(
        self,
        collection: str,
        query: Query,
        read_item: Callable[[object], RecordT],
    ) -> list[RecordT]:
        """Return all items of a list, page by page.

        Raises:
            UnexpectedAnswer: the list has more than MAX_WALKED_PAGES pages.
            ConnectionFailed: the whole list takes longer than WALK_SECONDS.
        """
        read = partial(Page.read, read_item=read_item)
        with anyio.move_on_after(WALK_SECONDS):
            # The documented request has no page. Only an API that answers in pages gets another.
            page = (await self._get(read, collection, query=query)).value
            if not page.has_next:
                return page.items
            items: list[RecordT] = []
            for number in range(MAX_WALKED_PAGES):
                page_query: Query = {**query, "page": number, "size": WALK_SIZE}
                page = (await self._get(read, collection, query=page_query)).value
                items += page.items
                if not page.has_next or not page.items:
                    return items
            raise UnexpectedAnswer(
                f"The API's list of {collection} did not end after {MAX_WALKED_PAGES} pages."
            )
        raise ConnectionFailed(
            f"The API did not give its whole list of {collection} within {WALK_SECONDS:.0f} s."
            " Try again.",
            sent=True,
        )

    async def _get(
        self,
        read: Callable[[object], T],
        *path: str,
        query: Query | None = None,
    ) -> Dated[T]:
        """GET this path below /v1 and parse its data with `read`."""
        reply = await self._transport.get("v1", *path, key=self._key, query=query)
        value = await run_if_large(reply.size, read, reply.data)
        return Dated(value, reply.date)


@contextmanager
def _report_unknown_outcome(noun: str, reading_tool: str) -> Iterator[None]:
    """Turn a bug of ours into OutcomeUnknown: the request has left, so it may have written."""
    try:
        yield
    except SigmaMindError:
        raise
    except Exception as exc:
        logger.exception("failed after a write")
        raise _build_unknown_outcome(noun, reading_tool) from exc


def _build_unknown_outcome(noun: str, reading_tool: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"The {noun} may have been made: the request left, but its answer was lost or"
        f" unreadable. Look with {reading_tool} before trying again."
    )


def _read_confirmation(data: object, kind: type[RecordT]) -> RecordT | None:
    """Return the record that a write's answer shows; None if it shows none."""
    try:
        return kind.read(data) if data else None
    except UnexpectedAnswer:
        return None


def _is_surely_not_written(exc: SigmaMindError) -> bool:
    if isinstance(exc, ConnectionFailed):
        return not exc.sent
    if isinstance(exc, APIError):
        return exc.status in SURELY_NOT_WRITTEN or isinstance(exc, NotOffered)
    return False


def _find_earlier(claim: New, kind: type[RecordT]) -> RecordT | None:
    outcome = claim.earlier.outcome if claim.earlier else None
    return _narrow(outcome.record, kind) if isinstance(outcome, StoredRecord) else None


def _narrow(record: Record | None, kind: type[RecordT]) -> RecordT | None:
    return record if isinstance(record, kind) else None


def _take_only(records: Iterable[RecordT]) -> RecordT | None:
    """Return the record if there is exactly one."""
    every = list(records)
    return every[0] if len(every) == 1 else None


def _has_fields(case: TestCase, body: JSONObject) -> bool:
    """Return whether the listed case has all fields of the body; its agent is not among them."""
    for name, value in body.items():
        if name != "agentId" and case.raw.get(name) != value:
            return False
    return True


def _has_cases(batch_run: BatchRun, test_case_ids: Sequence[str]) -> bool:
    own_ids = [case.test_case_id or "" for case in batch_run.test_cases]
    return sorted(own_ids) == sorted(test_case_ids)


def _read_batch_runs(data: object, *, page: int, size: int) -> Page[BatchRun]:
    """Parse a page of batch runs, or cut the page out of a list that has no pages."""
    parsed = Page.read(data, BatchRun.read)
    if not isinstance(data, list):
        return parsed
    total = len(parsed.items)
    start, end = page * size, (page + 1) * size
    return Page(parsed.items[start:end], size, total, has_next=end < total)


def _drop_repeated_runs(runs: Sequence[TestRun]) -> list[TestRun]:
    """Keep the first test run of each job id, and all runs without one."""
    # Pages shift while a batch run goes on, so that one run can be on two of them.
    kept: list[TestRun] = []
    seen: set[str] = set()
    for run in runs:
        if run.job_id is None:
            kept.append(run)
        elif run.job_id not in seen:
            seen.add(run.job_id)
            kept.append(run)
    return kept
