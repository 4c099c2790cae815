"""Connections to the API: limited, reused, closed, and no proxy or cookie (R6, R28)."""

from contextlib import suppress

import anyio
import pytest

from sigmamind_mcp.api import pool as pool_module
from sigmamind_mcp.api import transport as transport_module
from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.pool import MAX_CONCURRENT_REQUESTS
from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.errors import SigmaMindError
from sigmamind_mcp.settings import check_key
from tests.api.conftest import no_pause
from tests.conftest import KEY, RoundCount, connected
from tests.support.fake_api import BATCH, FakeAPI, running_fake_api
from tests.support.faulty_api import FAULTS, UNREAD_BYTES, FaultyAPI
from tests.transports.raw_http import IN_BATCH

BATCH_B = {**BATCH, "batchId": "b", "agent": {"agentId": "a"}}

pytestmark = pytest.mark.anyio


async def test_no_proxy_of_the_environment_sees_the_key(
    fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch, figures: list[str]
) -> None:
    """R6: httpx would obey each of these."""
    fake_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", BATCH)
    with running_fake_api() as decoy:
        for variable in (
            "HTTP_PROXY",
            "http_proxy",
            "HTTPS_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "all_proxy",
        ):
            monkeypatch.setenv(variable, decoy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with connected(base_url=fake_api.url, api_key=KEY) as mcp:
            assert not (await mcp.call_tool("get_batch_run", IN_BATCH)).is_error

    assert decoy.connections == 0 and len(fake_api.asked) == 1
    figures.append(f"R6 {decoy.connections} connections to a proxy of the environment")


async def test_cancelled_reads_give_their_pool_back(
    faulty: FaultyAPI, rounds: RoundCount, figures: list[str]
) -> None:
    """R28: after many cancelled reads the pool is as good as new."""
    count = rounds(short=5, long=10)
    faulty.answer(BATCH_B)
    async with APITransport(faulty.url, pause=no_pause) as transport:
        api = SigmaMindClient(transport, check_key(KEY))
        faulty.fault = "byte-drip"
        for _ in range(count):
            with anyio.move_on_after(0.1):
                async with anyio.create_task_group() as group:
                    for _ in range(100):
                        group.start_soon(api.get_batch_run, "b", "a")
        faulty.fault = None
        with anyio.fail_after(60):
            await api.get_batch_run("b", "a")
            while faulty.open_connections > 1:  # noqa: ASYNC110 - sockets close without an event
                await anyio.sleep(0.01)
    figures.append(
        f"R28 {count * 100:,} reads cancelled: {faulty.open_connections - 1} connections leaked"
    )


async def test_cookie_of_one_caller_goes_to_nobody(fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/batch-runs/b", BATCH_B)
    fake_api.headers["Set-Cookie"] = "SESSION=first; Path=/"
    async with APITransport(fake_api.url) as transport:
        for key in ("first", "second", "first"):
            await SigmaMindClient(transport, check_key(key)).get_batch_run("b", "a")

    assert not any("cookie" in asked.headers for asked in fake_api.asked)


def client_of(name: str, transport: APITransport) -> SigmaMindClient:
    return SigmaMindClient(transport, check_key(name))


@pytest.mark.parametrize("fault", [*FAULTS, *UNREAD_BYTES])
async def test_no_answer_reaches_another_caller_or_call(
    faulty: FaultyAPI, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """R2, R30: the next calls get their own answers, whatever the API did to the one before."""
    monkeypatch.setattr(transport_module, "DEADLINE_SECONDS", 0.4)
    faulty.body = b'{"agentId": "a", "agentName": "CALLER"}'
    async with APITransport(faulty.url, pause=no_pause, tries=1) as transport:
        await transport._pool.wait_until_ready()
        await client_of("alice", transport).get_agent("a")
        faulty.fault, faulty.faults_left = fault, 1
        with suppress(SigmaMindError):
            await client_of("alice", transport).get_agent("a")
        names = ["bob", "alice", "carol", "bob", "alice"]
        agents = [await client_of(name, transport).get_agent("a") for name in names]

    assert [agent.name for agent in agents] == names


@pytest.mark.parametrize("fault", UNREAD_BYTES)
async def test_write_gets_its_own_answer_behind_unread_bytes(faulty: FaultyAPI, fault: str) -> None:
    """R23: a confirmed write is never reported as one that may have been made."""
    faulty.body = b'{"testCaseId": "tc_CALLER", "agentId": "a"}'
    faulty.fault = fault
    async with APITransport(faulty.url, pause=no_pause) as transport:
        for name in ("alice", "bob", "alice"):
            fields = {"userPrompt": "p", "successCriteria": "c"}
            written = await client_of(name, transport).create_test_case(
                "a", fields, allow_duplicate=True
            )
            assert written.record is not None and written.record.test_case_id == f"tc_{name}"


async def test_connection_without_unread_bytes_is_used_again(faulty: FaultyAPI) -> None:
    """Without this, every request would pay for a connection of its own."""
    faulty.body = b'{"agentId": "a"}'
    async with APITransport(faulty.url) as transport:
        for _ in range(5):
            await client_of("alice", transport).get_agent("a")
        assert faulty.accepted_connections == 1
        await client_of("bob", transport).get_agent("a")
        assert faulty.accepted_connections == 2


async def test_idle_connections_of_many_callers_are_limited(faulty: FaultyAPI) -> None:
    faulty.body = b'{"agentId": "a"}'
    async with APITransport(faulty.url) as transport:
        for number in range(MAX_CONCURRENT_REQUESTS + 5):
            await client_of(f"caller-{number}", transport).get_agent("a")
        assert len(transport._pool._idle) == MAX_CONCURRENT_REQUESTS


async def test_not_every_caller_reaches_the_pool_at_once(fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/batch-runs/b", BATCH_B)
    async with APITransport(fake_api.url) as transport:
        api = SigmaMindClient(transport, check_key(KEY))
        async with anyio.create_task_group() as group:
            for _ in range(300):
                group.start_soon(api.get_batch_run, "b", "a")

    assert len(fake_api.asked) == 300
    assert fake_api.connections <= MAX_CONCURRENT_REQUESTS


async def test_connection_that_nobody_uses_is_closed(
    fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_api.answer("GET", "/v1/batch-runs/b", BATCH_B)
    fake_api.stall.clear()
    async with APITransport(fake_api.url) as transport:
        api = SigmaMindClient(transport, check_key(KEY))
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(api.get_batch_run, "b", "a")
            while fake_api.connections < 10:  # noqa: ASYNC110
                await anyio.sleep(0.01)
            fake_api.stall.set()
        assert len(fake_api.open) == 10

        monkeypatch.setattr(pool_module, "KEEP_ALIVE_SECONDS", 0.0)
        await api.get_batch_run("b", "a")
        with anyio.fail_after(60):
            while fake_api.open:  # noqa: ASYNC110
                await anyio.sleep(0.01)
