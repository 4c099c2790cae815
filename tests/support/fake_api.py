"""A fake of the hosted API: it returns what a test sets, and records the requests.

It is for what the sandbox cannot show: older pages, other shapes, faults. The samples come from SigmaMind's pages.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

AGENT = {"name": "New AI Agent", "agentId": "agent_D5D0p7TUs66TTAEAx", "status": "Live"}
CASE: dict[str, Any] = {
    "testCaseId": "tc_d17T6uReChpyfFeP",
    "label": "Angry Customer - Cancellation Flow",
    "agent": AGENT,
    "workspaceId": "org_V6eZ2zg8ziDx5pft",
    "llmModel": "gpt-4o-mini",
    "mockData": [
        {"variableName": "customer_name", "value": "John Doe"},
        {"variableName": "account_status", "value": "active"},
    ],
    "userPrompt": "You are an angry customer who wants to cancel your subscription.",
    "attempt": 5,
    "successCriteria": "The agent should acknowledge the cancellation request, present retention alternatives, and"
    " confirm the cancellation if the customer insists.",
}
OLDER_CASE = {
    **{name: value for name, value in CASE.items() if name != "label"},
    "agent": {"name": "Demo Agent", "agentId": "D5D0p7TUs66TTAEAx", "status": "Testing"},
}
BATCH: dict[str, Any] = {
    "batchId": "batch_s0OJu2JWR8R45Fai",
    "workspaceId": "org_V6eZ2zg8ziDx5pft",
    "agent": AGENT,
    "createdDate": "2026-03-26T10:52:45.565Z",
    "testCases": [CASE],
    "successfulAttempts": 4,
    "failedAttempts": 1,
    "totalAttempts": 5,
}
CREATED_BATCH = {name: BATCH[name] for name in ("batchId", "workspaceId", "agent", "createdDate")}
RUN: dict[str, Any] = {
    "batchId": "batch_s0OJu2JWR8R45Fai",
    "workspaceId": "org_V6eZ2zg8ziDx5pft",
    "agent": AGENT,
    "testCase": CASE,
    "jobId": "job_ksUu5yRHGTLLrLeM",
    "chatId": "chat_IpELinkFvINQ1212",
    "createdDate": "2026-03-26T10:52:45.565Z",
    "completedDate": "2026-03-26T10:54:45.565Z",
    "isSuccessful": True,
    "remarks": "The Agent successfully maintained focus on the primary task of addressing the customer's order enquiry.",
    "conversation": [{"role": "user", "content": "I want to cancel my subscription immediately."}],
}
OLDER_RUN = {
    **{name: value for name, value in RUN.items() if name not in ("isSuccessful", "conversation")},
    "testCase": OLDER_CASE,
    "chatId": "chat-IpELinkFvINQ1212",
    "isSuccesful": True,
}
ERROR = {
    "error": "Not Found",
    "message": "The requested resource was not found",
    "path": "/v1/batch-runs",
    "status": 404,
    "timestamp": "2026-05-05T10:06:43.879Z",
}


def page(items: list[Any], **more: Any) -> dict[str, Any]:
    """Wrap a complete list in the paging envelope."""
    envelope = {
        "page": 0,
        "size": 10,
        "totalCount": len(items),
        "totalPages": 1,
        "hasNext": False,
        "hasPrevious": False,
    }
    return {"data": items, **envelope, **more}


@dataclass(frozen=True)
class Asked:
    """One request, as received."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class FakeAPI:
    """Answers by method and path, and the requests in order.

    A body is JSON data, raw bytes, or a function of the request that returns one of these, or (status, body), or
    (status, body, headers).
    """

    url: str
    answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    stall: Event = field(default_factory=Event)
    """While cleared, answers to the methods in `stalled` wait."""
    stalled: str = "GET POST PUT PATCH"
    connections: int = 0
    open: set[object] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.stall.set()

    def answer(self, method: str, path: str, body: Any, status: int = 200) -> None:
        self.answers[method, path] = (status, body)

    def offer(self, *test_case_ids: str, attempt: int = 1) -> None:
        """Serve what a launch reads first: these test cases, no batch runs, an agent without tools."""
        self.answer(
            "GET",
            "/v1/test-cases",
            page(
                [
                    {**CASE, "testCaseId": test_case_id, "attempt": attempt}
                    for test_case_id in test_case_ids
                ]
            ),
        )
        self.answer("GET", "/v1/batch-runs", page([]))
        self.answer(
            "GET",
            f"/v1/agents/{AGENT['agentId']}",
            {**AGENT, "agentSettings": {"webhooks": []}, "tools": []},
        )

    @property
    def posts(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == "POST"]

    @property
    def paths(self) -> list[str]:
        return [f"{asked.method} {asked.path}" for asked in self.asked]


@contextmanager
def running_fake_api() -> Iterator[FakeAPI]:
    """Serve a fake API on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # otherwise every answer waits 40 ms for an ACK

        def setup(self) -> None:
            super().setup()
            api.connections += 1
            api.open.add(self)

        def finish(self) -> None:
            super().finish()
            api.open.discard(self)

        def _handle(self) -> None:
            parts = urlsplit(self.path)
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(
                self.command,
                parts.path,
                dict(parse_qsl(parts.query)),
                headers,
                json.loads(sent) if sent else None,
            )
            api.asked.append(asked)
            status, body = api.answers.get((asked.method, asked.path), (404, ERROR))
            own_headers: dict[str, str] = {}
            if callable(body):
                body = body(asked)
                status, body, *own = body if isinstance(body, tuple) else (status, body)
                own_headers = own[0] if own else {}
            if asked.method in api.stalled:
                api.stall.wait(10)
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response_only(status)
            for name, value in {
                "Content-Type": api.content_type,
                "Content-Length": len(raw),
                **api.headers,
                **own_headers,
            }.items():
                self.send_header(name, str(value))
            with suppress(BrokenPipeError, ConnectionResetError):  # the client may have given up
                self.end_headers()
                self.wfile.write(raw)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

        def handle(self) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):
                super().handle()

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 1024  # with the default of 5, many concurrent callers get resets

    with Server(("127.0.0.1", 0), Handler) as server:
        api = FakeAPI(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
