"""The sandbox's REST API, over its real app and database; time is a clock that the test turns."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sigmamind_mcp.sandbox import SANDBOX_KEY, SandboxOptions, create_app
from tests.support.fake_api import BATCH, CASE, RUN

pytestmark = pytest.mark.anyio

AGENT = {"agentId": "agent_D5D0p7TUs66TTAEAx"}
SOLID, FLAKY, WORSE = "agent_IqmljBh8eSEGAqKd", "agent_SPIlVscbB0kkXBvZ", "agent_mJzLaPEo425lieb9"
NEW_CASE = {
    name: CASE[name]
    for name in ("label", "llmModel", "mockData", "userPrompt", "attempt", "successCriteria")
}


class Clock:
    """Says what time it is until the test turns it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def sandbox(**options: Any) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(create_app(**options), raise_app_exceptions=False)
    headers = {"X-API-Key": "any"}
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://sandbox", headers=headers
    ) as api:
        yield api


@pytest.fixture
async def api(clock: Clock) -> AsyncIterator[httpx2.AsyncClient]:
    async with sandbox(clock=clock) as client:
        yield client


async def get(api: httpx2.AsyncClient, path: str, **query: Any) -> Any:
    response = await api.get(path, params=query)
    assert response.status_code == 200, response.text
    return response.json()


async def launch(api: httpx2.AsyncClient, agent: dict[str, str], **changes: Any) -> Any:
    case = (await api.post("/v1/test-cases", json={**agent, **NEW_CASE, **changes})).json()
    started = await api.post("/v1/batch-runs", json={**agent, "testCases": [case["testCaseId"]]})
    assert started.status_code == 201, started.text
    return started.json()


@pytest.mark.parametrize("agent_id", ["agent_D5D0p7TUs66TTAEAx", "D5D0p7TUs66TTAEAx"])
async def test_documented_samples_come_out_as_printed(
    api: httpx2.AsyncClient, agent_id: str
) -> None:
    query = {"agentId": agent_id}

    assert await get(api, "/v1/test-cases/tc_d17T6uReChpyfFeP", **query) == CASE
    assert await get(api, "/v1/batch-runs/batch_s0OJu2JWR8R45Fai", **query) == BATCH
    run = await get(
        api, "/v1/test-runs/job_ksUu5yRHGTLLrLeM", batchId="batch_s0OJu2JWR8R45Fai", **query
    )
    assert run == RUN


async def test_documented_creations_work_as_printed(api: httpx2.AsyncClient) -> None:
    created = await api.post("/v1/test-cases", json={"agentId": "D5D0p7TUs66TTAEAx", **NEW_CASE})
    documented = {**AGENT, "testCases": ["tc_xeeXG5hX9dl0VFNt", "tc_aQqGZoMIPbU5MXHV"]}
    started = await api.post("/v1/batch-runs", json=documented)

    assert created.status_code == 200
    assert {**created.json(), "testCaseId": CASE["testCaseId"]} == CASE
    assert started.status_code == 201
    assert set(started.json()) == {"batchId", "workspaceId", "agent", "createdDate"}


@pytest.mark.parametrize(
    "agent_id", ["agent_IqmljBh8eSEGAqKd", "SPIlVscbB0kkXBvZ", "mJzLaPEo425lieb9"]
)
async def test_every_agent_id_that_pages_print_exists(
    api: httpx2.AsyncClient, agent_id: str
) -> None:
    assert (await get(api, f"/v1/agents/{agent_id}"))["agentName"].endswith("(scripted)")
    assert (await get(api, "/v1/batch-runs", agentId=agent_id))["totalCount"] >= 3


async def test_attempts_run_in_parallel_take_time_and_finish_one_by_one(
    api: httpx2.AsyncClient, clock: Clock
) -> None:
    batch = await launch(api, {"agentId": FLAKY}, attempt=8)
    query = {"agentId": FLAKY}
    decided, shown = [], []

    for _ in range(70):
        state = await get(api, f"/v1/batch-runs/{batch['batchId']}", **query)
        runs = (await get(api, "/v1/test-runs", batchId=batch["batchId"], **query))["data"]
        decided.append(state["successfulAttempts"] + state["failedAttempts"])
        shown.append(sum(run["isSuccessful"] is not None for run in runs))
        assert state["totalAttempts"] == decided[-1]
        assert all((run["completedDate"] is None) == (run["isSuccessful"] is None) for run in runs)
        clock.turn(0.1)

    assert decided == shown == sorted(decided)
    assert (decided[0], decided[10], decided[-1]) == (0, 0, 8)
    assert len(set(decided)) >= 6  # one by one, not all at once


