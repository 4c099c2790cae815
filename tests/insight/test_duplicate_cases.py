"""Duplicates of a draft among the agent's other test cases."""

from typing import Any

import pytest

from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.insight.duplicate_cases import lint_against_cases

PROMPT = "You are Ana, a customer whose kettle arrived broken. You want your money back."
CRITERIA = "The agent apologises and confirms the refund of 39.90."


def case(
    prompt: str = PROMPT,
    criteria: str = CRITERIA,
    *,
    mock: dict[str, str] | None = None,
    **more: Any,
) -> TestCase:
    data = [{"variableName": name, "value": value} for name, value in (mock or {}).items()]
    return TestCase.read(
        {"userPrompt": prompt, "successCriteria": criteria, "attempt": 5, "mockData": data, **more}
    )


SAME = "This test case already exists: tc_old."
VARIANT = "The same prompt and criteria are in tc_old; only mock data or model differ."
NEAR = "Prompt and criteria are at least 90% the same as in tc_old."


@pytest.mark.parametrize(
    ("draft", "severity", "reason"),
    [
        (case(), "problem", SAME),
        (case("  " + PROMPT.upper(), CRITERIA.rstrip(".")), "problem", SAME),
        (case(mock={"order_id": "4411"}), "advice", VARIANT),
        (case(llmModel="gpt-5-mini"), "advice", VARIANT),
        (case(PROMPT.replace("Ana", "Eva")), "advice", NEAR),
        (case(PROMPT, CRITERIA.replace("39.90", "39.95")), "advice", NEAR),
    ],
)
def test_duplicates_are_found(draft: TestCase, severity: str, reason: str) -> None:
    [found] = lint_against_cases(draft, [case(testCaseId="tc_old")])
    assert (found.field, found.severity, found.reason) == ("userPrompt", severity, reason)


@pytest.mark.parametrize(
    "draft",
    [
        case("You are Ken, who was charged twice. You want 18 euros back.", CRITERIA),
        case(PROMPT, "The agent offers a replacement and names the day of delivery."),
        case(testCaseId="tc_old"),
        TestCase.read({"label": ""}),
    ],
    ids=["other prompt", "other criteria", "the case itself", "empty"],
)
def test_other_cases_are_no_duplicates(draft: TestCase) -> None:
    assert (
        lint_against_cases(draft, [case(testCaseId="tc_old"), TestCase.read({"label": ""})]) == []
    )


def test_duplicates_are_found_in_every_script() -> None:
    prompt, criteria = (
        "あなたは怒っている顧客で、返金を求めています。",
        "エージェントは謝罪し、返金を確認する。",
    )
    [found] = lint_against_cases(
        case(prompt, criteria), [case(prompt, criteria, testCaseId="tc_old")]
    )
    assert found.reason == SAME


def test_same_label_is_advised() -> None:
    other = case(
        "You are Ken. You want a receipt.",
        "The agent sends the receipt.",
        label="Broken  kettle",
        testCaseId="tc_old",
    )
    [found] = lint_against_cases(case(label="broken kettle"), [other])
    assert (found.field, found.severity) == ("label", "advice")
    assert "The same label as tc_old" in found.reason


def test_only_the_closest_kind_of_duplicate_is_reported() -> None:
    others = [case(PROMPT + "!", testCaseId="tc_near"), case(testCaseId="tc_same")]
    [found] = lint_against_cases(case(PROMPT), others)
    assert found.reason == "This test case already exists: tc_near, tc_same."


def test_every_duplicate_of_a_kind_is_named_up_to_a_limit() -> None:
    others = [case(testCaseId=f"tc_{number}") for number in range(5)]
    [found] = lint_against_cases(case(), others)
    assert found.reason == "This test case already exists: tc_0, tc_1, tc_2 and 2 more."
