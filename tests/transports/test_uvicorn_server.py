"""The port and the end of the HTTP server (R23, R38)."""

import signal
import socket
import threading
from time import monotonic

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.shared.exceptions import MCPError

from tests.conftest import KEY
from tests.support.fake_api import FakeAPI
from tests.support.processes import run, served
from tests.transports.raw_http import CALL, IN_BATCH, env_for, http_call

pytestmark = pytest.mark.anyio


async def test_taken_port_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = run("serve", "--port", str(taken.getsockname()[1]))

    assert refused.returncode == 2
    assert "--port" in refused.stderr and "Traceback" not in refused.stderr


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

    with served("serve", env=env_for(fake_api)) as server:
        caller = threading.Thread(target=swallow, args=(server.url,))
        caller.start()
        by_sse = threading.Thread(target=anyio.run, args=(call_by_sse, server.url))
        by_sse.start()
        with anyio.fail_after(60):
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

    assert len(told) == 1 and "may have been made. Check" in told[0]


def swallow(url: str) -> None:
    try:
        http_call(url, CALL)
    except httpx2.HTTPError:
        pass
