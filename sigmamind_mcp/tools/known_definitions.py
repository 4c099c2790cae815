"""Read what a batch run's definitions are compared with: agent, stored cases, earlier batch run."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.listings import Listing
from sigmamind_mcp.api.models import Agent, BatchRun, TestCase, TestRun
from sigmamind_mcp.api.newest_batch_runs import NewestBatchRuns, read_newest_batch_runs
from sigmamind_mcp.concurrency import gather_errors
from sigmamind_mcp.insight.case_definitions import find_definition, index_cases
from sigmamind_mcp.insight.diagnosis import get_case_id
from sigmamind_mcp.nouns import pluralize

if TYPE_CHECKING:
    from sigmamind_mcp.insight.definition_problems import DefinitionProblem

LISTED_AT_ONCE = 100
MOST_LISTED = 200
"""Batch runs that are looked at for the previous one of a test case."""


@dataclass(frozen=True)
class KnownDefinitions:
    """The test cases of the batch run, and what they are compared with; None if unknown.

    `not_read` names what of it was not read, or not whole, and `is_any_read` says if anything was.
    """

    cases: dict[str, TestCase]
    agent: Agent | None = None
    stored: dict[str, TestCase] | None = None
    previous: dict[str, TestCase] | None = None
    not_read: Sequence[str] = ()
    is_any_read: bool = False


class FoundProblems(NamedTuple):
    """The definition problems, those of all cases first, and what was not looked at."""

    problems: list["DefinitionProblem"]
    not_read: list[str]
    is_looked_at: bool


class _PreviousRun(NamedTuple):
    """The newest earlier batch run with one of the test cases.

    It is None if there is none, or, if `is_certain` is False, if none was seen.
    """

    batch_run: BatchRun | None
    is_certain: bool = True


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
        "batch runs": partial(_read_previous, batch_run, cases, agent_id, api),
    }
    with anyio.move_on_after(seconds):
        await gather_errors([partial(read, *entry) for entry in calls.items()])
    listing: Listing[TestCase] | None = answers.get("stored test cases")
    stored = index_cases(listing.items) if listing else None
    found: _PreviousRun | None = answers.get("batch runs")
    previous = found.batch_run if found else None
    not_read = [name for name in calls if answers.get(name) is None]
    is_any_read = len(not_read) < len(calls)
    if listing and stored is not None and listing.unread_count and cases.keys() - stored.keys():
        not_read.append("some stored test cases")
    if found and not found.is_certain:
        not_read.append("some batch runs")
    if not cases:
        not_read.append("the batch run's test cases")
    return KnownDefinitions(
        cases=cases,
        agent=answers.get("agent"),
        stored=stored,
        previous=index_cases(previous.test_cases) if previous else None,
        not_read=not_read,
        is_any_read=is_any_read,
    )


async def _read_previous(
    batch_run: BatchRun, cases: dict[str, TestCase], agent_id: str, api: SigmaMindClient
) -> _PreviousRun | None:
    """Find the newest earlier batch run with one of the test cases; None without a date."""

    def find(newest: NewestBatchRuns) -> BatchRun | None:
        return _find_previous(batch_run, newest.batch_runs, cases)

    def is_enough(newest: NewestBatchRuns) -> bool:
        return len(newest.batch_runs) >= MOST_LISTED or find(newest) is not None

    if batch_run.created_date is None:
        return None
    newest = await read_newest_batch_runs(agent_id, api, size=LISTED_AT_ONCE, is_enough=is_enough)
    previous = find(newest)
    if previous is not None:
        return _PreviousRun(previous)
    is_whole = not newest.has_more and not newest.unread_count
    may_be_missed = partial(_may_be_missed, batch_run, cases)
    return _PreviousRun(None, is_whole and not any(map(may_be_missed, newest.batch_runs)))


def _find_previous(
    batch_run: BatchRun, others: Sequence[BatchRun], cases: dict[str, TestCase]
) -> BatchRun | None:
    """Return the newest earlier batch run with one of the test cases."""
    previous: BatchRun | None = None
    for candidate in others:
        if not _shares_case(candidate, cases) or not _is_later(batch_run, candidate):
            continue
        if previous is None or _is_later(candidate, previous):
            previous = candidate
    return previous


def _may_be_missed(batch_run: BatchRun, cases: dict[str, TestCase], other: BatchRun) -> bool:
    """Return whether a batch run that hides its date or cases may be the previous one."""
    if other.batch_id == batch_run.batch_id or _is_later(other, batch_run):
        return False
    hides_cases = "testCases" not in other.raw or other.has_unreadable("testCases")
    if other.created_date is None:
        return hides_cases or _shares_case(other, cases)
    return hides_cases


def _shares_case(batch_run: BatchRun, cases: dict[str, TestCase]) -> bool:
    return any(case.test_case_id in cases for case in batch_run.test_cases)


def _is_later(batch_run: BatchRun, other: BatchRun) -> bool:
    """Return whether the dates of both are known, and the first is the later one."""
    if batch_run.created_date is None or other.created_date is None:
        return False
    return batch_run.created_date > other.created_date


def find_problems(definitions: KnownDefinitions, *, has_time: Callable[[], bool]) -> FoundProblems:
    """Find the definition problems in what was read, as far as there is time."""
    from sigmamind_mcp.insight.definition_problems import (
        find_edited_cases,
        find_variable_problems,
        list_hidden_cases,
        list_hidden_variables,
    )

    problems: list[DefinitionProblem] = []
    not_read = [*definitions.not_read]
    cases, agent = definitions.cases, definitions.agent
    if agent:
        problems += find_variable_problems(list(cases.values()), agent, has_time=has_time)
        not_read += list_hidden_variables(list(cases.values()), agent)
    hidden_ids: set[str] = set()
    if definitions.previous:
        problems += find_edited_cases(
            "differs from previous batch run", definitions.previous, cases, has_time=has_time
        )
        hidden_ids.update(list_hidden_cases(definitions.previous, cases))
    if definitions.stored:
        problems += find_edited_cases(
            "differs from stored", cases, definitions.stored, has_time=has_time
        )
        hidden_ids.update(list_hidden_cases(cases, definitions.stored))
    if hidden_ids:
        not_read.append(f"prompt or criteria of {pluralize(len(hidden_ids), 'test case')}")
    if not has_time():
        not_read.append("some test cases, for lack of time")
    most_cases_first = sorted(problems, key=lambda problem: -len(problem.case_ids))
    is_looked_at = definitions.is_any_read and bool(cases)
    return FoundProblems(most_cases_first, not_read, is_looked_at)
