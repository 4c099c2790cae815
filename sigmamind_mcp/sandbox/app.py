"""SigmaMind's simulation API as a Starlette app, with the same paths, paging, errors and key check.

Operations that none of our tools uses are left out: creating agents, and chats. An agent can be
changed, since a gate for CI needs an agent that gets worse.
"""

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import anyio.lowlevel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sigmamind_mcp.sandbox import samples
from sigmamind_mcp.sandbox.launching import (
    LIVE_SECONDS,
    MAX_ATTEMPTS,
    MAX_STORED_ATTEMPTS,
    BatchLaunch,
    count_attempts,
    fill_with_samples,
)
from sigmamind_mcp.sandbox.request_models import (
    AgentQuery,
    AgentUpdate,
    BatchRunCreate,
    PageQuery,
    RunQuery,
    SandboxError,
    TestCaseCreate,
    TestCaseUpdate,
    parse_body,
    parse_query,
)
from sigmamind_mcp.sandbox.store import Body, Store, StoredBatch, StoredRun, format_timestamp

SANDBOX_KEY = "sandbox-key"

AGENT_FIELDS = (
    "agentName",
    "instructions",
    "welcomeMessageType",
    "welcomeMessage",
    "agentSettings",
    "tools",
)
STORED_CASE_FIELDS = ("label", "llmModel", "mockData", "userPrompt", "attempt", "successCriteria")


