"""Batch runs: pages of the list, and a wait that is bounded and can be resumed by batch id."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Event
from time import monotonic
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from sigmamind_mcp.tools import batch_runs
from tests.conftest import KEY, RoundCount, text_of
from tests.support.fake_api import BATCH, CASE, ERROR, RUN, FakeAPI, page
from tests.support.processes import COMMAND, RawClient, environment, serving

pytestmark = pytest.mark.anyio

AGENT = "agent_D5D0p7TUs66TTAEAx"
IN_BATCH = {"agentId": AGENT, "batchId": "batch_s0OJu2JWR8R45Fai"}
PATH = "/v1/batch-runs/batch_s0OJu2JWR8R45Fai"
LONG = "All work and no play makes a dull agent. "


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_runs, "FIRST_POLL_PAUSE", 0.01)


def just_created(**changes: Any) -> dict[str, Any]:
    return {**BATCH, "createdDate": datetime.now(UTC).isoformat(), **changes}


def list_ended(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [{**RUN, "jobId": f"job_{number}", **changes} for number in range(count)]


async def list_all_ids(mcp: Client, first_call: dict[str, Any], *, most: int) -> list[str]:
    """Follow the calls that continue a list of batch runs; return the ids in their order."""
    seen: list[str] = []
    call: dict[str, Any] | None = first_call
    while call is not None:
        answer = (await mcp.call_tool("list_batch_runs", call)).structured_content
        seen += [row["batchId"] for row in answer["batchRuns"]]
        assert len(seen) <= most
        call = None
        for next_call in answer.get("nextCalls", []):
            if next_call["tool"] == "list_batch_runs":
                call = next_call["arguments"]
                break
    return seen


async def test_wait_ends_with_the_batch_run_and_tells_its_progress(
    mcp: Client, fake_api: FakeAPI
) -> None:
    looks = iter(range(100))

    def growing(asked: Any) -> Any:
        passed = min(next(looks), 5)
        return just_created(successfulAttempts=passed, failedAttempts=0, totalAttempts=passed)

    fake_api.answer("GET", PATH, growing)
    told: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    result = await mcp.call_tool("wait_for_batch_run", IN_BATCH, progress_callback=on_progress)

    assert result.structured_content["state"] == "finished"
    assert [step[:2] for step in told] == [(passed, 5) for passed in range(6)]
    assert told[2][2] == "running, 2 passed, 0 failed, 3 undecided of 5 attempts"
    assert result.structured_content["nextCalls"][0]["tool"] == "list_test_runs"


async def test_progress_rises_while_nothing_changes(mcp: Client, fake_api: FakeAPI) -> None:
    """Looks without news, looks that fail, and counters that fall."""
    looks = iter([0, 0, None, 3, None, 2, 3, 5])

    def answer(asked: Any) -> Any:
        passed = next(looks)
        if passed is None:
            raise ConnectionAbortedError
        return just_created(successfulAttempts=passed, failedAttempts=0, totalAttempts=passed)

    fake_api.answer("GET", PATH, answer)
    numbers: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        assert total == 5
        numbers.append(progress)

    result = await mcp.call_tool("wait_for_batch_run", IN_BATCH, progress_callback=on_progress)

    assert result.structured_content["state"] == "finished"
    assert numbers == sorted(set(numbers)) and len(numbers) >= 6
    assert [number for number in numbers if number == int(number)] == [0, 3, 5]


@pytest.mark.parametrize("seconds", [0, 1])
async def test_wait_returns_in_time_with_the_state_as_it_stands(
    mcp: Client, fake_api: FakeAPI, seconds: int
) -> None:
    fake_api.answer("GET", PATH, lambda asked: just_created(failedAttempts=0))
    started = monotonic()

    result = await mcp.call_tool("wait_for_batch_run", {**IN_BATCH, "maxSeconds": seconds})

    assert monotonic() - started < seconds + 10
    assert result.structured_content["state"] == "running"
    again = {"tool": "wait_for_batch_run", "arguments": {**IN_BATCH, "maxSeconds": seconds}}
    assert result.structured_content["nextCalls"] == [again]
    assert seconds or len(fake_api.asked) == 1


async def test_attempts_that_landed_in_neither_counter_are_stalled_not_failed(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", PATH, {**BATCH, "failedAttempts": 0})
    fake_api.answer("GET", "/v1/test-runs", page(list_ended(4)))

    result = await mcp.call_tool("wait_for_batch_run", IN_BATCH)

    assert result.structured_content["state"] == "stalled"
    assert (
        result.structured_content["failedAttempts"],
        result.structured_content["undecidedAttempts"],
    ) == (0, 1)
    assert "some may never end" in text_of(result)


async def test_long_batch_run_whose_attempts_still_end_is_running(
    mcp: Client, fake_api: FakeAPI
) -> None:
    """What counts is the API's clock: its Date against the newest end of an attempt."""
    launched = datetime(2026, 1, 1, tzinfo=UTC)
    fake_api.headers["Date"] = format_datetime(launched + timedelta(minutes=40), usegmt=True)
    fake_api.answer(
        "GET", PATH, {**BATCH, "createdDate": launched.isoformat(), "failedAttempts": 0}
    )
    ended = (launched + timedelta(minutes=30)).isoformat()
    fake_api.answer("GET", "/v1/test-runs", page([{**RUN, "completedDate": ended}]))

    result = await mcp.call_tool("wait_for_batch_run", {**IN_BATCH, "maxSeconds": 0})

    assert result.structured_content["state"] == "running"


