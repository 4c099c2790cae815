"""SigmaMind's simulation API, one method per endpoint, for one caller's key."""

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, NamedTuple, TypeVar

import anyio
from pydantic import SecretStr

from sigmamind_mcp.api.asked_ids import (
    AskedIDs,
    RecordT,
)
from sigmamind_mcp.api.batch_run_pages import Dated, PageSearch
from sigmamind_mcp.api.idempotency import (
    New,
    RecentWrites,
    RememberedWrite,
    Repeated,
    StoredID,
    identify_write,
)
from sigmamind_mcp.api.keyed_locks import KeyedLocks
from sigmamind_mcp.api.last_ends import LastEnd, find_last_end
from sigmamind_mcp.api.listings import Listing, Page, extract_runs, keep_of_each
from sigmamind_mcp.api.models import Agent, AgentRef, BatchRun, TestCase, TestRun
from sigmamind_mcp.api.reads import Reads
from sigmamind_mcp.api.repeated_entries import drop_copies, merge_repeated_runs
from sigmamind_mcp.api.run_parts import SharedParts
from sigmamind_mcp.api.transport import APITransport, Query, Reply
from sigmamind_mcp.api.walks import LARGEST_SIZE, Window
from sigmamind_mcp.api.write_answers import (
    Write,
    WriteAnswer,
    build_unknown_outcome,
    check_confirmed,
    confirms_change,
    has_cases_of,
    has_fields_of,
    is_surely_not_written,
    read_written_record,
    report_unknown_outcome,
)
from sigmamind_mcp.callers import fingerprint
from sigmamind_mcp.errors import (
    APIError,
    ConnectionFailed,
    InvalidRequest,
    NotFound,
    NotOffered,
    SigmaMindError,
    UnexpectedAnswer,
)
from sigmamind_mcp.ids import strip_agent_prefix, valid_id
from sigmamind_mcp.masking import OwnKey
from sigmamind_mcp.strict_json import JSONObject

logger = logging.getLogger(__name__)

T = TypeVar("T")

# The API has no ETag: two updates of one test case at a time would lose one of them.
_UPDATE_LOCKS = KeyedLocks()


class WriteResult(NamedTuple, Generic[RecordT]):
    """What a write stored; `record` is None if neither the answer nor the API's list shows it.

    `repeated` says that an earlier call made this write: then the record has the id that the API
    gave, and else what was sent.
    """

    record: RecordT | None
    repeated: bool


class ReadyLaunch(NamedTuple):
    """A batch run that may start now.

    `definition` identifies what it runs. `existing` are the batch runs before it, None if they are
    unknown: they help to find a batch run whose id the API does not return.
    """

    definition: str
    existing: Sequence[BatchRun] | None