@dataclass(frozen=True)
class SandboxOptions:
    """Switches the sandbox to other behaviour, for tests."""

    older_pages: bool = False
    """Answer as the API's older documentation shows: bare lists, `isSuccesful`, no label or
    conversation, and no body after a launch."""
    run_list: bool = True
    """Serve the undocumented list of test runs."""
    live_definitions: bool = False
    """Show old batch runs with their test cases as they are now, not as they were launched."""
    pace: float = 1.0
    """Multiply the duration of attempts."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(
    *,
    db: Path | None = None,
    key: str | None = None,
    options: SandboxOptions = SandboxOptions(),
    seed: int = 7,
    clock: Callable[[], datetime] = utc_now,
) -> Starlette:
    """Build the app, which accepts only `key`, or any key without one.

    Raises:
        ValueError: `db` is not a writable SQLite file.
    """
    api = _API(db, key, options, seed, clock)
    if db is not None:
        api.open_store()  # a store in memory is opened and filled at the first request
    routes = [
        api.build_route("/v1/test-cases", POST=api.create_test_case, GET=api.list_test_cases),
        api.build_route(
            "/v1/test-cases/{test_case_id}", GET=api.get_test_case, PUT=api.update_test_case
        ),
        api.build_route("/v1/batch-runs", POST=api.create_batch_run, GET=api.list_batch_runs),
        api.build_route("/v1/batch-runs/{batch_id}", GET=api.get_batch_run),
        api.build_route("/v1/test-runs/{job_id}", GET=api.get_test_run),
        api.build_route("/v1/agents", GET=api.list_agents),
        api.build_route("/v1/agents/{agent_id}", GET=api.get_agent, PATCH=api.update_agent),
    ]
    if options.run_list:
        routes.append(api.build_route("/v1/test-runs", GET=api.list_test_runs))
    app = Starlette(
        routes=routes,
        exception_handlers={HTTPException: _answer_http_error, Exception: _answer_crash},
    )
    app.router.redirect_slashes = False  # the API documents no redirect, so such a path is a 404
    return app


ObjectT = TypeVar("ObjectT")


class _API:
    """Implements the operations over one store."""

    def __init__(
        self,
        db: Path | None,
        key: str | None,
        options: SandboxOptions,
        seed: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._db = db
        self._key = key
        self._options = options
        self._seed = seed
        self._clock = clock

    def open_store(self) -> None:
        try:
            assert self.store
        except sqlite3.Error as exc:
            raise ValueError(
                f"{self._db} cannot be used as the sandbox's SQLite file: {exc}"
            ) from exc

    @cached_property
    def store(self) -> Store:
        store = Store(self._db, self._seed)
        with store.transaction():
            if store.is_empty:
                fill_with_samples(store)
        return store

    def build_route(self, path: str, **operations: Callable[[Request], Awaitable[Any]]) -> Route:
        """Route each HTTP method to its operation, behind the key check."""

        async def answer_request(request: Request) -> Response:
            self._check_key(request)
            method = "GET" if request.method == "HEAD" else request.method
            answer = await operations[method](request)
            return answer if isinstance(answer, Response) else JSONResponse(answer)

        return Route(path, answer_request, methods=list(operations))

    def _check_key(self, request: Request) -> None:
        sent = request.headers.get("x-api-key", "").strip()
        is_wrong = self._key is not None and sent != self._key
        if not sent or is_wrong:
            raise SandboxError(401, "X-API-Key is missing or invalid")

    async def create_test_case(self, request: Request) -> Body:
        fields = await parse_body(request, TestCaseCreate)
        agent_id, _ = self._require_agent(fields["agentId"])
        with self.store.transaction():
            test_case = {
                "testCaseId": self.store.new_id("tc"),
                "workspaceId": samples.WORKSPACE,
                "attempt": 1,
                **_pick_case_fields(fields),
            }
            self.store.put_test_case(agent_id, test_case)
        return self._render_test_case(agent_id, test_case)

    async def get_test_case(self, request: Request) -> Body:
        agent_id = _strip_prefix(parse_query(request, AgentQuery).agent_id)
        test_case = self._require_test_case(agent_id, request.path_params["test_case_id"])
        return self._render_test_case(agent_id, test_case)

    async def list_test_cases(self, request: Request) -> Any:
        query = parse_query(request, AgentQuery)
        agent_id, _ = self._require_agent(query.agent_id)
        stored = self.store.list_test_cases(agent_id)
        cases = [self._render_test_case(agent_id, test_case) for test_case in stored]
        return cases if self._options.older_pages else _slice_page(cases, query)

    async def update_test_case(self, request: Request) -> Body:
        fields = await parse_body(request, TestCaseUpdate)
        agent_id = _strip_prefix(fields["agentId"])
        with self.store.transaction():
            stored = self._require_test_case(agent_id, request.path_params["test_case_id"])
            test_case = {**stored, **_pick_case_fields(fields)}
            self.store.put_test_case(agent_id, test_case)
        return self._render_test_case(agent_id, test_case)

    async def create_batch_run(self, request: Request) -> Response:
        fields = await parse_body(request, BatchRunCreate)
        agent_id, _ = self._require_agent(fields["agentId"])
        cases = [
            self._require_test_case(agent_id, test_case_id) for test_case_id in fields["testCases"]
        ]
        if not cases:
            raise SandboxError(
                409, "A batch run needs at least one test case", {"testCases": "must not be empty"}
            )
        if count_attempts(cases) > MAX_ATTEMPTS:
            message = f"The sandbox runs at most {MAX_ATTEMPTS} attempts in one batch run"
            raise SandboxError(409, message)
        shortest, longest = LIVE_SECONDS
        duration = (shortest * self._options.pace, longest * self._options.pace)
        if self.store.count_attempts() + count_attempts(cases) > MAX_STORED_ATTEMPTS:
            message = f"The sandbox stores at most {MAX_STORED_ATTEMPTS} attempts; start a new one"
            raise SandboxError(409, message)
        batch = await self._launch(agent_id, cases, duration)
        if self._options.older_pages:
            return Response(status_code=200)
        created = {
            "batchId": batch.batch_id,
            "workspaceId": samples.WORKSPACE,
            "agent": self._render_agent_ref(agent_id),
            "createdDate": batch.created,
        }
        return JSONResponse(created, status_code=201)

    async def _launch(
        self, agent_id: str, cases: list[Body], duration: tuple[float, float]
    ) -> StoredBatch:
        with self.store.transaction():
            launch = BatchLaunch(self.store, agent_id, cases, at=self._clock(), duration=duration)
        while launch.has_attempts_left:
            with self.store.transaction():
                launch.simulate_some()
            await anyio.lowlevel.checkpoint()
        with self.store.transaction():
            return launch.store_all()

    async def list_batch_runs(self, request: Request) -> Body:
        query = parse_query(request, AgentQuery)
        agent_id, _ = self._require_agent(query.agent_id)
        page = _slice_page(self.store.list_batch_runs(agent_id), query)
        return {**page, "data": [self._render_batch_run(batch) for batch in page["data"]]}

    async def get_batch_run(self, request: Request) -> Body:
        agent_id = _strip_prefix(parse_query(request, AgentQuery).agent_id)
        batch = self._require_batch_run(agent_id, request.path_params["batch_id"])
        return self._render_batch_run(batch)

    async def get_test_run(self, request: Request) -> Body:
        query = parse_query(request, RunQuery)
        batch = self._require_batch_run(_strip_prefix(query.agent_id), query.batch_id)
        run = self.store.find_test_run(batch.batch_id, request.path_params["job_id"])
        return self._render_test_run(_require_found(run), batch)

    async def list_test_runs(self, request: Request) -> Body:
        query = parse_query(request, RunQuery)
        batch = self._require_batch_run(_strip_prefix(query.agent_id), query.batch_id)
        start = query.page * query.size
        total = self.store.count_test_runs(batch.batch_id)
        stored = self.store.list_test_runs(batch.batch_id, start=start, size=query.size)
        runs = [self._render_test_run(run, batch) for run in stored]
        return _wrap_page(runs, total, query)

    async def list_agents(self, request: Request) -> Body:
        return _slice_page(self.store.list_agents(), parse_query(request, PageQuery))

    async def get_agent(self, request: Request) -> Body:
        _, agent = self._require_agent(request.path_params["agent_id"])
        return agent

    async def update_agent(self, request: Request) -> Body:
        fields = await parse_body(request, AgentUpdate)
        with self.store.transaction():
            agent_id, stored = self._require_agent(request.path_params["agent_id"])
            changed = {name: fields[name] for name in AGENT_FIELDS if name in fields}
            agent = {**stored, **changed}
            self.store.put_agent(agent_id, agent)
        return agent

    @property
    def _now(self) -> str:
        return format_timestamp(self._clock())

    def _require_agent(self, agent_id: str) -> tuple[str, Body]:
        """Return the id without its prefix, and the agent."""
        stripped = _strip_prefix(agent_id)
        return stripped, _require_found(self.store.find_agent(stripped))

    def _require_test_case(self, agent_id: str, test_case_id: str) -> Body:
        test_case = _require_found(self.store.find_test_case(test_case_id))
        _require_owner(agent_id, self.store.find_owner(test_case_id))
        return test_case

    def _require_batch_run(self, agent_id: str, batch_id: str) -> StoredBatch:
        batch = _require_found(self.store.find_batch_run(batch_id))
        _require_owner(agent_id, batch.agent_id)
        return batch

    def _render_agent_ref(self, agent_id: str) -> Body:
        agent = self.store.find_agent(agent_id) or {}
        shown_id = agent_id if self._options.older_pages else f"agent_{agent_id}"
        return {"name": agent.get("agentName", ""), "agentId": shown_id, "status": "Live"}

    def _render_test_case(self, agent_id: str, stored: Body) -> Body:
        fields = dict(stored)
        if self._options.older_pages:
            fields.pop("label", None)
        test_case_id = fields.pop("testCaseId")
        return {"testCaseId": test_case_id, "agent": self._render_agent_ref(agent_id), **fields}

    def _render_definition(self, batch: StoredBatch, launched: Body) -> Body:
        current = None
        if self._options.live_definitions:
            current = self.store.find_test_case(launched["testCaseId"])
        return self._render_test_case(batch.agent_id, current or launched)

    def _render_batch_run(self, batch: StoredBatch) -> Body:
        passed, failed = self.store.count_verdicts(batch.batch_id, self._now)
        return {
            "batchId": batch.batch_id,
            "workspaceId": samples.WORKSPACE,
            "agent": self._render_agent_ref(batch.agent_id),
            "createdDate": batch.created,
            "testCases": [self._render_definition(batch, case) for case in batch.test_cases],
            "successfulAttempts": passed,
            "failedAttempts": failed,
            # Documented as the attempts executed, so it grows.
            "totalAttempts": passed + failed,
        }

    def _render_test_run(self, run: StoredRun, batch: StoredBatch) -> Body:
        """Return the run as it is now; its verdict appears when it ends."""
        now = self._now
        has_ended = run.completed is not None and run.completed <= now
        success_field = "isSuccesful" if self._options.older_pages else "isSuccessful"
        body: Body = {
            "batchId": run.batch_id,
            "workspaceId": samples.WORKSPACE,
            "agent": self._render_agent_ref(batch.agent_id),
            "testCase": self._render_definition(batch, _find_launched_case(run, batch)),
            "jobId": run.job_id,
            "chatId": self._format_chat_id(run),
            "createdDate": run.created,
            "completedDate": run.completed if has_ended else None,
            success_field: run.is_successful if has_ended else None,
            "remarks": run.remarks if has_ended else None,
        }
        if not self._options.older_pages:
            past_turns = [turn for turn in run.conversation if turn.at <= now]
            body["conversation"] = [
                {"role": turn.role, "content": turn.content} for turn in past_turns
            ]
        return body

    def _format_chat_id(self, run: StoredRun) -> str:
        if self._options.older_pages:
            return run.chat_id.replace("chat_", "chat-", 1)
        return run.chat_id


def _require_found(stored: ObjectT | None) -> ObjectT:
    if stored is None:
        raise SandboxError(404, "The requested resource was not found")
    return stored


def _require_owner(agent_id: str, owner: str | None) -> None:
    # The API's documentation does not say if another agent's object is a 403 or a 404. It is 403.
    if owner != agent_id:
        raise SandboxError(403, "Access denied for this resource")


def _strip_prefix(agent_id: str) -> str:
    return agent_id.removeprefix("agent_")


def _pick_case_fields(fields: Body) -> Body:
    """Keep the fields that a caller may set, and drop the rest silently."""
    return {name: fields[name] for name in STORED_CASE_FIELDS if name in fields}


def _find_launched_case(run: StoredRun, batch: StoredBatch) -> Body:
    """Return the run's test case as it was at the launch."""
    return next(case for case in batch.test_cases if case["testCaseId"] == run.test_case_id)


