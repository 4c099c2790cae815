"""An API of test cases in memory, with faults at the level of bytes at chosen requests."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.fake_api import page
from tests.support.faulty_api import FAULTS, FaultyAPI, _content_length, _read_key

AGENT_ID = "agent_D5D0p7TUs66TTAEAx"
NEVER_EXECUTED = ("reset before the body", "reset during the body", "429")
"""Faults of requests that have certainly changed nothing."""


@dataclass
class CaseStore(FaultyAPI):
    """Stores the test cases of one agent; the request with number `fail_at` has the fault.

    `executes` says whether that request is carried out in spite of its fault.
    """

    cases: dict[str, dict[str, Any]] = field(default_factory=dict)
    fail_at: int = 0
    executes: bool = False
    stays: bool = False
    """Whether all requests after that one have the fault too."""
    number: int = 0
    shows_label: bool = True
    trims: bool = False
    page_size: int = 10
    _ids: Iterator[int] = field(default_factory=lambda: iter(range(1, 10**9)))

    def set_fault(
        self, fault: str | None, at: int = 0, *, executes: bool = False, stays: bool = False
    ) -> None:
        self.fault, self.fail_at, self.number = fault, at, 0
        self.stays = stays
        self.executes = executes and fault not in NEVER_EXECUTED
        self.received.clear()

    def add(self, **fields: Any) -> str:
        test_case_id = f"tc_{next(self._ids):08}"
        self.cases[test_case_id] = {"testCaseId": test_case_id, "attempt": 1, **fields}
        return test_case_id

    @property
    def writes(self) -> int:
        return self.received["POST"] + self.received["PUT"]

    async def _answer_next(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split(" ", 2)
        self.received[method] += 1
        self.number += 1
        is_first = self.number == self.fail_at
        is_later = self.stays and 0 < self.fail_at < self.number
        fault = self.fault if is_first or is_later else None
        if fault == "reset before the body":
            return self._reset(writer)
        if fault == "reset during the body":
            await reader.readexactly(_content_length(head) // 2)
            return self._reset(writer)
        body = await reader.readexactly(_content_length(head))
        if fault is None or (self.executes and is_first):
            status, answer = self._execute(method, target, body)
        else:
            status, answer = 200, {}
        self.body = json.dumps(answer).encode()
        return await self._respond(fault or str(status), writer, _read_key(head))

    def _execute(self, method: str, target: str, body: bytes) -> tuple[int, Any]:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        sent = json.loads(body) if body else {}
        sent.pop("agentId", None)
        if self.trims:
            sent = {name: v.strip() if isinstance(v, str) else v for name, v in sent.items()}
        test_case_id = parts.path.removeprefix("/v1/test-cases").strip("/")
        if method == "POST":
            return 201, self._show(self.add(**sent))
        if method == "GET" and not test_case_id:
            return 200, self._list(query)
        if test_case_id not in self.cases:
            return 404, {"message": "not found"}
        if method == "PUT":
            self.cases[test_case_id].update(sent)
        return 200, self._show(test_case_id)

    def _list(self, query: dict[str, str]) -> Any:
        shown = [self._show(test_case_id) for test_case_id in self.cases]
        number, size = int(query.get("page", 0)), int(query.get("size", self.page_size))
        start = number * size
        part = shown[start : start + size]
        has_next = start + size < len(shown)
        return page(part, page=number, size=size, totalCount=len(shown), hasNext=has_next)

    def _show(self, test_case_id: str) -> dict[str, Any]:
        case = {**self.cases[test_case_id], "agent": {"agentId": AGENT_ID}}
        if not self.shows_label:
            case.pop("label", None)
        return case


@asynccontextmanager
async def running_case_store() -> AsyncIterator[CaseStore]:
    """Serve a store of test cases in this event loop."""
    store = CaseStore()
    serving: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(store.serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    store.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield store
    finally:
        server.close()
        for task in list(serving):
            task.cancel()


__all__ = ["AGENT_ID", "FAULTS", "CaseStore", "running_case_store"]