async def test_failed_look_does_not_end_a_wait(mcp: Client, fake_api: FakeAPI) -> None:
    looks = iter(
        [(200, just_created(failedAttempts=0)), (500, ERROR), (500, ERROR), (200, just_created())]
    )
    fake_api.answer("GET", PATH, lambda asked: next(looks))

    result = await mcp.call_tool("wait_for_batch_run", {**IN_BATCH, "maxSeconds": 20})

    assert result.structured_content["state"] == "finished"


async def test_first_look_that_fails_is_an_error(mcp: Client, fake_api: FakeAPI) -> None:
    assert (await mcp.call_tool("wait_for_batch_run", IN_BATCH)).is_error


async def test_cancelled_wait_stops_looking(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", PATH, lambda asked: just_created(failedAttempts=0))
    with anyio.move_on_after(0.5):
        await mcp.call_tool("wait_for_batch_run", IN_BATCH)
    looked = len(fake_api.asked)
    await anyio.sleep(0.5)

    assert len(fake_api.asked) <= looked + 1


@pytest.mark.parametrize("seconds", [-1, 301, True])
async def test_wait_is_bounded(mcp: Client, fake_api: FakeAPI, seconds: Any) -> None:
    assert (await mcp.call_tool("wait_for_batch_run", {**IN_BATCH, "maxSeconds": seconds})).is_error
    assert fake_api.asked == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", ["first look under way", "between two looks", "second look under way"]
)
async def test_wait_goes_on_in_another_process_after_the_first_was_killed(
    fake_api: FakeAPI, point: str
) -> None:
    ended = Event()
    fake_api.answer(
        "GET", PATH, lambda asked: just_created(failedAttempts=1 if ended.is_set() else 0)
    )
    variables = {"SIGMAMIND_BASE_URL": fake_api.url, "SIGMAMIND_API_KEY": KEY}
    if point == "first look under way":
        fake_api.stall.clear()
    killed = RawClient(**variables)
    killed.initialize("2025-11-25")
    wait = {"name": "wait_for_batch_run", "arguments": IN_BATCH, "_meta": {"progressToken": "p"}}
    killed.send({"id": 99, "method": "tools/call", "params": wait})
    if point != "first look under way":
        assert killed.process.stdout
        assert (
            "notifications/progress" in killed.process.stdout.readline()
        )  # told between two looks
    if point == "second look under way":
        fake_api.stall.clear()
    looked = 2 if point == "second look under way" else 1
    with anyio.fail_after(60):
        while len(fake_api.asked) < looked:  # noqa: ASYNC110 - the fake has no event for it
            await anyio.sleep(0.01)
    killed.process.kill()
    killed.close()
    fake_api.stall.set()
    ended.set()

    server = StdioServerParameters(
        command=COMMAND[0], args=COMMAND[1:], env=environment(**variables)
    )
    async with Client(server) as second:
        result = await second.call_tool("wait_for_batch_run", IN_BATCH)

    assert result.structured_content["state"] == "finished"


