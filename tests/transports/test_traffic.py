"""How many calls run at once, how large and slow a request may be, and how the server drains (R31, R32, R37, R38)."""

import signal
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import anyio
import httpx2
import pytest

from sigmamind_mcp.transports import traffic as traffic_module
from sigmamind_mcp.transports.traffic import (
    MAX_BODY_BYTES,
    MAX_CALLS,
    CallLimiter,
    SendTimeout,
    Traffic,
)
from tests.conftest import KEY, RoundCount
from tests.support.fake_api import BATCH, CASE, FakeAPI
from tests.support.processes import Served, served
from tests.transports.raw_http import (
    ACCEPT,
    CALL,
    IN_BATCH,
    authority,
    env_for,
    exchange,
    http_call,
    opened,
)

pytestmark = pytest.mark.anyio


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
        timeout=60,
    )
    params = {"name": "create_test_case", "arguments": {"userPrompt": "x" * (MAX_BODY_BYTES - 400)}}
    just_fits = httpx2.post(
        f"{server.url}/mcp", json={**CALL, "params": params}, headers=dict(base[1:]), timeout=60
    )

    assert (declared.status, chunked.status_code, just_fits.status_code) == (413, 413, 200)
    assert "1,024 KiB" in chunked.json()["error"]
    assert fake_api.asked == []


async def test_slow_body_ends_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """R31: its place among the calls in flight is free again afterwards."""
    monkeypatch.setattr(traffic_module, "BODY_SECONDS", 0.05)
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
    with anyio.fail_after(60):
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


async def test_client_that_takes_no_answer_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """R32: its call or stream is over, and its place free."""
    monkeypatch.setattr(traffic_module, "TAKE_SECONDS", 0.05)
    traffic = Traffic()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        with traffic.admit_call():
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise AssertionError("nobody takes it")

    async def send(message: Any) -> None:
        await anyio.sleep_forever()

    async def receive() -> Any:
        raise AssertionError

    with anyio.fail_after(60):
        await SendTimeout(answer)({"type": "http"}, receive, send)

    assert traffic.calls == 0


@pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="Windows has no SIGTERM to send to another process"
)
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
async def test_drain_finishes_calls_closes_streams_and_ends(
    fake_api: FakeAPI, rounds: RoundCount, figures: list[str], by: signal.Signals
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
    with served("serve", env=env_for(fake_api)) as server:
        headers = [("Host", authority(server.url)), ("X-API-Key", KEY)]
        listening = [opened(server.url, "GET", "/sse", headers) for _ in range(streams)]
        with ThreadPoolExecutor(calls) as pool:
            asked = [CALL] * (calls - 1) + [{**CALL, "params": params}]
            sent = [pool.submit(http_call, server.url, message) for message in asked]
            with anyio.fail_after(60):
                while len(fake_api.asked) < calls:  # noqa: ASYNC110 - the fake has no event for it
                    await anyio.sleep(0.01)
            server.process.send_signal(by)
            with anyio.fail_after(60):
                while exchange(server.url, "GET", "/readyz", headers).status != 503:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            late = http_call(server.url, CALL)
            began = monotonic()
            fake_api.stall.set()
            answered = [one.result(timeout=60).status_code for one in sent]
        exited = server.process.wait(timeout=60)
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
