"""Mixed load with faults and disconnects leaks neither memory nor descriptors (R40).

Cross-cutting: it runs many tools over HTTP and SSE at once.
"""

import faulthandler
import json
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from queue import Queue
from random import Random
from statistics import linear_regression
from typing import Any
from urllib.parse import urlsplit

import pytest

from sigmamind_mcp.api.pool import MAX_CONCURRENT_REQUESTS
from tests.conftest import KEY, RoundCount
from tests.support.all_transports import (
    TRANSPORTS,
    HTTPConnection,
    ServerProcess,
    SSEConnection,
    open_http_server,
)
from tests.support.fake_api import AGENT, BATCH, CASE, RUN, Asked, FakeAPI, page
from tests.transports.raw_http import ACCEPT, CALL

WORKERS = 6
FAULTS: list[tuple[int, Any]] = [
    (500, {"message": "no"}),
    (404, {"message": "none"}),
    (403, b"<html>no</html>"),
    (200, b"<html>Welcome</html>"),
    (200, json.dumps(RUN).encode()[:-30]),
    (200, b"[]"),
    (503, b""),
]


def is_faulty(number: int) -> bool:
    """Return whether the API fails for this id: one in twenty."""
    return number % 20 == 7


def answer_by_id(asked: Asked) -> Any:
    number = int(asked.path.rpartition("/n")[2])
    if is_faulty(number):
        return FAULTS[number % len(FAULTS)]
    name = f"n{number}"
    if "batch-runs" in asked.path:
        return {**BATCH, "batchId": name, "agent": None}
    if "test-runs" in asked.path:
        return {**RUN, "jobId": name, "batchId": asked.query["batchId"], "agent": None}
    return {**CASE, "testCaseId": name, "agent": None}


class Answers(dict[tuple[str, str], tuple[int, Any]]):
    """Answers for every id."""

    def get(self, place: tuple[str, str], default: Any = None) -> Any:
        return (200, answer_by_id) if "/n" in place[1] else super().get(place, default)


def test_mixed_load_leaves_nothing_behind(
    tmp_path: Path,
    fake_api: FakeAPI,
    request: pytest.FixtureRequest,
    rounds: RoundCount,
    figures: list[str],
) -> None:
    """R40: only injected errors, no leaked descriptors, and the slope of the memory as a figure."""
    faulthandler.cancel_dump_traceback_later()  # it ends every test after ten minutes
    seconds = rounds(short=3, long=60 * request.config.getoption("--minutes"))
    fake_api.answers = Answers()
    fake_api.answer("GET", "/v1/agents", page([AGENT]))
    fake_api.answer("POST", "/v1/test-cases", {**CASE, "agent": None}, 201)
    with open_http_server(tmp_path, fake_api.url, "--log-level", "warning") as (server, url):
        soak = Soak(server, url, fake_api)
        soak.run(1.0)  # allocate what is allocated once
        before = count_settled_descriptors(server)
        soak.outcomes.clear()
        memory = soak.run(seconds)
        after = count_settled_descriptors(server)

    outcomes = soak.outcomes
    assert outcomes["unexpected"] == 0, list(soak.unexpected.queue)[:3]
    assert after <= before + MAX_CONCURRENT_REQUESTS  # idle connections to the API are kept
    assert max(memory.values()) - min(memory.values()) < 20
    slope = linear_regression(list(memory), list(memory.values())).slope * 3_600
    # Over a few seconds the slope means nothing.
    slope_text = f", slope {slope:+.1f} MB/h" if seconds >= 60 else ""
    figures.append(
        f"R40 {seconds:.0f} s, {sum(outcomes.values()):,} calls over HTTP and SSE, {outcomes['fault']:,} with an injected fault,"
        f" {outcomes['disconnect']:,} disconnects: {outcomes['unexpected']} other errors, descriptors {before} before and"
        f" {after} after, memory {list(memory.values())[-1] - list(memory.values())[0]:+.1f} MB{slope_text}"
    )


