"""Facts about definitions: variables that do not fit, and what was edited."""

from sigmamind_mcp.api.models import Agent, TestCase
from sigmamind_mcp.insight.case_definitions import index_cases
from sigmamind_mcp.insight.definition_problems import (
    find_edited_cases,
    find_variable_problems,
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


def test_edits_have_the_words_before_and_after_and_their_cases() -> None:
    before = index_cases([make_case("tc_1"), make_case("tc_2"), make_case("tc_3")])
    after = index_cases([make_case("tc_1", prompt="You want to return."),
                         make_case("tc_2", prompt="You want to return."), make_case("tc_4")])  # fmt: skip

    (problem,) = find_edited_cases("differs from stored", before, after)

    assert problem.case_ids == ("tc_1", "tc_2") and problem.edit is not None
    assert (problem.edit.field, problem.edit.before, problem.edit.after) == (
        "userPrompt", "You want to cancel.", "You want to return.",
    )  # fmt: skip
