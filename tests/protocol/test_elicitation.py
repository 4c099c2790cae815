"""A person's answer counts for one exact launch, once (R22)."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import mcp_types
import pytest
from mcp import Client

from sigmamind_mcp.api import idempotency as idempotency_module
from sigmamind_mcp.protocol import elicitation as elicitation_module
from sigmamind_mcp.protocol.elicitation import ANSWER_SECONDS, UsedAnswers
from tests.conftest import KEY, connected
from tests.support.fake_api import AGENT, CREATED_BATCH, ERROR, FakeAPI

pytestmark = pytest.mark.anyio

AGENT_ID = AGENT["agentId"]
START = {"agentId": AGENT_ID, "testCases": ["tc_1", "tc_2"]}
YES = mcp_types.ElicitResult(action="accept", content={"start": True})
NO = mcp_types.ElicitResult(action="decline")
SAME_LAUNCH: dict[str, dict[str, Any]] = {
    "unchanged": {},
    "confirmAttempts": {"confirmAttempts": 60},
    "allowDuplicate": {"allowDuplicate": True},
    "no duplicate": {"allowDuplicate": False},
    "both": {"confirmAttempts": 60, "allowDuplicate": True},
    "null": {"confirmAttempts": None, "allowDuplicate": None},
    "as text": {"testCases": '["tc_1", "tc_2"]'},
}
REPLAYS = {**SAME_LAUNCH, "wrong confirmAttempts": {"confirmAttempts": 61}}
OTHER_LAUNCH: dict[str, dict[str, Any]] = {
    "other order": {"testCases": ["tc_2", "tc_1"], "allowDuplicate": True},
    "more": {"testCases": ["tc_1", "tc_2", "tc_3"]},
    "other cases": {"testCases": ["tc_3", "tc_4"]},
    "agent without prefix": {
        "agentId": AGENT_ID.removeprefix("agent_"),
        "allowDuplicate": True,
    },
}


@pytest.fixture
def costly(fake_api: FakeAPI) -> FakeAPI:
    """Test cases of 30 attempts each."""
    fake_api.offer("tc_1", "tc_2", "tc_3", "tc_4", attempt=30)
    batch_ids = iter(range(1_000))
    fake_api.answer(
        "POST",
        "/v1/batch-runs",
        lambda asked: {**CREATED_BATCH, "batchId": f"batch_{next(batch_ids)}"},
    )
    return fake_api


@pytest.fixture
async def mcp(costly: FakeAPI) -> AsyncIterator[Client]:
    async def unused(*args: Any) -> mcp_types.ElicitResult:
        raise AssertionError("the test answers itself")

    async with connected(
        mode="2026-07-28", elicitation_callback=unused, base_url=costly.url, api_key=KEY
    ) as client:
        yield client


async def call(mcp: Client, arguments: dict[str, Any], **answer: Any) -> Any:
    return await mcp.session.call_tool(
        "create_batch_run", arguments, allow_input_required=True, **answer
    )


async def ask(mcp: Client, arguments: dict[str, Any] = START) -> str:
    """Call without an answer; return the state of the question."""
    asked = await call(mcp, arguments)
    assert isinstance(asked, mcp_types.InputRequiredResult) and asked.request_state
    return asked.request_state


def bring(state: str, answer: mcp_types.ElicitResult = YES, **more: Any) -> dict[str, Any]:
    return {"input_responses": {"confirmation": answer, **more}, "request_state": state}


@pytest.mark.parametrize("added", REPLAYS.values(), ids=REPLAYS)
@pytest.mark.parametrize("first", SAME_LAUNCH.values(), ids=SAME_LAUNCH)
async def test_one_yes_starts_one_batch_run_whatever_a_replay_adds(
    mcp: Client, costly: FakeAPI, first: dict[str, Any], added: dict[str, Any]
) -> None:
    answer = bring(await ask(mcp))

    started = await call(mcp, {**START, **first}, **answer)
    for _ in range(2):
        replayed = await call(mcp, {**START, **added}, **answer)
        assert replayed.structured_content["repeated"] is True
        assert replayed.structured_content["batchId"] == started.structured_content["batchId"]

    assert len(costly.posts) == 1


@pytest.mark.parametrize("other", OTHER_LAUNCH.values(), ids=OTHER_LAUNCH)
@pytest.mark.parametrize("is_first", [True, False])
async def test_yes_to_one_launch_starts_no_other(
    mcp: Client, costly: FakeAPI, other: dict[str, Any], is_first: bool
) -> None:
    answer = bring(await ask(mcp))
    if not is_first:
        await call(mcp, START, **answer)

    asked = await call(mcp, {**START, **other}, **answer)

    assert isinstance(asked, mcp_types.InputRequiredResult)
    assert len(costly.posts) == (0 if is_first else 1)


async def test_replays_at_once_start_one_batch_run(mcp: Client, costly: FakeAPI) -> None:
    answer = bring(await ask(mcp))
    results: list[Any] = []

    async def replay(added: dict[str, Any]) -> None:
        results.append(await call(mcp, {**START, **added}, **answer))

    async with anyio.create_task_group() as group:
        for added in list(SAME_LAUNCH.values()) * 3:
            group.start_soon(replay, added)

    assert {result.structured_content["batchId"] for result in results} == {"batch_0"}
    assert len(costly.posts) == 1


@pytest.mark.parametrize("added", REPLAYS.values(), ids=REPLAYS)
@pytest.mark.parametrize("status", [500, 504])
async def test_yes_whose_outcome_is_unknown_is_not_used_again(
    mcp: Client, costly: FakeAPI, status: int, added: dict[str, Any]
) -> None:
    costly.answer("POST", "/v1/batch-runs", ERROR, status)
    answer = bring(await ask(mcp))

    for arguments in (START, {**START, **added}):
        result = await call(mcp, arguments, **answer)
        assert result.is_error and "may have been made" in result.content[0].text

    assert len(costly.posts) == 1


@pytest.mark.parametrize("status", [400, 429])
async def test_yes_whose_launch_was_refused_is_asked_for_again(
    mcp: Client, costly: FakeAPI, status: int
) -> None:
    costly.answer("POST", "/v1/batch-runs", ERROR, status)
    answer = bring(await ask(mcp))
    assert (await call(mcp, START, **answer)).is_error

    again = await call(mcp, START, **answer)

    assert isinstance(again, mcp_types.InputRequiredResult) and len(costly.posts) == 1


async def test_no_cannot_become_a_yes(mcp: Client, costly: FakeAPI) -> None:
    state = await ask(mcp)
    assert (await call(mcp, START, **bring(state, NO))).is_error

    again = await call(mcp, START, **bring(state, YES))

    assert isinstance(again, mcp_types.InputRequiredResult) and costly.posts == []


@pytest.mark.parametrize(
    "forge",
    [
        lambda state: state[:-1] + ("0" if state[-1] != "0" else "1"),
        lambda state: state.upper(),
        lambda state: f"{state} ",
        lambda state: f" {state}",
        lambda state: f"9{state}",
        lambda state: "1 2 3",
        lambda state: "\ud83d",
    ],
)
async def test_forged_state_is_no_answer(mcp: Client, costly: FakeAPI, forge: Any) -> None:
    forged = forge(await ask(mcp))

    result = await call(mcp, START, **bring(forged))

    assert isinstance(result, mcp_types.InputRequiredResult) and costly.posts == []


async def test_question_is_asked_again_when_the_hour_has_grown(
    mcp: Client, costly: FakeAPI
) -> None:
    """The person agreed to a total that is no longer true."""
    state = await ask(mcp)
    other = {**START, "testCases": ["tc_3"]}
    await call(mcp, other)

    again = await call(mcp, START, **bring(state))

    assert isinstance(again, mcp_types.InputRequiredResult) and len(costly.posts) == 1
    (request,) = (again.input_requests or {}).values()
    assert "in the last hour, that makes 90." in request.params.message  # type: ignore[union-attr]


async def test_used_yes_is_known_even_when_the_write_is_forgotten(
    mcp: Client, costly: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency_module, "MOST_REMEMBERED", 10)
    costly.answer("POST", "/v1/test-cases", {"testCaseId": "tc_9"})
    answer = bring(await ask(mcp))
    await call(mcp, START, **answer)
    for number in range(20):
        case = {"agentId": AGENT_ID, "userPrompt": f"{number}", "successCriteria": "y"}
        await mcp.call_tool("create_test_case", case)

    again = await call(mcp, {**START, "allowDuplicate": True}, **answer)

    assert isinstance(again, mcp_types.InputRequiredResult)
    assert [asked.path for asked in costly.posts].count("/v1/batch-runs") == 1


def test_of_very_many_answers_none_counts_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(elicitation_module, "monotonic", lambda: now[0])
    monkeypatch.setattr(elicitation_module, "MOST_USED_ANSWERS", 100)
    used = UsedAnswers()
    states = []
    for number in range(1_000):
        now[0] += 0.5
        states.append(f"{int(now[0])} {number} signature")
        used.use(states[-1])

    assert not any(used.use(state) for state in states)
    assert len(used._states) <= 100
    now[0] += ANSWER_SECONDS + 2
    assert used.use(f"{int(now[0])} new signature")
