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
)
from sigmamind_mcp.insight.draft_checks import lint_against_agent
from sigmamind_mcp.insight.variable_names import TEMPLATE_VARIABLE

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
    """Return the variables of the agent and the mock data that do not fit together."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    uses_variables = bool(TEMPLATE_VARIABLE.search(json.dumps(agent.raw, default=str)))
    for case in takewhile(lambda case: has_time(), cases):
        for finding in lint_against_agent(case, agent):
            # Without any variable, the agent may get the mock data in a way that we do not know.
            if finding.field == "mockData" and uses_variables:
                by_reason[finding.reason].append(case.test_case_id or "")
    problems = []
    for reason, ids in by_reason.items():
        problems.append(DefinitionProblem("variables", reason, tuple(ids)))
    return problems


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
