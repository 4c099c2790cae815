"""MCP over HTTP: whose key is used, who is let in, and what a stray request gets."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from tests.conftest import KEY
from tests.support.fake_api import BATCH, FakeAPI
from tests.support.processes import environment, run, serving

pytestmark = pytest.mark.anyio

IN_BATCH = {"agentId": "agent_D5D0p7TUs66TTAEAx", "batchId": "batch_s0OJu2JWR8R45Fai"}
CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "get_batch_run", "arguments": IN_BATCH},
}
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


@pytest.fixture
def url(fake_api: FakeAPI) -> Iterator[str]:
    """The server as a process, in front of the fake API, with a key and an agent that it must not use."""
    fake_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", BATCH)
    env = environment(
        SIGMAMIND_BASE_URL=fake_api.url,
        SIGMAMIND_API_KEY="operators",
        SIGMAMIND_AGENT_ID="operators",
    )
    with serving("serve", env=env) as base:
        yield base


def post(url: str, message: Any = CALL, **headers: str) -> httpx2.Response:
    return httpx2.post(f"{url}/mcp", json=message, headers={**ACCEPT, **headers}, timeout=10)


async def test_each_request_uses_its_own_callers_key(url: str, fake_api: FakeAPI) -> None:
    for key in ("first", "second", "first"):
        assert post(url, **{"X-API-Key": key}).status_code == 200

    assert [asked.headers["x-api-key"] for asked in fake_api.asked] == ["first", "second", "first"]


async def test_sse_uses_the_key_of_the_connection_and_the_agent_of_the_call(
    url: str, fake_api: FakeAPI
) -> None:
    async with Client(sse_client(f"{url}/sse", headers={"X-API-Key": KEY})) as client:
        result = await client.call_tool("get_batch_run", IN_BATCH)

    assert not result.is_error
    assert fake_api.asked[0].headers["x-api-key"] == KEY


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


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "HEAD"])
async def test_only_post_is_served_on_mcp(url: str, method: str) -> None:
    response = httpx2.request(method, f"{url}/mcp", headers={**ACCEPT, "X-API-Key": KEY}, timeout=5)

    assert (response.status_code, response.headers["Allow"]) == (405, "POST")


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


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/mcp/"), ("POST", "/mcp%2F"), ("GET", "/sse/"), ("POST", "/messages")],
)
async def test_no_caller_is_sent_elsewhere(url: str, method: str, path: str) -> None:
    """R29: behind a proxy the way back would be named in plain http, and a client would take its key there."""
    response = httpx2.request(method, f"{url}{path}", headers={**ACCEPT, "X-API-Key": KEY})

    assert response.status_code == 404 and "Location" not in response.headers


async def test_health_needs_no_key(url: str) -> None:
    assert httpx2.get(f"{url}/healthz").text == "ok\n"


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


async def test_sse_session_answers_only_the_key_that_opened_it(
    url: str, figures: list[str]
) -> None:
    """R30."""
    with httpx2.stream("GET", f"{url}/sse", headers={"X-API-Key": KEY}) as stream:
        lines = stream.iter_lines()
        endpoint = next(line for line in lines if line.startswith("data: ")).removeprefix("data: ")
        with httpx2.Client(base_url=url) as client:
            strangers = [
                client.post(endpoint, json=CALL, headers={"X-API-Key": f"another-{n}"}).status_code
                for n in range(100)
            ]
        owner = httpx2.post(f"{url}{endpoint}", json=CALL, headers={"X-API-Key": KEY})

    assert set(strangers) == {404} and owner.status_code == 202
    figures.append(
        f"R30 {len(strangers)} posts of strangers into an SSE session: {strangers.count(404)} told 404"
    )


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
        fake_api.answer(
            "GET", f"/v1/batch-runs/b{number}", {**BATCH, "agent": {"name": f"agent {number}"}}
        )

    async with httpx2.AsyncClient(headers={**ACCEPT, "X-API-Key": KEY}, timeout=10) as http:
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


async def test_public_address_needs_the_names_that_callers_use() -> None:
    refused = run("serve", "--host", "0.0.0.0", "--port", "0")

    assert refused.returncode == 2
    assert "--allowed-host" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_url_that_is_printed_is_the_one_that_answers(fake_api: FakeAPI) -> None:
    with serving("serve", "--host", "::1", env=environment(SIGMAMIND_BASE_URL=fake_api.url)) as url:
        assert httpx2.get(f"{url}/healthz").status_code == 200


async def test_taken_port_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = run("serve", "--port", str(taken.getsockname()[1]))

    assert refused.returncode == 2
    assert "--port" in refused.stderr and "Traceback" not in refused.stderr


async def test_unreadable_body_is_a_protocol_error(url: str) -> None:
    response = httpx2.post(f"{url}/mcp", content=b"{", headers={**ACCEPT, "X-API-Key": KEY})

    assert response.status_code == 400
    assert json.loads(response.text)["error"]["code"] == -32700