async def test_batch_run_is_followed_to_its_end_by_a_client_of_less_patience(
    rounds: RoundCount, figures: list[str]
) -> None:
    """Two minutes of a batch run, and a client that gives up any request after 50 seconds; the suite has it shorter."""
    pace, patience, slice_seconds = (30, 50, 45) if rounds(short=0, long=1) else (1.5, 4, 2)
    with serving("sandbox", "--pace", str(pace)) as url:
        env = environment(SIGMAMIND_BASE_URL=url, SIGMAMIND_API_KEY="sandbox-key")
        server = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env=env)
        async with Client(server, read_timeout_seconds=patience) as client:
            case = {"agentId": IN_BATCH["agentId"], "testCases": ["tc_d17T6uReChpyfFeP"]}
            answer = (await client.call_tool("create_batch_run", case)).structured_content
            begun, calls = monotonic(), 0
            while answer["state"] == "running":
                (call,) = [
                    call for call in answer["nextCalls"] if call["tool"] == "wait_for_batch_run"
                ]
                answer = (
                    await client.call_tool(
                        call["tool"], {**call["arguments"], "maxSeconds": slice_seconds}
                    )
                ).structured_content
                calls += 1
    took = monotonic() - begun

    figures.append(
        f"A batch run of {took:.0f} s followed to its end in {calls} calls by a client with a {patience} s limit"
    )
    assert answer["state"] == "finished" and answer["expectedAttempts"] == 5
    assert calls > 1


@pytest.mark.parametrize(
    ("minutes", "status", "state"),
    [(30, 200, "running"), (10, 200, "stalled"), (30, 404, "unknown")],
)
async def test_every_tool_derives_the_same_state(
    mcp: Client, fake_api: FakeAPI, minutes: int, status: int, state: str
) -> None:
    """An attempt that ended minutes ago keeps a batch run from being stalled, whichever tool looks."""
    launched = datetime(2026, 1, 1, tzinfo=UTC)
    fake_api.headers["Date"] = format_datetime(launched + timedelta(minutes=40), usegmt=True)
    batch = {**BATCH, "createdDate": launched.isoformat(), "failedAttempts": 0}
    fake_api.answer("GET", PATH, batch)
    fake_api.answer("GET", "/v1/batch-runs", page([batch]))
    early, late = ((launched + timedelta(minutes=after)).isoformat() for after in (5, minutes))
    runs = [*list_ended(3, completedDate=early), {**RUN, "completedDate": late}]
    fake_api.answer("GET", "/v1/test-runs", page(runs), status)
    fake_api.answer("GET", "/v1/test-runs/job_0", runs[0])

    waited = await mcp.call_tool("wait_for_batch_run", {**IN_BATCH, "maxSeconds": 0})
    read = await mcp.call_tool("get_batch_run", IN_BATCH)
    listed = await mcp.call_tool("list_batch_runs", {"agentId": IN_BATCH["agentId"]})
    diagnosed = await mcp.call_tool("diagnose_batch_run", IN_BATCH)
    of_early = await mcp.call_tool("diagnose_batch_run", {**IN_BATCH, "jobIds": ["job_0"]})

    results = [waited, read, of_early, *([] if status == 404 else [diagnosed])]
    assert [result.structured_content["state"] for result in results] == [state] * len(results)
    assert listed.structured_content["batchRuns"][0]["state"] == state


