"""SigmaMind's simulation API as a Starlette app: the same paths, paging, errors, status codes and key check."""

import json
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError
from pydantic.alias_generators import to_camel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sigmamind_mcp.sandbox import samples
from sigmamind_mcp.sandbox.launching import (
    LIVE_SECONDS,
    MAX_ATTEMPTS,
    attempts_of,
    fill_with_samples,
    launch,
)
from sigmamind_mcp.sandbox.store import Store, StoredBatch, StoredRun, spelt

SANDBOX_KEY = "sandbox-key"

Body = dict[str, Any]


@dataclass(frozen=True)
class SandboxOptions:
    """What the sandbox can be told to do otherwise."""

    older_pages: bool = False
    """Answer as the API's older pages show: bare arrays, `isSuccesful`, no labels, no conversation, empty create."""
    run_list: bool = True
    """Offer the undocumented list of test runs."""
    live_definitions: bool = False
    """Show old batch runs with their test cases as they are now, not as they were at the launch."""
    pace: float = 1.0
    """How many times as long attempts take."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(
    *,
    db: Path | None = None,
    key: str | None = None,
    knobs: SandboxOptions = SandboxOptions(),
    seed: int = 7,
    clock: Callable[[], datetime] = utc_now,
) -> Starlette:
    """Build the app. With `key`, no other is accepted. A database in memory is filled at the first request.

    Raises:
        ValueError: `db` is no SQLite file that can be written.
    """
    api = _API(db, key, knobs, seed, clock)
    if db is not None:
        api.open()
    routes = [
        api.route("/v1/test-cases", POST=api.create_test_case, GET=api.list_test_cases),
        api.route("/v1/test-cases/{test_case_id}", GET=api.get_test_case, PUT=api.update_test_case),
        api.route("/v1/batch-runs", POST=api.create_batch_run, GET=api.list_batch_runs),
        api.route("/v1/batch-runs/{batch_id}", GET=api.get_batch_run),
        api.route("/v1/test-runs/{job_id}", GET=api.get_test_run),
        api.route("/v1/agents", POST=api.create_agent, GET=api.list_agents),
        api.route("/v1/agents/{agent_id}", GET=api.get_agent, PATCH=api.update_agent),
        api.route("/v1/chats/{chat_id}", GET=api.get_chat),
    ]
    if knobs.run_list:
        routes.append(api.route("/v1/test-runs", GET=api.list_test_runs))
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refused, Exception: _failed})
    app.router.redirect_slashes = False  # the API documents no redirect: such a path is a 404
    return app


class Refusal(HTTPException):
    """An error in the documented form; `fields` are its `validationErrors`."""

    def __init__(self, status: int, message: str, fields: dict[str, str] | None = None) -> None:
        super().__init__(status, message)
        self.fields = fields


class MockVariable(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    variable_name: StrictStr = ""
    value: StrictStr = ""


CASE_FIELDS = ("label", "llmModel", "mockData", "userPrompt", "attempt", "successCriteria")

Int64 = Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]
Objects = list[dict[str, Any]]


class ClosedBody(BaseModel):
    """A body as the API takes it: unknown fields are let in, as its schema does; null is no value of any field."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow")


class TestCaseUpdate(ClosedBody):
    agent_id: StrictStr
    user_prompt: StrictStr = ""
    success_criteria: StrictStr = ""
    label: StrictStr = ""
    llm_model: StrictStr = ""
    mock_data: list[MockVariable] = []
    attempt: Int64 = 1


class TestCaseCreate(TestCaseUpdate):
    user_prompt: StrictStr
    success_criteria: StrictStr


class BatchRunCreate(ClosedBody):
    agent_id: StrictStr
    test_cases: list[StrictStr]


class AgentSettings(ClosedBody):
    language: StrictStr = ""
    agent_timezone: StrictStr = ""
    ai_starts_conversation: StrictBool = False
    global_prompt: StrictStr = ""
    llm_model: StrictStr = ""
    llm_temperature: Annotated[float, Field(strict=True)] = 0
    llm_top_p: Annotated[float, Field(strict=True)] = 0
    llm_top_k: Annotated[float, Field(strict=True)] = 0
    webhooks: Objects = []


class AgentWrite(ClosedBody):
    agent_name: StrictStr = ""
    instructions: StrictStr = ""
    welcome_message_type: Literal["static", "prompt"] = "static"
    welcome_message: StrictStr = ""
    agent_settings: AgentSettings = AgentSettings()
    tools: Objects = []


class PageQuery(BaseModel):
    page: Annotated[int, Field(ge=0, lt=2**31)] = 0
    size: Annotated[int, Field(ge=1, lt=2**31)] = 10