async def test_running_attempt_shows_the_conversation_so_far(
    api: httpx2.AsyncClient, clock: Clock
) -> None:
    batch = await launch(api, AGENT, attempt=1)
    query = {**AGENT, "batchId": batch["batchId"]}
    job = (await get(api, "/v1/test-runs", **query))["data"][0]["jobId"]
    lengths = []

    for _ in range(8):
        run = await get(api, f"/v1/test-runs/{job}", **query)
        lengths.append(len(run["conversation"]))
        clock.turn(1)

    assert lengths[0] == 0 and lengths == sorted(lengths)
    assert 5 <= lengths[-1] <= 20
    assert run["remarks"].startswith("Scripted sandbox judge:")
    assert {turn["role"] for turn in run["conversation"]} == {"user", "assistant"}


async def test_same_calls_give_the_same_conversations_under_one_seed() -> None:
    async def transcript(seed: int, day: int) -> Any:
        clock = Clock()
        clock.now = datetime(2026, 11, day, tzinfo=UTC)
        async with sandbox(clock=clock, seed=seed) as api:
            batch = await launch(api, AGENT)
            clock.turn(60)
            runs = (await get(api, "/v1/test-runs", batchId=batch["batchId"], **AGENT))["data"]
            query = {**AGENT, "batchId": batch["batchId"]}
            whole = [await get(api, f"/v1/test-runs/{run['jobId']}", **query) for run in runs]
            return [(run["jobId"], run["isSuccessful"], run["conversation"]) for run in whole]

    assert await transcript(7, 1) == await transcript(7, 20)
    assert await transcript(7, 1) != await transcript(8, 1)


async def test_database_file_keeps_everything_and_is_filled_once(
    tmp_path: Path, clock: Clock
) -> None:
    db = tmp_path / "sandbox.db"
    async with sandbox(db=db, clock=clock) as api:
        batch = await launch(api, AGENT)
    clock.turn(60)
    async with sandbox(db=db, clock=clock) as api:
        again = await get(api, f"/v1/batch-runs/{batch['batchId']}", **AGENT)
        agents = await get(api, "/v1/agents")

    assert again["totalAttempts"] == 5
    assert agents["totalCount"] == 4


async def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to be read as one" * 50, encoding="utf-8")

    with pytest.raises(ValueError, match="SQLite"):
        create_app(db=text)
    with pytest.raises(ValueError, match="SQLite"):
        create_app(db=tmp_path / "missing" / "sandbox.db")


async def test_history_has_a_solid_a_flaky_and_a_worse_agent(api: httpx2.AsyncClient) -> None:
    async def rates(agent_id: str) -> list[float]:
        batches = (await get(api, "/v1/batch-runs", agentId=agent_id))["data"]
        counted = [
            (batch["successfulAttempts"], batch["failedAttempts"]) for batch in reversed(batches)
        ]
        return [passed / (passed + failed) for passed, failed in counted]

    assert all(rate >= 0.95 for rate in await rates(SOLID))
    assert all(0.4 <= rate <= 0.8 for rate in await rates(FLAKY))
    *before, after = await rates(WORSE)
    assert all(rate >= 0.9 for rate in before) and after <= 0.6


async def test_history_is_long_enough_to_diagnose(api: httpx2.AsyncClient) -> None:
    batches, runs, remarks = 0, 0, Counter[str]()
    for agent in (await get(api, "/v1/agents"))["data"]:
        query = {"agentId": agent["agentId"]}
        for batch in (await get(api, "/v1/batch-runs", **query))["data"]:
            listed = (await get(api, "/v1/test-runs", batchId=batch["batchId"], size=100, **query))[
                "data"
            ]
            batches, runs = batches + 1, runs + len(listed)
            remarks.update(run["remarks"] for run in listed if run["isSuccessful"] is False)

    assert batches >= 10 and 200 <= runs <= 400
    assert len(remarks) >= 10  # failures of many kinds


async def test_one_attempt_of_the_history_landed_in_neither_counter(
    api: httpx2.AsyncClient,
) -> None:
    batches = (await get(api, "/v1/batch-runs", agentId=FLAKY))["data"]
    expected = [sum(case["attempt"] for case in batch["testCases"]) for batch in batches]

    assert [
        total - batch["totalAttempts"] for total, batch in zip(expected, batches, strict=True)
    ] == [0, 1, 0]


