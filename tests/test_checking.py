"""Checking a draft over the protocol; tests/test_lint.py has the rules."""

from typing import Any

import pytest
from mcp import Client

from tests.conftest import text_of
from tests.fake_api import AGENT, CASE, FakeAPI, page

pytestmark = pytest.mark.anyio

DRAFT = {"agentId": AGENT["agentId"], "userPrompt": "You are Ana and want a refund.", "successCriteria": "Is helpful."}
AGENT_ANSWER = {**AGENT, "instructions": "Greet {{customer_name}}.", "agentSettings": {}, "tools": []}


async def test_draft_is_checked_without_storing_anything(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer(
        "GET", "/v1/test-cases", page([{**CASE, "userPrompt": DRAFT["userPrompt"], "successCriteria": "Is helpful."}])
    )
    fake_api.answer("GET", f"/v1/agents/{AGENT['agentId']}", AGENT_ANSWER)

    result = await mcp.call_tool("check_test_case", DRAFT)
    found = {finding["field"] for finding in result.structured_content["findings"]}

    assert {"successCriteria", "mockData", "userPrompt", "attempt"} <= found
    assert fake_api.posts == [] and not result.structured_content.get("skipped")
    severities = [finding["severity"] for finding in result.structured_content["findings"]]
    assert severities == sorted(severities, reverse=True)
    for finding in result.structured_content["findings"]:
        assert finding["reason"] in text_of(result) and finding["suggestion"] in text_of(result)


async def test_failed_read_skips_its_checks_and_says_so(mcp: Client, fake_api: FakeAPI) -> None:
    result = await mcp.call_tool("check_test_case", DRAFT)

    assert not result.is_error
    assert [said.partition(",")[0] for said in result.structured_content["skipped"]] == [
        "mock data against the agent's variables",
        "duplicates",
    ]
    assert "Skipped: duplicates" in text_of(result)


@pytest.mark.parametrize("tool", ["check_test_case", "create_test_case"])
async def test_creating_repeats_what_needs_no_read(mcp: Client, fake_api: FakeAPI, tool: str) -> None:
    fake_api.answer("POST", "/v1/test-cases", CASE)

    result: Any = await mcp.call_tool(tool, DRAFT)

    reasons = [finding["reason"] for finding in result.structured_content["findings"]]
    assert any(reason.startswith("One attempt says little") for reason in reasons)
    assert any("two judges" in reason for reason in reasons)