class AgentQuery(PageQuery):
    model_config = ConfigDict(alias_generator=to_camel)

    agent_id: str


class RunQuery(AgentQuery):
    batch_id: str


ModelT = TypeVar("ModelT", bound=BaseModel)
ThingT = TypeVar("ThingT")


class _API:
    """The operations, over one store."""

    def __init__(
        self,
        db: Path | None,
        key: str | None,
        knobs: SandboxOptions,
        seed: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._db = db
        self._key = key
        self._knobs = knobs
        self._seed = seed
        self._clock = clock

    def open(self) -> None:
        try:
            assert self.store
        except sqlite3.Error as exc:
            raise ValueError(
                f"{self._db} cannot be used as the sandbox's SQLite file: {exc}"
            ) from exc

    @cached_property
    def store(self) -> Store:
        store = Store(self._db, self._seed)
        with store.writing():
            if store.is_empty:
                fill_with_samples(store)
        return store

    def route(self, path: str, **operations: Callable[[Request], Awaitable[Any]]) -> Route:
        async def answer(request: Request) -> Response:
            self._check_key(request)
            answered = await operations["GET" if request.method == "HEAD" else request.method](
                request
            )
            return answered if isinstance(answered, Response) else JSONResponse(answered)

        return Route(path, answer, methods=list(operations))

    def _check_key(self, request: Request) -> None:
        sent = request.headers.get("x-api-key", "").strip()
        if not sent or (self._key is not None and sent != self._key):
            raise Refusal(401, "X-API-Key is missing or invalid")

    async def create_test_case(self, request: Request) -> Body:
        fields = await _body(request, TestCaseCreate)
        agent_id, _ = self._agent(fields["agentId"])
        with self.store.writing():
            own = {
                "testCaseId": self.store.new_id("tc"),
                "workspaceId": samples.WORKSPACE,
                "attempt": 1,
            }
            stored = {**own, **_case_fields(fields)}
            self.store.put_test_case(agent_id, stored)
        return self._case(agent_id, stored)

    async def get_test_case(self, request: Request) -> Body:
        agent_id = _bare(_query(request, AgentQuery).agent_id)
        return self._case(
            agent_id, self._stored_case(agent_id, request.path_params["test_case_id"])
        )

    async def list_test_cases(self, request: Request) -> Any:
        query = _query(request, AgentQuery)
        agent_id, _ = self._agent(query.agent_id)
        cases = [self._case(agent_id, case) for case in self.store.list_test_cases(agent_id)]
        return cases if self._knobs.older_pages else _page(cases, query)

    async def update_test_case(self, request: Request) -> Body:
        fields = await _body(request, TestCaseUpdate)
        agent_id = _bare(fields["agentId"])
        with self.store.writing():
            stored = {
                **self._stored_case(agent_id, request.path_params["test_case_id"]),
                **_case_fields(fields),
            }
            self.store.put_test_case(agent_id, stored)
        return self._case(agent_id, stored)

    async def create_batch_run(self, request: Request) -> Response:
        fields = await _body(request, BatchRunCreate)
        agent_id, agent = self._agent(fields["agentId"])
        cases = [self._stored_case(agent_id, test_case_id) for test_case_id in fields["testCases"]]
        if not cases:
            raise Refusal(
                409, "A batch run needs at least one test case", {"testCases": "must not be empty"}
            )
        if attempts_of(cases) > MAX_ATTEMPTS:
            raise Refusal(409, f"The sandbox runs at most {MAX_ATTEMPTS} attempts in one batch run")
        low, high = LIVE_SECONDS
        seconds = (low * self._knobs.pace, high * self._knobs.pace)
        with self.store.writing():
            batch = launch(self.store, agent_id, cases, at=self._clock(), seconds=seconds)
        if self._knobs.older_pages:
            return Response(status_code=200)
        created = {
            "batchId": batch.batch_id,
            "workspaceId": samples.WORKSPACE,
            "agent": self._ref(agent_id),
        }
        return JSONResponse({**created, "createdDate": batch.created}, status_code=201)

    async def list_batch_runs(self, request: Request) -> Body:
        query = _query(request, AgentQuery)
        agent_id, _ = self._agent(query.agent_id)
        page = _page(self.store.list_batch_runs(agent_id), query)
        return {**page, "data": [self._batch(batch) for batch in page["data"]]}

    async def get_batch_run(self, request: Request) -> Body:
        agent_id = _bare(_query(request, AgentQuery).agent_id)
        return self._batch(self._stored_batch(agent_id, request.path_params["batch_id"]))

    async def get_test_run(self, request: Request) -> Body:
        query = _query(request, RunQuery)
        batch = self._stored_batch(_bare(query.agent_id), query.batch_id)
        run = _found(self.store.find_test_run(batch.batch_id, request.path_params["job_id"]))
        return self._run(run, batch, with_conversation=not self._knobs.older_pages)

    async def list_test_runs(self, request: Request) -> Body:
        query = _query(request, RunQuery)
        batch = self._stored_batch(_bare(query.agent_id), query.batch_id)
        start, total = query.page * query.size, self.store.count_test_runs(batch.batch_id)
        runs = self.store.list_test_runs(batch.batch_id, start=start, size=query.size)
        return _envelope(
            [self._run(run, batch, with_conversation=False) for run in runs], total, query
        )

    async def create_agent(self, request: Request) -> Body:
        fields = await _body(request, AgentWrite)
        with self.store.writing():
            agent_id = self.store.new_id("agent")
            agent = {**fields, "agentId": agent_id}
            self.store.put_agent(_bare(agent_id), agent)
        return agent

    async def list_agents(self, request: Request) -> Body:
        return _page(self.store.list_agents(), _query(request, PageQuery))

    async def get_agent(self, request: Request) -> Body:
        return self._agent(request.path_params["agent_id"])[1]

    async def update_agent(self, request: Request) -> Body:
        fields = await _body(request, AgentWrite)
        with self.store.writing():
            agent_id, agent = self._agent(request.path_params["agent_id"])
            agent = {**agent, **fields, "agentId": agent["agentId"]}
            self.store.put_agent(agent_id, agent)
        return agent

    async def get_chat(self, request: Request) -> Body:
        chat_id = request.path_params["chat_id"].replace("chat-", "chat_", 1)
        run = _found(self.store.find_test_run_of_chat(chat_id))
        batch = _found(self.store.find_batch_run(run.batch_id))
        turns = [turn for turn in run.conversation if turn.at <= self._now]
        mock_data = _launched(run, batch).get("mockData", [])
        return {
            "chatId": self._chat_id(run),
            "agent": self._ref(batch.agent_id),
            "createdAt": run.created,
            "status": _chat_status(run, self._now),
            "transcript": "\n".join(f"{turn.role}: {turn.content}" for turn in turns),
            "messages": [
                {"id": f"item_{n}", "role": turn.role, "type": "message", "content": [turn.content]}
                for n, turn in enumerate(turns, start=1)
            ],
            "dynamicVariables": {
                mock.get("variableName", ""): mock.get("value", "") for mock in mock_data
            },
        }

    @property
    def _now(self) -> str:
        return spelt(self._clock())

    def _agent(self, agent_id: str) -> tuple[str, Body]:
        bare = _bare(agent_id)
        return bare, _found(self.store.find_agent(bare))

    def _ref(self, agent_id: str) -> Body:
        agent = self.store.find_agent(agent_id) or {}
        shown = agent_id if self._knobs.older_pages else f"agent_{agent_id}"
        return {"name": agent.get("agentName", ""), "agentId": shown, "status": "Live"}

    def _stored_case(self, agent_id: str, test_case_id: str) -> Body:
        case = _found(self.store.find_test_case(test_case_id))
        return _allowed(case, agent_id, self.store.owner(test_case_id))

    def _stored_batch(self, agent_id: str, batch_id: str) -> StoredBatch:
        batch = _found(self.store.find_batch_run(batch_id))
        return _allowed(batch, agent_id, batch.agent_id)

    def _case(self, agent_id: str, stored: Body) -> Body:
        hidden = {"label"} if self._knobs.older_pages else set()
        case = {name: value for name, value in stored.items() if name not in hidden}
        return {"testCaseId": case.pop("testCaseId"), "agent": self._ref(agent_id), **case}

    def _definition(self, batch: StoredBatch, case: Body) -> Body:
        now = (
            self.store.find_test_case(case["testCaseId"]) if self._knobs.live_definitions else None
        )
        return self._case(batch.agent_id, now or case)

    def _batch(self, batch: StoredBatch) -> Body:
        passed, failed = self.store.counts(batch.batch_id, self._now)
        return {
            "batchId": batch.batch_id,
            "workspaceId": samples.WORKSPACE,
            "agent": self._ref(batch.agent_id),
            "createdDate": batch.created,
            "testCases": [self._definition(batch, case) for case in batch.test_cases],
            "successfulAttempts": passed,
            "failedAttempts": failed,
            # Documented as the attempts executed, so it grows.
            "totalAttempts": passed + failed,
        }

    def _run(self, run: StoredRun, batch: StoredBatch, *, with_conversation: bool) -> Body:
        """The run as far as it has got by now: nothing is decided before its end."""
        now = self._now
        ended = run.completed is not None and run.completed <= now
        body: Body = {
            "batchId": run.batch_id,
            "workspaceId": samples.WORKSPACE,
            "agent": self._ref(batch.agent_id),
            "testCase": self._definition(batch, _launched(run, batch)),
            "jobId": run.job_id,
            "chatId": self._chat_id(run),
            "createdDate": run.created,
            "completedDate": run.completed if ended else None,
            "isSuccesful" if self._knobs.older_pages else "isSuccessful": run.is_successful
            if ended
            else None,
            "remarks": run.remarks if ended else None,
        }
        if with_conversation:
            said = [turn for turn in run.conversation if turn.at <= now]
            body["conversation"] = [{"role": turn.role, "content": turn.content} for turn in said]
        return body

    def _chat_id(self, run: StoredRun) -> str:
        return run.chat_id.replace("chat_", "chat-", 1) if self._knobs.older_pages else run.chat_id


def _found(thing: ThingT | None) -> ThingT:
    if thing is None:
        raise Refusal(404, "The requested resource was not found")
    return thing


def _allowed(thing: ThingT, agent_id: str, owner: str | None) -> ThingT:
    """The thing, if it is the agent's. The API's pages leave open whether another's is 403 or 404; here it is 403."""
    if owner != agent_id:
        raise Refusal(403, "Access denied for this resource")
    return thing


def _bare(agent_id: str) -> str:
    return agent_id.removeprefix("agent_")


def _case_fields(sent: Body) -> Body:
    """What a caller decides of a test case. Other fields are let in, as the schema does, and not kept."""
    return {name: sent[name] for name in CASE_FIELDS if name in sent}


def _launched(run: StoredRun, batch: StoredBatch) -> Body:
    """The run's test case as it was at the launch."""
    return next(case for case in batch.test_cases if case["testCaseId"] == run.test_case_id)


def _chat_status(run: StoredRun, now: str) -> str:
    if run.completed is None:
        return "error"
    return "ended" if run.completed <= now else "in_progress"


def _page(items: list[Any], query: PageQuery) -> Body:
    start = query.page * query.size
    return _envelope(items[start : start + query.size], len(items), query)


def _envelope(items: list[Any], total: int, query: PageQuery) -> Body:
    pages = -(-total // query.size)
    return {
        "data": items,
        "page": query.page,
        "size": query.size,
        "totalCount": total,
        "totalPages": pages,
        "hasNext": query.page + 1 < pages,
        "hasPrevious": query.page > 0,
    }


def _query(request: Request, model: type[ModelT]) -> ModelT:
    try:
        return model.model_validate(dict(request.query_params))
    except ValidationError as exc:
        raise Refusal(400, "Invalid request parameters", _fields(exc)) from None


async def _body(request: Request, model: type[BaseModel]) -> Body:
    """The body's fields as they were sent, once they are found to be of the documented types."""
    if (
        request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        != "application/json"
    ):
        raise Refusal(415, "The body must be application/json")
    try:
        data = json.loads(await request.body())
        # NaN, 1e999 and a lone surrogate can be read but never answered: one that is stored breaks every list of it.
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise Refusal(400, "The body is not readable JSON") from None
    if not isinstance(data, dict):
        raise Refusal(400, "The body must be a JSON object")
    try:
        model.model_validate(data)
    except ValidationError as exc:
        raise Refusal(400, "Invalid request parameters", _fields(exc)) from None
    return data


def _fields(exc: ValidationError) -> dict[str, str]:
    return {
        ".".join(str(part) for part in problem["loc"]): problem["msg"]
        for problem in exc.errors(include_url=False, include_input=False, include_context=False)
    }


def _error(request: Request, status: int, message: str, fields: dict[str, str] | None) -> Body:
    error = {
        "timestamp": spelt(utc_now()),
        "status": status,
        "error": HTTPStatus(status).phrase,
        "message": message,
        "path": request.url.path,
    }
    return {**error, "validationErrors": fields} if fields else error


async def _refused(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    fields = exc.fields if isinstance(exc, Refusal) else None
    message = {404: "The requested resource was not found", 405: "Method not allowed"}.get(
        exc.status_code, exc.detail
    )
    return JSONResponse(
        _error(request, exc.status_code, message, fields), exc.status_code, headers=exc.headers
    )


async def _failed(request: Request, exc: Exception) -> Response:
    return JSONResponse(_error(request, 500, "Unexpected server error", None), 500)
