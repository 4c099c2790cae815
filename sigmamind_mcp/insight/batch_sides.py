"""Count a batch run by test case: the definition of each case there, and its verdicts."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Literal, NamedTuple

from sigmamind_mcp.api.models import BatchRun, TestCase, TestRun, Verdict
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.case_definitions import find_definition, index_cases
from sigmamind_mcp.insight.diagnosis import assign_single_case, count_verdicts
from sigmamind_mcp.insight.statistics import Counts, add_counts
from sigmamind_mcp.moments import sort_by_date

DefinitionSource = Literal["test runs", "batch run"]

_CASE_PLACE = re.compile(r"testCases(\.[0-9]+(\.testCaseId)?)?")


class RunPlace(NamedTuple):
    """A test run, and the batch run that it is in."""

    batch_id: str
    job_id: str


@dataclass(frozen=True)
class CaseSide:
    """A test case in one batch run, or in several: its definition there, and its counts.

    `undecided` counts its attempts that show no verdict. `examples` has one test run by verdict.
    `decided_runs` has all with a verdict and a usable job id, `failed_runs` the failed ones.
    """

    case: TestCase
    counts: Counts
    undecided: int = 0
    batch_ids: tuple[str, ...] = ()
    examples: Mapping[Verdict, RunPlace] = field(default_factory=dict)
    decided_runs: tuple[RunPlace, ...] = ()
    failed_runs: tuple[RunPlace, ...] = ()


@dataclass(frozen=True)
class Side:
    """One batch run. `cases` has its test cases by id; it is empty if only the totals are known.

    `unassigned` counts the runs whose test case is unreadable; they are in no case. If
    `is_complete` is False, the batch run may have more test cases than could be read.
    """

    cases: Mapping[str, CaseSide]
    overall: Counts
    definitions: DefinitionSource
    undecided: int = 0
    unassigned: int = 0
    is_complete: bool = True
    batch_id: str = ""
    created: datetime | None = None

    @property
    def is_by_case(self) -> bool:
        return bool(self.cases)


def build_side_from_runs(
    batch_run: BatchRun, runs: Sequence[TestRun], *, unreadable_count: int = 0
) -> Side:
    """Build a side from its test runs; without cases if any run does not name its own.

    `unreadable_count` is the number of listed entries that could not be read as runs.
    """
    batch_id, created = batch_run.batch_id or "", batch_run.created_date
    runs = assign_single_case(batch_run.test_cases, runs)
    overall = count_verdicts(runs)
    undecided = len(runs) - overall.decided
    assigned = [run for run in runs if not _hides_case(run)]
    nothing_assigned = bool(runs) and not assigned
    if nothing_assigned or not all(map(_get_case_name, assigned)):
        return Side({}, overall, "batch run", undecided, batch_id=batch_id, created=created)

    cases = index_cases(batch_run.test_cases)
    runs_by_case: dict[str, list[TestRun]] = {name: [] for name in cases}
    for run in assigned:
        name = _get_case_name(run)
        cases.setdefault(name, run.test_case or TestCase())
        runs_by_case.setdefault(name, []).append(run)

    sides: dict[str, CaseSide] = {}
    source: DefinitionSource = "batch run"
    for name, case_runs in runs_by_case.items():
        definition = find_definition(case_runs)
        if definition:
            source = "test runs"
        sides[name] = _count_case(definition or cases[name], case_runs, batch_id)
    unassigned = len(runs) - len(assigned)
    is_complete = not (unassigned or unreadable_count or _hides_cases(batch_run))
    return Side(sides, overall, source, undecided, unassigned, is_complete, batch_id, created)


def build_side_from_counters(batch_run: BatchRun) -> Side:
    """Build a side from the batch run's own counters; by case only if it has a single one."""
    batch_id = batch_run.batch_id or ""
    overall, undecided = Counts(0, 0), batch_run.expected_attempts or 0
    if batch_run.successful_attempts is not None and batch_run.failed_attempts is not None:
        passed, failed = batch_run.successful_attempts, batch_run.failed_attempts
        overall = Counts(passed, passed + failed)
        undecided = max(0, undecided - overall.decided)
    cases: dict[str, CaseSide] = {}
    if len(batch_run.test_cases) == 1 and not _hides_cases(batch_run):
        for name, case in index_cases(batch_run.test_cases).items():
            cases[name] = CaseSide(case, overall, undecided, (batch_id,))
    return Side(
        cases,
        overall,
        "batch run",
        undecided,
        batch_id=batch_id,
        created=batch_run.created_date,
    )


def list_case_names(sides: Iterable[Side]) -> list[str]:
    """Return the names of the cases of all sides, each once, in order."""
    return list(dict.fromkeys(chain.from_iterable(side.cases for side in sides)))


def pool_case_sides(sides: Sequence[CaseSide]) -> CaseSide:
    """Add up the batch runs of one test case, oldest first; the newest defines the case."""
    examples: dict[Verdict, RunPlace] = {}
    for side in sides:
        examples |= side.examples
    return CaseSide(
        sides[-1].case,
        add_counts(side.counts for side in sides),
        sum(side.undecided for side in sides),
        tuple(chain.from_iterable(side.batch_ids for side in sides)),
        examples,
        tuple(chain.from_iterable(side.decided_runs for side in sides)),
        tuple(chain.from_iterable(side.failed_runs for side in sides)),
    )


def order_by_date(sides: Sequence[Side]) -> list[Side]:
    """Sort by date, oldest first; leave the order as it is if a date is missing."""
    return sort_by_date(sides, lambda side: side.created)


def _count_case(case: TestCase, runs: Sequence[TestRun], batch_id: str) -> CaseSide:
    counts = count_verdicts(runs)
    examples: dict[Verdict, RunPlace] = {}
    decided: list[RunPlace] = []
    failed: list[RunPlace] = []
    for run in runs:
        job_id = valid_id(run.job_id)
        if not job_id:
            continue
        place = RunPlace(batch_id, job_id)
        examples.setdefault(run.verdict, place)
        if run.verdict != "undecided":
            decided.append(place)
        if run.verdict == "failed":
            failed.append(place)
    undecided = len(runs) - counts.decided
    places = (tuple(decided), tuple(failed))
    return CaseSide(case, counts, undecided, (batch_id,), examples, *places)


def _get_case_name(run: TestRun) -> str:
    """Return the id of the run's test case, else its label; "" if it has neither."""
    case = run.test_case or TestCase()
    return case.test_case_id or case.label or ""


def _hides_case(run: TestRun) -> bool:
    """Whether the run's test case cannot be told because its field is unreadable."""
    if _get_case_name(run):
        return False
    return run.has_unreadable("testCase")


def _hides_cases(batch_run: BatchRun) -> bool:
    """Whether a test case of the batch run, or the id of one, is unreadable."""
    return any(_CASE_PLACE.fullmatch(name) for name in batch_run.unreadable_fields())