def count_settled_descriptors(server: ServerProcess) -> int:
    """Wait until the number of descriptors is the same for a second, and return it."""
    # The server closes connections later than their clients.
    seen, since, end = server.descriptors(), time.monotonic(), time.monotonic() + 20
    while time.monotonic() < min(since + 1, end):
        time.sleep(0.05)
        if (now := server.descriptors()) != seen:
            seen, since = now, time.monotonic()
    return seen


class Soak:
    """Workers that call a server, and the outcomes of their calls."""

    def __init__(self, server: ServerProcess, url: str, api: FakeAPI) -> None:
        self.server, self.url, self.api = server, url, api
        self.numbers = count(1)
        self.outcomes: Counter[str] = Counter()
        self.unexpected: Queue[Any] = Queue()

    def run(self, seconds: float) -> dict[float, float]:
        """Call for this long; return memory by elapsed time, after the first fifth."""
        began = time.monotonic()
        self.connections: list[HTTPConnection] = [
            HTTPConnection(name, self.server, url=self.url, key=KEY) for name in TRANSPORTS[2:]
        ]
        self.connections.append(sse := SSEConnection("SSE", self.server, url=self.url, key=KEY))
        sse.open()
        memory: dict[float, float] = {}
        stop = threading.Event()
        with ThreadPoolExecutor(WORKERS) as pool:
            workers = [pool.submit(self._work, stop) for _ in range(WORKERS)]
            while (elapsed := time.monotonic() - began) < seconds:
                if elapsed > seconds / 5:
                    memory[elapsed] = self.server.memory()
                self.api.asked.clear()
                time.sleep(min(1.0, seconds / 20))
            stop.set()
            for worker in workers:
                worker.result()
        for connection in self.connections:
            connection.http.close()
        return memory

    def _work(self, stop: threading.Event) -> None:
        while not stop.is_set():
            number = next(self.numbers)
            if number % 100 == 99:
                self._disconnect(number)
            else:
                self._call(number)

    def _call(self, number: int) -> None:
        connection = self.connections[number % len(self.connections)]
        random = Random(number)
        name = f"n{number}"
        calls: list[tuple[str, dict[str, Any]]] = [
            (
                "get_batch_run",
                {"agentId": "a", "batchId": name, "detail": random.choice(["concise", "full"])},
            ),
            ("get_test_run", {"agentId": "a", "batchId": "b", "jobId": name}),
            ("get_test_case", {"agentId": "a", "testCaseId": name}),
        ]
        if is_faulty(number):
            answer, outcome = connection.call(*random.choice(calls)), "fault"
        else:
            calls += [
                ("list_agents", {}),
                ("get_batch_run", {"agentId": "a", "batchId": "../x"}),
                (
                    "create_test_case",
                    {
                        "agentId": "a",
                        "userPrompt": "x" * 2_000,
                        "successCriteria": "y",
                        "allowDuplicate": True,
                    },
                ),
            ]
            tool, arguments = random.choice(calls)
            answer, outcome = connection.call(tool, arguments), "ok"
            if answer.is_error != (arguments.get("batchId") == "../x"):
                outcome = "unexpected"
                self.unexpected.put((tool, arguments, answer.text[:300]))
        if "result" not in answer.message:
            outcome = "unexpected"
            self.unexpected.put((connection.name, answer.raw[:300]))
        self.outcomes[outcome] += 1

    def _disconnect(self, number: int) -> None:
        """Disconnect during a call, a body, or a stream."""
        parts = urlsplit(self.url)
        body = json.dumps(CALL).encode()
        head = [
            f"POST /mcp HTTP/1.1\r\nHost: {parts.netloc}\r\nX-API-Key: {KEY}\r\nContent-Length: {len(body)}"
        ]
        head += [f"{name}: {value}" for name, value in ACCEPT.items()]
        if number % 3 == 0:
            head, body = [f"GET /sse HTTP/1.1\r\nHost: {parts.netloc}\r\nX-API-Key: {KEY}"], b""
        with (
            suppress(OSError),
            socket.create_connection((parts.hostname, parts.port), timeout=60) as peer,
        ):
            peer.sendall(
                ("\r\n".join(head) + "\r\n\r\n").encode()
                + body[: len(body) if number % 2 else len(body) // 2]
            )
        self.outcomes["disconnect"] += 1
