"""Read what a batch run's definitions are compared with: agent, stored cases, earlier batch run."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import Agent, BatchRun, TestCase, TestRun
from sigmamind_mcp.concurrency import gather_errors
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
    batch_run: BatchRun,
    runs: Sequence[TestRun],
    agent_id: str,
    api: SigmaMindClient,
    *,
    seconds: float,
) -> KnownDefinitions:
    """Read the agent, the stored test cases and the previous batch run; none of them is needed.

    What does not come within `seconds` is unknown.
    """
    from sigmamind_mcp.insight.case_definitions import index_cases

    cases = index_cases(batch_run.test_cases)
    runs_by_case: dict[str, list[TestRun]] = defaultdict(list)
    for run in runs:
        runs_by_case[get_case_id(run)].append(run)
    for case_id in runs_by_case.keys() - {""}:
        shown = find_definition(runs_by_case[case_id])
        if shown:
            cases[case_id] = shown
    answers: dict[str, Any] = {}

    async def read(name: str, call: Callable[[], Awaitable[Any]]) -> None:
        answers[name] = await call()

    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "agent": partial(api.get_agent, agent_id),
        "stored test cases": partial(api.list_test_cases, agent_id),
        "batch runs": partial(api.list_batch_runs, agent_id, size=100),
    }
    with anyio.move_on_after(seconds):
        await gather_errors([partial(read, *entry) for entry in calls.items()])
    stored = answers.get("stored test cases")
    page = answers.get("batch runs")
    previous = _find_previous(batch_run, page.value.items, cases) if page else None
    return KnownDefinitions(
        cases=cases,
        agent=answers.get("agent"),
        stored=index_cases(stored.items) if stored else None,
        previous=index_cases(previous.test_cases) if previous else None,
        previous_id=previous.batch_id if previous else None,
        unknown=[name for name in calls if name not in answers],
    )


def _find_previous(
    batch_run: BatchRun, others: Sequence[BatchRun], cases: dict[str, TestCase]
) -> BatchRun | None:
    """Return the newest earlier batch run with one of the test cases."""
    previous: BatchRun | None = None
    for candidate in others:
        shares_case = any(case.test_case_id in cases for case in candidate.test_cases)
        if not shares_case or not _is_later(batch_run, candidate):
            continue
        if previous is None or _is_later(candidate, previous):
            previous = candidate
    return previous


def _is_later(batch_run: BatchRun, other: BatchRun) -> bool:
    """Return whether the dates of both are known, and the first is the later one."""
    if batch_run.created_date is None or other.created_date is None:
        return False
    return batch_run.created_date > other.created_date


def find_problems(
    definitions: KnownDefinitions, *, has_time: Callable[[], bool]
) -> list["DefinitionProblem"]:
    """Return the definition problems, those of all cases first.

    If there is no time for all test cases, `definitions.unknown` says so.
    """
    from sigmamind_mcp.insight.definition_problems import find_edited_cases, find_variable_problems

    problems: list[DefinitionProblem] = []
    cases = definitions.cases
    if definitions.agent:
        problems += find_variable_problems(
            list(cases.values()), definitions.agent, has_time=has_time
        )
    if definitions.previous:
        problems += find_edited_cases(
            "differs from previous batch run", definitions.previous, cases, has_time=has_time
        )
    if definitions.stored:
        problems += find_edited_cases(
            "differs from stored", cases, definitions.stored, has_time=has_time
        )
    if not has_time():
        definitions.unknown.append("some test cases, for lack of time")
    return sorted(problems, key=lambda problem: -len(problem.case_ids))
