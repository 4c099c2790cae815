"""A call that is issued again is not a second write; another caller's or another call is (R21, R22, R28)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from sigmamind_mcp.api import client as client_module
from sigmamind_mcp.api import idempotency as idempotency_module
from sigmamind_mcp.api import transport as transport_module
from sigmamind_mcp.api.client import ReadyLaunch, SigmaMindClient
from sigmamind_mcp.api.idempotency import (
    REMEMBERED_SECONDS,
    New,
    RecentWrites,
    StoredID,
)
from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.errors import InvalidRequest, NotAuthenticated, OutcomeUnknown
from sigmamind_mcp.settings import check_key
from tests.conftest import KEY, RoundCount, connected, let_cancellation_arrive, text_of
from tests.support.fake_api import BATCH, CASE, CREATED_BATCH, ERROR, FakeAPI, page
from tests.support.processes import environment, serving

pytestmark = pytest.mark.anyio

AGENT = "agent_D5D0p7TUs66TTAEAx"
NEW_CASE = {"agentId": AGENT, "userPrompt": "x", "successCriteria": "y"}
START = {"agentId": AGENT, "testCases": ["tc_1"]}


@asynccontextmanager
async def no_reads() -> AsyncIterator[ReadyLaunch]:
    yield ReadyLaunch("tc_1", [])


def counting(fake_api: FakeAPI) -> None:
    """Let each POST store something new, so that a second one shows."""
    stored = iter(range(10_000))
    fake_api.offer(*(f"tc_{number}" for number in range(1000)))
    fake_api.stalled = "POST"
    fake_api.answer(
        "POST", "/v1/test-cases", lambda asked: {**CASE, "testCaseId": f"tc_{next(stored)}"}
    )
    fake_api.answer(
        "POST",
        "/v1/batch-runs",
        lambda asked: {**CREATED_BATCH, "batchId": f"batch_{next(stored)}"},
    )


async def test_same_test_case_again_gets_the_first_outcome_and_says_so(
    mcp: Client, fake_api: FakeAPI
) -> None:
    counting(fake_api)

    first = await mcp.call_tool("create_test_case", NEW_CASE)
    again = await mcp.call_tool("create_test_case", NEW_CASE)
    other = await mcp.call_tool("create_test_case", {**NEW_CASE, "label": "other"})
    wanted = await mcp.call_tool("create_test_case", {**NEW_CASE, "allowDuplicate": True})

    ids = [result.structured_content["testCaseId"] for result in (first, again, other, wanted)]
    assert ids == ["tc_0", "tc_0", "tc_1", "tc_2"]
    assert again.structured_content["repeated"] is True and "nothing new was stored" in text_of(
        again
    )
    assert "repeated" not in first.structured_content
    assert all("allowDuplicate" not in asked.body for asked in fake_api.asked)


async def test_same_test_case_under_the_other_form_of_the_agent_id_is_the_same(
    mcp: Client, fake_api: FakeAPI
) -> None:
    counting(fake_api)

    for agent_id in (AGENT, AGENT.removeprefix("agent_")):
        result = await mcp.call_tool("create_test_case", {**NEW_CASE, "agentId": agent_id})

    assert result.structured_content["repeated"] is True
    assert len(fake_api.posts) == 1


async def test_same_batch_run_again_is_refused_until_the_call_wants_it(
    mcp: Client, fake_api: FakeAPI
) -> None:
    counting(fake_api)

    first = await mcp.call_tool("create_batch_run", START)
    again = await mcp.call_tool("create_batch_run", START)
    assert first.structured_content["batchId"] == "batch_0"
    assert again.is_error and len(fake_api.posts) == 1
    assert text_of(again) == (
        "Batch run batch_0, started within the last 10 minutes, runs the same test cases with the"
        " same definitions. Nothing was started now. Follow it with wait_for_batch_run. To start"
        " another one all the same, call again with allowDuplicate: true."
    )

    wanted = await mcp.call_tool("create_batch_run", {**START, "allowDuplicate": True})
    assert wanted.structured_content["batchId"] == "batch_1"
    assert wanted.structured_content["identicalBatchId"] == "batch_0"
    assert "batch_0" in text_of(wanted) and "allowDuplicate" not in fake_api.posts[1].body


@pytest.mark.parametrize(
    ("tool", "arguments"), [("create_test_case", NEW_CASE), ("create_batch_run", START)]
)
async def test_same_call_while_the_first_is_under_way_joins_it(
    mcp: Client, fake_api: FakeAPI, tool: str, arguments: dict[str, Any]
) -> None:
    counting(fake_api)
    fake_api.stall.clear()
    results: list[Any] = []

    async def call() -> None:
        results.append((await mcp.call_tool(tool, arguments)).structured_content)

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(call)
        with anyio.fail_after(60):
            while not fake_api.posts:  # noqa: ASYNC110 - the fake has no event for it
                await anyio.sleep(0.01)
        fake_api.stall.set()

    assert len(fake_api.posts) == 1
    assert sum(result.get("repeated", False) for result in results) == 4


@pytest.mark.parametrize(
    ("tool", "arguments"), [("create_test_case", NEW_CASE), ("create_batch_run", START)]
)
async def test_cancelled_write_runs_to_its_end_and_the_next_call_gets_its_outcome(
    fake_api: FakeAPI, tool: str, arguments: dict[str, Any]
) -> None:
    counting(fake_api)
    async with connected(base_url=fake_api.url, api_key=KEY) as mcp:
        for number in range(20):
            fake_api.stall.clear()
            given = {
                **arguments,
                **(
                    {"testCases": [f"tc_{number}"]}
                    if "testCases" in arguments
                    else {"label": str(number)}
                ),
            }
            async with anyio.create_task_group() as group:
                group.start_soon(mcp.call_tool, tool, given)
                with anyio.fail_after(60):
                    while len(fake_api.posts) <= number:  # noqa: ASYNC110 - the fake has no event for it
                        await anyio.sleep(0.01)
                group.cancel_scope.cancel()
                await let_cancellation_arrive()
                fake_api.stall.set()
            again = await mcp.call_tool(tool, given)
            assert not again.is_error and again.structured_content["repeated"] is True

    assert len(fake_api.posts) == 20


async def test_other_callers_are_never_matched(fake_api: FakeAPI) -> None:
    counting(fake_api)
    recent_writes = RecentWrites()
    async with APITransport(fake_api.url) as transport:
        for key in ("one", "two"):
            api = SigmaMindClient(transport, check_key(key), recent_writes)
            written = await api.create_test_case(AGENT, {"userPrompt": "x"})
            api.mark_delivered()
            assert not written.repeated

    assert len(fake_api.asked) == 2


async def test_after_ten_minutes_a_call_is_new_again(fake_api: FakeAPI) -> None:
    counting(fake_api)
    now = [0.0]
    recent_writes = RecentWrites(clock=lambda: now[0])
    async with APITransport(fake_api.url) as transport:
        for moment, repeated in (
            (0.0, False),
            (REMEMBERED_SECONDS - 1, True),
            (REMEMBERED_SECONDS + 1, False),
        ):
            now[0] = moment
            api = SigmaMindClient(transport, check_key(KEY), recent_writes)
            assert (await api.create_test_case(AGENT, {"userPrompt": "x"})).repeated is repeated
            api.mark_delivered()


@pytest.mark.parametrize(("status", "posts"), [(400, 2), (429, 2), (500, 1)])
async def test_refused_write_may_be_tried_again_and_an_unknown_one_is_not(
    fake_api: FakeAPI, status: int, posts: int
) -> None:
    fake_api.answer("POST", "/v1/test-cases", ERROR, status)
    async with connected(base_url=fake_api.url, api_key=KEY) as mcp:
        for _ in range(2):
            result = await mcp.call_tool("create_test_case", NEW_CASE)
            assert result.is_error

    assert len(fake_api.asked) == posts


async def test_unknown_outcome_of_a_cut_call_is_told_to_the_next(fake_api: FakeAPI) -> None:
    fake_api.answer("POST", "/v1/batch-runs", ERROR, 504)
    recent_writes = RecentWrites()
    async with APITransport(fake_api.url) as transport:
        for _ in range(2):  # the first is never delivered
            with pytest.raises(OutcomeUnknown):
                await SigmaMindClient(transport, check_key(KEY), recent_writes).create_batch_run(
                    AGENT, ["tc_1"], no_reads
                )

    assert len(fake_api.asked) == 1


async def test_cut_before_the_write_left_nothing_behind(fake_api: FakeAPI) -> None:
    """A call that is cancelled while it reads what the launch costs leaves the next one free to start it."""
    counting(fake_api)
    fake_api.stalled = "GET"
    fake_api.stall.clear()
    async with connected(base_url=fake_api.url, api_key=KEY) as mcp:
        async with anyio.create_task_group() as group:
            group.start_soon(mcp.call_tool, "create_batch_run", START)
            with anyio.fail_after(60):
                while not fake_api.asked:  # noqa: ASYNC110 - the fake has no event for it
                    await anyio.sleep(0.01)
            group.cancel_scope.cancel()
            await let_cancellation_arrive()
            fake_api.stall.set()
        result = await mcp.call_tool("create_batch_run", START)

    assert "repeated" not in result.structured_content
    assert len(fake_api.posts) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"ok": true}'])
async def test_confirmed_without_an_id_is_found_in_the_list_when_exactly_one_entry_fits(
    mcp: Client, fake_api: FakeAPI, body: bytes
) -> None:
    counting(fake_api)
    old = {
        **BATCH,
        "batchId": "batch_old",
        "testCases": [{"testCaseId": "tc_2"}, {"testCaseId": "tc_1"}],
    }
    other = {**BATCH, "batchId": "batch_other", "testCases": [{"testCaseId": "tc_3"}]}
    new = {**old, "batchId": "batch_new"}
    pages = iter([[old], [other, new, old]])
    fake_api.answer("GET", "/v1/batch-runs", lambda asked: page(next(pages)))
    fake_api.answer("POST", "/v1/batch-runs", body)
    fake_api.answer("POST", "/v1/test-cases", body)
    stored = {**NEW_CASE, "testCaseId": "tc_new", "attempt": 1}
    fake_api.answer(
        "GET",
        "/v1/test-cases",
        page([{**CASE, "testCaseId": "tc_1"}, {"testCaseId": "tc_2", "attempt": 1}, stored]),
    )

    batch = await mcp.call_tool("create_batch_run", {**START, "testCases": ["tc_1", "tc_2"]})
    case = await mcp.call_tool("create_test_case", NEW_CASE)

    assert batch.structured_content["batchId"] == "batch_new"
    assert case.structured_content["testCaseId"] == "tc_new"


async def test_confirmed_without_an_id_stays_unknown_when_several_entries_fit(
    mcp: Client, fake_api: FakeAPI
) -> None:
    counting(fake_api)
    twins = [
        {**BATCH, "batchId": name, "testCases": [{"testCaseId": "tc_1"}]}
        for name in ("batch_1", "batch_2")
    ]
    pages = iter([[], twins])
    fake_api.answer("GET", "/v1/batch-runs", lambda asked: page(next(pages)))
    fake_api.answer("POST", "/v1/batch-runs", b"")

    result = await mcp.call_tool("create_batch_run", START)

    assert not result.is_error and "batchId" not in result.structured_content
    assert "gave no usable id" in text_of(result)


@pytest.mark.parametrize("stalled", ["GET", "POST"])
async def test_dropped_stream_and_issued_again_over_http_is_one_write(
    fake_api: FakeAPI, rounds: RoundCount, figures: list[str], stalled: str
) -> None:
    """R21, R22: protocol 2026-07-28 closes the stream to cancel a call, and the client issues it again under a new id.

    Every stream is cut while the API has not answered: half of them before the POST, half while it is under way.
    """
    counting(fake_api)
    fake_api.stalled = stalled
    count = rounds(short=15, long=500)
    env = environment(SIGMAMIND_BASE_URL=fake_api.url, SIGMAMIND_CONFIRM_ATTEMPTS="1000000")
    with serving("serve", env=env) as url:
        async with httpx2.AsyncClient(headers={"X-API-Key": KEY}) as http:
            for number in range(count):
                given = {"agentId": AGENT, "testCases": [f"tc_{number}"]}
                fake_api.stall.clear()
                asked = len(fake_api.asked)
                transport = streamable_http_client(f"{url}/mcp", http_client=http)
                async with Client(transport, mode="2026-07-28") as cut:
                    async with anyio.create_task_group() as group:
                        group.start_soon(cut.call_tool, "create_batch_run", given)
                        with anyio.fail_after(60):
                            while not any(one.method == stalled for one in fake_api.asked[asked:]):  # noqa: ASYNC110
                                await anyio.sleep(0.002)
                        group.cancel_scope.cancel()
                fake_api.stall.set()
                transport = streamable_http_client(f"{url}/mcp", http_client=http)
                async with Client(transport, mode="2026-07-28") as client:
                    result = await client.call_tool("create_batch_run", given)
                    assert not result.is_error, text_of(result)

    figures.append(
        f"R21 {count} streams cut at a {stalled} and issued again: {len(fake_api.posts) - count} extra POSTs"
    )
    assert len(fake_api.posts) == count


async def test_remembered_refusal_holds_neither_the_request_nor_the_answer(
    fake_api: FakeAPI,
) -> None:
    """Whoever invents keys gets refusals, each of which is remembered for ten minutes."""
    fake_api.answer("POST", "/v1/test-cases", ERROR, 401)
    recent_writes = RecentWrites()
    async with APITransport(fake_api.url) as transport:
        api = SigmaMindClient(transport, check_key(KEY), recent_writes)
        for _ in range(2):
            with pytest.raises(NotAuthenticated) as told:
                await api.create_test_case(
                    AGENT, {"userPrompt": "x" * 30_000, "successCriteria": "y"}
                )

    (outcome,) = {
        id(write.outcome): write.outcome for write in recent_writes._writes.values()
    }.values()
    assert isinstance(outcome, NotAuthenticated) and (outcome.status, str(outcome)) == (
        401,
        str(told.value),
    )
    assert (outcome.__traceback__, outcome.__context__, outcome.__cause__) == (None, None, None)


async def test_remembered_write_holds_neither_what_was_stored_nor_long_reasons(
    fake_api: FakeAPI,
) -> None:
    """R18: of a write the id alone is remembered."""
    long = "x" * 300_000
    fake_api.answer("POST", "/v1/test-cases", lambda asked: {**asked.body, "testCaseId": "tc_1"})
    recent_writes = RecentWrites()
    fields = {"userPrompt": long, "successCriteria": "y"}
    async with APITransport(fake_api.url) as transport:
        api = SigmaMindClient(transport, check_key(KEY), recent_writes)
        first = await api.create_test_case(AGENT, fields)
        again = await api.create_test_case(AGENT, fields)
        reasons = {f"field {number}": long for number in range(25)}
        fake_api.answer("POST", "/v1/test-cases", {"validationErrors": reasons}, 400)
        with pytest.raises(InvalidRequest):
            await api.create_test_case(AGENT, {**fields, "label": "refused"})

    assert first.record and again.record and again.repeated
    assert (again.record.test_case_id, again.record.user_prompt) == ("tc_1", long)
    stored, refused = recent_writes._writes.values()
    assert stored.outcome == StoredID("tc_1")
    assert isinstance(refused.outcome, InvalidRequest)
    assert sum(len(reason) for reason in refused.outcome.upstream.values()) == 20 * 2000


async def test_of_very_many_writes_the_newest_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idempotency_module, "MOST_REMEMBERED", 100)
    recent_writes = RecentWrites()

    for number in range(1_000):
        async with recent_writes.claim(f"write {number}", repeat_delivered=True) as claim:
            assert isinstance(claim, New)
            claim.write.outcome = StoredID(None)

    assert (
        recent_writes.find("write 999")
        and recent_writes.find("write 920")
        and not recent_writes.find("write 800")
    )
    assert len(recent_writes._writes) <= 100


class BrokenTransport(httpx2.AsyncBaseTransport):
    """Confirm every write, and raise an exception that no library documents at one point."""

    def __init__(self, point: str) -> None:
        self.point = point
        self.posts = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.posts += request.method == "POST"
        if self.point == "waiting for the headers":
            raise RuntimeError(self.point)
        if request.method == "GET":
            return httpx2.Response(200, stream=BrokenBody("", b"[]"))
        body = b"" if self.point == "choosing the stored record" else b'{"testCaseId": "tc_1"}'
        return httpx2.Response(201, stream=BrokenBody(self.point, body))


class BrokenBody(httpx2.AsyncByteStream):
    def __init__(self, point: str, body: bytes) -> None:
        self.point = point
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.point == "reading the body":
            raise RuntimeError(self.point)
        yield self.body

    async def aclose(self) -> None:
        if self.point == "closing the answer":
            raise RuntimeError(self.point)


POINTS_IN_OUR_CODE = {
    "parsing the body": (transport_module, "_decode"),
    "reading the date": (transport_module, "parse_http_date"),
    "reading the record": (client_module, "read_written_record"),
    "choosing the stored record": (client_module, "_take_only"),
}


@pytest.mark.parametrize(
    "point",
    [
        "waiting for the headers",
        "reading the body",
        "closing the answer",
        *POINTS_IN_OUR_CODE,
    ],
)
async def test_exception_after_the_send_is_an_unknown_outcome_and_remembered(
    point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R21, R23: a bug of ours or of a library must not make the same write leave twice."""

    def fail(*args: object) -> None:
        raise RuntimeError(point)

    if point in POINTS_IN_OUR_CODE:
        monkeypatch.setattr(*POINTS_IN_OUR_CODE[point], fail)
    broken = BrokenTransport(point)
    recent_writes = RecentWrites()
    async with APITransport("http://broken.test", transport=broken) as transport:
        for _ in range(3):
            api = SigmaMindClient(transport, check_key(KEY), recent_writes)
            with pytest.raises(OutcomeUnknown, match="may have been made"):
                await api.create_test_case(AGENT, {"userPrompt": "p", "successCriteria": "c"})
            api.mark_delivered()

    assert broken.posts == 1
