"""Checking a draft over the protocol; tests/insight/test_draft_checks.py has the rules."""

from typing import Any

import pytest
from mcp import Client

from tests.conftest import text_of
from tests.support.fake_api import AGENT, CASE, FakeAPI, page

pytestmark = pytest.mark.anyio

DRAFT = {
    "agentId": AGENT["agentId"],
    "userPrompt": "You are Ana and want a refund.",
    "successCriteria": "Is helpful.",
}
AGENT_ANSWER = {
    **AGENT,
    "instructions": "Greet {{customer_name}}.",
    "agentSettings": {},
    "tools": [],
}


async def test_draft_is_checked_without_storing_anything(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer(
        "GET",
        "/v1/test-cases",
        page([{**CASE, "userPrompt": DRAFT["userPrompt"], "successCriteria": "Is helpful."}]),
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
    fake_api.answer("GET", f"/v1/agents/{AGENT['agentId']}", {}, status=500)
    result = await mcp.call_tool("check_test_case", DRAFT)

    assert not result.is_error
    assert [said.partition(",")[0] for said in result.structured_content["skipped"]] == [
        "mock data against the agent's variables",
        "duplicates",
    ]
    assert "Skipped: duplicates" in text_of(result)


@pytest.mark.parametrize("tool", ["check_test_case", "create_test_case"])
async def test_creating_repeats_what_needs_no_read(
    mcp: Client, fake_api: FakeAPI, tool: str
) -> None:
    fake_api.answer("POST", "/v1/test-cases", CASE)
    fake_api.answer("GET", f"/v1/agents/{AGENT['agentId']}", AGENT_ANSWER)

    result: Any = await mcp.call_tool(tool, DRAFT)

    reasons = [finding["reason"] for finding in result.structured_content["findings"]]
    assert any(reason.startswith("One attempt says little") for reason in reasons)
    assert any("have too few words" in reason for reason in reasons)


async def test_unknown_agent_is_refused_as_everywhere(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/agents", page([{"agentId": "agent_1", "agentName": "Refund Desk"}]))

    result = await mcp.call_tool("check_test_case", {**DRAFT, "agentId": "agent_2"})

    assert result.is_error and "agent_1" in text_of(result)


async def test_clean_draft_leads_to_storing_it_and_another_to_fixing_it(
    sandbox_mcp: Client,
) -> None:
    draft = {
        "agentId": "agent_D5D0p7TUs66TTAEAx",
        "userPrompt": "You are Ana, whose kettle arrived broken. You want your money back and accept no voucher.",
        "successCriteria": "The agent acknowledges the problem and confirms the refund.",
        "mockData": [
            {"variableName": "customer_name", "value": "Ana"},
            {"variableName": "account_status", "value": "active"},
        ],
        "attempt": 10,
    }
    clean = await sandbox_mcp.call_tool("check_test_case", draft)
    vague = await sandbox_mcp.call_tool(
        "check_test_case", {**draft, "successCriteria": "The agent handles it well."}
    )

    assert "create_test_case stores it, with the same arguments." in text_of(clean)
    assert "Fix the problems and check again." in text_of(vague)


async def test_what_only_english_is_checked_for_is_said(sandbox_mcp: Client) -> None:
    draft = {
        "agentId": "agent_D5D0p7TUs66TTAEAx",
        "userPrompt": "Eres Ana.",
        "successCriteria": "El agente lo gestiona bien.",
    }

    assert "know English only" in text_of(await sandbox_mcp.call_tool("check_test_case", draft))
