"""tools/list and tools/call: which tools are on offer, and what a call without one gets."""

import anyio
import mcp_types
import pytest
from mcp import Client

from sigmamind_mcp.api import transport as transport_module
from sigmamind_mcp.heavy_work import CALLS_PER_CALLER
from sigmamind_mcp.protocol.catalogue import TOOLS, Tool
from sigmamind_mcp.tools.arguments import Arguments
from sigmamind_mcp.tools.batch_runs import WaitForBatchRun
from tests.conftest import connected, text_of
from tests.support.fake_api import CASE, FakeAPI
from tests.support.processes import RawClient
from tests.test_mutated_bodies import CALLS
from tests.transports.raw_http import IN_BATCH


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_older_clients_get_the_uri_in_the_text_alone(raw: RawClient, version: str) -> None:
    raw.initialize(version)

    (block,) = raw.ask("tools/call", {"name": "get_batch_run", "arguments": IN_BATCH})["result"][
        "content"
    ]

    assert "Resource: sigmamind://agents/" in block["text"]


def test_unknown_tool_is_a_protocol_error_that_names_the_nearest_in_one_sentence(
    raw: RawClient,
) -> None:
    raw.initialize("2025-11-25")

    error = raw.ask("tools/call", {"name": "list_testcases", "arguments": {}})["error"]

    assert (error["code"], error["message"]) == (
        -32602,
        "There is no such tool. Similar names: list_test_cases, get_test_case, list_test_runs. tools/list shows all.",
    )


def test_without_a_key_the_server_starts_and_each_call_says_which_setting_is_missing() -> None:
    raw = RawClient()
    raw.initialize("2025-11-25")

    tools = raw.ask("tools/list", {})["result"]["tools"]
    result = raw.ask("tools/call", {"name": "get_batch_run", "arguments": IN_BATCH})["result"]

    assert len(tools) == len(TOOLS)
    assert result["isError"] and "SIGMAMIND_API_KEY" in result["content"][0]["text"]
    raw.close()


def test_read_only_hides_the_tools_that_write_and_refuses_them() -> None:
    raw = RawClient("--read-only", SIGMAMIND_API_KEY="k")
    raw.initialize("2025-11-25")

    tools = [tool["name"] for tool in raw.ask("tools/list", {})["result"]["tools"]]
    error = raw.ask("tools/call", {"name": "create_test_case", "arguments": {}})["error"]

    assert not any(name.startswith("create") for name in tools) and len(tools) == sum(
        not tool.writes for tool in TOOLS
    )
    assert "read-only" in error["message"]
    raw.close()


def end_calls_after(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    def limit(tool: Tool, args: Arguments) -> float:
        return seconds

    monkeypatch.setattr(Tool, "limit_seconds", limit)
    monkeypatch.setattr(transport_module, "LEAST_WRITE_SECONDS", 0.05)


@pytest.mark.anyio
@pytest.mark.parametrize("name", [tool.name for tool in TOOLS])
async def test_every_call_ends_by_its_own_limit_when_the_api_hangs(
    mcp: Client, fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """R27."""
    end_calls_after(monkeypatch, 1.2)
    fake_api.stall.clear()

    with anyio.fail_after(8):  # the fake API gives up after 10 s
        result = await mcp.call_tool(name, CALLS.get(name, IN_BATCH))

    text = text_of(result)
    if name == "check_test_case":  # it needs nothing that the API has
        assert not result.is_error and "Skipped: " in text
    else:
        assert result.is_error and ("within" in text or "may have been made" in text)


@pytest.mark.anyio
@pytest.mark.parametrize("tool", ["create_test_case", "update_test_case"])
async def test_write_that_is_cut_by_the_end_of_its_call_has_an_unknown_outcome(
    mcp: Client, fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    end_calls_after(monkeypatch, 1.3)
    fake_api.answer("GET", "/v1/test-cases/t1", {"testCaseId": "t1", "attempt": 1})
    fake_api.stalled = "POST PUT"
    fake_api.stall.clear()

    result = await mcp.call_tool(tool, CALLS[tool])

    assert result.is_error and "may have been made" in text_of(result)


@pytest.mark.anyio
async def test_write_is_not_begun_when_its_call_is_about_to_end(
    mcp: Client, fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_calls_after(monkeypatch, 1.2)
    monkeypatch.setattr(transport_module, "LEAST_WRITE_SECONDS", 10.0)

    result = await mcp.call_tool("create_test_case", CALLS["create_test_case"])

    assert result.is_error and "nothing was written" in text_of(result)
    assert not fake_api.posts


@pytest.mark.anyio
async def test_call_without_an_answer_at_its_end_says_what_to_do(
    mcp: Client, fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API answers, but the tool goes on for longer than it may."""
    end_calls_after(monkeypatch, 0.05)

    async def never_end(*args: object) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(Tool, "call", never_end)
    read = await mcp.call_tool("get_agent", CALLS["get_agent"])
    written = await mcp.call_tool("create_test_case", CALLS["create_test_case"])

    assert "get_agent did not end within 0 s. Try again." in text_of(read)
    assert "The same call within 10 minutes gives its result" in text_of(written)


@pytest.mark.anyio
async def test_person_may_take_longer_to_answer_than_a_call_may(
    fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_calls_after(monkeypatch, 1.3)
    fake_api.offer("t1", attempt=100)
    fake_api.answer("POST", "/v1/batch-runs", {"batchId": "batch_1"})

    async def answer_late(context: object, params: object) -> mcp_types.ElicitResult:
        await anyio.sleep(1.5)
        return mcp_types.ElicitResult(action="accept", content={"start": True})

    settings = {"base_url": fake_api.url, "api_key": "k"}
    connection = connected(mode="legacy", elicitation_callback=answer_late, **settings)
    async with connection as mcp:
        launch = {"agentId": CASE["agent"]["agentId"], "testCases": ["t1"]}
        result = await mcp.call_tool("create_batch_run", launch)

    assert not result.is_error, text_of(result)


def test_limit_of_a_wait_is_what_its_caller_asks_for() -> None:
    (tool,) = [tool for tool in TOOLS if tool.name == "wait_for_batch_run"]
    for asked, seconds in [(0, 10), (5, 10), (45, 46), (300, 301)]:
        args = WaitForBatchRun.model_validate({**IN_BATCH, "maxSeconds": asked})
        assert tool.limit_seconds(args) == seconds


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("diagnose_batch_run", {"batchId": "b"}),
        ("read_test_runs", {"batchId": "b"}),
        ("search_test_runs", {"text": "x"}),
        ("compare_batch_runs", {"baseBatchId": "b", "candidateBatchId": "c"}),
        ("get_test_case_history", {"testCaseId": "t"}),
    ],
)
async def test_few_calls_of_a_caller_read_transcripts_at_once(
    mcp: Client,
    fake_api: FakeAPI,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    arguments: dict[str, str],
) -> None:
    """R35."""
    end_calls_after(monkeypatch, 2)  # so short that a call without a slot does not wait for one
    fake_api.stall.clear()
    refused = 0

    async def call() -> None:
        nonlocal refused
        result = await mcp.call_tool(name, {"agentId": "a", **arguments})
        refused += "Other calls that read many transcripts" in text_of(result)

    with anyio.fail_after(8):
        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(call)
    assert refused == 6 - CALLS_PER_CALLER
