"""HTTP+SSE: whose session it is, how much one caller may have pending, and how it ends (R30, R32, R38)."""

import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.shared.exceptions import MCPError

from sigmamind_mcp.transports.access import RequestRefused
from sigmamind_mcp.transports.sse import MAX_SSE_CALLS, MAX_STREAMS, SSELimits
from sigmamind_mcp.transports.traffic import Traffic
from tests.conftest import KEY
from tests.support.fake_api import CASE, FakeAPI
from tests.support.processes import Served, served
from tests.transports.raw_http import (
    ACCEPT,
    CALL,
    IN_BATCH,
    authority,
    env_for,
    exchange,
    opened,
    resident_kilobytes,
)

pytestmark = pytest.mark.anyio

INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "raw", "version": "1"},
}


async def test_sse_uses_the_key_of_the_connection_and_the_agent_of_the_call(
    url: str, fake_api: FakeAPI
) -> None:
    async with Client(sse_client(f"{url}/sse", headers={"X-API-Key": KEY})) as client:
        result = await client.call_tool("get_batch_run", IN_BATCH)

    assert not result.is_error
    assert fake_api.asked[0].headers["x-api-key"] == KEY


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
        f"{server.url}/mcp", json=CALL, headers={**ACCEPT, "X-API-Key": KEY}, timeout=60
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

    beyond = (
        f"{MAX_SSE_CALLS} calls or answers of your key are in flight by SSE. Try again in a moment."
    )
    assert told == [beyond] + ["right"] * MAX_SSE_CALLS


async def test_refusal_names_the_limit_that_was_reached() -> None:
    limits = SSELimits(Traffic())

    with ExitStack() as pending:
        for _ in range(3):
            pending.enter_context(limits.hold_answer("caller"))
        limits.refuse_backlog("caller", 4)
        with pytest.raises(RequestRefused, match="^3 calls or answers"):
            limits.refuse_backlog("caller", 3)


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


@pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="Windows has no SIGTERM to send to another process"
)
async def test_drain_hands_over_the_last_answer_of_each_sse_session(fake_api: FakeAPI) -> None:
    """R38: what an SSE session's call did is told on its stream, not in the answer to its POST."""
    fake_api.answer("POST", "/v1/test-cases", {**CASE, "agent": None})
    fake_api.stall.clear()
    sessions, told = 8, []
    with served("serve", env=env_for(fake_api)) as server:
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
