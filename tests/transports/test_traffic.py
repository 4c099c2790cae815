"""What stands before MCP on HTTP: who is let in, how much at once, and how the server ends (R2, R7, R29-R32, R36, R38, R39)."""

import http.client
import json
import re
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from hashlib import sha256
from itertools import product
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.shared.exceptions import MCPError

from sigmamind_mcp.transports import traffic as guard
from sigmamind_mcp.transports.traffic import (
    MAX_BODY_BYTES,
    MAX_CALLS,
    MAX_SSE_CALLS,
    MAX_STREAMS,
    CallLimiter,
    SendTimeout,
    Traffic,
)
from tests.conftest import KEY, Rounds
from tests.support.fake_api import BATCH, CASE, FakeAPI
from tests.support.processes import Served, environment, served
from tests.transports.test_http import ACCEPT, CALL, IN_BATCH

pytestmark = pytest.mark.anyio

ROUTES = [
    ("POST", "/mcp"),
    ("GET", "/sse"),
    ("POST", "/messages/"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
]
INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "raw", "version": "1"},
}
Pairs = list[tuple[str, str]]


@pytest.fixture
def server(fake_api: FakeAPI) -> Iterator[Served]:
    fake_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", BATCH)
    with served(
        "serve", "--allowed-origin", "https://app.example", env=before(fake_api)
    ) as running:
        yield running


def before(api: FakeAPI) -> dict[str, str]:
    return environment(SIGMAMIND_BASE_URL=api.url)


