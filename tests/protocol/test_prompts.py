"""Prompts: complete instructions with the person's ids in them, and -32602 for what cannot be filled in."""

import re

import pytest
from mcp import Client, MCPError
from mcp_types import INVALID_PARAMS, Prompt, PromptReference

from sigmamind_mcp.protocol.catalogue import TOOLS
from sigmamind_mcp.protocol.prompts import PROMPTS
from sigmamind_mcp.protocol.resources import GUIDES
from tests.conftest import KEY, connected
from tests.support.fake_api import BATCH, FakeAPI, page

pytestmark = pytest.mark.anyio

FILLED = {
    "author_test_cases": {"agentId": "agent_1", "focus": "refunds above 50 euros"},
    "diagnose_batch_run": {"agentId": "agent_1", "batchId": "batch_1"},
    "regression_check": {
        "agentId": "agent_1",
        "baseBatchId": "batch_1",
        "candidateBatchId": "batch_2",
    },
}


async def text_of_prompt(mcp: Client, name: str, **filled: str) -> str:
    result = await mcp.get_prompt(name, filled)
    (message,) = result.messages
    assert message.role == "user" and message.content.type == "text"
    return message.content.text


@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize("read_only", [False, True])
async def test_prompt_holds_what_was_filled_in_and_names_only_tools_on_offer(
    name: str, read_only: bool
) -> None:
    async with connected(sandbox=True, read_only=read_only) as mcp:
        offered = {tool.name for tool in (await mcp.list_tools()).tools}
        text = await text_of_prompt(mcp, name, **FILLED[name])

    assert all(value in text for value in FILLED[name].values())
    named = set(re.findall(r"[a-z]+(?:_[a-z]+)+", text)) & {tool.name for tool in TOOLS}
    assert len(named) >= 3 and named <= offered
    assert set(re.findall(r"sigmamind://guide/([a-z-]+)", text)) <= set(GUIDES)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize(
    ("name", "filled", "says"),
    [
        ("write_poem", {}, "author_test_cases, diagnose_batch_run, regression_check"),
        ("diagnose_batch_run", {"agentId": "agent_1"}, "batchId is missing"),
        ("diagnose_batch_run", {"agentId": "agent_1", "batchId": " "}, "batchId is missing"),
        ("diagnose_batch_run", {"agentId": "agent_1", "batchId": "../x"}, "batchId must be an id"),
        ("regression_check", {**FILLED["diagnose_batch_run"]}, "does not take batchId"),
        (
            "author_test_cases",
            {"agentId": "agent_1", "focus": "x" * 1001},
            "at most 1,000 characters",
        ),
    ],
)
async def test_what_cannot_be_filled_in_is_invalid_params(
    mode: str, name: str, filled: dict[str, str], says: str
) -> None:
    async with connected(mode=mode, sandbox=True) as mcp:
        with pytest.raises(MCPError, match=says) as caught:
            await mcp.get_prompt(name, filled)

    assert caught.value.code == INVALID_PARAMS


async def test_what_was_left_empty_counts_as_not_given() -> None:
    async with connected(sandbox=True) as mcp:
        filled = {"agentId": "agent_1", "baseBatchId": "batch_1"}
        found = await text_of_prompt(mcp, "regression_check", **filled, candidateBatchId="")

        assert found == await text_of_prompt(mcp, "regression_check", **filled)
        assert "create_batch_run" in found


async def test_default_agent_need_not_be_filled_in() -> None:
    async with connected(sandbox=True, agent_id="agent_mine") as mcp:
        required = {
            prompt.name: [a.name for a in prompt.arguments or [] if a.required]
            for prompt in await prompts(mcp)
        }
        assert "agent_mine" in await text_of_prompt(mcp, "diagnose_batch_run", batchId="batch_1")

    assert required == {
        "author_test_cases": [],
        "diagnose_batch_run": ["batchId"],
        "regression_check": ["baseBatchId"],
    }


async def test_arguments_are_completed(fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/agents", page([{"agentId": "agent_1", "agentName": "Refund Desk"}]))
    batch = {**BATCH, "agent": {"agentId": "agent_1"}}
    fake_api.answer("GET", "/v1/batch-runs", page([{**batch, "batchId": "batch_2"}, batch]))

    async with connected(base_url=fake_api.url, api_key=KEY) as mcp:
        for prompt in await prompts(mcp):
            for argument in prompt.arguments or []:
                reference = PromptReference(type="ref/prompt", name=prompt.name)
                wanted = {"name": argument.name, "value": ""}
                found = await mcp.complete(
                    reference, wanted, context_arguments={"agentId": "agent_1"}
                )
                expected = (
                    ["agent_1"] if argument.name == "agentId" else ["batch_2", BATCH["batchId"]]
                )
                assert found.completion.values == ([] if argument.name == "focus" else expected)


async def prompts(mcp: Client) -> list[Prompt]:
    return (await mcp.list_prompts()).prompts
