"""Read what a batch run's definitions are compared with: agent, stored cases, earlier batch run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import Agent, BatchRun, TestCase, TestRun
from sigmamind_mcp.concurrency import gather_errors
from sigmamind_mcp.errors import SigmaMindError
from sigmamind_mcp.insight.case_definitions import find_definition
from sigmamind_mcp.insight.diagnosis import get_case_id

if TYPE_CHECKING:
    from sigmamind_mcp.insight.definition_problems import DefinitionProblem


@dataclass(frozen=True)
class KnownDefinitions:
    """The test cases of the batch run, and what they are compared with; None if unknown."""

    cases: dict[str, TestCase]
    agent: Agent | None = None
    stored: dict[str, TestCase] | None = None
    previous: dict[str, TestCase] | None = None
    previous_id: str | None = None
    unknown: list[str] = field(default_factory=list)


async def read_definitions(
    batch_run: BatchRun, runs: Sequence[TestRun], agent_id: str, api: SigmaMindClient
) -> KnownDefinitions:
    """Read the agent, the stored test cases and the previous batch run; none of them is needed."""
    from sigmamind_mcp.insight.definition_problems import index_cases

    cases = index_cases(batch_run.test_cases)
    for case_id in {get_case_id(run) for run in runs} - {""}:
        shown = find_definition(run for run in runs if get_case_id(run) == case_id)
        if shown:
            cases[case_id] = shown
    calls: list[Callable[[], Any]] = [
        partial(api.get_agent, agent_id),
        partial(api.list_test_cases, agent_id),
        partial(api.list_batch_runs, agent_id, size=100),
    ]
    agent, stored, page = await gather_errors(calls)
    unknown = []
    for name, answer in (("agent", agent), ("stored test cases", stored), ("batch runs", page)):
        if isinstance(answer, SigmaMindError):
            unknown.append(name)
    previous = None
    if not isinstance(page, SigmaMindError):
        previous = _find_previous(batch_run, page.value.items, cases)
    return KnownDefinitions(
        cases=cases,
        agent=None if isinstance(agent, SigmaMindError) else agent,
        stored=None if isinstance(stored, SigmaMindError) else index_cases(stored.items),
        previous=index_cases(previous.test_cases) if previous else None,
        previous_id=previous.batch_id if previous else None,
        unknown=unknown,
    )


def _find_previous(
    batch_run: BatchRun, others: Sequence[BatchRun], cases: dict[str, TestCase]
) -> BatchRun | None:
    """Return the newest earlier batch run with one of the test cases."""
    created = batch_run.created_date
    previous: BatchRun | None = None
    for one in others:
        if not (created and one.created_date and one.created_date < created):
            continue
        shares_case = any(case.test_case_id in cases for case in one.test_cases)
        is_newer = previous is None or _is_later(one, previous)
        if shares_case and is_newer:
            previous = one
    return previous


def _is_later(one: BatchRun, other: BatchRun) -> bool:
    return bool(one.created_date and other.created_date and one.created_date > other.created_date)


def find_problems(definitions: KnownDefinitions) -> list["DefinitionProblem"]:
    """Return the definition problems, those of all cases first."""
    from sigmamind_mcp.insight.definition_problems import find_edited_cases, find_variable_problems

    problems: list[DefinitionProblem] = []
    cases = definitions.cases
    if definitions.agent:
        problems += find_variable_problems(list(cases.values()), definitions.agent)
    if definitions.previous:
        problems += find_edited_cases(
            "differs from previous batch run", definitions.previous, cases
        )
    if definitions.stored:
        problems += find_edited_cases("differs from stored", cases, definitions.stored)
    return sorted(problems, key=lambda problem: -len(problem.case_ids))