async def test_lists_come_in_the_documented_envelope(api: httpx2.AsyncClient) -> None:
    page = await get(api, "/v1/batch-runs", agentId=SOLID, page=1, size=2)
    past = await get(api, "/v1/batch-runs", agentId=SOLID, page=9)

    assert {name: page[name] for name in page if name != "data"} == {
        "page": 1, "size": 2, "totalCount": 3, "totalPages": 2, "hasNext": False, "hasPrevious": True,
    }  # fmt: skip
    assert len(page["data"]) == 1
    assert (past["data"], past["hasNext"]) == ([], False)
    newest_first = [
        batch["createdDate"] for batch in (await get(api, "/v1/batch-runs", agentId=SOLID))["data"]
    ]
    assert newest_first == sorted(newest_first, reverse=True)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "fields"),
    [
        ("POST", "/v1/test-cases", {}, 400, {"agentId", "userPrompt", "successCriteria"}),
        ("POST", "/v1/test-cases", {**AGENT, **NEW_CASE, "attempt": "5"}, 400, {"attempt"}),
        ("POST", "/v1/test-cases", {**AGENT, **NEW_CASE, "label": None}, 400, {"label"}),
        (
            "POST",
            "/v1/test-cases",
            {**AGENT, **NEW_CASE, "mockData": [{"value": 1}]},
            400,
            {"mockData.0.value"},
        ),
        ("POST", "/v1/test-cases", [], 400, set()),
        ("POST", "/v1/batch-runs", {**AGENT, "testCases": "tc_1"}, 400, {"testCases"}),
        ("POST", "/v1/batch-runs", {**AGENT, "testCases": []}, 409, {"testCases"}),
        ("POST", "/v1/batch-runs", {**AGENT, "testCases": ["tc_no"]}, 404, set()),
        ("POST", "/v1/batch-runs", {**AGENT, "testCases": ["tc_orderWhere000001"]}, 403, set()),
        ("GET", "/v1/batch-runs", None, 400, {"agentId"}),
        ("GET", "/v1/batch-runs?agentId=a&page=-1&size=0", None, 400, {"page", "size"}),
        ("GET", "/v1/batch-runs?agentId=nobody", None, 404, set()),
        ("GET", "/v1/test-runs/job_1?agentId=a", None, 400, {"batchId"}),
        ("GET", "/v1/nothing", None, 404, set()),
        ("GET", "/v1/agents/", None, 404, set()),
        ("DELETE", "/v1/test-cases/tc_1", None, 405, set()),
        ("PATCH", "/v1/test-cases/tc_1", {}, 405, set()),
    ],
)
async def test_refusals_have_the_documented_body(
    api: httpx2.AsyncClient, method: str, path: str, body: Any, status: int, fields: set[str]
) -> None:
    response = await api.request(method, path, json=body)
    error = response.json()

    assert response.status_code == error["status"] == status
    assert error["path"] == path.partition("?")[0] and error["error"] and error["message"]
    datetime.fromisoformat(error["timestamp"])
    assert set(error.get("validationErrors", {})) == fields
    assert status != 405 or "GET" in response.headers["Allow"]


@pytest.mark.parametrize("agent_id", ["", "nobody", SOLID])
async def test_object_that_exists_is_refused_to_any_other_agent_and_never_called_missing(
    api: httpx2.AsyncClient, agent_id: str
) -> None:
    query = {"agentId": agent_id, "batchId": BATCH["batchId"]}
    paths = [
        "test-cases/tc_d17T6uReChpyfFeP",
        "batch-runs/batch_s0OJu2JWR8R45Fai",
        "test-runs/job_ksUu5yRHGTLLrLeM",
    ]
    answers = [await api.get(f"/v1/{path}", params=query) for path in paths]
    answers.append(await api.put(f"/v1/{paths[0]}", json={"agentId": agent_id}))

    assert [answer.status_code for answer in answers] == [403] * 4


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
async def test_unreadable_body_is_a_400(api: httpx2.AsyncClient, body: bytes) -> None:
    assert (await api.post("/v1/test-cases", content=body)).status_code == 400


