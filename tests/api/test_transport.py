"""Every fault of the network on every endpoint: reads try hard and stop, writes leave at most once (R21, R23-R25, R27, R28)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from random import Random
from time import monotonic
from typing import Any

import anyio
import pytest

from sigmamind_mcp.api import client as client_module
from sigmamind_mcp.api import pool as connections
from sigmamind_mcp.api import transport as upstream_module
from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import BatchRun
from sigmamind_mcp.api.pool import REQUESTS_TOGETHER
from sigmamind_mcp.api.retries import MAX_ATTEMPTS, RetryBudget, pause_before, retry_after
from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.errors import (
    APIError,
    ConnectionFailed,
    OutcomeUnknown,
    SigmaMindError,
    UnexpectedAnswer,
)
from sigmamind_mcp.settings import check_key
from tests.conftest import KEY, Rounds
from tests.support.fake_api import BATCH, CASE, Asked, FakeAPI, page
from tests.support.faulty_api import FAULTS, FaultyAPI, running_faulty_api

pytestmark = pytest.mark.anyio


async def no_reads() -> list[BatchRun]:
    return []


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


@pytest.fixture
async def faulty() -> AsyncIterator[FaultyAPI]:
    async with running_faulty_api() as api:
        yield api


@pytest.fixture
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "DEADLINE_SECONDS", 0.4)


async def built(transport: APITransport) -> None:
    """Wait until the certificates are read, which may take longer than the short deadline on a machine under load."""
    await transport._pool.ready()


async def no_pause(seconds: float) -> None:
    assert 0 <= seconds <= 30


@pytest.mark.parametrize("fault", FAULTS)
async def test_reads_try_hard_and_stop(faulty: FaultyAPI, short_deadline: None, fault: str) -> None:
    for call in READS.values():
        faulty.fault, faulty.received = fault, type(faulty.received)()
        async with APITransport(faulty.url, pause=no_pause) as transport:
            await built(transport)
            started = monotonic()
            with pytest.raises(SigmaMindError):
                await call(SigmaMindClient(transport, check_key(KEY)))
            assert monotonic() - started < 10  # the deadline is 0.4 s here; without it, hours
        assert faulty.received["GET"] == (MAX_ATTEMPTS if fault in RETRIED else 1)
        assert faulty.received.total() == faulty.received["GET"]


@pytest.mark.parametrize("fault", sorted(RETRIED))
async def test_read_succeeds_when_the_fault_passes(faulty: FaultyAPI, fault: str) -> None:
    faulty.answer(BATCH)
    faulty.fault, faulty.faults_left = fault, 2
    async with APITransport(faulty.url, pause=no_pause) as transport:
        batch, _ = await SigmaMindClient(transport, check_key(KEY)).get_batch_run("b", "a")

    assert batch.batch_id == BATCH["batchId"]
    assert faulty.received["GET"] == 3


@pytest.mark.parametrize("fault", FAULTS)
async def test_write_leaves_once_and_its_outcome_is_told_honestly(
    faulty: FaultyAPI, short_deadline: None, fault: str
) -> None:
    """R21, R23: an outcome that is unknown is called that, one that is known is not."""
    for name, call in WRITES.items():
        faulty.fault, faulty.received = fault, type(faulty.received)()
        async with APITransport(faulty.url, pause=no_pause) as transport:
            await built(transport)
            outcome = await outcome_of(call, SigmaMindClient(transport, check_key(KEY)))
        assert faulty.received.total() - faulty.received["GET"] == 1, name
        assert is_told_honestly(outcome, fault), (name, outcome)


async def test_every_fault_on_every_endpoint_many_times(
    faulty: FaultyAPI, short_deadline: None, rounds: Rounds, figures: list[str]
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
        async with APITransport(faulty.url, pause=no_pause) as transport:
            await built(transport)
            for _ in range(count):
                api = SigmaMindClient(transport, check_key(KEY))
                async with anyio.create_task_group() as group:
                    for call in (*READS.values(), *WRITES.values()):
                        group.start_soon(run, call, api, fault)
        reads += count * len(READS)
        writes += count * len(WRITES)

    left = sent.total() - sent["GET"]
    # A confirmation without an id is looked up in the list, which is a read of its own.
    lookups = count * 2 * sum(fault == "HTML" for fault in FAULTS)
    figures.append(
        f"R21 {reads + writes:,} faulty calls, {writes:,} of them writes: {left + never_left - writes} writes too many"
    )
    figures.append(
        f"R24 {sent['GET'] / reads:.2f} requests a read on average; the slowest call {slowest:.2f} s, deadline 0.40 s"
    )
    assert left + never_left == writes
    assert sent["GET"] <= (reads + lookups) * MAX_ATTEMPTS


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
        monkeypatch.setattr(upstream_module, "DEADLINE_SECONDS", 4.0)
        for number in range(REQUESTS_TOGETHER):
            group.start_soon(write, number, left)
        with anyio.fail_after(3):
            while faulty.received["POST"] < REQUESTS_TOGETHER:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        monkeypatch.setattr(upstream_module, "DEADLINE_SECONDS", 0.2)
        async with anyio.create_task_group() as waiting:
            for number in range(20):
                waiting.start_soon(write, 1_000 + number, behind)
        assert not left

    assert [type(outcome) for outcome in left] == [OutcomeUnknown] * REQUESTS_TOGETHER
    assert all(isinstance(outcome, ConnectionFailed) and not outcome.sent for outcome in behind)
    assert faulty.received["POST"] == REQUESTS_TOGETHER


async def outcome_of(call: Call, api: SigmaMindClient) -> object:
    try:
        return await call(api)
    except SigmaMindError as exc:
        return exc


def is_told_honestly(outcome: object, fault: str) -> bool:
    """A 2xx means written, though the answer cannot be read; 429 not written; everything else may be."""
    if fault == "HTML":
        return not isinstance(outcome, SigmaMindError)
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


async def test_cancelled_reads_give_their_pool_back(
    faulty: FaultyAPI, rounds: Rounds, figures: list[str]
) -> None:
    """R28: after many cancelled reads the pool is as good as new."""
    count = rounds(short=5, long=10)
    faulty.answer(BATCH)
    async with APITransport(faulty.url, pause=no_pause) as transport:
        api = SigmaMindClient(transport, check_key(KEY))
        faulty.fault = "byte-drip"
        for _ in range(count):
            with anyio.move_on_after(0.1):
                async with anyio.create_task_group() as group:
                    for _ in range(100):
                        group.start_soon(api.get_batch_run, "b", "a")
        faulty.fault = None
        with anyio.fail_after(5):
            await api.get_batch_run("b", "a")
            while faulty.open_connections > 1:  # noqa: ASYNC110 - sockets close without an event
                await anyio.sleep(0.01)
    figures.append(
        f"R28 {count * 100:,} reads cancelled: {faulty.open_connections - 1} connections leaked"
    )


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [("7", 7.0), ("0", 0.0), (" 3 ", 3.0), ("Sat, 21 Nov 2026 12:00:10 GMT", 10.0), ("Sat, 21 Nov 2020 12:00:00 GMT", 0.0),
     ("-1", None), ("NaN", None), ("1e9", None), ("soon", None), ("", None), ("9" * 10_000, float("9" * 64)), ("١", None)],
)  # fmt: skip
async def test_retry_after_is_read_in_both_forms_and_never_believed_blindly(
    asked: str, seconds: float | None
) -> None:
    assert retry_after({"Retry-After": asked}, datetime(2026, 11, 21, 12, tzinfo=UTC)) == seconds


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


async def test_pauses_have_full_jitter_within_doubling_limits() -> None:
    random = Random(1)
    first = [pause_before(1, random) for _ in range(500)]
    tenth = [pause_before(10, random) for _ in range(500)]

    assert 0 <= min(first) < 0.05 and 0.45 < max(first) <= 0.5
    assert 0 <= min(tenth) < 0.8 and 7.2 < max(tenth) <= 8


async def test_budget_is_a_fifth_of_the_calls_and_ten() -> None:
    budget = RetryBudget()
    spent = 0
    for _ in range(1000):
        budget.earn()
        spent += budget.spend()

    assert spent <= 210


async def test_cookie_of_one_caller_goes_to_nobody(fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/batch-runs/b", BATCH)
    fake_api.headers["Set-Cookie"] = "SESSION=first; Path=/"
    async with APITransport(fake_api.url) as transport:
        for key in ("first", "second", "first"):
            await SigmaMindClient(transport, check_key(key)).get_batch_run("b", "a")

    assert not any("cookie" in asked.headers for asked in fake_api.asked)


async def test_not_every_caller_reaches_the_pool_at_once(fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/batch-runs/b", BATCH)
    async with APITransport(fake_api.url) as transport:
        api = SigmaMindClient(transport, check_key(KEY))
        async with anyio.create_task_group() as group:
            for _ in range(300):
                group.start_soon(api.get_batch_run, "b", "a")

    assert len(fake_api.asked) == 300
    assert fake_api.connections <= REQUESTS_TOGETHER


async def test_connection_that_nobody_uses_is_closed(
    fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_api.answer("GET", "/v1/batch-runs/b", BATCH)
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

        monkeypatch.setattr(connections, "KEPT_SECONDS", 0.0)
        await api.get_batch_run("b", "a")
        with anyio.fail_after(5):
            while fake_api.open:  # noqa: ASYNC110
                await anyio.sleep(0.01)


async def test_unexpected_answer_to_a_read_is_not_asked_for_again(faulty: FaultyAPI) -> None:
    faulty.fault = "HTML"
    async with APITransport(faulty.url, pause=no_pause) as transport:
        with pytest.raises(UnexpectedAnswer):
            await SigmaMindClient(transport, check_key(KEY)).get_batch_run("b", "a")

    assert faulty.received["GET"] == 1


@pytest.mark.parametrize("slow", [False, True])
async def test_list_that_never_ends_is_given_up(
    fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    """R27: after so many pages, or after so many seconds, whichever comes first."""

    def another(asked: Asked) -> dict[str, Any]:
        if slow and len(fake_api.asked) > 3:
            fake_api.stall.clear()
        return page([CASE], hasNext=True)

    fake_api.answer("GET", "/v1/test-cases", another)
    monkeypatch.setattr(client_module, "WALK_SECONDS", 1 if slow else 45)
    async with APITransport(fake_api.url) as transport:
        with pytest.raises(ConnectionFailed if slow else UnexpectedAnswer) as raised:
            await SigmaMindClient(transport, check_key(KEY)).list_test_cases("a")
    fake_api.stall.set()

    asked = len(fake_api.asked)
    assert (asked, str(raised.value)) == (
        (4, "The API did not give its whole list of test-cases within 1 s. Try again.")
        if slow
        else (201, "The API's list of test-cases did not end after 200 pages.")
    )