class RecentLaunch(NamedTuple):
    """A batch run of the last ten minutes; `is_certain` is False if it may not have started."""

    batch_id: str | None
    is_certain: bool


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
        self._reads = Reads(transport, key)
        self._recent_writes = recent_writes or RecentWrites()
        self._own_writes: list[RememberedWrite] = []

    @property
    def caller(self) -> str:
        """A name for the key and the API's address; the key cannot be read from it."""
        return f"{fingerprint(self._key)} {self._transport.base_url}"

    def mask_key(self, data: Any) -> Any:
        """Return decoded JSON with the caller's key replaced."""
        return OwnKey(self._key.get_secret_value()).mask(data)

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
        identity = self._identify("test-cases", strip_agent_prefix(agent_id), fields)
        claimed = self._recent_writes.claim(identity, repeat_delivered=not allow_duplicate)
        case: TestCase | None = None
        async with claimed as claim:
            if isinstance(claim, New):
                case = await self._post_test_case(agent_id, body)
                claim.write.outcome = StoredID(valid_id(case.test_case_id) if case else None)
        stored_id = self._conclude_write(claim)
        if stored_id and case is None:
            case = TestCase.read({**body, "testCaseId": stored_id})
        return WriteResult(case, repeated=isinstance(claim, Repeated))

    async def _post_test_case(self, agent_id: str, body: JSONObject) -> TestCase | None:
        write = Write("test case", "list_test_cases")
        # A cancellation may not come between the request and the search for what it stored.
        with anyio.CancelScope(shield=True):
            answer = await self._send_write("POST", ("test-cases",), body, write)
            with report_unknown_outcome(write):
                case = read_written_record(answer, TestCase, "testCaseId", agent_id)
                if case is None:
                    case = await self._find_stored_case(agent_id, body)
                check_confirmed(case, answer, write)
        return case

    async def _find_stored_case(self, agent_id: str, body: JSONObject) -> TestCase | None:
        """Return the listed test case that was written; None if no list shows exactly one."""
        try:
            listing = await self.list_test_cases(agent_id)
        except SigmaMindError:
            return None
        return _take_only(case for case in listing.items if has_fields_of(case, body))

    async def get_test_case(self, test_case_id: str, agent_id: str) -> TestCase:
        """GET /v1/test-cases/{testCaseId}"""
        asked = {"testCaseId": test_case_id, "agentId": agent_id}
        answer = await self._reads.get_object(TestCase, asked, "test-cases", test_case_id)
        return answer.value

    @asynccontextmanager
    async def lock_test_case(self, test_case_id: str, agent_id: str) -> AsyncIterator[None]:
        """Let the updates of one test case in this process wait for each other."""
        # Not by key: two callers may change the same test case.
        address, agent = self._transport.base_url, strip_agent_prefix(agent_id)
        async with _UPDATE_LOCKS.hold(f"{address} {agent} {test_case_id}"):
            yield

    async def update_test_case(self, test_case_id: str, body: JSONObject) -> None:
        """PUT the whole case to /v1/test-cases/{testCaseId}; PATCH it if the API has no PUT.

        Raises:
            OutcomeUnknown: the case may have changed; get_test_case shows it.
        """
        # A cancelled call would free the lock while the API still stores the change.
        with anyio.CancelScope(shield=True):
            await self._put_test_case(test_case_id, body)

    async def _put_test_case(self, test_case_id: str, body: JSONObject) -> None:
        write = Write("change of the test case", "get_test_case")
        path = ("test-cases", test_case_id)
        try:
            answer = await self._send_write("PUT", path, body, write)
        except NotOffered:
            answer = await self._send_write("PATCH", path, body, write)
        with report_unknown_outcome(write):
            asked = {"testCaseId": test_case_id, "agentId": str(body["agentId"])}
            if not answer.is_empty and not confirms_change(answer, asked):
                case = await self._find_changed_case(asked, body)
                check_confirmed(case, answer, write)

    async def _find_changed_case(self, asked: AskedIDs, body: JSONObject) -> TestCase | None:
        """Return the test case if it has all fields of the body; None if it cannot be read."""
        try:
            case = await self.get_test_case(asked["testCaseId"], asked["agentId"])
        except SigmaMindError:
            return None
        return case if has_fields_of(case, body) else None

    async def list_test_cases(self, agent_id: str) -> Listing[TestCase]:
        """GET /v1/test-cases, all pages; the one published version has no pages."""
        listing = await self._reads.walk("test-cases", TestCase, {"agentId": agent_id})
        return listing.recount(drop_copies(listing.items, lambda case: case.test_case_id))

    async def create_batch_run(
        self,
        agent_id: str,
        test_case_ids: Sequence[str],
        prepare: Callable[[], AbstractAsyncContextManager[ReadyLaunch]],
        *,
        call: str = "",
        confirmation: str | None = None,
    ) -> WriteResult[BatchRun]:
        """POST /v1/batch-runs; repeat the same call's outcome only if no caller got it yet.

        `prepare` runs before a new batch run is sent, and may raise to stop it. `call` tells calls
        apart that start the same test cases. `confirmation` identifies a person's answer: it
        starts one batch run, whatever else its call says.

        Raises:
            OutcomeUnknown: the batch run may have started; list_batch_runs shows it.
        """
        body: JSONObject = {"agentId": agent_id, "testCases": list(test_case_ids)}
        name = ["call", call] if confirmation is None else ["confirmation", confirmation]
        identity = self._identify("batch-runs", body, name)
        claimed = self._recent_writes.claim(identity, repeat_delivered=confirmation is not None)
        batch_run: BatchRun | None = None
        async with claimed as claim:
            if isinstance(claim, New):
                async with prepare() as launch:
                    content = self._identify("batch-runs", launch.definition)
                    self._recent_writes.remember_content(claim.write, content)
                    batch_run = await self._post_batch_run(agent_id, body, launch.existing)
                    batch_id = valid_id(batch_run.batch_id) if batch_run else None
                    claim.write.outcome = StoredID(batch_id)
        stored_id = self._conclude_write(claim)
        if stored_id and batch_run is None:
            batch_run = BatchRun.read({"batchId": stored_id})
        return WriteResult(batch_run, repeated=isinstance(claim, Repeated))

    def has_recent_launch(self, definition: str) -> bool:
        """Return whether a batch run of this definition started recently, or is starting."""
        return self._recent_writes.is_made(self._identify("batch-runs", definition))

    async def find_recent_launch(self, definition: str) -> RecentLaunch | None:
        """Return the last batch run of this definition, if one may have started recently."""
        content = self._identify("batch-runs", definition)
        write = await self._recent_writes.find_made(content)
        if write is None:
            return None
        if not isinstance(write.outcome, StoredID):
            return RecentLaunch(None, is_certain=False)
        return RecentLaunch(write.outcome.value, is_certain=True)

    async def _post_batch_run(
        self,
        agent_id: str,
        body: JSONObject,
        existing: Sequence[BatchRun] | None,
    ) -> BatchRun | None:
        write = Write("batch run", "list_batch_runs")
        # A cancellation may not come between the request and the search for what it started.
        with anyio.CancelScope(shield=True):
            answer = await self._send_write("POST", ("batch-runs",), body, write)
            with report_unknown_outcome(write):
                batch_run = read_written_record(answer, BatchRun, "batchId", agent_id)
                if batch_run is None and existing is not None:
                    ids = body["testCases"]
                    batch_run = await self._find_started_batch_run(agent_id, ids, existing)
                check_confirmed(batch_run, answer, write)
        return batch_run

    async def _find_started_batch_run(
        self,
        agent_id: str,
        test_case_ids: Sequence[str],
        existing: Sequence[BatchRun],
    ) -> BatchRun | None:
        """Return the only listed batch run of these cases that did not exist before, or None."""
        try:
            page, _ = await self.list_batch_runs(agent_id)
        except SigmaMindError:
            return None
        known_ids = {batch_run.batch_id for batch_run in existing}
        added = [batch_run for batch_run in page.items if batch_run.batch_id not in known_ids]
        return _take_only(run for run in added if has_cases_of(run, test_case_ids))

    async def get_batch_run(self, batch_id: str, agent_id: str) -> Dated[BatchRun]:
        """GET /v1/batch-runs/{batchId}"""
        asked = {"batchId": batch_id, "agentId": agent_id}
        return await self._reads.get_object(BatchRun, asked, "batch-runs", batch_id)

    async def list_batch_runs(
        self,
        agent_id: str,
        *,
        page: int = 0,
        size: int = 10,
        last_mark: int = 0,
    ) -> Dated[Page[BatchRun]]:
        """GET /v1/batch-runs: one page, newest first.

        If the API refuses the size, the page is the smaller one that starts at the same place.
        `last_mark` is that of the last batch run before the page, if known.
        """

        async def get(query: Query, read: Callable[[Reply], T]) -> Dated[T]:
            return await self._reads.get(read, "batch-runs", query=query)

        place = Window(page * size, size, page)
        search = PageSearch(agent_id, get, self._transport.paging)
        return await search.find(place, last_mark=last_mark)

    async def find_last_end(self, batch_id: str, agent_id: str) -> LastEnd:
        """Return the newest end among the test runs that one request shows."""
        asked = {"batchId": batch_id, "agentId": agent_id}

        def read(reply: Reply) -> Page[TestRun]:
            return Page.read(reply.data, TestRun, asked, headers=reply.headers)

        known = self._transport.paging.get("test-runs")
        query: Query = {**asked, "size": known.largest if known else LARGEST_SIZE}
        if known and not known.takes_size:
            query = asked
        page, _ = await self._reads.get(read, "test-runs", query=query)
        # Of more pages, this one misses entries that the API counts.
        last_end = find_last_end(page.recount(merge_repeated_runs(page.items)))
        return last_end._replace(is_of_all=last_end.is_of_all and not page.has_next)

    async def get_test_run(self, job_id: str, batch_id: str, agent_id: str) -> TestRun:
        """GET /v1/test-runs/{jobId}"""
        asked = {"jobId": job_id, "batchId": batch_id, "agentId": agent_id}
        answer = await self._reads.get_object(TestRun, asked, "test-runs", job_id)
        return answer.value

    async def list_test_runs(
        self,
        batch_id: str,
        agent_id: str,
        *,
        keep: Callable[[TestRun], TestRun] | None = None,
    ) -> Listing[TestRun]:
        """Return all test runs of a batch run; some may have nothing but a job id.

        `keep` returns what to keep of each test run, as soon as its page is read. It may run in a
        thread. `TestRun.without` drops what a caller does not need.

        The API's documentation names this list without describing it. GET /v1/test-runs comes
        first. If the API refuses it, the fields of the batch run may hold test runs or job ids.

        Raises:
            NotOffered: neither has any job id.
        """
        asked = {"batchId": batch_id, "agentId": agent_id}
        try:
            listing = await self._reads.walk(
                "test-runs", TestRun, asked, keep, SharedParts().read_run
            )
        except (NotFound, NotOffered, InvalidRequest) as exc:
            batch_run = (await self.get_batch_run(batch_id, agent_id)).value
            listing = keep_of_each(extract_runs(batch_run, asked), keep)
            if not listing.entry_count:
                raise NotOffered(
                    "The API did not list the test runs of this batch run (it answered"
                    f" {exc.status}), and the batch run itself names none. Open it in the"
                    " SigmaMind dashboard, copy a run's job id, and read it with get_test_run.",
                    status=exc.status,
                    upstream=exc.upstream,
                ) from exc
        return listing.recount(merge_repeated_runs(listing.items))

    async def list_agents(self) -> Listing[AgentRef]:
        """GET /v1/agents, all pages."""
        listing = await self._reads.walk("agents", AgentRef, {})
        return listing.recount(drop_copies(listing.items, lambda agent: agent.agent_id))

    async def get_agent(self, agent_id: str) -> Agent:
        """GET /v1/agents/{agentId}"""
        answer = await self._reads.get_object(Agent, {"agentId": agent_id}, "agents", agent_id)
        return answer.value

    def _conclude_write(self, claim: Repeated | New) -> str | None:
        """Return the id of what the claimed write stored, or raise its error."""
        self._own_writes.append(claim.write)
        return claim.write.result().value

    def _identify(self, path: str, *content: object) -> str:
        return identify_write(self._key, self._transport.base_url, path, *content)

    async def _send_write(
        self,
        method: str,
        path: Sequence[str],
        body: JSONObject,
        write: Write,
    ) -> WriteAnswer:
        """Send a write once and return its 2xx answer.

        Raises:
            OutcomeUnknown: the write may have been made; the message names `reading_tool`.
        """
        # The API has no idempotency key, so a lost answer must not look like a failure.
        try:
            reply = await self._transport.send(method, "v1", *path, key=self._key, body=body)
            return WriteAnswer(reply.data, is_empty=reply.data is None)
        except (ConnectionFailed, APIError, UnexpectedAnswer) as exc:
            if isinstance(exc, UnexpectedAnswer) and exc.succeeded:
                return WriteAnswer(None, is_empty=False)
            if is_surely_not_written(exc):
                raise
            raise build_unknown_outcome(write, exc.upstream) from exc


def _take_only(records: Iterable[RecordT]) -> RecordT | None:
    """Return the record if there is exactly one."""
    every = list(records)
    return every[0] if len(every) == 1 else None
