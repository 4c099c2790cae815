"""Who may send requests: Host, Origin, preflight and key (R2, R7, R29, R31)."""

import json
import socket
from contextlib import ExitStack
from hashlib import sha256
from itertools import product
from time import monotonic
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest

from tests.conftest import KEY, RoundCount
from tests.support.fake_api import BATCH, FakeAPI
from tests.support.processes import Served, environment, served, serving
from tests.transports.raw_http import (
    ACCEPT,
    CALL,
    IN_BATCH,
    authority,
    env_for,
    exchange,
    post,
    resident_kilobytes,
)

pytestmark = pytest.mark.anyio

ROUTES = [
    ("POST", "/mcp"),
    ("GET", "/sse"),
    ("POST", "/messages/"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
]


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
    server: Served, fake_api: FakeAPI, rounds: RoundCount, figures: list[str]
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


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/mcp", "/sse", "/messages/", "/healthz"])
@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Host", "evil.example", 421),
        ("Host", "localhost", 421),
        ("Host", "localhost:1.evil.example", 421),
        ("Origin", "https://evil.example", 403),
        ("Origin", "http://localhost:1", 403),
        ("Origin", "null", 403),
    ],
)
async def test_foreign_hosts_and_origins_are_turned_away(
    url: str, fake_api: FakeAPI, path: str, header: str, value: str, status: int
) -> None:
    method = "POST" if path in ("/mcp", "/messages/") else "GET"
    response = httpx2.request(
        method, f"{url}{path}", headers={**ACCEPT, "X-API-Key": KEY, header: value}
    )

    assert response.status_code == status
    assert fake_api.asked == []


async def test_own_origin_is_let_in(url: str) -> None:
    port = urlsplit(url).port
    assert post(url, **{"X-API-Key": KEY, "Origin": f"http://127.0.0.1:{port}"}).status_code == 200


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/mcp"), ("GET", "/sse"), ("POST", "/messages/?session_id=" + "0" * 32)],
)
@pytest.mark.parametrize("keys", [[], [""], ["one", "two"], ["with space"]])
async def test_without_one_usable_key_it_is_401_and_says_which_header(
    url: str, fake_api: FakeAPI, method: str, path: str, keys: list[str]
) -> None:
    headers = [*ACCEPT.items(), *(("X-API-Key", key) for key in keys)]
    response = httpx2.request(
        method, f"{url}{path}", headers=headers, content=b"{}" if method == "POST" else None
    )

    assert response.status_code == 401
    assert "X-API-Key" in response.json()["error"]
    assert "two" not in response.text
    assert fake_api.asked == []


async def test_each_request_uses_its_own_callers_key(url: str, fake_api: FakeAPI) -> None:
    for key in ("first", "second", "first"):
        assert post(url, **{"X-API-Key": key}).status_code == 200

    assert [asked.headers["x-api-key"] for asked in fake_api.asked] == ["first", "second", "first"]


async def test_single_user_lends_the_configured_key(fake_api: FakeAPI) -> None:
    fake_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", BATCH)
    env = environment(
        SIGMAMIND_BASE_URL=fake_api.url, SIGMAMIND_API_KEY=KEY, SIGMAMIND_AGENT_ID="agent_mine"
    )
    with serving("serve", "--single-user", env=env) as url:
        params = {"name": "get_batch_run", "arguments": {"batchId": IN_BATCH["batchId"]}}
        assert post(url, {**CALL, "params": params}).status_code == 200

    (asked,) = fake_api.asked
    assert (asked.headers["x-api-key"], asked.query["agentId"]) == (KEY, "agent_mine")


async def test_each_call_uses_its_own_callers_key(
    fake_api: FakeAPI, rounds: RoundCount, figures: list[str]
) -> None:
    """R2: many callers at once, with JSON-RPC ids that are the same."""
    fake_api.answer(
        "GET",
        "/v1/batch-runs/b",
        lambda asked: {
            **BATCH,
            "batchId": "b",
            "agent": {"name": told_of(asked.headers["x-api-key"])},
        },
    )
    count, callers, wrong = rounds(short=400, long=10_000), 200, 0
    params = {"name": "get_batch_run", "arguments": {"agentId": "a", "batchId": "b"}}
    with served("serve", env=env_for(fake_api)) as server:
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
