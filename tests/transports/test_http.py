"""MCP over HTTP: its routes, its health, and what a stray request gets (R29, R30, R39)."""

import json
import socket
from contextlib import closing
from time import monotonic

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from sigmamind_mcp.transports.http import NO_LOGIN
from tests.conftest import KEY
from tests.support.fake_api import BATCH, FakeAPI
from tests.support.processes import Served, environment, run, serving
from tests.transports.raw_http import ACCEPT, CALL, IN_BATCH, authority, exchange, opened, post

pytestmark = pytest.mark.anyio


@pytest.mark.slow
@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "HEAD"])
async def test_only_post_is_served_on_mcp(url: str, method: str) -> None:
    response = httpx2.request(
        method, f"{url}/mcp", headers={**ACCEPT, "X-API-Key": KEY}, timeout=60
    )

    assert (response.status_code, response.headers["Allow"]) == (405, "POST")


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/register",
        "/authorize",
        "/",
    ],
)
async def test_no_oauth_is_advertised(url: str, path: str) -> None:
    assert httpx2.get(f"{url}{path}").status_code == 404


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/mcp/", 200),
        ("POST", "/mcp%2F", 200),
        ("POST", "/mcp//", 404),
        ("POST", "/sse/", 405),
        ("POST", "/messages", 404),
        ("GET", "/healthz/", 404),
    ],
)
async def test_no_caller_is_sent_elsewhere(url: str, method: str, path: str, status: int) -> None:
    """R29: behind a proxy the way back would be named in plain http, and a client would take its key there."""
    content = json.dumps(CALL) if method == "POST" else None
    headers = {**ACCEPT, "X-API-Key": KEY}
    response = httpx2.request(method, f"{url}{path}", headers=headers, content=content)

    assert response.status_code == status and "Location" not in response.headers


async def test_stream_opens_with_a_slash_too(url: str) -> None:
    headers = [("Host", authority(url)), ("X-API-Key", KEY)]
    connection, stream = opened(url, "GET", "/sse/", headers)
    with closing(connection), stream:
        assert stream.readline() == b"event: endpoint\r\n"


@pytest.mark.parametrize(("method", "path"), [("POST", "/register"), ("GET", "/authorize")])
async def test_client_that_starts_a_login_after_a_401_is_told_about_the_key(
    url: str, method: str, path: str
) -> None:
    """Clients hide the 401 behind the answer to this request."""
    response = httpx2.request(method, f"{url}{path}?response_type=code")

    assert response.status_code == 404
    assert response.json() == {"error": "invalid_request", "error_description": NO_LOGIN}


async def test_health_needs_no_key(url: str) -> None:
    assert httpx2.get(f"{url}/healthz").text == "ok\n"


async def test_all_transports_share_one_connection_pool(fake_api: FakeAPI) -> None:
    """One caller after another, on every transport, over connections that are kept alive for all of them."""
    fake_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", BATCH)
    with serving("serve", env=environment(SIGMAMIND_BASE_URL=fake_api.url)) as url:
        for _ in range(3):
            post(url, **{"X-API-Key": KEY})
            async with Client(sse_client(f"{url}/sse", headers={"X-API-Key": KEY})) as client:
                await client.call_tool("get_batch_run", IN_BATCH)
            async with httpx2.AsyncClient(headers={"X-API-Key": KEY}) as http:
                async with Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client:
                    await client.call_tool("get_batch_run", IN_BATCH)

    assert len(fake_api.asked) == 9
    assert (
        fake_api.connections < 4
    )  # a pool for each SSE connection and one for /mcp would make four


async def test_requests_with_one_id_get_each_their_own_answer(url: str, fake_api: FakeAPI) -> None:
    """R30: clients that send id 1 every time must not meet each other's answers."""
    for number in range(10):
        batch_run = {**BATCH, "batchId": f"b{number}", "agent": {"name": f"agent {number}"}}
        fake_api.answer("GET", f"/v1/batch-runs/b{number}", batch_run)

    async with httpx2.AsyncClient(headers={**ACCEPT, "X-API-Key": KEY}, timeout=60) as http:
        answers: dict[int, str] = {}

        async def ask(number: int) -> None:
            params = {
                "name": "get_batch_run",
                "arguments": {"agentId": "a", "batchId": f"b{number}"},
            }
            response = await http.post(f"{url}/mcp", json={**CALL, "params": params})
            answers[number] = response.text

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(ask, number)

    assert all(f'"agent {number}"' in answers[number].replace("\\", "") for number in range(10))


async def test_public_address_needs_the_names_that_callers_use() -> None:
    refused = run("serve", "--host", "0.0.0.0", "--port", "0")

    assert refused.returncode == 2
    assert "--allowed-host" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_url_that_is_printed_is_the_one_that_answers(fake_api: FakeAPI) -> None:
    with serving("serve", "--host", "::1", env=environment(SIGMAMIND_BASE_URL=fake_api.url)) as url:
        assert httpx2.get(f"{url}/healthz").status_code == 200


async def test_unreadable_body_is_a_protocol_error(url: str) -> None:
    response = httpx2.post(f"{url}/mcp", content=b"{", headers={**ACCEPT, "X-API-Key": KEY})

    assert response.status_code == 400
    assert json.loads(response.text)["error"]["code"] == -32700


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