@pytest.mark.parametrize("total", [None, 0])
async def test_list_whose_pages_never_end_ends_at_an_empty_one(
    mcp: Client, fake_api: FakeAPI, total: int | None
) -> None:
    fake_api.answer("GET", "/v1/batch-runs", page([], hasNext=True, totalCount=total))

    result = await mcp.call_tool("list_batch_runs", {"agentId": IN_BATCH["agentId"], "page": 4})

    assert not result.structured_content.get("nextCalls")
    # The total says that there are no more.
    assert ("notRead" in result.structured_content) == (total is None)


async def test_running_batch_run_says_the_same_in_both_forms(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", PATH, just_created(successfulAttempts=2, totalAttempts=3))

    result = await mcp.call_tool("get_batch_run", IN_BATCH)

    assert result.structured_content["undecidedAttempts"] == 2
    assert "running, 2 passed, 1 failed, 2 undecided of 5 attempts" in text_of(result)


@pytest.mark.parametrize("status", [404, 503])
async def test_state_is_unknown_while_the_test_runs_cannot_be_read(
    mcp: Client, fake_api: FakeAPI, status: int
) -> None:
    batch = {**BATCH, "successfulAttempts": 2, "totalAttempts": 3}
    fake_api.answer("GET", PATH, batch)
    fake_api.answer("GET", "/v1/batch-runs", page([batch]))
    fake_api.answer("GET", "/v1/test-runs", ERROR, status)

    read = await mcp.call_tool("get_batch_run", IN_BATCH)
    waited = await mcp.call_tool("wait_for_batch_run", {**IN_BATCH, "maxSeconds": 0})
    listed = await mcp.call_tool("list_batch_runs", {"agentId": AGENT})

    assert read.structured_content["state"] == waited.structured_content["state"] == "unknown"
    assert listed.structured_content["batchRuns"][0]["state"] == "unknown"
    for result in (read, waited, listed):
        assert "unknown, 2 passed, 1 failed, 2 undecided of 5 attempts" in text_of(result)
        assert "stalled:" not in text_of(result).casefold()


async def test_wait_goes_on_while_the_test_runs_cannot_be_read(
    mcp: Client, fake_api: FakeAPI
) -> None:
    looks = iter([2, 2, 3])

    def growing(asked: Any) -> Any:
        return {**BATCH, "successfulAttempts": next(looks, 5), "failedAttempts": 0}

    fake_api.answer("GET", PATH, growing)
    fake_api.answer("GET", "/v1/test-runs", ERROR, 503)

    result = await mcp.call_tool("wait_for_batch_run", {**IN_BATCH, "maxSeconds": 60})

    assert result.structured_content["state"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("detail", ["concise", "full"])
async def test_walking_the_pages_of_batch_runs_yields_every_one_once(
    mcp: Client, fake_api: FakeAPI, detail: str
) -> None:
    batches = [
        {
            **BATCH,
            "batchId": f"batch_{number}",
            "testCases": [{**CASE, "label": f"{LONG}{n}"} for n in range(12)],
        }
        for number in range(130)
    ]

    def one_page(asked: Any) -> Any:
        number, size = int(asked.query["page"]), int(asked.query["size"])
        part = batches[number * size : (number + 1) * size]
        return page(part, page=number, size=size, totalCount=130, hasNext=(number + 1) * size < 130)

    fake_api.answer("GET", "/v1/batch-runs", one_page)
    call = {"agentId": AGENT, "size": 100, "detail": detail, "labelContains": "PLAY"}

    seen = await list_all_ids(mcp, call, most=len(batches))

    assert seen == [batch["batchId"] for batch in batches]


async def test_api_that_serves_one_long_page_loses_and_repeats_no_batch_run(
    mcp: Client, fake_api: FakeAPI
) -> None:
    cases = [{**CASE, "label": f"{LONG}{number}"} for number in range(5)]
    batches = [{**BATCH, "batchId": f"batch_{n}", "testCases": cases} for n in range(130)]
    fake_api.answer("GET", "/v1/batch-runs", batches)
    seen: list[str] = []
    call: dict[str, Any] | None = {"agentId": AGENT, "size": 5}

    while call is not None:
        answer = (await mcp.call_tool("list_batch_runs", call)).structured_content
        seen += [row["batchId"] for row in answer["batchRuns"]]
        assert len(seen) <= len(batches)
        further = answer["nextCalls"][0]
        call = further["arguments"] if further["tool"] == "list_batch_runs" else None

    assert seen == [batch["batchId"] for batch in batches]
    assert "cut" not in answer


async def test_api_whose_pages_become_smaller_loses_and_repeats_no_batch_run(
    mcp: Client, fake_api: FakeAPI
) -> None:
    batches = [{**BATCH, "batchId": f"batch_{number}"} for number in range(95)]
    most = 30

    def one_page(asked: Any) -> Any:
        number, size = int(asked.query["page"]), min(int(asked.query["size"]), most)
        part = batches[number * size : (number + 1) * size]
        return page(part, page=number, size=size, totalCount=95, hasNext=(number + 1) * size < 95)

    fake_api.answer("GET", "/v1/batch-runs", one_page)
    seen: list[str] = []
    call: dict[str, Any] | None = {"agentId": AGENT, "size": 50}

    while call is not None:
        answer = (await mcp.call_tool("list_batch_runs", call)).structured_content
        seen += [row["batchId"] for row in answer["batchRuns"]]
        assert len(seen) <= len(batches)
        further = answer["nextCalls"][0]
        call = further["arguments"] if further["tool"] == "list_batch_runs" else None
        most = 20

    assert seen == [batch["batchId"] for batch in batches]


@pytest.mark.parametrize("told", [True, False])
async def test_api_that_pages_by_less_than_asked_loses_no_batch_run(
    mcp: Client, fake_api: FakeAPI, told: bool
) -> None:
    batches = [{**BATCH, "batchId": f"batch_{number}"} for number in range(45)]

    def one_page(asked: Any) -> Any:
        number, size = int(asked.query["page"]), min(int(asked.query["size"]), 20)
        part = batches[number * size : (number + 1) * size]
        return (
            page(part, page=number, size=size, totalCount=45, hasNext=(number + 1) * size < 45)
            if told
            else batches
        )

    fake_api.answer("GET", "/v1/batch-runs", one_page)
    call = {"agentId": AGENT, "size": 30}

    seen = await list_all_ids(mcp, call, most=len(batches))

    assert seen == [batch["batchId"] for batch in batches]


async def test_next_call_fits_the_state(mcp: Client, fake_api: FakeAPI) -> None:
    now = datetime.now(UTC).isoformat()
    expected: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
        ({"createdDate": now, "failedAttempts": 0}, "wait_for_batch_run", IN_BATCH),
        ({}, "diagnose_batch_run", IN_BATCH),
        ({"successfulAttempts": 5, "failedAttempts": 0}, "list_test_runs", IN_BATCH),
    ]
    for changes, tool, arguments in expected:
        fake_api.answer("GET", PATH, {**BATCH, **changes})
        result = await mcp.call_tool("get_batch_run", IN_BATCH)
        assert result.structured_content["nextCalls"] == [{"tool": tool, "arguments": arguments}]


STALLED = {**BATCH, "successfulAttempts": 1, "failedAttempts": 0, "totalAttempts": 5}


async def test_four_batch_runs_that_seem_stalled_are_looked_up(
    mcp: Client, fake_api: FakeAPI
) -> None:
    batches = [{**STALLED, "batchId": f"batch_{number}"} for number in range(10)]
    fake_api.answer("GET", "/v1/batch-runs", page(batches))
    fake_api.answer("GET", "/v1/test-runs", lambda asked: page([{**RUN, **asked.query}]))

    result = await mcp.call_tool("list_batch_runs", {"agentId": AGENT})

    states = [row["state"] for row in result.structured_content["batchRuns"]]
    assert states == ["stalled"] * 4 + ["unknown"] * 6
    assert "get_batch_run shows the state of another" in text_of(result)
    assert len(fake_api.asked) == 5


async def test_last_end_on_a_page_that_was_not_read_leaves_the_state_unknown(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", "/v1/batch-runs", page([STALLED]))
    fake_api.answer("GET", "/v1/test-runs", page([RUN], hasNext=True, totalCount=50))

    result = await mcp.call_tool("list_batch_runs", {"agentId": AGENT})

    assert result.structured_content["batchRuns"][0]["state"] == "unknown"
    assert len(fake_api.asked) == 2


@pytest.mark.parametrize("largest", [99, 50, 20, 10, 5, 3, 1])
@pytest.mark.parametrize("size", [100, 30, 7])
@pytest.mark.parametrize("status", [400, 413, 422])
async def test_refused_page_size_costs_no_batch_run_and_six_requests_at_most(
    mcp: Client, fake_api: FakeAPI, largest: int, size: int, status: int
) -> None:
    batches = [{**STALLED, "batchId": f"batch_{number}"} for number in range(23)]

    def give(asked: Any) -> Any:
        asked_size, number = int(asked.query["size"]), int(asked.query["page"])
        if asked_size > largest:
            return status, {"message": "too many"}
        part = batches[number * asked_size : (number + 1) * asked_size]
        more = (number + 1) * asked_size < len(batches)
        return page(part, page=number, size=asked_size, totalCount=23, hasNext=more)

    fake_api.answer("GET", "/v1/batch-runs", give)
    fake_api.answer("GET", "/v1/test-runs", page([]))
    seen: list[str] = []
    call: dict[str, Any] | None = {"agentId": AGENT, "size": size}
    while call is not None:
        fake_api.asked.clear()
        answer = (await mcp.call_tool("list_batch_runs", call)).structured_content
        assert len(fake_api.asked) <= 6
        seen += [row["batchId"] for row in answer["batchRuns"]]
        further = [
            step for step in answer.get("nextCalls", []) if step["tool"] == "list_batch_runs"
        ]
        call = further[0]["arguments"] if further else None

    assert seen == [batch["batchId"] for batch in batches]


async def test_batch_run_that_a_page_has_twice_is_shown_once(
    mcp: Client, fake_api: FakeAPI
) -> None:
    batches = [{**BATCH, "batchId": f"batch_{number}"} for number in range(3)]
    changed = {**batches[0], "successfulAttempts": 1}
    entries = [*batches, *batches, changed]
    fake_api.answer("GET", "/v1/batch-runs", page(entries, totalCount=3))

    result = await mcp.call_tool("list_batch_runs", {"agentId": AGENT})

    shown = [row["batchId"] for row in result.structured_content["batchRuns"]]
    assert shown == ["batch_0", "batch_1", "batch_2", "batch_0"]


async def test_other_page_than_the_asked_one_is_named(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/batch-runs", page([BATCH], page=0, hasNext=True))

    result = await mcp.call_tool("list_batch_runs", {"agentId": AGENT, "page": 1})

    answer = result.structured_content
    assert answer["page"] == 0
    assert "The API answered with page 0, whatever page is asked for." in text_of(result)
    assert "list_batch_runs" not in [step["tool"] for step in answer.get("nextCalls", [])]


async def test_message_with_an_empty_list_is_no_empty_list(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/batch-runs", {"message": "Not your agent", "data": []})

    result = await mcp.call_tool("list_batch_runs", {"agentId": AGENT})

    assert result.is_error and "Not your agent" in text_of(result)
