"""Faults of the network, redirects and bombs: reads are retried, writes leave once (R4, R18, R21, R23-R25, R27)."""

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import product
from time import monotonic
from typing import Any

import anyio
import pytest
from mcp import Client

from sigmamind_mcp.api import transport as transport_module
from sigmamind_mcp.api.client import ReadyLaunch, SigmaMindClient
from sigmamind_mcp.api.pool import MAX_CONCURRENT_REQUESTS
from sigmamind_mcp.api.retries import MAX_TRIES
from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.call_deadlines import MARGIN_SECONDS, limit_call
from sigmamind_mcp.errors import (
    APIError,
    ConnectionFailed,
    InvalidRequest,
    OutcomeUnknown,
    ServerFault,
    SigmaMindError,
    TooManyRequests,
    UnexpectedAnswer,
)
from sigmamind_mcp.settings import check_key
from tests.api.conftest import no_pause
from tests.conftest import KEY, RoundCount, text_of
from tests.support.all_transports import Connection
from tests.support.fake_api import BATCH, FakeAPI, running_fake_api
from tests.support.faulty_api import FAULTS, FaultyAPI

pytestmark = pytest.mark.anyio

AGENT = "agent_D5D0p7TUs66TTAEAx"
BATCH_ID = "batch_s0OJu2JWR8R45Fai"
IN_BATCH = {"agentId": AGENT, "batchId": BATCH_ID}


@asynccontextmanager
async def no_reads() -> AsyncIterator[ReadyLaunch]:
    yield ReadyLaunch("tc_1", [])


Call = Callable[[SigmaMindClient], Awaitable[Any]]

READS: dict[str, Call] = {
    "get_test_case": lambda api: api.get_test_case("tc_1", "a"),
    "list_test_cases": lambda api: api.list_test_cases("a"),
    "get_batch_run": lambda api: api.get_batch_run("b", "a"),
    "list_batch_runs": lambda api: api.list_batch_runs("a"),
    "get_test_run": lambda api: api.get_test_run("j", "b", "a"),
    "list_test_runs": lambda api: api.list_test_runs("b", "a"),
    "list_agents": lambda api: api.list_agents(),
    "get_agent": lambda api: api.get_agent("a"),
}
WRITES: dict[str, Call] = {
    "create_test_case": lambda api: api.create_test_case(
        "a", {"userPrompt": "x" * 2000, "successCriteria": "y"}
    ),
    "create_batch_run": lambda api: api.create_batch_run("a", ["tc_1"], no_reads),
    "update_test_case": lambda api: api.update_test_case(
        "tc_1", {"agentId": "a", "label": "x" * 2000}
    ),
}
RETRIED = {"408", "429", "502", "503", "504", "truncated"} | {
    fault for fault in FAULTS if fault.startswith("reset")
}
SURELY_NOT_WRITTEN = {"429"}


HANGING = {"silent", "byte-drip"}


