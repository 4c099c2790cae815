"""Who may send requests: Host, Origin, preflight and key (R2, R7, R29, R31)."""

import json
import socket
from contextlib import ExitStack, closing
from hashlib import sha256
from itertools import product
from time import monotonic
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from sigmamind_mcp.transports.access import CHALLENGE
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
    opened,
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
        is_health_check = path in ("/healthz", "/readyz")
        passed = 200 if is_health_check else 401
        host_passes = host_good or is_health_check
        expected = [passed] if host_passes and origin_good else [403] if host_passes else [421]
        assert status in (*expected, *([] if host_good else [400])), (path, host, origin)
    figures.append(
        f"R29 {len(cases[::step]):,} of Host x Origin x route: only the listed pass, and health"
        " checks of any Host"
    )
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

    assert allowed.status == 204
    allowed_headers = (allowed.headers["Access-Control-Allow-Headers"] or "").split(", ")
    assert {"X-API-Key", "Authorization", "Content-Type", "Accept"} <= set(allowed_headers)
    assert foreign.status == 403 and "Access-Control-Allow-Origin" not in foreign.headers
    assert called.status == 200
    for answer in (allowed, called):
        assert (answer.headers["Access-Control-Allow-Origin"], answer.headers["Vary"]) == (
            "https://app.example",
            "Origin",
        )
    assert "Access-Control-Allow-Origin" not in without.headers


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/mcp", "/sse", "/messages/"])
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
@pytest.mark.parametrize("keys", [[], [""], ["with space"]])
async def test_without_one_usable_key_it_is_401_and_says_which_header(
    url: str, fake_api: FakeAPI, method: str, path: str, keys: list[str]
) -> None:
    headers = [*ACCEPT.items(), *(("X-API-Key", key) for key in keys)]
    response = httpx2.request(
        method, f"{url}{path}", headers=headers, content=b"{}" if method == "POST" else None
    )

    assert response.status_code == 401
    assert "X-API-Key" in response.json()["error"]
    # The Bearer scheme would start an OAuth login in many clients.
    assert response.headers["WWW-Authenticate"] == CHALLENGE
    assert "bearer" not in CHALLENGE.lower()
    assert "space" not in response.text.replace("no spaces", "")
    assert fake_api.asked == []


API_KEY, AUTHORIZATION = "X-API-Key", "Authorization"
ONE = "key-number-one"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ([(AUTHORIZATION, f"Bearer {ONE}")], 200),
        ([(AUTHORIZATION, f"bEARER   {ONE}")], 200),
        ([("authorization", f"bearer\t{ONE} ")], 200),
        ([(API_KEY, ONE), (AUTHORIZATION, f"Bearer {ONE}")], 200),
        ([(API_KEY, ONE), (AUTHORIZATION, "Basic dXNlcjpwYXNz")], 200),
        ([(API_KEY, ONE), (AUTHORIZATION, "Bearer")], 200),
        ([(API_KEY, ONE), (AUTHORIZATION, "")], 200),
        ([(API_KEY, ""), (AUTHORIZATION, f"Bearer {ONE}")], 200),
        ([(AUTHORIZATION, "Basic dXNlcjpwYXNz"), (AUTHORIZATION, f"Bearer {ONE}")], 200),
        ([(API_KEY, ONE), (AUTHORIZATION, "Bearer key-number-two")], 400),
        ([(API_KEY, ONE), (API_KEY, "key-number-two")], 400),
        ([(API_KEY, ONE), (API_KEY, ONE)], 200),
        ([(API_KEY, f"{ONE}, {ONE}")], 200),
        ([(API_KEY, f"{ONE}, key-number-two")], 401),
        ([(AUTHORIZATION, f"Bearer {ONE}"), (AUTHORIZATION, f"Bearer {ONE}")], 200),
        ([(API_KEY, ONE), (API_KEY, ONE), (AUTHORIZATION, f"Bearer {ONE}")], 200),
        ([(API_KEY, ONE), (API_KEY, ONE), (AUTHORIZATION, "Bearer key-number-two")], 400),
        ([(AUTHORIZATION, f"Bearer {ONE}"), (AUTHORIZATION, "Bearer key-number-two")], 400),
        ([(AUTHORIZATION, "Bearer")], 401),
        ([(AUTHORIZATION, "Bearer  ")], 401),
        ([(AUTHORIZATION, f"Bearer{ONE}")], 401),
        ([(AUTHORIZATION, f"Bearer {ONE} {ONE}")], 401),
        ([(AUTHORIZATION, ONE)], 401),
        ([(AUTHORIZATION, "Basic dXNlcjpwYXNz")], 401),
        ([(AUTHORIZATION, f"ApiKey {ONE}")], 401),
    ],
)
async def test_the_key_has_two_forms_and_a_request_has_one_key(
    url: str, fake_api: FakeAPI, sent: list[tuple[str, str]], status: int
) -> None:
    body = json.dumps(CALL).encode()
    headers = [("Host", authority(url)), *ACCEPT.items(), ("Content-Length", str(len(body))), *sent]

    answer = exchange(url, "POST", "/mcp", headers, body)

    assert answer.status == status
    assert [asked.headers["x-api-key"] for asked in fake_api.asked] == [ONE] * (status == 200)
    if status != 200:
        assert "Authorization: Bearer" in json.loads(answer.body)["error"] or "malformed" in str(
            answer.body
        )
        assert b"key-number" not in answer.body
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize("transport", ["http", "http with a slash", "sse"])
async def test_official_client_sends_the_key_as_a_bearer_token(
    url: str, fake_api: FakeAPI, transport: str
) -> None:
    headers = {"Authorization": f"Bearer {ONE}"}
    async with httpx2.AsyncClient(headers=headers) as http:
        path = "/mcp/" if transport.endswith("slash") else "/mcp"
        connections = {"sse": sse_client(f"{url}/sse", headers=headers)}
        streamable = streamable_http_client(f"{url}{path}", http_client=http)
        async with Client(connections.get(transport, streamable)) as client:
            result = await client.call_tool("get_batch_run", IN_BATCH)

    assert not result.is_error
    assert {asked.headers["x-api-key"] for asked in fake_api.asked} == {ONE}
    assert all("authorization" not in asked.headers for asked in fake_api.asked)


