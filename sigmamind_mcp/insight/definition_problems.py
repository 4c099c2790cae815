"""Find what is wrong with the definitions of a batch run: facts, not hints.

Facts are agent variables without a mock value, unused mock variables, and test cases that differ
from the stored ones or from those of the previous batch run.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Literal, NamedTuple

from sigmamind_mcp.api.models import Agent, TestCase
from sigmamind_mcp.insight.case_definitions import (
    DEFINING_FIELDS,
    DefinitionEdit,
    find_edits,
    has_definition,
    is_shown,
)
from sigmamind_mcp.insight.draft_checks import lint_against_agent
from sigmamind_mcp.insight.variable_names import TEMPLATE_VARIABLE
from sigmamind_mcp.nouns import pluralize

ProblemKind = Literal["variables", "differs from stored", "differs from previous batch run"]


class DefinitionProblem(NamedTuple):
    """One problem with the test cases that have it; `says` is worded by us alone."""

    kind: ProblemKind
    says: str
    case_ids: tuple[str, ...]
    edit: DefinitionEdit | None = None


def find_variable_problems(
    cases: Sequence[TestCase], agent: Agent, *, has_time: Callable[[], bool] = lambda: True
) -> list[DefinitionProblem]:
    """Return the variables of the agent and the mock data that do not fit together.

    `list_hidden_variables` names what is not compared, because the API does not show it.
    """
    # Without any variable, the agent may get the mock data in a way that we do not know.
    if agent.unreadable_fields() or not _uses_variables(agent):
        return []
    by_reason: dict[str, list[str]] = defaultdict(list)
    shown, _ = _split_by_mock_data(cases)
    for case in takewhile(lambda case: has_time(), shown):
        for finding in lint_against_agent(case, agent):
            if finding.field == "mockData":
                by_reason[finding.reason].append(case.test_case_id or "")
    problems = []
    for reason, ids in by_reason.items():
        problems.append(DefinitionProblem("variables", reason, tuple(ids)))
    return problems


def list_hidden_variables(cases: Sequence[TestCase], agent: Agent) -> list[str]:
    """Name what the API does not show of variables and mock data, in our words."""
    if agent.unreadable_fields():
        return ["some fields of the agent"]
    if not any(agent.list_prompts()):
        return ["the agent's prompt"]
    _, hidden = _split_by_mock_data(cases)
    if not hidden or not _uses_variables(agent):
        return []
    return [f"mock data of {pluralize(len(hidden), 'test case')}"]


def _split_by_mock_data(cases: Sequence[TestCase]) -> tuple[list[TestCase], list[TestCase]]:
    """Return the test cases of which all mock data is known, and the others."""
    # An API that shows mock data in whole test cases may leave out the field where it is empty.
    leaves_out_empty = any(case.mock_data for case in cases if has_definition(case))
    shown, hidden = [], []
    for case in cases:
        is_empty = leaves_out_empty and has_definition(case) and "mockData" not in case.raw
        if is_empty or is_shown(case, "mockData"):
            shown.append(case)
        else:
            hidden.append(case)
    return shown, hidden


def _uses_variables(agent: Agent) -> bool:
    return bool(TEMPLATE_VARIABLE.search(json.dumps(agent.raw, default=str)))


def list_hidden_cases(before: Mapping[str, TestCase], after: Mapping[str, TestCase]) -> list[str]:
    """Return the ids of test cases whose prompt or criteria are not shown on both sides."""
    hidden = []
    for case_id in after:
        if case_id not in before:
            continue
        if not (has_definition(before[case_id]) and has_definition(after[case_id])):
            hidden.append(case_id)
    return hidden


def find_edited_cases(
    kind: ProblemKind,
    before: Mapping[str, TestCase],
    after: Mapping[str, TestCase],
    *,
    has_time: Callable[[], bool] = lambda: True,
) -> list[DefinitionProblem]:
    """Return the edits that turn each test case of `before` into the one of `after`."""
    by_edit: dict[DefinitionEdit, list[str]] = defaultdict(list)
    shared = [case_id for case_id in after if case_id in before]
    for case_id in takewhile(lambda case_id: has_time(), shared):
        for edit in find_edits(before[case_id], after[case_id]):
            if edit.field in DEFINING_FIELDS:
                by_edit[edit].append(case_id)
    problems = []
    for edit, ids in by_edit.items():
        reason = f"{edit.field} {kind}"
        problems.append(DefinitionProblem(kind, reason, tuple(ids), edit))
    return problems
