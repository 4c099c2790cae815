"""The sandbox's REST API, over its real app and database."""

from datetime import datetime
from typing import Any

import httpx2
import pytest

from sigmamind_mcp.sandbox import SANDBOX_KEY, SandboxOptions
from tests.sandbox.conftest import AGENT, NEW_CASE, SOLID, Clock, get, open_sandbox
from tests.support.fake_api import BATCH, CASE, RUN

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("agent_id", ["agent_D5D0p7TUs66TTAEAx", "D5D0p7TUs66TTAEAx"])
async def test_documented_samples_are_answered_as_documented(
    api: httpx2.AsyncClient, agent_id: str
) -> None:
    query = {"agentId": agent_id}

    assert await get(api, "/v1/test-cases/tc_d17T6uReChpyfFeP", **query) == CASE
    assert await get(api, "/v1/batch-runs/batch_s0OJu2JWR8R45Fai", **query) == BATCH
    run = await get(
        api, "/v1/test-runs/job_ksUu5yRHGTLLrLeM", batchId="batch_s0OJu2JWR8R45Fai", **query
    )
    assert run == RUN


async def test_documented_creations_work_as_documented(api: httpx2.AsyncClient) -> None:
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
async def test_every_documented_agent_id_exists(api: httpx2.AsyncClient, agent_id: str) -> None:
    assert (await get(api, f"/v1/agents/{agent_id}"))["agentName"].endswith("(scripted)")
    assert (await get(api, "/v1/batch-runs", agentId=agent_id))["totalCount"] >= 3


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
        ("POST", "/v1/agents", {}, 405, set()),
        ("GET", "/v1/chats/chat_IpELinkFvINQ1212", None, 404, set()),
    ],
)
async def test_errors_have_the_documented_body(
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
async def test_object_of_another_agent_is_a_403_and_never_a_404(
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
    async with open_sandbox(key=key) as api:
        del api.headers["X-API-Key"]
        response = await api.get(
            "/v1/agents", headers={"X-API-Key": sent} if sent is not None else {}
        )

    assert response.status_code == status


async def test_update_keeps_the_fields_that_it_does_not_contain(api: httpx2.AsyncClient) -> None:
    path = "/v1/test-cases/tc_d17T6uReChpyfFeP"
    updated = (await api.put(path, json={**AGENT, "attempt": 2})).json()

    assert updated == {**CASE, "attempt": 2} == await get(api, path, **AGENT)


async def test_older_pages_can_be_imitated(clock: Clock) -> None:
    async with open_sandbox(clock=clock, options=SandboxOptions(older_pages=True)) as api:
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


async def test_list_of_test_runs_can_be_switched_off() -> None:
    async with open_sandbox(options=SandboxOptions(run_list=False)) as api:
        refused = await api.get(
            "/v1/test-runs", params={**AGENT, "batchId": "batch_s0OJu2JWR8R45Fai"}
        )

    assert refused.status_code == 404


@pytest.mark.parametrize(("live", "shown"), [(False, 5), (True, 9)])
async def test_old_batches_show_definitions_as_they_were_or_as_they_are(
    live: bool, shown: int
) -> None:
    async with open_sandbox(options=SandboxOptions(live_definitions=live)) as api:
        await api.put("/v1/test-cases/tc_d17T6uReChpyfFeP", json={**AGENT, "attempt": 9})
        batch = await get(api, "/v1/batch-runs/batch_s0OJu2JWR8R45Fai", **AGENT)

    assert batch["testCases"][0]["attempt"] == shown


async def test_more_attempts_than_the_sandbox_runs_are_refused(api: httpx2.AsyncClient) -> None:
    case = (await api.post("/v1/test-cases", json={**AGENT, **NEW_CASE, "attempt": 10_001})).json()
    refused = await api.post("/v1/batch-runs", json={**AGENT, "testCases": [case["testCaseId"]]})

    assert refused.status_code == 409 and "10000" in refused.json()["message"]


async def test_agent_that_is_no_longer_told_a_step_misses_it(
    api: httpx2.AsyncClient, clock: Clock
) -> None:
    before = await get(api, f"/v1/agents/{SOLID}")
    told = before["instructions"].replace("State the delivery date {{delivery_date}}.", "")
    changed = await api.patch(f"/v1/agents/{SOLID}", json={"instructions": told})
    assert changed.status_code == 200
    assert await get(api, f"/v1/agents/{SOLID}") == {**before, "instructions": told}
    refused = await api.patch(f"/v1/agents/{SOLID}", json={"tools": [1]})
    assert refused.status_code == 400

    cases = ["tc_orderWhere000001", "tc_orderPickup00003"]
    launch = {"agentId": SOLID, "testCases": cases}
    batch = (await api.post("/v1/batch-runs", json=launch)).json()
    clock.advance(60)
    runs = await get(api, "/v1/test-runs", agentId=SOLID, batchId=batch["batchId"], size=100)

    passed = dict.fromkeys(cases, 0)
    for run in runs["data"]:
        passed[run["testCase"]["testCaseId"]] += run["isSuccessful"]
    assert passed["tc_orderWhere000001"] <= 3 and passed["tc_orderPickup00003"] >= 7