async def test_both_forms_of_a_key_are_one_caller_and_no_log_has_it(fake_api: FakeAPI) -> None:
    """A session that X-API-Key opened goes on with Bearer; R1: at the level that logs most."""
    forms = [{API_KEY: ONE}, {AUTHORIZATION: f"Bearer {ONE}"}]
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    with served("serve", "--log-level", "debug", env=env_for(fake_api)) as server:
        for form in forms:
            post(server.url, ping, **form)
        both = {API_KEY: ONE, AUTHORIZATION: "Bearer key-number-two"}
        assert post(server.url, ping, **both).status_code == 400
        host = ("Host", authority(server.url))
        connection, stream = opened(server.url, "GET", "/sse", [host, (API_KEY, ONE)])
        with closing(connection), stream:
            stream.readline()
            path = stream.readline().decode().removeprefix("data: ").strip()
            sent = httpx2.post(f"{server.url}{path}", json=ping, headers={**ACCEPT, **forms[1]})
            foreign = {**ACCEPT, AUTHORIZATION: "Bearer key-number-two"}
            refused = httpx2.post(f"{server.url}{path}", json=ping, headers=foreign)

    assert (sent.status_code, refused.status_code) == (202, 404)
    lines = [json.loads(line) for line in server.log.splitlines()]
    assert len({line["caller"] for line in lines if line.get("method") == "ping"}) == 1
    assert "key-number" not in server.log


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("host", ["10.1.2.3:8765", "evil.example", "", "localhost"])
async def test_health_checks_of_a_load_balancer_need_no_listed_host(
    server: Served, path: str, host: str
) -> None:
    assert exchange(server.url, "GET", path, [("Host", host)]).body == b"ok\n"
    assert exchange(server.url, "POST", path, [("Host", host)]).status == 421
    assert exchange(server.url, "GET", f"{path}/", [("Host", host)]).status == 421


@pytest.mark.parametrize(
    ("head", "status", "sentence"),
    [
        (
            "POST /mcp HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked",
            400,
            b"Content-Length",
        ),
        ("POST /mcp%0A HTTP/1.1", 404, b"control characters"),
        ("POST /messages/%0a HTTP/1.1", 404, b"control characters"),
        ("GET /healthz%00 HTTP/1.1", 404, b"control characters"),
        ("GET /sse%7F HTTP/1.1", 404, b"control characters"),
    ],
)
async def test_request_that_a_proxy_may_read_in_another_way_ends_the_connection(
    server: Served, head: str, status: int, sentence: bytes
) -> None:
    """What follows on the connection is not read as a request of its own."""
    parts = urlsplit(server.url)
    smuggled = f"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n"
    with socket.create_connection((parts.hostname, parts.port)) as peer:
        peer.settimeout(10)
        peer.sendall(f"{head}\r\nHost: {parts.netloc}\r\nX-API-Key: {KEY}\r\n\r\n".encode())
        peer.sendall(smuggled.encode())
        answer = b"".join(iter(lambda: peer.recv(65_536), b""))

    assert answer.startswith(f"HTTP/1.1 {status}".encode()) and sentence in answer
    assert answer.count(b"HTTP/1.1 ") == 1


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


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "same-origin"])
def test_picture_on_a_page_of_another_site_opens_no_stream(site: str) -> None:
    """R29: such a GET has no Origin."""
    with serving("serve", "--sandbox") as url:
        with httpx2.stream("GET", f"{url}/sse", headers={"Sec-Fetch-Site": site}) as answer:
            assert answer.status_code == (200 if site in ("none", "same-origin") else 403)


def test_rest_api_of_the_sandbox_checks_host_origin_and_size() -> None:
    """R29."""
    with serving("sandbox") as url:
        agents, key = f"{url}/v1/agents", {"X-API-Key": "sandbox-key"}
        statuses = {
            "listed": httpx2.get(agents, headers=key).status_code,
            "other host": httpx2.get(agents, headers={**key, "Host": "evil.test"}).status_code,
            "other origin": httpx2.get(
                agents, headers={**key, "Origin": "http://evil.test"}
            ).status_code,
            "own origin": httpx2.get(agents, headers={**key, "Origin": url}).status_code,
            "2 MiB": httpx2.post(
                f"{url}/v1/test-cases", headers=key, content=b" " * 2**21
            ).status_code,
        }

    assert statuses == {
        "listed": 200,
        "other host": 421,
        "other origin": 403,
        "own origin": 200,
        "2 MiB": 413,
    }
