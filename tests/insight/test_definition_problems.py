"""Facts about definitions: variables that do not fit, and what was edited."""

from typing import Any

import pytest

from sigmamind_mcp.api.models import Agent, TestCase
from sigmamind_mcp.insight.case_definitions import index_cases
from sigmamind_mcp.insight.definition_problems import (
    find_edited_cases,
    find_variable_problems,
    list_hidden_cases,
    list_hidden_variables,
)


def make_case(case_id: str, *, prompt: str = "You want to cancel.", **mock: str) -> TestCase:
    return TestCase.read(
        {
            "testCaseId": case_id,
            "userPrompt": prompt,
            "successCriteria": "The agent confirms.",
            "mockData": [{"variableName": name, "value": value} for name, value in mock.items()],
            "llmModel": "gpt-5",
        }
    )


def test_missing_and_misspelt_variables_name_their_cases() -> None:
    agent = Agent.read({"instructions": "Greet {{customer_name}} about {{order_number}}."})
    cases = [make_case("tc_1", customer_name="Ana"), make_case("tc_2", customer_name="Bo"),
             make_case("tc_3", customer_nam="Cy", order_number="4")]  # fmt: skip

    problems = find_variable_problems(cases, agent)

    assert [(problem.case_ids, problem.says.split(":")[0]) for problem in problems] == [
        (("tc_1", "tc_2"), "The agent uses order_number without a mock value"),
        (
            ("tc_3",),
            "Mock variable customer_nam is not used by the agent, which uses customer_name",
        ),
    ]


def test_agent_without_variables_gives_no_problem() -> None:
    agent = Agent.read({"instructions": "Help the customer."})

    assert find_variable_problems([make_case("tc_1", name="Ana")], agent) == []


@pytest.mark.parametrize(
    "mock_data", [{}, {"mockData": 7}, {"mockData": [7]}, {"mockData": [{"value": {}}, 7]}]
)
def test_mock_data_that_is_not_shown_is_not_called_empty(mock_data: dict[str, Any]) -> None:
    agent = Agent.read({"instructions": "Greet {{customer_name}}."})
    cases = [make_case("tc_1"), TestCase.read({"testCaseId": "tc_2", **mock_data})]

    problems = find_variable_problems(cases, agent)

    assert [problem.case_ids for problem in problems] == [("tc_1",)]
    assert list_hidden_variables(cases, agent) == ["mock data of 1 test case"]
    assert list_hidden_variables(cases, Agent.read({"instructions": "Greet them."})) == []


@pytest.mark.parametrize(("other", "is_hidden"), [({"customer_name": "Ana"}, False), ({}, True)])
def test_field_that_only_whole_cases_without_mock_data_lack_is_empty(
    other: dict[str, str], is_hidden: bool
) -> None:
    """Some APIs leave out a field that is empty."""
    agent = Agent.read({"instructions": "Greet {{customer_name}}."})
    whole = {name: value for name, value in make_case("tc_2").raw.items() if name != "mockData"}
    named = TestCase.read({"testCaseId": "tc_3", "label": "A"})
    cases = [make_case("tc_1", **other), TestCase.read(whole), named]

    flagged = [case_id for one in find_variable_problems(cases, agent) for case_id in one.case_ids]

    assert flagged == (["tc_1"] if is_hidden else ["tc_2"])
    count = "2 test cases" if is_hidden else "1 test case"
    assert list_hidden_variables(cases, agent) == [f"mock data of {count}"]


@pytest.mark.parametrize(
    ("fields", "hidden"),
    [
        ({"agentSettings": 7}, "some fields of the agent"),
        ({"tools": 7}, "some fields of the agent"),
        ({"agentSettings": {"webhooks": 7}}, "some fields of the agent"),
        ({"instructions": None, "status": "{{x}}"}, "the agent's prompt"),
    ],
)
def test_fields_of_the_agent_that_are_not_shown_are_not_called_without_variables(
    fields: dict[str, Any], hidden: str
) -> None:
    agent = Agent.read({"instructions": "Greet {{customer_name}}.", **fields})
    cases = [make_case("tc_1", account_status="active")]

    assert find_variable_problems(cases, agent) == []
    assert list_hidden_variables(cases, agent) == [hidden]


@pytest.mark.parametrize(
    "fields", [{}, {"userPrompt": "You want to cancel."}, {"userPrompt": None}]
)
def test_cases_without_prompt_or_criteria_are_hidden(fields: dict[str, Any]) -> None:
    shown = index_cases([make_case("tc_1"), make_case("tc_2"), make_case("tc_3")])
    other = index_cases([make_case("tc_1"), TestCase.read({"testCaseId": "tc_2", **fields})])

    assert list_hidden_cases(shown, other) == list_hidden_cases(other, shown) == ["tc_2"]


def test_edits_have_the_words_before_and_after_and_their_cases() -> None:
    before = index_cases([make_case("tc_1"), make_case("tc_2"), make_case("tc_3")])
    after = index_cases([make_case("tc_1", prompt="You want to return."),
                         make_case("tc_2", prompt="You want to return."), make_case("tc_4")])  # fmt: skip

    (problem,) = find_edited_cases("differs from stored", before, after)

    assert problem.case_ids == ("tc_1", "tc_2") and problem.edit is not None
    assert (problem.edit.field, problem.edit.before, problem.edit.after) == (
        "userPrompt", "You want to cancel.", "You want to return.",
    )  # fmt: skip