def _slice_page(items: list[Any], query: PageQuery) -> Body:
    start = query.page * query.size
    return _wrap_page(items[start : start + query.size], len(items), query)


def _wrap_page(items: list[Any], total: int, query: PageQuery) -> Body:
    page_count = -(-total // query.size)
    return {
        "data": items,
        "page": query.page,
        "size": query.size,
        "totalCount": total,
        "totalPages": page_count,
        "hasNext": query.page + 1 < page_count,
        "hasPrevious": query.page > 0,
    }


def _build_error(
    request: Request, status: int, message: str, fields: dict[str, str] | None = None
) -> Body:
    error: Body = {
        "timestamp": format_timestamp(utc_now()),
        "status": status,
        "error": HTTPStatus(status).phrase,
        "message": message,
        "path": request.url.path,
    }
    if fields:
        error["validationErrors"] = fields
    return error


async def _answer_http_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    status = exc.status_code
    fields = exc.fields if isinstance(exc, SandboxError) else None
    messages = {404: "The requested resource was not found", 405: "Method not allowed"}
    message = messages.get(status, exc.detail)
    return JSONResponse(_build_error(request, status, message, fields), status, headers=exc.headers)


async def _answer_crash(request: Request, exc: Exception) -> Response:
    return JSONResponse(_build_error(request, 500, "Unexpected server error"), 500)
