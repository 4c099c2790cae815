"""Attempts take time, on a clock that the test sets; the samples have a history."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest

from sigmamind_mcp.sandbox import SandboxOptions
from sigmamind_mcp.sandbox import app as app_module
from sigmamind_mcp.sandbox.launching import ATTEMPTS_IN_A_TURN, launch_batch_run
from sigmamind_mcp.sandbox.store import Store
from tests.sandbox.conftest import (
    AGENT,
    FLAKY,
    NEW_CASE,
    SOLID,
    WORSE,
    Clock,
    get,
    launch,
    open_sandbox,
)

pytestmark = pytest.mark.anyio


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
        clock.advance(0.1)

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
        clock.advance(1)

    assert lengths[0] == 0 and lengths == sorted(lengths)
    assert 5 <= lengths[-1] <= 20
    assert run["remarks"].startswith("Scripted sandbox judge:")
    assert {turn["role"] for turn in run["conversation"]} == {"user", "assistant"}


async def test_same_calls_give_the_same_conversations_under_one_seed() -> None:
    async def transcript(seed: int, day: int) -> Any:
        clock = Clock()
        clock.now = datetime(2026, 11, day, tzinfo=UTC)
        async with open_sandbox(clock=clock, seed=seed) as api:
            batch = await launch(api, AGENT)
            clock.advance(60)
            runs = (await get(api, "/v1/test-runs", batchId=batch["batchId"], **AGENT))["data"]
            query = {**AGENT, "batchId": batch["batchId"]}
            whole = [await get(api, f"/v1/test-runs/{run['jobId']}", **query) for run in runs]
            return [(run["jobId"], run["isSuccessful"], run["conversation"]) for run in whole]

    assert await transcript(7, 1) == await transcript(7, 20)
    assert await transcript(7, 1) != await transcript(8, 1)


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


async def test_one_attempt_of_the_history_is_in_neither_counter(
    api: httpx2.AsyncClient,
) -> None:
    batches = (await get(api, "/v1/batch-runs", agentId=FLAKY))["data"]
    expected = [sum(case["attempt"] for case in batch["testCases"]) for batch in batches]

    assert [
        total - batch["totalAttempts"] for total, batch in zip(expected, batches, strict=True)
    ] == [0, 1, 0]


async def test_pace_stretches_attempts(clock: Clock) -> None:
    async with open_sandbox(clock=clock, options=SandboxOptions(pace=20)) as api:
        batch = await launch(api, AGENT)
        clock.advance(25)
        early = await get(api, f"/v1/batch-runs/{batch['batchId']}", **AGENT)
        clock.advance(100)
        late = await get(api, f"/v1/batch-runs/{batch['batchId']}", **AGENT)

    assert (early["totalAttempts"], late["totalAttempts"]) == (0, 5)


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
    clock.advance(60)

    assert (await get(api, f"/v1/batch-runs/{batch['batchId']}", **AGENT))["totalAttempts"] == 3


async def test_broken_attempt_never_ends(api: httpx2.AsyncClient) -> None:
    past = (await get(api, "/v1/batch-runs", agentId=FLAKY))["data"][1]["batchId"]
    query = {"agentId": FLAKY, "batchId": past}
    runs = (await get(api, "/v1/test-runs", size=100, **query))["data"]
    (broken,) = [run for run in runs if run["completedDate"] is None]
    run = await get(api, f"/v1/test-runs/{broken['jobId']}", **query)

    assert len(runs) == 30
    assert (run["isSuccessful"], run["remarks"]) == (None, None)
    assert run["conversation"]


def test_agent_that_starts_greets_and_an_unfilled_variable_becomes_nothing() -> None:
    store = Store(None, seed=7)
    agent = {
        "agentSettings": {"aiStartsConversation": True},
        "welcomeMessage": "Hi {{who}},",
    }
    store.put_agent("mine", agent)
    test_case = {**NEW_CASE, "testCaseId": "tc_1", "attempt": 1}

    batch = launch_batch_run(store, "mine", [test_case], at=datetime(2026, 11, 1, tzinfo=UTC))

    (run,) = store.list_test_runs(batch.batch_id, start=0, size=10)
    assert (run.conversation[0].role, run.conversation[0].content) == ("assistant", "Hi ,")


async def test_launch_of_very_many_attempts_lets_other_requests_through() -> None:
    """R35."""
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with open_sandbox() as api, anyio.create_task_group() as group:
        case = {**NEW_CASE, **AGENT, "attempt": 2_000}
        created = (await api.post("/v1/test-cases", json=case)).json()
        group.start_soon(count_turns)
        before = turns
        launched = await api.post(
            "/v1/batch-runs", json={**AGENT, "testCases": [created["testCaseId"]]}
        )
        group.cancel_scope.cancel()

    assert launched.status_code == 201
    assert turns - before >= 2_000 / ATTEMPTS_IN_A_TURN - 2


async def test_sandbox_stores_a_limited_number_of_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_sandbox() as api:
        case = {**NEW_CASE, **AGENT, "attempt": 100}
        created = (await api.post("/v1/test-cases", json=case)).json()
        batch = {**AGENT, "testCases": [created["testCaseId"]]}
        stored = 0
        monkeypatch.setattr(app_module, "MAX_STORED_ATTEMPTS", 1_000)
        while (answer := await api.post("/v1/batch-runs", json=batch)).status_code == 201:
            stored += 1

    assert 0 < stored < 10
    assert answer.status_code == 409 and "stores at most 1000 attempts" in answer.text