@pytest.mark.parametrize("value", ["NaN", "1e999", r'"\ud800"', r'{"\udfff": 1}'])
async def test_what_json_cannot_answer_again_is_not_stored(
    api: httpx2.AsyncClient, value: str
) -> None:
    refused = await api.post("/v1/agents", content='{"agentName": "Mine", "note": %s}' % value)  # noqa: UP031
    agents = await get(api, "/v1/agents")

    assert refused.status_code == 400
    assert "Mine" not in [agent["agentName"] for agent in agents["data"]]


async def test_body_of_another_type_is_a_415(api: httpx2.AsyncClient) -> None:
    refused = await api.post("/v1/agents", content="{}", headers={"Content-Type": "text/plain"})
    taken = await api.post(
        "/v1/agents", content="{}", headers={"Content-Type": "Application/JSON; charset=utf-8"}
    )

    assert (refused.status_code, refused.json()["status"], taken.status_code) == (415, 415, 200)


async def test_fields_that_the_api_sets_cannot_be_written(api: httpx2.AsyncClient) -> None:
    forged = {"testCaseId": CASE["testCaseId"], "workspaceId": 5, "agent": "none", "unknown": True}
    created = (await api.post("/v1/test-cases", json={**AGENT, **NEW_CASE, **forged})).json()
    updated = (
        await api.put(f"/v1/test-cases/{created['testCaseId']}", json={**AGENT, **forged})
    ).json()

    assert created == updated == {**CASE, "testCaseId": created["testCaseId"]}
    assert created["testCaseId"] != CASE["testCaseId"]
    assert await get(api, f"/v1/test-cases/{CASE['testCaseId']}", **AGENT) == CASE


async def test_pages_of_test_runs_hold_every_run_once(api: httpx2.AsyncClient) -> None:
    query = {
        "agentId": SOLID,
        "batchId": (await get(api, "/v1/batch-runs", agentId=SOLID))["data"][0]["batchId"],
    }
    whole = await get(api, "/v1/test-runs", size=2**31 - 1, **query)
    pages = [await get(api, "/v1/test-runs", page=page, size=10, **query) for page in range(4)]

    assert [run for page in pages for run in page["data"]] == whole["data"]
    assert [(len(page["data"]), page["hasNext"]) for page in pages] == [
        (10, True),
        (10, True),
        (4, False),
        (0, False),
    ]
    assert {page["totalCount"] for page in pages} == {24}


@pytest.mark.parametrize(
    ("key", "sent", "status"),
    [
        (None, "any", 200),
        (None, None, 401),
        (None, " ", 401),
        (SANDBOX_KEY, SANDBOX_KEY, 200),
        (SANDBOX_KEY, "any", 401),
    ],
)
async def test_key_is_checked(key: str | None, sent: str | None, status: int) -> None:
    async with sandbox(key=key) as api:
        del api.headers["X-API-Key"]
        response = await api.get(
            "/v1/agents", headers={"X-API-Key": sent} if sent is not None else {}
        )

    assert response.status_code == status


async def test_update_keeps_what_it_was_not_given(api: httpx2.AsyncClient) -> None:
    path = "/v1/test-cases/tc_d17T6uReChpyfFeP"
    updated = (await api.put(path, json={**AGENT, "attempt": 2})).json()

    assert updated == {**CASE, "attempt": 2} == await get(api, path, **AGENT)


async def test_agents_can_be_added_and_changed(api: httpx2.AsyncClient, clock: Clock) -> None:
    added = (
        await api.post("/v1/agents", json={"agentName": "Mine", "welcomeMessage": "Hi {{who}},"})
    ).json()
    settings = {"agentSettings": {"aiStartsConversation": True}}
    changed = (await api.patch(f"/v1/agents/{added['agentId']}", json=settings)).json()
    mine = {"agentId": added["agentId"]}
    batch = await launch(api, mine, attempt=1)
    clock.turn(60)
    query = {**mine, "batchId": batch["batchId"]}
    job = (await get(api, "/v1/test-runs", **query))["data"][0]["jobId"]

    assert changed == {**added, **settings}
    first = (await get(api, f"/v1/test-runs/{job}", **query))["conversation"][0]
    assert first == {
        "role": "assistant",
        "content": "Hi ,",
    }  # an unfilled variable silently becomes nothing


async def test_chat_of_a_run_can_be_read(api: httpx2.AsyncClient) -> None:
    chat = await get(api, "/v1/chats/chat_IpELinkFvINQ1212")

    assert chat["status"] == "ended"
    assert chat["messages"][0]["content"] == ["I want to cancel my subscription immediately."]
    assert chat["dynamicVariables"] == {"customer_name": "John Doe", "account_status": "active"}