class Exchanged(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def exchange(url: str, method: str, path: str, headers: Pairs, body: bytes = b"") -> Exchanged:
    """Send exactly these headers, and read the whole answer; not for streams."""
    connection, response = opened(url, method, path, headers, body)
    with closing(connection), response:
        return Exchanged(response.status, response.headers, response.read())


def opened(
    url: str, method: str, path: str, headers: Pairs, body: bytes = b""
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders(body or None)
    return connection, connection.getresponse()


def authority(url: str) -> str:
    return urlsplit(url).netloc


def hosts(url: str) -> dict[str, bool]:
    """Host headers, and whether they are served."""
    port = urlsplit(url).port
    good = [f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", f"LOCALHOST:{port}"]
    bad = [
        "", "127.0.0.1", "localhost", "[::1]", "evil.example", f"evil.example:{port}", f"localhost:{port}.evil.example",
        f"127.0.0.1:{port}@evil.example", f"evil.example@127.0.0.1:{port}", f"localhost.:{port}", f"127.0.0.1:{port}0",
        "localhost:1", f"0.0.0.0:{port}", f"127.1:{port}", f"2130706433:{port}", f"[::ffff:127.0.0.1]:{port}",
        f"127.0.0.1:{port}, evil.example", f"localhost:{port}/", f" localhost :{port}", "127.0.0.1:*", f"127.0.0.2:{port}",
        f"localhost:{port}#", f"xlocalhost:{port}", f"localhost:0{port}", "null", "*",
    ]  # fmt: skip
    return dict.fromkeys(good, True) | dict.fromkeys(bad, False)


def origins(url: str) -> dict[str | None, bool]:
    port = urlsplit(url).port
    good = [None, f"http://127.0.0.1:{port}", f"http://localhost:{port}", "https://app.example"]
    bad = [
        "null", "", "https://evil.example", "http://localhost", "http://localhost:1", f"https://localhost:{port}",
        "https://app.example.evil.example", "https://app.example:443", "http://app.example", f"http://localhost:{port}/",
    ]  # fmt: skip
    return dict.fromkeys(good, True) | dict.fromkeys(bad, False)


async def test_only_listed_hosts_and_origins_pass_on_every_route(
    server: Served, fake_api: FakeAPI, rounds: Rounds, figures: list[str]
) -> None:
    """R29: before the key and before the body, letter by letter."""
    cases = list(product(ROUTES, hosts(server.url).items(), origins(server.url).items()))
    step = rounds(short=7, long=1)  # a prime, so that every value is met
    for (method, path), (host, host_good), (origin, origin_good) in cases[::step]:
        headers = [("Host", host), *([("Origin", origin)] if origin is not None else [])]
        status = exchange(server.url, method, path, headers).status
        passed = 200 if path in ("/healthz", "/readyz") else 401
        assert status in ((passed,) if host_good and origin_good else (400, 403, 421)), (
            path,
            host,
            origin,
        )
        if not host_good:
            assert status in (400, 421), (path, host, origin)
    figures.append(f"R29 {len(cases[::step]):,} of Host x Origin x route: only the listed pass")
    assert fake_api.asked == []


async def test_pages_of_an_allowed_origin_may_call_and_no_others(server: Served) -> None:
    """The preflight is answered after Host and Origin and before the key, which a browser does not send with it."""
    asks = [("Host", authority(server.url)), ("Access-Control-Request-Method", "POST")]
    allowed = exchange(server.url, "OPTIONS", "/mcp", [*asks, ("Origin", "https://app.example")])
    foreign = exchange(server.url, "OPTIONS", "/mcp", [*asks, ("Origin", "https://evil.example")])
    called = exchange(
        server.url,
        "POST",
        "/mcp",
        [*ACCEPT.items(), ("Host", authority(server.url)), ("Origin", "https://app.example"), ("X-API-Key", KEY),
         ("Content-Length", str(len(json.dumps(CALL))))],
        json.dumps(CALL).encode(),
    )  # fmt: skip
    without = exchange(server.url, "GET", "/healthz", [("Host", authority(server.url))])

    assert allowed.status == 204 and "X-API-Key" in (
        allowed.headers["Access-Control-Allow-Headers"] or ""
    )
    assert foreign.status == 403 and "Access-Control-Allow-Origin" not in foreign.headers
    assert called.status == 200
    for answer in (allowed, called):
        assert (answer.headers["Access-Control-Allow-Origin"], answer.headers["Vary"]) == (
            "https://app.example",
            "Origin",
        )
    assert "Access-Control-Allow-Origin" not in without.headers


@pytest.mark.parametrize("path", ["/mcp", "/messages/"])
async def test_without_a_key_nobody_waits_for_the_body(
    server: Served, path: str, figures: list[str]
) -> None:
    """R7, R31: 60 bodies of 4 MB that never come whole cost nothing."""
    began_with, slowest = resident_kilobytes(server), 0.0
    with ExitStack() as stack:
        for _ in range(60):
            began = monotonic()
            peer = stack.enter_context(
                socket.create_connection((urlsplit(server.url).hostname, urlsplit(server.url).port))
            )
            peer.settimeout(10)
            head = f"POST {path} HTTP/1.1\r\nHost: {authority(server.url)}\r\nContent-Length: 4000000\r\n\r\n"
            peer.sendall(head.encode())
            assert peer.recv(1024).startswith(b"HTTP/1.1 401")
            slowest = max(slowest, monotonic() - began)
    figures.append(
        f"R7 60 requests without a key on {path}: 401 each, the slowest after {slowest * 1_000:.0f} ms"
    )
    if began_with:
        figures.append(
            f"R31 60 unfinished bodies without a key on {path}: {resident_kilobytes(server) - began_with:+,} kB"
        )


async def test_body_over_the_cap_is_refused_declared_or_not(
    server: Served, fake_api: FakeAPI
) -> None:
    """R31."""
    base = [("Host", authority(server.url)), ("X-API-Key", KEY), *ACCEPT.items()]
    declared = exchange(
        server.url, "POST", "/mcp", [*base, ("Content-Length", str(MAX_BODY_BYTES + 1))]
    )
    chunked = httpx2.post(
        f"{server.url}/mcp",
        content=(b"x" * 65_536 for _ in range(MAX_BODY_BYTES // 65_536 + 1)),
        headers=dict(base[1:]),
        timeout=20,
    )
    params = {"name": "create_test_case", "arguments": {"userPrompt": "x" * (MAX_BODY_BYTES - 400)}}
    just_fits = httpx2.post(
        f"{server.url}/mcp", json={**CALL, "params": params}, headers=dict(base[1:]), timeout=20
    )

    assert (declared.status, chunked.status_code, just_fits.status_code) == (413, 413, 200)
    assert "1,024 KiB" in chunked.json()["error"]
    assert fake_api.asked == []


async def test_slow_body_ends_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """R31: its place among the calls in flight is free again afterwards."""
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.05)
    traffic, sent = Traffic(), []

    async def app(*_: object) -> None:
        raise AssertionError("an unfinished body is not handed on")

    async def receive() -> dict[str, Any]:
        if not sent_first:
            sent_first.append(True)
            return {"type": "http.request", "body": b"{", "more_body": True}
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    sent_first: list[bool] = []
    with anyio.fail_after(10):
        await CallLimiter(app, traffic)(
            {"type": "http", "method": "POST", "headers": []}, receive, send
        )

    assert sent[0]["status"] == 408 and (b"connection", b"close") in sent[0]["headers"]
    assert traffic.calls == 0


async def test_calls_beyond_the_cap_are_told_to_come_again(
    server: Served, fake_api: FakeAPI, figures: list[str]
) -> None:
    """R32: 503 with Retry-After, and those within are answered."""
    fake_api.stall.clear()
    beyond = 40
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(
        headers={**ACCEPT, "X-API-Key": KEY}, timeout=60, limits=limits
    ) as client:
        answers: list[httpx2.Response] = []

        async def call() -> None:
            answers.append(await client.post(f"{server.url}/mcp", json=CALL))
            if len(answers) == beyond:  # those are the refused ones: the others wait for the API
                fake_api.stall.set()

        async with anyio.create_task_group() as group:
            for _ in range(MAX_CALLS + beyond):
                group.start_soon(call)
        again = await client.post(f"{server.url}/mcp", json=CALL)

    refused = answers[:beyond]
    assert {(answer.status_code, answer.headers.get("retry-after")) for answer in refused} == {
        (503, "2")
    }
    assert {answer.status_code for answer in answers[beyond:]} == {200} and again.status_code == 200
    figures.append(
        f"R32 {len(answers)} calls at once: {len(answers) - beyond} answered, {beyond} told 503"
    )


async def test_streams_beyond_the_cap_are_told_to_come_again(
    server: Served, figures: list[str]
) -> None:
    """R32: and calls go on beside them."""
    headers = [("Host", authority(server.url)), ("X-API-Key", KEY)]
    with ThreadPoolExecutor(8) as pool:
        streams = list(
            pool.map(lambda _: opened(server.url, "GET", "/sse", headers), range(MAX_STREAMS))
        )
    beyond = exchange(server.url, "GET", "/sse", headers)
    called = httpx2.post(
        f"{server.url}/mcp", json=CALL, headers={**ACCEPT, "X-API-Key": KEY}, timeout=20
    )
    for connection, stream in streams:
        stream.close()
        connection.close()

    assert {stream.status for _, stream in streams} == {200}
    assert (beyond.status, beyond.headers["Retry-After"], called.status_code) == (503, "2", 200)
    figures.append(f"R32 {len(streams)} streams are open, the next is told 503")


@contextmanager
def unread_session(url: str) -> Iterator[str]:
    """An SSE session that its client never reads from; yields where it takes messages."""
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.sendall(
            f"GET /sse HTTP/1.1\r\nHost: {authority(url)}\r\nX-API-Key: {KEY}\r\n\r\n".encode()
        )
        begun = b""
        while b"session_id=" not in begun:
            begun += peer.recv(1024)
        found = re.search(r"/messages/\S+", begun.decode())
        assert found
        initialize = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": INITIALIZE}
        assert (
            httpx2.post(f"{url}{found[0]}", json=initialize, headers={"X-API-Key": KEY}).status_code
            == 202
        )
        yield f"{url}{found[0]}"


async def test_sse_calls_of_one_caller_leave_room_for_others(
    server: Served, fake_api: FakeAPI
) -> None:
    """R32: a proxy's cap for a key does not see them, since the POST of each is answered at once."""
    fake_api.stall.clear()
    told: list[str] = []

    async def call(client: Client) -> None:
        try:
            told.append(
                "error" if (await client.call_tool("get_batch_run", IN_BATCH)).is_error else "right"
            )
        except MCPError as exc:
            told.append(exc.error.message)
            fake_api.stall.set()

    async with Client(sse_client(f"{server.url}/sse", headers={"X-API-Key": KEY})) as client:
        await (
            client.list_tools()
        )  # it checks answers against the tool's schema, and would ask for it then
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                for _ in range(MAX_SSE_CALLS + 1):
                    group.start_soon(call, client)

    beyond = f"{MAX_SSE_CALLS} calls of your key are in flight by SSE. Try again in a moment."
    assert told == [beyond] + ["right"] * MAX_SSE_CALLS


async def test_answers_that_an_sse_client_does_not_take_count_as_calls(
    server: Served, figures: list[str]
) -> None:
    """R32: each waits in memory, so there are as many as calls, and the next is told to come again."""
    began_with, count = resident_kilobytes(server), 500
    with (
        unread_session(server.url) as messages,
        httpx2.Client(headers={"X-API-Key": KEY}) as client,
    ):
        asks = [{"jsonrpc": "2.0", "id": number, "method": "tools/list"} for number in range(count)]
        answers = [client.post(messages, json=asked).status_code for asked in asks]

    assert set(answers) == {202, 429}
    assert answers.count(429) > count / 2  # what the system's buffers hold has been taken
    figures.append(
        f"R32 {count} calls by SSE whose answers nobody takes: {answers.count(429)} told 429"
        + (f", {(resident_kilobytes(server) - began_with) / 1024:+.0f} MB" if began_with else "")
    )


async def test_client_that_takes_no_answer_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """R32: its call or stream is over, and its place free."""
    monkeypatch.setattr(guard, "TAKE_SECONDS", 0.05)
    traffic = Traffic()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        with traffic.call():
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise AssertionError("nobody takes it")

    async def send(message: Any) -> None:
        await anyio.sleep_forever()

    async def receive() -> Any:
        raise AssertionError

    with anyio.fail_after(10):
        await SendTimeout(answer)({"type": "http"}, receive, send)

    assert traffic.calls == 0


async def test_each_call_uses_its_own_callers_key(
    fake_api: FakeAPI, rounds: Rounds, figures: list[str]
) -> None:
    """R2: many callers at once, with JSON-RPC ids that are the same."""
    fake_api.answer(
        "GET",
        "/v1/batch-runs/b",
        lambda asked: {**BATCH, "agent": {"name": told_of(asked.headers["x-api-key"])}},
    )
    count, callers, wrong = rounds(short=400, long=10_000), 200, 0
    params = {"name": "get_batch_run", "arguments": {"agentId": "a", "batchId": "b"}}
    with served("serve", env=before(fake_api)) as server:
        async with httpx2.AsyncClient(headers=ACCEPT, timeout=60) as client:
            room = anyio.CapacityLimiter(50)

            async def call(number: int) -> None:
                nonlocal wrong
                key = f"key-{number % callers}-end"
                async with room:
                    headers = {"X-API-Key": key}
                    answer = await client.post(
                        f"{server.url}/mcp", json={**CALL, "params": params}, headers=headers
                    )
                wrong += told_of(key) not in answer.text

            async with anyio.create_task_group() as group:
                for number in range(count):
                    group.start_soon(call, number)

    assert wrong == 0
    figures.append(f"R2 {count:,} calls of {callers} keys, 50 at once: {wrong} with another's key")


def told_of(key: str) -> str:
    """What the fake API says of a key: the key itself would be masked."""
    return f"of {sha256(key.encode()).hexdigest()}"


async def test_bad_requests_cost_little_log_and_show_no_body(
    fake_api: FakeAPI, rounds: Rounds, figures: list[str]
) -> None:
    """R36, R1: neither key nor body stands in the log, at the level that logs most."""
    count = rounds(short=200, long=1_000)
    with served("serve", "--log-level", "debug", env=before(fake_api)) as server:
        headers = {**ACCEPT, "X-API-Key": "canary-key"}
        with httpx2.Client(base_url=server.url, headers=headers, timeout=20) as client:
            bad: list[tuple[str, dict[str, Any]]] = [
                ("/mcp", {"content": b'{"canary'}),
                ("/mcp", {"content": b"\xff\xfe canary"}),
                ("/mcp", {"json": {**CALL, "method": "canary/none"}}),
                ("/mcp", {"json": {**CALL, "id": "canary canary"}}),
                (
                    "/mcp",
                    {
                        "json": {
                            **CALL,
                            "params": {"name": "canary", "arguments": {"canary": "canary"}},
                        }
                    },
                ),
                ("/messages/?session_id=canary", {"content": b"canary"}),
                ("/messages/?session_id=" + "0" * 32, {"json": {"canary": 1}}),
                ("/canary", {"content": b"canary"}),
            ]
            for number in range(count):
                path, body = bad[number % len(bad)]
                assert client.post(path, **body).status_code < 500
            assert client.post("/mcp", json=CALL).status_code == 200

    assert "canary" not in server.log
    assert all(json.loads(line) for line in server.log.splitlines())
    figures.append(f"R36 {count} bad requests: {len(server.log) / count:.0f} bytes of log each")
    assert len(server.log) < 300 * count


async def test_health_and_readiness_ask_nobody(
    server: Served, fake_api: FakeAPI, figures: list[str]
) -> None:
    """R39: without a key, without the API, and without a word on versions."""
    for path in ("/healthz", "/readyz"):
        answer = exchange(server.url, "GET", path, [("Host", authority(server.url))])
        assert (answer.status, answer.body) == (200, b"ok\n")
        assert "Server" not in answer.headers
    took = []
    for _ in range(200):
        began = monotonic()
        exchange(server.url, "GET", "/healthz", [("Host", authority(server.url))])
        took.append((monotonic() - began) * 1_000)
    figures.append(f"R39 200 looks at /healthz, a connection each: p99 {sorted(took)[197]:.1f} ms")
    assert fake_api.asked == []


async def test_each_call_is_one_line_of_the_log(fake_api: FakeAPI) -> None:
    """R39: which call, how it ended, how long it took, and whose it was, without the key."""
    fake_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", BATCH)
    with served("serve", env=before(fake_api)) as server:
        for key in ("one", "two", "one"):
            httpx2.post(f"{server.url}/mcp", json=CALL, headers={**ACCEPT, "X-API-Key": key})
        async with Client(sse_client(f"{server.url}/sse", headers={"X-API-Key": "two"})) as client:
            await client.call_tool("get_batch_run", {**IN_BATCH, "batchId": "batch_none"})

    lines = [json.loads(line) for line in server.log.splitlines()]
    calls = [line for line in lines if line.get("name") == "get_batch_run"]
    assert [line["status"] for line in calls] == ["ok", "ok", "ok", "refused"]
    assert {tuple(line) for line in calls} == {
        ("time", "level", "event", "method", "name", "id", "status", "ms", "caller")
    }
    callers = [line["caller"] for line in calls]
    assert callers[0] == callers[2] != callers[1] == callers[3]
    assert all(len(caller) == 8 for caller in callers)


@pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="Windows has no SIGTERM to send to another process"
)
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
async def test_drain_finishes_calls_closes_streams_and_ends(
    fake_api: FakeAPI, rounds: Rounds, figures: list[str], by: signal.Signals
) -> None:
    """R38, R37: readiness fails first, no new calls are taken, those in flight are answered, a POST among them."""
    calls, streams = rounds(short=12, long=50), rounds(short=20, long=200)
    fake_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", BATCH)
    fake_api.answer("POST", "/v1/test-cases", CASE)
    fake_api.stall.clear()
    params = {
        "name": "create_test_case",
        "arguments": {
            "agentId": "a",
            "userPrompt": "You are Ana.",
            "successCriteria": "The agent greets.",
        },
    }
    with served("serve", env=before(fake_api)) as server:
        headers = [("Host", authority(server.url)), ("X-API-Key", KEY)]
        listening = [opened(server.url, "GET", "/sse", headers) for _ in range(streams)]
        with ThreadPoolExecutor(calls) as pool:
            asked = [CALL] * (calls - 1) + [{**CALL, "params": params}]
            sent = [pool.submit(http_call, server.url, message) for message in asked]
            with anyio.fail_after(20):
                while len(fake_api.asked) < calls:  # noqa: ASYNC110 - the fake has no event for it
                    await anyio.sleep(0.01)
            server.process.send_signal(by)
            with anyio.fail_after(5):
                while exchange(server.url, "GET", "/readyz", headers).status != 503:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            late = http_call(server.url, CALL)
            began = monotonic()
            fake_api.stall.set()
            answered = [one.result(timeout=20).status_code for one in sent]
        exited = server.process.wait(timeout=20)
        closed = [
            stream.read() for _, stream in listening
        ]  # raises where it did not end as a whole
        for connection, stream in listening:
            stream.close()
            connection.close()

    took = monotonic() - began
    assert exited == 0 and "trace" not in server.log
    assert answered == [200] * calls
    assert (late.status_code, late.headers["retry-after"]) == (503, "2")
    assert all(b"endpoint" in stream for stream in closed)
    figures.append(
        f"R38 {by.name}: {calls} calls in flight answered, {streams} streams closed, ended {took:.1f} s later"
    )


@pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="Windows has no SIGTERM to send to another process"
)
async def test_drain_hands_over_the_last_answer_of_each_sse_session(fake_api: FakeAPI) -> None:
    """R38: what an SSE session's call did is told on its stream, not in the answer to its POST."""
    fake_api.answer("POST", "/v1/test-cases", CASE)
    fake_api.stall.clear()
    sessions, told = 8, []
    with served("serve", env=before(fake_api)) as server:
        headers = [("Host", authority(server.url)), ("X-API-Key", KEY)]

        async def write(number: int) -> None:
            new = {
                "agentId": "a",
                "userPrompt": f"You are Ana {number}.",
                "successCriteria": "The agent greets.",
            }
            async with Client(
                sse_client(f"{server.url}/sse", headers={"X-API-Key": KEY})
            ) as client:
                await (
                    client.list_tools()
                )  # it checks the answer against the tool's schema, and would ask for it then
                told.append(await client.call_tool("create_test_case", new))

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                for number in range(sessions):
                    group.start_soon(write, number)
                while len(fake_api.posts) < sessions:  # noqa: ASYNC110 - the fake has no event for it
                    await anyio.sleep(0.01)
                server.process.send_signal(signal.SIGTERM)
                while exchange(server.url, "GET", "/readyz", headers).status != 503:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
                fake_api.stall.set()

    assert [result.is_error for result in told] == [False] * sessions


@pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="Windows has no SIGTERM to send to another process"
)
async def test_call_that_never_ends_does_not_hold_up_the_end(
    fake_api: FakeAPI, figures: list[str]
) -> None:
    """R38: a hard limit stands behind the drain. R23: where an SSE stream can still tell so, it does."""
    fake_api.stall.clear()
    told: list[str] = []

    async def call_by_sse(url: str) -> None:
        async with Client(sse_client(f"{url}/sse", headers={"X-API-Key": KEY})) as client:
            with pytest.raises(MCPError) as raised:
                await client.call_tool("get_batch_run", IN_BATCH)
        told.append(raised.value.error.message)

    with served("serve", env=before(fake_api)) as server:
        caller = threading.Thread(target=swallow, args=(server.url,))
        caller.start()
        by_sse = threading.Thread(target=anyio.run, args=(call_by_sse, server.url))
        by_sse.start()
        with anyio.fail_after(20):
            while len(fake_api.asked) < 2:  # noqa: ASYNC110 - the fake has no event for it
                await anyio.sleep(0.01)
        began = monotonic()
        server.end(timeout=30)
        figures.append(
            f"R38 ended {monotonic() - began:.1f} s after the signal, beside a call that never ends"
        )
        fake_api.stall.set()
        caller.join()
        by_sse.join()

    assert len(told) == 1 and "may have been done: look" in told[0]


def http_call(url: str, message: dict[str, Any]) -> httpx2.Response:
    return httpx2.post(f"{url}/mcp", json=message, headers={**ACCEPT, "X-API-Key": KEY}, timeout=30)


def swallow(url: str) -> None:
    try:
        http_call(url, CALL)
    except httpx2.HTTPError:
        pass


def resident_kilobytes(server: Served) -> int:
    """The memory of the server's process, or 0 where the platform does not tell."""
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.exists():
        return 0
    lines = status.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