def set_short_deadline(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """Three tries may take longer on a busy machine, so only an API that hangs meets the deadline."""
    monkeypatch.setattr(transport_module, "DEADLINE_SECONDS", 1.0 if fault in HANGING else 10.0)


async def wait_for_certificates(transport: APITransport) -> None:
    """Wait until they are loaded: on a busy machine that may take longer than the short deadline."""
    await transport._pool.wait_until_ready()


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
async def test_reads_try_hard_and_stop(
    faulty: FaultyAPI, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    set_short_deadline(monkeypatch, fault)
    for call in READS.values():
        faulty.fault, faulty.received = fault, type(faulty.received)()
        async with APITransport(faulty.url, pause=no_pause) as transport:
            await wait_for_certificates(transport)
            started = monotonic()
            with pytest.raises(SigmaMindError):
                await call(SigmaMindClient(transport, check_key(KEY)))
            assert monotonic() - started < 10  # a silent API has 1 s here; without it, hours
        assert faulty.received["GET"] == (MAX_TRIES if fault in RETRIED else 1)
        assert faulty.received.total() == faulty.received["GET"]


@pytest.mark.parametrize("fault", sorted(RETRIED))
async def test_read_succeeds_when_the_fault_passes(faulty: FaultyAPI, fault: str) -> None:
    faulty.answer(BATCH)
    faulty.fault, faulty.faults_left = fault, 2
    async with APITransport(faulty.url, pause=no_pause) as transport:
        batch, _ = await SigmaMindClient(transport, check_key(KEY)).get_batch_run(BATCH_ID, AGENT)

    assert batch.batch_id == BATCH["batchId"]
    assert faulty.received["GET"] == 3


@pytest.mark.parametrize("fault", FAULTS)
async def test_write_leaves_once_and_its_outcome_is_told_honestly(
    faulty: FaultyAPI, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """R21, R23: an outcome that is unknown is called that, one that is known is not."""
    set_short_deadline(monkeypatch, fault)
    for name, call in WRITES.items():
        faulty.fault, faulty.received = fault, type(faulty.received)()
        async with APITransport(faulty.url, pause=no_pause) as transport:
            await wait_for_certificates(transport)
            outcome = await outcome_of(call, SigmaMindClient(transport, check_key(KEY)))
        assert faulty.received.total() - faulty.received["GET"] == 1, name
        assert is_told_honestly(outcome, fault), (name, outcome)


async def test_every_fault_on_every_endpoint_many_times(
    faulty: FaultyAPI, monkeypatch: pytest.MonkeyPatch, rounds: RoundCount, figures: list[str]
) -> None:
    """R21, R24, R27: no write leaves twice, no read more than three times, and every call ends at its deadline."""
    count = rounds(short=2, long=80)
    reads = writes = never_left = 0
    slowest = 0.0

    async def run(call: Call, api: SigmaMindClient, fault: str) -> None:
        nonlocal slowest, never_left
        started = monotonic()
        outcome = await outcome_of(call, api)
        slowest = max(slowest, monotonic() - started)
        if call in WRITES.values():
            # On a machine under load the short deadline may come before a write has left.
            too_late = isinstance(outcome, ConnectionFailed) and not outcome.sent
            never_left += too_late
            assert too_late or is_told_honestly(outcome, fault)

    faulty.received = sent = type(faulty.received)()
    for fault in FAULTS:
        faulty.fault = fault
        set_short_deadline(monkeypatch, fault)
        async with APITransport(faulty.url, pause=no_pause) as transport:
            await wait_for_certificates(transport)
            for _ in range(count):
                api = SigmaMindClient(transport, check_key(KEY))
                async with anyio.create_task_group() as group:
                    for call in (*READS.values(), *WRITES.values()):
                        group.start_soon(run, call, api, fault)
        reads += count * len(READS)
        writes += count * len(WRITES)

    left = sent.total() - sent["GET"]
    # An answer that confirms nothing makes the client look, which is a read of its own.
    lookups = count * len(WRITES) * sum(fault == "HTML" for fault in FAULTS)
    figures.append(
        f"R21 {reads + writes:,} faulty calls, {writes:,} of them writes: {left + never_left - writes} writes too many"
    )
    figures.append(
        f"R24 {sent['GET'] / reads:.2f} requests a read on average; the slowest call {slowest:.2f} s, deadline 1.00 s"
    )
    assert left + never_left == writes
    assert sent["GET"] <= (reads + lookups) * MAX_TRIES


@pytest.mark.slow
async def test_write_that_never_got_past_the_gate_is_surely_not_made(
    faulty: FaultyAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many writes as may leave together wait for an API that is silent; those behind them give up first."""
    faulty.fault = "silent"

    async def write(number: int, outcomes: list[object]) -> None:
        api = SigmaMindClient(transport, check_key(f"{KEY}{number}"))
        outcomes.append(await outcome_of(WRITES["create_test_case"], api))

    left: list[object] = []
    behind: list[object] = []
    async with (
        APITransport(faulty.url, pause=no_pause) as transport,
        anyio.create_task_group() as group,
    ):
        monkeypatch.setattr(transport_module, "DEADLINE_SECONDS", 4.0)
        for number in range(MAX_CONCURRENT_REQUESTS):
            group.start_soon(write, number, left)
        with anyio.fail_after(3):
            while faulty.received["POST"] < MAX_CONCURRENT_REQUESTS:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        monkeypatch.setattr(transport_module, "DEADLINE_SECONDS", 0.2)
        async with anyio.create_task_group() as waiting:
            for number in range(20):
                waiting.start_soon(write, 1_000 + number, behind)
        assert not left

    assert [type(outcome) for outcome in left] == [OutcomeUnknown] * MAX_CONCURRENT_REQUESTS
    assert all(isinstance(outcome, ConnectionFailed) and not outcome.sent for outcome in behind)
    assert faulty.received["POST"] == MAX_CONCURRENT_REQUESTS


async def outcome_of(call: Call, api: SigmaMindClient) -> object:
    try:
        return await call(api)
    except SigmaMindError as exc:
        return exc


def is_told_honestly(outcome: object, fault: str) -> bool:
    """429 means not written; everything else may be written, as no readable answer confirms it."""
    return isinstance(outcome, OutcomeUnknown) == (fault not in SURELY_NOT_WRITTEN)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 422, 429])
async def test_refused_write_was_surely_not_made(faulty: FaultyAPI, status: int) -> None:
    faulty.fault = str(status)
    async with APITransport(faulty.url) as transport:
        for call in WRITES.values():
            with pytest.raises(APIError):
                await call(SigmaMindClient(transport, check_key(KEY)))


async def test_write_without_any_connection_is_tried_again_and_surely_not_made() -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async with APITransport("http://127.0.0.1:9", pause=pause) as transport:
        with pytest.raises(ConnectionFailed, match="No connection"):
            await WRITES["create_batch_run"](SigmaMindClient(transport, check_key(KEY)))

    assert len(pauses) == 1


async def test_upstream_that_is_down_is_not_drowned_in_retries(
    faulty: FaultyAPI, figures: list[str]
) -> None:
    """R25: 1,000 calls to an API that always fails make at most 1,210 requests."""
    faulty.fault = "503"
    async with APITransport(faulty.url, pause=no_pause) as transport:
        api = SigmaMindClient(transport, check_key(KEY))
        for _ in range(1000):
            with pytest.raises(APIError):
                await api.get_batch_run("b", "a")

    assert 1000 < faulty.received["GET"] <= 1210
    figures.append(f"R25 1,000 calls to an API that is down: {faulty.received['GET']:,} requests")


async def test_short_retry_after_is_obeyed_and_a_long_one_is_told(faulty: FaultyAPI) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async with APITransport(faulty.url, pause=pause) as transport:
        api = SigmaMindClient(transport, check_key(KEY))
        faulty.fault, faulty.headers = "429", "Retry-After: 7\r\n"
        with pytest.raises(APIError):
            await api.get_batch_run("b", "a")
        faulty.headers = "Retry-After: 900\r\n"
        with pytest.raises(APIError, match="It asks to wait 900 s"):
            await api.get_batch_run("b", "a")

    assert pauses == [7.0, 7.0]


@pytest.mark.parametrize("status", ["408", "429", "502", "503", "504"])
async def test_wait_that_passes_the_deadline_gives_the_error_of_the_api_at_once(
    faulty: FaultyAPI, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setattr(transport_module, "DEADLINE_SECONDS", 1.0)
    faulty.fault, faulty.headers = status, "Retry-After: 2\r\n"
    async with APITransport(faulty.url) as transport:
        with pytest.raises(APIError) as caught:
            await SigmaMindClient(transport, check_key(KEY)).get_batch_run("b", "a")

    assert caught.value.status == int(status)
    assert faulty.received["GET"] == 1


async def test_wait_that_passes_the_end_of_the_call_gives_the_error_of_the_api_at_once(
    faulty: FaultyAPI,
) -> None:
    faulty.fault, faulty.headers = "429", "Retry-After: 3\r\n"
    async with APITransport(faulty.url) as transport:
        api = SigmaMindClient(transport, check_key(KEY))
        with limit_call(MARGIN_SECONDS + 1), pytest.raises(TooManyRequests):
            await api.get_batch_run("b", "a")

    assert faulty.received["GET"] == 1


async def test_retry_that_the_deadline_ends_gives_the_error_before_it(
    faulty: FaultyAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(seconds: float) -> None:
        faulty.fault = "silent"

    monkeypatch.setattr(transport_module, "DEADLINE_SECONDS", 1.0)
    faulty.fault, faulty.headers = "429", "Retry-After: 0\r\n"
    async with APITransport(faulty.url, pause=hang) as transport:
        with pytest.raises(TooManyRequests):
            await SigmaMindClient(transport, check_key(KEY)).get_batch_run("b", "a")

    assert faulty.received["GET"] == 2


async def test_write_without_a_connection_is_surely_not_made_if_its_pause_passes_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def pause(seconds: float) -> None:
        await anyio.sleep(60)

    monkeypatch.setattr(transport_module, "DEADLINE_SECONDS", 1.0)
    async with APITransport("http://127.0.0.1:9", pause=pause) as transport:
        with pytest.raises(ConnectionFailed) as caught:
            await WRITES["create_batch_run"](SigmaMindClient(transport, check_key(KEY)))

    assert not caught.value.sent


async def test_unexpected_answer_to_a_read_is_not_asked_for_again(faulty: FaultyAPI) -> None:
    faulty.fault = "HTML"
    async with APITransport(faulty.url, pause=no_pause) as transport:
        with pytest.raises(UnexpectedAnswer):
            await SigmaMindClient(transport, check_key(KEY)).get_batch_run("b", "a")

    assert faulty.received["GET"] == 1


REDIRECTS = (301, 302, 303, 307, 308)


async def test_no_redirect_is_followed(mcp: Client, fake_api: FakeAPI, figures: list[str]) -> None:
    """R4: reads and writes, to another host as to the same one; the answer names only the status."""
    writing = {"agentId": "a", "userPrompt": "x", "successCriteria": "y"}
    tools: list[tuple[str, str, str, dict[str, Any]]] = [
        ("GET", f"/v1/batch-runs/{BATCH_ID}", "get_batch_run", IN_BATCH),
        ("POST", "/v1/test-cases", "create_test_case", writing),
    ]
    with running_fake_api() as elsewhere:
        for status, (method, path, tool, arguments) in product(REDIRECTS, tools):
            fake_api.asked.clear()
            fake_api.headers["Location"] = f"{elsewhere.url}{path}"
            fake_api.answer(method, path, b"", status)
            fresh = {"label": str(status)} if method == "POST" else {}
            result = await mcp.call_tool(tool, {**arguments, **fresh})
            assert result.is_error and elsewhere.url not in text_of(result)
            assert method == "POST" or f"redirect ({status})" in text_of(result)
            assert fake_api.paths == [f"{method} {path}"]
        assert elsewhere.connections == 0
    figures.append(
        f"R4 {len(REDIRECTS) * 2} of {len(REDIRECTS) * 2} redirects not followed, {elsewhere.connections} requests elsewhere"
    )


@pytest.mark.parametrize("kind", ["300 MB in gzip", "100 MB as they are"])
async def test_answer_that_would_fill_the_memory_is_refused(
    all_transports: dict[str, Connection], shared_api: FakeAPI, figures: list[str], kind: str
) -> None:
    """R18: compressed answers are refused unread, others at 8 MiB, in less than a second."""
    connection = all_transports["HTTP 2026-07-28"]
    blank = b" " * 100_000_000
    bomb = gzip.compress(blank, 1) * 3 if "gzip" in kind else blank
    shared_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", bomb)
    shared_api.headers |= {"Content-Encoding": "gzip"} if "gzip" in kind else {}
    before, began = connection.server.memory(), monotonic()

    answer = connection.call("get_batch_run", IN_BATCH)

    took, grown = monotonic() - began, connection.server.memory() - before
    assert answer.is_error and ("compressed" in answer.text or "larger than 8 MiB" in answer.text)
    assert grown < 16
    assert all(asked.headers["accept-encoding"] == "identity" for asked in shared_api.asked)
    figures.append(f"R18 an answer of {kind}: memory {grown:+.1f} MB, refused in {took:.2f} s")


async def test_error_body_as_documented(client: SigmaMindClient, fake_api: FakeAPI) -> None:
    fake_api.answer(
        "GET", "/v1/batch-runs", {"status": 400, "validationErrors": {"size": "too large"}}, 400
    )

    with pytest.raises(InvalidRequest) as refused:
        await client.list_batch_runs(AGENT)

    assert refused.value.upstream == {"size": "too large"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "body", [b"", b"<html><h1>Bad gateway</h1></html>", b"[1", b'"text"', b"null"]
)
async def test_error_body_empty_or_from_a_proxy(
    client: SigmaMindClient, fake_api: FakeAPI, body: bytes
) -> None:
    fake_api.answer("GET", "/v1/batch-runs", body, 502)
    fake_api.answer("GET", "/v1/test-cases", body, 418)

    with pytest.raises(ServerFault, match="502"):
        await client.list_batch_runs(AGENT)
    with pytest.raises(APIError, match="418"):
        await client.list_test_cases(AGENT)


@pytest.mark.parametrize(
    "date", ["soon", "", "Sat, 21 Nov 2026 12:00:00", "Sat, 21 Nov 2026 12:00:00 GMT, twice"]
)
async def test_unreadable_clock_of_the_api_is_replaced_by_ours(
    client: SigmaMindClient, fake_api: FakeAPI, date: str
) -> None:
    fake_api.headers["Date"] = date
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", {**BATCH, "failedAttempts": 0})

    found, now = await client.get_batch_run(BATCH_ID, AGENT)

    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)
    assert found.state(now) == "stalled"
