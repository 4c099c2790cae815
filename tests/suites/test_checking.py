"""Checking a suite: the findings about drafts, at the lines of the file."""

from pathlib import Path

from sigmamind_mcp.api.models import Agent, TestCase
from sigmamind_mcp.suites.checking import check_suite
from sigmamind_mcp.suites.suite_file import parse_suite

SUITE = parse_suite(
    """\
suite: 1
cases:
  good:
    userPrompt: You are Ana, an upset customer. You want a refund for a broken kettle.
    successCriteria: The agent states the order number and confirms the refund.
  vague:
    userPrompt: You are Tom, a calm customer. You want to change the delivery address.
    successCriteria: The agent is helpful and handles it well.
    mockData: {ordr_number: "4411"}
  same:
    userPrompt: You are Ana, an upset customer. You want a refund for a broken kettle.
    successCriteria: The agent states the order number and confirms the refund.
  partly:
    label: A label alone
""",
    Path("suite.yaml"),
)


def show(findings: list[object]) -> set[str]:
    return {f"{found.place} {found.key} {found.finding.field}" for found in findings}  # type: ignore[attr-defined]


def test_findings_have_the_line_of_their_field() -> None:
    found = show(list(check_suite(SUITE)))

    assert "suite.yaml:8:5 vague successCriteria" in found
    assert {"suite.yaml:4:5 good userPrompt", "suite.yaml:11:5 same userPrompt"} <= found
    assert not any(" partly " in line for line in found)


def test_agent_and_stored_cases_count_too() -> None:
    agent = Agent.read({"agentId": "agent_x", "instructions": "State {{order_number}}."})
    linked = TestCase.read(
        {
            "testCaseId": "tc_1",
            "userPrompt": "You are Tom, an angry man.",
            "successCriteria": "The agent confirms it.",
        }
    )

    found = show(list(check_suite(SUITE, agent=agent, stored=[linked], linked={"partly": linked})))

    assert "suite.yaml:9:5 vague mockData" in found
    assert "suite.yaml:13:3 partly userPrompt" in found