async def test_chat_tells_a_broken_attempt_from_one_that_runs(api: httpx2.AsyncClient) -> None:
    async def states(agent_id: str, batch_id: str) -> Counter[str]:
        runs = (await get(api, "/v1/test-runs", agentId=agent_id, batchId=batch_id, size=100))[
            "data"
        ]
        return Counter([(await get(api, f"/v1/chats/{run['chatId']}"))["status"] for run in runs])

    past = (await get(api, "/v1/batch-runs", agentId=FLAKY))["data"][1]["batchId"]
    started = (await launch(api, AGENT))["batchId"]

    assert await states(FLAKY, past) == {"ended": 29, "error": 1}
    assert await states(AGENT["agentId"], started) == {"in_progress": 5}


async def test_older_pages_are_spoken_on_request(clock: Clock) -> None:
    async with sandbox(clock=clock, knobs=SandboxOptions(older_pages=True)) as api:
        cases = await get(api, "/v1/test-cases", **AGENT)
        query = {**AGENT, "batchId": "batch_s0OJu2JWR8R45Fai"}
        run = await get(api, "/v1/test-runs/job_ksUu5yRHGTLLrLeM", **query)
        started = await api.post(
            "/v1/batch-runs", json={**AGENT, "testCases": ["tc_d17T6uReChpyfFeP"]}
        )

    assert isinstance(cases, list) and not any("label" in case for case in cases)
    assert run["isSuccesful"] is True and not {"isSuccessful", "conversation"} & set(run)
    assert (run["chatId"], run["agent"]["agentId"]) == (
        "chat-IpELinkFvINQ1212",
        "D5D0p7TUs66TTAEAx",
    )
    assert (started.status_code, started.content) == (200, b"")


async def test_list_of_test_runs_can_be_refused() -> None:
    async with sandbox(knobs=SandboxOptions(run_list=False)) as api:
        refused = await api.get(
            "/v1/test-runs", params={**AGENT, "batchId": "batch_s0OJu2JWR8R45Fai"}
        )

    assert refused.status_code == 404


@pytest.mark.parametrize(("live", "shown"), [(False, 5), (True, 9)])
async def test_old_batches_show_definitions_as_they_were_or_as_they_are(
    live: bool, shown: int
) -> None:
    async with sandbox(knobs=SandboxOptions(live_definitions=live)) as api:
        await api.put("/v1/test-cases/tc_d17T6uReChpyfFeP", json={**AGENT, "attempt": 9})
        batch = await get(api, "/v1/batch-runs/batch_s0OJu2JWR8R45Fai", **AGENT)

    assert batch["testCases"][0]["attempt"] == shown


async def test_pace_stretches_attempts(clock: Clock) -> None:
    async with sandbox(clock=clock, knobs=SandboxOptions(pace=20)) as api:
        batch = await launch(api, AGENT)
        clock.turn(25)
        early = await get(api, f"/v1/batch-runs/{batch['batchId']}", **AGENT)
        clock.turn(100)
        late = await get(api, f"/v1/batch-runs/{batch['batchId']}", **AGENT)

    assert (early["totalAttempts"], late["totalAttempts"]) == (0, 5)


async def test_more_attempts_than_the_sandbox_runs_are_refused(api: httpx2.AsyncClient) -> None:
    case = (await api.post("/v1/test-cases", json={**AGENT, **NEW_CASE, "attempt": 10_001})).json()
    refused = await api.post("/v1/batch-runs", json={**AGENT, "testCases": [case["testCaseId"]]})

    assert refused.status_code == 409 and "10000" in refused.json()["message"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{{",
        "((((",
        "\\",
        "a" * 32_000,
        "want to " * 4000,
        "Я хочу вернуть деньги",
        "\x00\n\ufeff",
        "{{x}}",
    ],
    ids=range(10),
)
async def test_any_text_can_be_simulated(api: httpx2.AsyncClient, clock: Clock, text: str) -> None:
    mock = [{"variableName": text, "value": text}, {"variableName": "name", "value": text}]
    changes = {"userPrompt": text, "successCriteria": text, "mockData": mock, "attempt": 3}
    batch = await launch(api, AGENT, **changes)
    clock.turn(60)

    assert (await get(api, f"/v1/batch-runs/{batch['batchId']}", **AGENT))["totalAttempts"] == 3
